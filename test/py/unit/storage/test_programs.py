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

"""A program that waits for its disk, which not even SIGKILL ends."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ganeti import errors
from ganeti.storage import kpartx, partition_maps, programs


class FakePopen:
  """Ends when it is killed, or not even then."""

  pid = (1 << 22) + 7
  obeys = False

  def __init__(self, *_: Any, **options: Any) -> None:
    os.write(options["stderr"], b"so far\n")

  def wait(self) -> int:
    if not self.obeys:
      pytest.fail("waits for ever")
    return -signal.SIGKILL

  def poll(self) -> int | None:
    return -signal.SIGKILL if self.obeys else None


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
  """The sessions that were killed."""
  reader, writer = os.pipe()
  killed: list[int] = []

  def kill(session: int, _: int) -> None:
    killed.append(session)
    if FakePopen.obeys:
      os.write(writer, b"x")

  monkeypatch.setattr(subprocess, "Popen", FakePopen)
  monkeypatch.setattr(os, "pidfd_open", lambda _: os.dup(reader))
  monkeypatch.setattr(os, "killpg", kill)
  monkeypatch.setattr(programs, "_LIMIT", 0.01)
  monkeypatch.setattr(programs, "_KILLED", 0.01)
  yield killed
  programs._stuck.clear()
  os.close(reader)
  os.close(writer)


def test_held_up_a_start_and_all_that_came_after_it(killed: list[int]) -> None:
  with pytest.raises(errors.BlockDeviceError) as caught:
    kpartx.ProbeFilesystem("/dev/x")
  assert killed == [FakePopen.pid]
  assert "Can't find out which file system /dev/x holds" in str(caught.value)
  assert "blkid -p -o export -- /dev/x' did not end" in str(caught.value)
  assert "cannot be killed (it waits for its disk" in str(caught.value)
  assert str(caught.value).endswith(": so far")


@pytest.mark.parametrize(
  "call",
  [
    lambda: programs.checked(partition_maps.add_argv("/x", read_only=False)),
    lambda: programs.checked(["sfdisk", "/x"], stdin=b", +\n"),
  ],
)
@pytest.mark.usefixtures("killed")
def test_is_an_error_whichever_it_is(call: Callable[[], Any]) -> None:
  with pytest.raises(errors.BlockDeviceError, match="cannot be killed"):
    call()


@pytest.mark.usefixtures("killed")
def test_is_collected_when_it_has_ended_after_all(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  programs.run(["blkid", "/x"])
  assert len(programs._stuck) == 1
  monkeypatch.setattr(FakePopen, "obeys", True)
  programs.run(["blkid", "/x"])
  assert programs._stuck == []


def test_one_that_is_only_slow_is_killed(
  killed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(FakePopen, "obeys", True)
  with pytest.raises(errors.BlockDeviceError, match="seconds and was killed"):
    programs.checked(["kpartx", "-a", "/x"])
  assert killed == [FakePopen.pid]
