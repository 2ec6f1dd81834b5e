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


"""Programs started for real."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import command
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration import disks


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Path]:
  """See there."""
  with disks.frozen(tmp_path) as point:
    yield point


class TestRun:
  def test_status_and_output(self):
    result = command.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.status, result.stdout, result.stderr) == (
      3, "out\n", "err\n",
    )  # fmt: skip

  def test_a_daemon_that_is_left_behind_does_not_hold_the_caller(self):
    result = command.run(["sh", "-c", "sleep 30 & echo $!"], timeout_s=20)
    os.kill(int(result.stdout), 9)
    assert not result.failed

  def test_timeout_ends_the_whole_session(self, tmp_path: Path):
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! >{pid_file}; wait"
    result = command.run(["sh", "-c", script], timeout_s=1)
    assert result.timed_out
    pid = int(pid_file.read_text())
    assert wait_until(lambda: not alive(pid), 5)

  def test_one_that_cannot_be_killed_holds_nobody_up(self, frozen: Path):
    result = command.run(["touch", str(frozen / "new")], timeout_s=0.5)
    assert result.timed_out
    assert result.stuck
    assert "cannot be killed" in result.evidence()
    (left,) = command._stuck
    disks.run("fsfreeze", "--unfreeze", str(frozen))
    assert wait_until(lambda: not alive(left.pid), 5)
    assert not command.run(["true"]).failed
    assert command._stuck == []

  def test_a_program_that_is_missing_is_named(self):
    with pytest.raises(Failed, match="no-such-program"):
      command.run(["no-such-program"])


class TestStartDaemon:
  def test_it_is_nobodys_child_and_writes_to_its_log(self, tmp_path: Path):
    log = tmp_path / "log"
    command.start_daemon(["sh", "-c", "echo $$ $PPID; exec sleep 60"], log=log)
    assert wait_until(lambda: log.exists() and " " in log.read_text(), 5)
    pid = int(log.read_text().split()[0])
    try:
      # Its parent has ended; it leads a session of its own.
      stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
      assert int(stat[1]) != os.getpid()
      assert int(stat[3]) == pid
    finally:
      os.kill(pid, 9)

  def test_descriptors_are_handed_on(self, tmp_path: Path):
    reader, writer = os.pipe()
    try:
      command.start_daemon(
        ["sh", "-c", f"echo hello >/proc/self/fd/{writer}"],
        log=tmp_path / "log",
        pass_fds=[writer],
      )
      assert os.read(reader, 100) == b"hello\n"
    finally:
      os.close(reader)
      os.close(writer)

  def test_the_log_is_appended_to_and_private(self, tmp_path: Path):
    log = tmp_path / "log"
    for word in ("one", "two"):
      command.start_daemon(["echo", word], log=log)
      assert wait_until(lambda w=word: log.exists() and w in log.read_text(), 5)
    assert log.read_text() == "one\ntwo\n"
    assert log.stat().st_mode & 0o777 == 0o600


def alive(pid: int) -> bool:
  try:
    text = Path(f"/proc/{pid}/stat").read_text()
  except FileNotFoundError:
    return False
  return text.rpartition(")")[2].split()[0] != "Z"
