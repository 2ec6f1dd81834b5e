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

"""When the node daemon is restarted, and what that waits for."""

import pathlib
import subprocess
import sys
from types import ModuleType

import pytest
import scripts
from ganeti_lxc_tools import migrations, node, placing
from ganeti_lxc_tools.errors import ToolError

MOVING = "instance inst1.lab is being migrated to node2.lab"
_PROGRAM = pathlib.Path(__file__).parents[3] / "tools/ganeti-lxc-place"


class Daemon:
  """What daemon-util would have been called for, and what was said by then.

  @ivar moving: for how many looks there is a migration yet

  """

  def __init__(self) -> None:
    self.calls: list[str] = []
    self.moving = 0
    self.looks = 0
    self.runs = True
    self.starts = True

  def call(self, verb: str) -> "subprocess.CompletedProcess[str]":
    if verb != "check":
      self.calls.append(verb)
    works = self.starts if verb == "start" else self.runs
    return subprocess.CompletedProcess([], 0 if works else 1, "")

  def under_way(self) -> list[str]:
    self.looks += 1
    self.moving -= 1
    return [MOVING] if self.moving >= 0 else []


@pytest.fixture
def daemon(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
  found = Daemon()
  monkeypatch.setattr(node, "DUE", tmp_path / "due")
  monkeypatch.setattr(node, "DAEMON_UTIL", sys.executable)
  monkeypatch.setattr(node, "POLICY", str(tmp_path / "none"))
  monkeypatch.setattr(node, "_call", found.call)
  monkeypatch.setattr(migrations, "under_way", found.under_way)
  monkeypatch.setattr(migrations.time, "sleep", lambda _: None)
  monkeypatch.delenv("GANETI_LXC_RESTART", raising=False)
  monkeypatch.delenv("GANETI_LXC_REMOVE", raising=False)
  return found


@pytest.fixture
def program() -> ModuleType:
  return scripts.load(_PROGRAM)


def run(program: ModuleType, *argv: str) -> None:
  program.run(program.parser().parse_args(["--share", "/nowhere", *argv]))


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
  """What placing and taking out come to, in turn."""
  found: list[bool] = []
  monkeypatch.setattr(placing, "place", lambda *_: found.pop(0))
  monkeypatch.setattr(placing, "take_out", lambda _: found.pop(0))
  monkeypatch.setattr(placing, "would_change", lambda *_: False)
  monkeypatch.setattr(node, "running", list)
  return found


def test_without_a_migration_it_is_restarted_at_once(
  daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
  node.restart_noded()
  assert daemon.calls == ["stop", "start"]
  assert capsys.readouterr().out == "ganeti-noded was restarted\n"


def test_a_migration_is_waited_for(
  daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
  daemon.moving = 3
  node.restart_noded()
  assert daemon.looks == 4
  assert daemon.calls == ["stop", "start"]
  assert capsys.readouterr().out == (
    f"{MOVING}: waiting, 10 minutes at most, for the restart of ganeti-noded\n"
    "ganeti-noded was restarted\n"
  )


def test_a_long_one_is_not_broken_and_dpkg_does_not_hang(
  daemon: Daemon,
) -> None:
  daemon.moving = 100000
  with pytest.raises(ToolError, match="still so after 10 minutes") as raised:
    node.restart_noded()
  assert daemon.calls == []
  assert daemon.looks < 1000
  said = str(raised.value)
  assert said.startswith(MOVING)
  assert "dpkg --configure -a" in said
  assert "GANETI_LXC_RESTART=anyway" in said


def test_an_administrator_can_have_it_restarted_anyway(
  daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
  daemon.moving = 100000
  monkeypatch.setenv("GANETI_LXC_RESTART", "anyway")
  node.restart_noded()
  assert daemon.calls == ["stop", "start"]


def test_what_does_not_run_is_not_waited_for(daemon: Daemon) -> None:
  daemon.moving, daemon.runs = 100000, False
  node.restart_noded()
  assert daemon.calls == []
  assert daemon.looks == 0


def test_a_driver_that_cannot_be_asked_keeps_nobody_waiting(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  (tmp_path / "ganeti").mkdir()
  (tmp_path / "ganeti/__init__.py").write_text("raise OSError('no disk')")
  for name in [n for n in sys.modules if n.split(".")[0] == "ganeti"]:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setattr(sys, "path", list(sys.path))
  assert migrations.under_way(str(tmp_path)) == []
  assert "cannot be told: OSError('no disk')" in capsys.readouterr().err


def test_nothing_changed_nothing_restarted(
  daemon: Daemon, program: ModuleType, changes: list[bool]
) -> None:
  changes += [False]
  run(program, "--restart")
  assert daemon.calls == []
  assert not node.DUE.exists()


def test_a_driver_in_use_is_not_exchanged_under_a_migration(
  daemon: Daemon,
  program: ModuleType,
  changes: list[bool],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(placing, "would_change", lambda *_: True)
  changes += [True]
  daemon.moving = 100000
  with pytest.raises(ToolError, match="restart of ganeti-noded would"):
    run(program, "--restart")
  assert changes == [True]
  assert not node.DUE.exists()


def test_an_upgrade_that_was_interrupted_while_it_waited_is_completed(
  daemon: Daemon, program: ModuleType, changes: list[bool]
) -> None:
  """The daemon went on with the release before, and nobody noticed."""
  changes += [True, False, False]
  daemon.moving = 100000
  with pytest.raises(ToolError):
    run(program, "--restart")
  daemon.moving = 0
  run(program, "--restart")
  assert daemon.calls == ["stop", "start"]
  run(program, "--restart")
  assert daemon.calls == ["stop", "start"]


def test_a_daemon_that_did_not_start_is_started_the_next_time(
  daemon: Daemon, program: ModuleType, changes: list[bool]
) -> None:
  changes += [True, False]
  daemon.starts = False
  with pytest.raises(ToolError, match="exited with status 1"):
    run(program, "--restart")
  daemon.starts = True
  run(program, "--restart")
  assert daemon.calls == ["stop", "start", "stop", "start"]


def test_the_driver_is_taken_out_when_the_migration_is_over(
  daemon: Daemon, program: ModuleType, changes: list[bool]
) -> None:
  daemon.moving = 100000
  with pytest.raises(ToolError, match="the removal of the driver"):
    run(program, "--remove", "--restart")
  assert not node.DUE.exists()
  changes += [True]
  daemon.moving = 2
  run(program, "--remove", "--restart")
  assert daemon.calls == ["stop", "start"]
  # The driver is not there to be asked once more.
  assert daemon.looks == migrations.LIMIT_S + 1 + 3
