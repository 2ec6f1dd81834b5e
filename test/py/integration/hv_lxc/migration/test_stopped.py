#
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

"""A guest of which a process is stopped (Ctrl-Z) since it was looked at."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgroup
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.migration import criu, dump
from integration.hv_lxc.migration.moving import Moving, moving

pytestmark = pytest.mark.criu

# CRIU waited for hours, with the guest frozen.
SOON_S = 90.0


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    made.start()
    yield made


def stop_one(guest: Moving) -> int:
  for pid in cgroup.processes(guest.trees, guest.name):
    if b"getty" in Path(f"/proc/{pid}/cmdline").read_bytes():
      os.kill(pid, signal.SIGSTOP)
      return pid
  pytest.fail("there is no getty")


def round_of(guest: Moving) -> None:
  if not criu.has_feature(guest.host, "mem_dirty_track"):
    pytest.skip("this kernel does not tell which pages are written")
  run = dump.current_run(guest.host, guest.name)
  images = guest.host.layout.migration(guest.name).images / "1"
  dump.pre_dump(guest.host, guest.name, images, run=run)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("act", [round_of, Moving.dump])
def test_it_runs_on(guest: Moving, act: Callable[[Moving], object]) -> None:
  tree = guest.trees.controller("freezer")
  if tree is None or tree.version != 1:
    pytest.skip("what is stopped can be dumped with cgroup v2")
  stopped = stop_one(guest)
  begun = time.monotonic()
  with pytest.raises(Failed, match=r"it runs on.* killed by signal 9"):
    act(guest)
  assert time.monotonic() - begun < SOON_S
  os.kill(stopped, signal.SIGCONT)
  assert guest.counts_on()
  guest.move()
