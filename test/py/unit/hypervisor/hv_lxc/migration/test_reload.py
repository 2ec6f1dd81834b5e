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

"""Who is told to reload after a migration."""

import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ganeti.hypervisor.hv_lxc import cgroup
from ganeti.hypervisor.hv_lxc.migration import reload, watchdogs

SYSTEMD = "/usr/lib/systemd/systemd"
BLOCKED = "SigBlk:\t7fefc1fe28014a03\n"
FREE = "SigBlk:\t0000000000010000\n"
SPACE = "pid:[1]"


def was_told(
  proc: Path,
  monkeypatch: pytest.MonkeyPatch,
  *,
  program: str = SYSTEMD,
  status: str = BLOCKED,
  space: str = SPACE,
) -> bool:
  """Whether a guest's process, so described, is sent SIGHUP.

  If so, it has taken it when its services are spoken for.

  """
  pid = os.getpid()
  entry = proc / str(pid)
  (entry / "ns").mkdir(parents=True)
  (entry / "exe").symlink_to(program)
  (entry / "ns/pid").symlink_to(space)
  (entry / "status").write_text(f"Name:\tx\n{status}")
  (proc / "7/ns").mkdir(parents=True)
  (proc / "7/ns/pid").symlink_to(SPACE)
  # The last one is gone when it is looked at.
  gone = 2**22 + 1
  monkeypatch.setattr(cgroup, "processes", lambda *_: [gone, pid, gone])
  sent: list[int] = []
  told = entry / "status"

  def send(_: int, number: int) -> None:
    sent.append(number)
    told.write_text(f"ShdPnd:\t1\n{status}")
    threading.Timer(0.05, lambda: told.write_text(status)).start()

  def repeat(_: object, pids: list[int]) -> None:
    assert pids == [pid]
    assert "ShdPnd" not in told.read_text()

  monkeypatch.setattr(signal, "pidfd_send_signal", send)
  monkeypatch.setattr(watchdogs, "repeat", repeat)
  host = SimpleNamespace(proc=proc)
  trees = SimpleNamespace()
  reload.complete(host, trees, "web", 7)  # type: ignore[arg-type]
  assert sent in ([], [signal.SIGHUP])
  return bool(sent)


def test_a_users_systemd_is_told(
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  assert was_told(tmp_path, monkeypatch)


@pytest.mark.parametrize(
  "how",
  [
    {"program": "/usr/sbin/sshd"},
    {"status": FREE},
    {"status": ""},
    {"space": "pid:[2]"},
  ],
  ids=["not systemd", "it would die of it", "ended", "not in the guest"],
)
def test_nobody_else_is_told(
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
  how: dict[str, str],
) -> None:
  assert not was_told(tmp_path, monkeypatch, **how)


def test_what_cannot_be_done_is_said_with_the_remedy(
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
  caplog: pytest.LogCaptureFixture,
) -> None:
  def denied(*_: object) -> list[int]:
    raise PermissionError(13, os.strerror(13))

  monkeypatch.setattr(cgroup, "processes", denied)
  host = SimpleNamespace(proc=tmp_path)
  trees = SimpleNamespace()
  reload.complete(host, trees, "web", 7)  # type: ignore[arg-type]
  assert "systemctl daemon-reload" in caplog.text
  assert "Permission denied" in caplog.text


@pytest.mark.parametrize(
  ("program", "told"),
  [(SYSTEMD, True), ("/usr/sbin/init", False), ("", False)],
)
def test_journald_was_killed_three_minutes_after_a_migration(
  tmp_path: Path,
  monkeypatch: pytest.MonkeyPatch,
  program: str,
  told: bool,
) -> None:
  (tmp_path / "7").mkdir()
  if program:
    (tmp_path / "7/exe").symlink_to(program)
  sent: list[tuple[int, int]] = []
  monkeypatch.setattr(cgroup, "init_pid", lambda *_: 7)
  monkeypatch.setattr(os, "kill", lambda *what: sent.append(what))
  host = SimpleNamespace(proc=tmp_path)
  reload.tell_init(host, SimpleNamespace(), "web")  # type: ignore[arg-type]
  assert sent == ([(7, signal.SIGHUP)] if told else [])
