#

# Copyright (C) 2026 the Ganeti project
# All rights reserved.
#
# Redistribution and use in source and binary forms, with or without
# modification, are permitted provided that the following conditions are
# met:
#
# 1. Redistributions of source code must retain the above copyright notice,
# this list of conditions and the following disclaimer.
#
# 2. Redistributions in binary form must reproduce the above copyright
# notice, this list of conditions and the following disclaimer in the
# documentation and/or other materials provided with the distribution.
#
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS
# IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED
# TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR
# PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR
# CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL,
# EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO,
# PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR
# PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF
# LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
# NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.


"""What other guests may do while CRIU works for one of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.command import Result, run
from integration.hv_lxc.migration.moving import Moving, moving

pytestmark = pytest.mark.vm  # limits of cgroup v2

# As LXC does: into the group, and there into a namespace that begins with it.
# Its own mount, since what is mounted for the node counts as the node's.
_GUEST = """
echo 0 >"$1/cgroup.procs"
exec unshare --cgroup --mount sh -ec '
  mount -t cgroup2 none /mnt
  read -r limit </mnt/memory.max
  [ "$limit" = 16777216 ] || exit 99
  echo max | tee /mnt/memory.max
'
"""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    yield made


@pytest.fixture
def another(guest: Moving) -> Iterator[Path]:
  """The group of another guest of the node, with a limit."""
  guest.start()
  assert guest.trees.unified is not None
  group = Path(guest.trees.unified.group("another"))
  group.mkdir()
  (group / "memory.max").write_text("16M")
  yield group
  group.rmdir()


def _raises_its_limit(group: Path) -> Result:
  return run(["sh", "-ec", _GUEST, "guest", str(group)])


def test_no_guest_can_raise_its_limits_while_another_is_migrated(
  guest: Moving, another: Path
) -> None:
  tried = [_raises_its_limit(another)]
  guest.dump(lambda: tried.append(_raises_its_limit(another)))
  tried.append(_raises_its_limit(another))
  guest.restore(lambda: tried.append(_raises_its_limit(another)))
  tried.append(_raises_its_limit(another))
  said = [result.last_line for result in tried]
  assert all("not permitted" in text for text in said), said
  assert (another / "memory.max").read_text() == "16777216\n"
