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

"""Processes that have ended, in whose presence no restore does."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, hierarchies
from ganeti.hypervisor.hv_lxc.migration import zombies
from ganeti.hypervisor.hv_lxc.migration.criu import PassingError
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc

INIT = 100
# Process, state, session; as the images of two guests that halted had them.
HALTING = [(113, "Z", 113), (118, "Z", 118), (121, "Z", 118)]
TWO_LEADERS = [(113, "Z", 113), (114, "Z", 114), (118, "Z", 114)]


def _proc(top: pathlib.Path, children: list[tuple[int, str, int]]) -> None:
  task = top / f"{INIT}/task/{INIT}"
  task.mkdir(parents=True)
  (task / "children").write_text(" ".join(str(c[0]) for c in children) + " ")
  for pid, state, session in children:
    (top / str(pid)).mkdir()
    text = f"{pid} (a) Z b) {state} {INIT} {pid} {session} 0 -1\n"
    (top / f"{pid}/stat").write_text(text)


@pytest.mark.parametrize(
  ("children", "found"),
  [
    (HALTING, [121]),
    (TWO_LEADERS, [118]),
    ([], []),
    ([(113, "Z", 113)], []),
    # Its leader lives, or is not there any more.
    ([(118, "S", 118), (121, "Z", 118)], []),
    ([(121, "Z", 118)], []),
    # It lives itself.
    ([(118, "Z", 118), (121, "S", 118)], []),
  ],
)
def test_who_is_in_the_way(
  tmp_path: pathlib.Path,
  children: list[tuple[int, str, int]],
  found: list[int],
) -> None:
  _proc(tmp_path, children)
  assert zombies.in_the_way(tmp_path, INIT) == found


def test_one_that_is_gone_meanwhile(tmp_path: pathlib.Path) -> None:
  _proc(tmp_path, HALTING)
  (tmp_path / "118/stat").unlink()
  assert zombies.in_the_way(tmp_path, INIT) == []
  assert zombies.in_the_way(tmp_path, 4711) == []


def test_a_guest_that_halts_is_not_moved_into_a_restore_without_end(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  host = FakeLxc(tmp_path).host
  _proc(host.proc, HALTING)
  monkeypatch.setattr(hierarchies, "find", lambda _: None)
  monkeypatch.setattr(cgroup, "init_pid", lambda *_: INIT)
  with pytest.raises(PassingError, match=r"it runs on.*\[121\].*about to halt"):
    zombies.check(host, NAME)
