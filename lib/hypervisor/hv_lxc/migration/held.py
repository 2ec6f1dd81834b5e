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

"""A program that asks, at certain points, whether it may go on.

CRIU runs C{criu-action.sh} at each of its stages; the script asks through
two FIFOs and ends with status 1, which makes CRIU undo what it did, unless
it is told to go on.  It is told so by this process alone: when this process
dies, the kernel closes its ends and the script reads the end of the file.

"""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import packaged
from ..command import Result
from ..errors import Failed
from ..hierarchies import Hierarchies
from ..host import Host
from ..layout import MigrationPaths

Stages = Mapping[str, Callable[[], None]]

_SCRIPT = "migration/criu-action.sh"
_LINE = 4096


@dataclass(frozen=True, slots=True)
class Freezer:
  """A control file, and what to write to it."""

  file: str
  freeze: str
  thaw: str


def freezer_of(trees: Hierarchies, name: str) -> Freezer | None:
  """That of an instance's guest; None if the node has none."""
  tree = trees.controller("freezer")
  if tree is None:
    return None
  if tree.version == 1:
    return Freezer(f"{tree.payload(name)}/freezer.state", "FROZEN", "THAWED")
  return Freezer(f"{tree.payload(name)}/cgroup.freeze", "1", "0")


@dataclass(slots=True)
class Story:
  """How a held program ended.

  @ivar result: of the program
  @ivar error: what one of the stages raised, if one did
  @ivar passed: the stages that were allowed to go on, in their order

  """

  result: Result
  error: BaseException | None = None
  passed: list[str] = field(default_factory=list)

  def evidence(self) -> str:
    """As that of the result, without arguments: there are a hundred."""
    text = f"{self.result.argv[0]} {self.result.how}"
    said = self.result.last_line
    return f"{text}: {said}" if said else text


def script_path(work: MigrationPaths) -> Path:
  """Where the action script is executed."""
  return work.home / "criu-action"


def script(work: MigrationPaths) -> Path:
  """Puts the action script where it can be executed; returns its path."""
  target = script_path(work)
  text = packaged.text(_SCRIPT)
  flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
  with os.fdopen(os.open(target, flags, 0o700), "w", encoding="utf-8") as out:
    os.fchmod(out.fileno(), 0o700)
    out.write(text)
  return target


def run(
  host: Host,
  argv: Sequence[str],
  work: MigrationPaths,
  stages: Stages,
  *,
  timeout_s: float,
  freezer: Freezer | None = None,
) -> Story:
  """Runs a program to its end, with a function for each of its stages.

  A function that raises makes the program undo its work; what it raised is
  in the story.  So does an exception that hits this function itself (a
  signal), which is raised again when the program has ended.

  @param work: has the FIFOs
  @param freezer: of a group that is to stand still while a stage is held
  @param timeout_s: for the program and the functions together, in seconds
  @raise Failed: the program cannot be started

  """
  env = {
    "GANETI_LXC_ASK": str(work.ask),
    "GANETI_LXC_ANSWER": str(work.answer),
    "GANETI_LXC_JOURNAL": str(work.journal),
    "GANETI_LXC_STAGES": " ".join(stages),
  }
  if freezer is not None:
    env["GANETI_LXC_FREEZER"] = freezer.file
    env["GANETI_LXC_FREEZE"] = freezer.freeze
    env["GANETI_LXC_THAW"] = freezer.thaw
  with _ends(work) as (ask, answer), _wakeup() as (ended, end):
    runner = _Thread(host, argv, timeout_s, env, end)
    told = _Told()
    runner.start()
    interrupt: BaseException | None = None
    while not runner.ended:
      try:
        _serve(ask, answer, ended, stages, told)
        runner.join()
      except BaseException as err:  # noqa: BLE001
        # From now on every question is answered by "abort".
        interrupt = told.error = err
    runner.join()
    if interrupt is not None and not isinstance(interrupt, Exception):
      raise interrupt
    return Story(runner.outcome(), told.error, told.passed)


@dataclass(slots=True)
class _Told:
  error: BaseException | None = None
  passed: list[str] = field(default_factory=list)


def _serve(
  ask: int, answer: int, ended: int, stages: Stages, told: _Told
) -> None:
  """Answers until the program has ended."""
  poller = select.poll()
  poller.register(ask, select.POLLIN)
  poller.register(ended, select.POLLIN)
  while True:
    ready = {fd for fd, _ in poller.poll()}
    if ask in ready:
      for stage in os.read(ask, _LINE).decode("ascii", "replace").split():
        _answer(stage, answer, stages, told)
    elif ended in ready:
      return


def _answer(stage: str, answer: int, stages: Stages, told: _Told) -> None:
  verdict = "abort"
  try:
    if told.error is None:
      stages[stage]()
      verdict = "go"
      told.passed.append(stage)
  except BaseException as err:
    told.error = err
    if not isinstance(err, Exception):
      raise
  finally:
    os.write(answer, f"{stage} {verdict}\n".encode("ascii"))


class _Thread(threading.Thread):
  """Waits for the program, so that questions can be waited for too."""

  def __init__(
    self,
    host: Host,
    argv: Sequence[str],
    timeout_s: float,
    env: Mapping[str, str],
    end: int,
  ) -> None:
    super().__init__(daemon=True)
    self._host = host
    self._argv = argv
    self._timeout_s = timeout_s
    self._env = env
    self._end = end
    self._result: Result | None = None
    self._error: BaseException | None = None
    self.ended = False

  def run(self) -> None:
    try:
      self._result = self._host.run(
        self._argv, timeout_s=self._timeout_s, env=self._env
      )
    except BaseException as err:  # noqa: BLE001
      self._error = err
    finally:
      self.ended = True
      os.write(self._end, b"x")

  def outcome(self) -> Result:
    if self._result is None:
      raise self._error or Failed(f"{self._argv[0]} was not run")
    return self._result


@contextlib.contextmanager
def _ends(work: MigrationPaths) -> Iterator[tuple[int, int]]:
  """Both FIFOs, open for reading and writing: neither open can wait.

  The script opens them the same way and then gives up the end that it does
  not need, see there.

  """
  with contextlib.ExitStack() as stack:
    fds = []
    for path in (work.ask, work.answer):
      path.unlink(missing_ok=True)
      os.mkfifo(path, 0o600)
      stack.callback(path.unlink, missing_ok=True)
      fds.append(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
      stack.callback(os.close, fds[-1])
    yield fds[0], fds[1]


@contextlib.contextmanager
def _wakeup() -> Iterator[tuple[int, int]]:
  reader, writer = os.pipe()
  try:
    yield reader, writer
  finally:
    os.close(reader)
    os.close(writer)
