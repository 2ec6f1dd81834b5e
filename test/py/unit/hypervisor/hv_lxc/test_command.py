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


"""A program that not even SIGKILL ends: one in state D (ps(1))."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import command
from ganeti.hypervisor.hv_lxc.command import Result


class FakePopen:
  """Waits for its device until it is let go."""

  pid = (1 << 22) + 7

  def __init__(self, *_: Any, **options: Any) -> None:
    os.write(options["stdout"], b"so far\n")
    self.returncode: int | None = None
    self.may_end = False
    PROGRAMS.append(self)

  def wait(self) -> int:
    pytest.fail("waits for ever")

  def poll(self) -> int | None:
    if self.may_end:
      self.returncode = -signal.SIGKILL
    return self.returncode


PROGRAMS: list[FakePopen] = []


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
  """The sessions that were killed."""
  never, writer = os.pipe()

  @contextlib.contextmanager
  def held(_: int) -> Iterator[int]:
    yield never

  killed: list[int] = []
  monkeypatch.setattr(command.subprocess, "Popen", FakePopen)
  monkeypatch.setattr(command.pidfd, "held", held)
  monkeypatch.setattr(os, "killpg", lambda group, _: killed.append(group))
  monkeypatch.setattr(command, "_KILLED_S", 0.01, raising=False)
  PROGRAMS.clear()
  yield killed
  command._stuck.clear()
  os.close(never)
  os.close(writer)


def run() -> Result:
  return command.run(["umount", "/x"], timeout_s=0.01)


def test_held_up_whoever_waited_for_it(killed: list[int]) -> None:
  result = run()
  assert killed == [FakePopen.pid]
  assert result.failed
  assert result.timed_out
  assert result.stuck
  assert result.stdout == "so far\n"
  assert "umount /x did not end in time and cannot be killed: it waits for" in (
    result.evidence()
  )


@pytest.mark.usefixtures("killed")
def test_is_collected_when_it_has_ended_after_all() -> None:
  run()
  PROGRAMS[0].may_end = True
  run()
  assert command._stuck == PROGRAMS[1:]
  assert PROGRAMS[0].returncode is not None
