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

import contextlib
import os
import pathlib
import select
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import MigrationPaths
from ganeti.hypervisor.hv_lxc.migration import held
from unit.hypervisor.hv_lxc.fakes import FakeLxc


class Program:
  """Asks at its stages as criu-action.sh does; ends with 1 if told to."""

  def __init__(self, *stages: str) -> None:
    self.stages = stages
    self.env: Mapping[str, str] = {}
    self.answers: list[str] = []

  def __call__(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    self.env = env or {}
    ask = os.open(self.env["GANETI_LXC_ASK"], os.O_WRONLY)
    answer = os.open(self.env["GANETI_LXC_ANSWER"], os.O_RDONLY)
    try:
      for stage in self.stages:
        os.write(ask, f"{stage}\n".encode())
        self.answers.append(os.read(answer, 100).decode().strip())
        if not self.answers[-1].endswith(" go"):
          return Result(tuple(argv), 1)
    finally:
      os.close(ask)
      os.close(answer)
    return Result(tuple(argv), 0)


@pytest.fixture
def work(tmp_path: pathlib.Path) -> MigrationPaths:
  made = MigrationPaths(home=tmp_path / "work")
  made.home.mkdir()
  return made


def run(
  top: pathlib.Path,
  work: MigrationPaths,
  program: Program,
  stages: Mapping[str, Callable[[], None]],
) -> held.Story:
  host = Host(layout=FakeLxc(top).layout, run=program)
  return held.run(host, ["criu"], work, stages, timeout_s=60)


def refuse() -> None:
  raise Failed("no")


def test_all_stages_pass(tmp_path: pathlib.Path, work: MigrationPaths) -> None:
  program, calls = Program("one", "two"), list[str]()
  stages = {
    "one": lambda: calls.append("1"),
    "two": lambda: calls.append("2"),
  }
  story = run(tmp_path, work, program, stages)
  assert calls == ["1", "2"]
  assert story.passed == ["one", "two"]
  assert story.error is None
  assert not story.result.failed
  assert program.env["GANETI_LXC_STAGES"] == "one two"


def test_refused_stage_ends_it(
  tmp_path: pathlib.Path, work: MigrationPaths
) -> None:
  program = Program("one", "two")
  story = run(tmp_path, work, program, {"one": refuse, "two": refuse})
  assert program.answers == ["one abort"]
  assert isinstance(story.error, Failed)
  assert story.passed == []
  assert story.result.failed


def test_stage_that_was_not_asked_for_is_refused(
  tmp_path: pathlib.Path, work: MigrationPaths
) -> None:
  program = Program("other")
  story = run(tmp_path, work, program, {"one": refuse})
  assert program.answers == ["other abort"]
  assert story.result.failed


def test_signal_in_a_stage_lets_the_program_undo_its_work(
  tmp_path: pathlib.Path, work: MigrationPaths
) -> None:
  program = Program("one")

  def interrupted() -> None:
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, work, program, {"one": interrupted})
  assert program.answers == ["one abort"]


def test_program_that_asks_nothing(
  tmp_path: pathlib.Path, work: MigrationPaths
) -> None:
  story = run(tmp_path, work, Program(), {"one": refuse})
  assert story.passed == []
  assert not story.result.failed
  assert list(work.home.iterdir()) == []


def test_program_that_cannot_be_started(
  tmp_path: pathlib.Path, work: MigrationPaths
) -> None:
  def missing(*_args: object, **_named: object) -> Result:
    raise Failed("Cannot run criu")

  host = Host(layout=FakeLxc(tmp_path).layout, run=missing)
  with pytest.raises(Failed, match="Cannot run criu"):
    held.run(host, ["criu"], work, {}, timeout_s=60)


def test_no_thread_and_no_descriptor_is_left(
  tmp_path: pathlib.Path, work: MigrationPaths
) -> None:
  before = (
    len(list(pathlib.Path("/proc/self/fd").iterdir())),
    threading.active_count(),
  )
  run(tmp_path, work, Program("one"), {"one": lambda: None})
  assert (
    len(list(pathlib.Path("/proc/self/fd").iterdir())),
    threading.active_count(),
  ) == before


def test_reader_sees_the_end_when_the_asked_process_is_gone(
  work: MigrationPaths,
) -> None:
  """The way in which criu-action.sh opens its end."""
  os.mkfifo(work.answer)
  both = os.open(work.answer, os.O_RDWR)
  own = os.open(work.answer, os.O_RDONLY | os.O_NONBLOCK)
  os.close(both)
  with contextlib.closing(os.fdopen(own, "rb")) as reader:
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    assert poller.poll(1000)
    assert reader.read() == b""
