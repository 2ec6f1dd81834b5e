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

"""How far a migration is: told by two threads, read by a third party."""

import pathlib
import threading
from dataclasses import asdict

import pytest
from ganeti.hypervisor.hv_lxc.layout import Layout, MigrationPaths
from ganeti.hypervisor.hv_lxc.migration import progress
from ganeti.hypervisor.hv_lxc.migration.progress import Progress, Reporter

# Longer than the other thread would take; it is waited for in vain.
_BLOCKED_S = 0.3


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> MigrationPaths:
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))
  found = layout.migration("inst1.lab")
  found.progress.parent.mkdir(parents=True)
  return found


def test_a_phase_begins_while_bytes_are_told_of(
  paths: MigrationPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
  reporter = Reporter(paths)
  begins = threading.Thread(target=reporter.phase, args=("dump",))

  def interrupted(now: Progress) -> dict[str, object]:
    values = asdict(now)
    if not begins.ident:
      begins.start()
      begins.join(_BLOCKED_S)
    return values

  monkeypatch.setattr(progress, "asdict", interrupted)
  reporter.sent(5, 9)
  begins.join()
  told = progress.load(paths)
  assert (told.phase, told.sent, told.known) == ("dump", 5, 9)
