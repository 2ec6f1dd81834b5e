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

"""The scripts that LXC runs at a boot and at an end, on a log like LXC's."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[4] / "lib/hypervisor/hv_lxc"
MAX_LOG = 1 << 20
DIED = 'SIGKILL(9) - Container "web1" init exited'
HALTED = 'SIGINT(2) - Container "web1" is halting'


class Guest:
  """A guest's directory and log; this process has it open, as LXC does."""

  def __init__(self, top: Path) -> None:
    self.home = top / "lxc/web1"
    self.log = top / "log/web1.log"
    self.home.mkdir(parents=True)
    self.log.parent.mkdir()
    for name in ("start-host", "post-stop"):
      text = (SCRIPTS / f"{name}.sh").read_text()
      (self.home / name).write_text(text)
      (self.home / name).chmod(0o700)
    (self.home / "start-host.conf").write_text(f"write {top}/booted yes\n")
    (self.home / "log-name").write_text(f"{self.log}\n")
    self.booted = top / "booted"
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
    self.writer = os.open(self.log, flags, 0o640)

  def say(self, text: str) -> None:
    line = f"lxc-start web1 20260101120000.123 DEBUG    start - x:1 - {text}\n"
    os.write(self.writer, line.encode())

  def boots(self) -> None:
    self.say(f'Executing script "{self.home}/start-host" for container "web1"')
    self._run("start-host", LXC_PID="1")
    for number in range(200):
      self.say(f"line {number} of a boot")

  def ends(self, *said: str) -> str:
    """What is noted of an end about which LXC says these things."""
    for text in said:
      self.say(text)
    self._run("post-stop", LXC_TARGET="stop")
    return (self.home / "ended").read_text()

  def runs_post_stop(self) -> str:
    return f'Executing script "{self.home}/post-stop" for container "web1"'

  def _run(self, name: str, **env: str) -> None:
    argv = [str(self.home / name)]
    done = subprocess.run(
      argv,
      env={**os.environ, **env, "LXC_NAME": "web1"},
      capture_output=True,
      text=True,
      check=True,
    )
    assert done.stdout + done.stderr == ""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
  made = Guest(tmp_path)
  yield made
  os.close(made.writer)


def test_a_guest_that_reboots_for_ever_does_not_fill_the_node(
  guest: Guest,
) -> None:
  for _ in range(8):
    guest.say("x" * 400_000)
    guest.boots()
    assert guest.booted.read_text() == "yes\n"
  kept = list(guest.log.parent.iterdir())
  assert {path.name for path in kept} == {"web1.log", "web1.log.1"}
  assert sum(path.stat().st_size for path in kept) < 3 * MAX_LOG
  assert guest.log.with_name("web1.log.1").stat().st_mode & 0o077 == 0
  assert guest.log.read_text().endswith("line 199 of a boot\n")


def test_what_was_written_last_is_kept_beside(guest: Guest) -> None:
  guest.say("first")
  guest.say("x" * 3 * MAX_LOG)
  guest.say("last")
  guest.boots()
  text = guest.log.with_name("web1.log.1").read_text()
  assert len(text) == MAX_LOG
  assert " - last\n" in text


def test_a_short_log_is_left_alone(guest: Guest) -> None:
  guest.say("first")
  guest.boots()
  assert " - first\n" in guest.log.read_text()
  assert len(list(guest.log.parent.iterdir())) == 1


@pytest.mark.parametrize("missing", ["log", "name", "room"])
def test_a_log_that_cannot_be_shortened_is_in_nobodys_way(
  guest: Guest, missing: str
) -> None:
  guest.say("x" * 2 * MAX_LOG)
  if missing == "log":
    guest.log.unlink()
  elif missing == "name":
    (guest.home / "log-name").unlink()
  else:
    guest.log.with_name("web1.log.1").mkdir()
  guest.boots()
  assert guest.booted.read_text() == "yes\n"
  if missing == "room":
    assert guest.log.stat().st_size < MAX_LOG


@pytest.mark.parametrize(
  ("said", "noted"),
  [((DIED,), "died\n"), ((HALTED,), "halted\n"), ((), "halted\n")],
)
@pytest.mark.parametrize("before", [0, 2 * MAX_LOG])
def test_how_a_guest_ended(
  guest: Guest, said: tuple[str, ...], noted: str, before: int
) -> None:
  guest.say("x" * before)
  guest.boots()
  assert guest.ends(*said, guest.runs_post_stop()) == noted


@pytest.mark.parametrize(
  ("said", "noted"), [(DIED, "died\n"), (HALTED, "halted\n")]
)
@pytest.mark.parametrize("how", ["renamed", "removed", "made anew"])
def test_a_log_that_was_taken_away_is_read_all_the_same(
  guest: Guest, said: str, noted: str, how: str
) -> None:
  guest.boots()
  if how == "removed":
    guest.log.unlink()
  else:
    guest.log.rename(guest.log.with_name("web1.log.1"))
  if how == "made anew":
    guest.log.write_text("nic-down: something\n")
  assert guest.ends(said, guest.runs_post_stop()) == noted


def test_a_guest_whose_end_could_not_be_logged_did_not_halt(
  guest: Guest,
) -> None:
  """A crash that is noted as a halt is never started again."""
  guest.say(guest.runs_post_stop())
  guest.boots()
  assert guest.ends() == "unknown\n"
