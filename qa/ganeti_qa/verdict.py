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

"""From what happened to a table, and whether that is enough."""

from __future__ import annotations

import dataclasses
import enum
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from ganeti_lab.errors import LabError

from . import exclusions
from .exclusions import Exclusion

_NOTE_COLUMNS = 300


class Result(enum.StrEnum):
  """How a test ended, as run_suite.py says it."""

  STARTED = "started"
  PASSED = "passed"
  FAILED = "failed"
  # It asked the cluster nothing.
  EMPTY = "empty"
  OFF = "off"
  ABANDONED = "abandoned"
  # The whole suite: cut short, and at its end.
  ENDED = "ended"
  COMPLETE = "complete"


_VERDICTS = {Result.PASSED, Result.FAILED, Result.EMPTY, Result.ABANDONED}


@dataclasses.dataclass(frozen=True)
class Event:
  """One line of what run_suite.py notes.

  @ivar excluded: name of the exclusion that switched the test off
  @ivar names: what the suite's configuration was asked for

  """

  result: Result
  test: str = ""
  seconds: float = 0.0
  message: str = ""
  excluded: str | None = None
  names: tuple[str, ...] = ()

  @classmethod
  def parse(cls, line: str) -> Event:
    """Read one line.

    @raise LabError: when it is none

    """
    try:
      fields = json.loads(line)
      names = fields.pop("names", fields.pop("consulted", ()))
      result = Result(fields.pop("result"))
      return cls(result=result, names=tuple(names), **fields)
    except (ValueError, KeyError, TypeError) as err:
      raise LabError(f"The suite noted {line!r}: {err}") from err

  @property
  def is_verdict(self) -> bool:
    """Whether a test has ended."""
    return self.result in _VERDICTS

  def line(self) -> str:
    """For somebody who waits."""
    message = f"  {self.message}" if self.message else ""
    return f"{self.result:9} {self.seconds:7.1f} s  {self.test}{message}"


@dataclasses.dataclass(frozen=True)
class Row:
  """One line of the table."""

  test: str
  result: str
  seconds: float = 0.0
  note: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What a run amounts to.

  @ivar complaints: what is wrong with the run as a whole; each is a failure

  """

  rows: tuple[Row, ...]
  complaints: tuple[str, ...] = ()

  def count(self, result: str) -> int:
    """How many rows have this result."""
    return sum(row.result == result for row in self.rows)

  @property
  def passed(self) -> int:
    """Number of tests."""
    return self.count("passed")

  @property
  def failed(self) -> int:
    """Number of tests, and of complaints."""
    return self.count("failed") + len(self.complaints)

  @property
  def executed(self) -> int:
    """Number of tests that came to an end."""
    return self.passed + self.count("failed")

  def but(self, *complaints: str) -> Verdict:
    """The same with more to complain of."""
    return dataclasses.replace(self, complaints=self.complaints + complaints)


def judge(
  events: Sequence[Event],
  excluded: Mapping[str, Exclusion],
  *,
  whole: bool,
) -> Verdict:
  """Weigh a run of the suite.

  @param whole: whether all tests were to run, so that whatever did not has
    to have its reason in the file

  """
  rows = [_row(event, excluded, whole=whole) for event in events]
  complaints = [] if events else ["the suite noted nothing"]
  complaints += _unfinished(events)
  if whole and not complaints:
    complaints += [
      f"{exclusions.FILE.name} has {e.name!r}, which switched nothing off"
      for e in exclusions.idle(excluded, _used(events))
    ]
  return Verdict(tuple(row for row in rows if row), tuple(complaints))


def _row(
  event: Event, excluded: Mapping[str, Exclusion], *, whole: bool
) -> Row | None:
  base = event.test.partition("[")[0]
  exclusion = next(
    (
      excluded[name]
      for name in (event.excluded or "", event.test, base)
      if name in excluded
    ),
    None,
  )
  match event.result:
    case Result.PASSED:
      return Row(event.test, "passed", event.seconds)
    case Result.FAILED | Result.ABANDONED:
      return Row(event.test, "failed", event.seconds, event.message)
    case Result.EMPTY | Result.OFF if exclusion:
      return Row(event.test, "off", 0.0, exclusion.reason)
    case Result.EMPTY:
      return Row(event.test, "failed", 0.0, "it asked the cluster nothing")
    case Result.OFF if whole:
      return Row(
        event.test,
        "failed",
        0.0,
        f"not run, and no reason given for {' '.join(event.names)}",
      )
  return None


def _unfinished(events: Sequence[Event]) -> list[str]:
  """What tells that the suite did not come to its end."""
  found = []
  open_tests: list[str] = []
  for event in events:
    if event.result == Result.STARTED:
      open_tests.append(event.test)
    elif event.is_verdict and event.test in open_tests:
      open_tests.remove(event.test)
  found += [f"{test} began and did not end" for test in open_tests]
  if not any(event.result == Result.COMPLETE for event in events):
    why = [e.message for e in events if e.result == Result.ENDED]
    found.append(f"the suite did not come to its end: {' '.join(why)}")
  return found


def _used(events: Iterable[Event]) -> set[str]:
  """Every exclusion that something was looked up under."""
  used: set[str] = set()
  for event in events:
    used.update(event.names)
    if event.result in {Result.OFF, Result.EMPTY}:
      used |= {event.test, event.test.partition("[")[0]}
      used.add(event.excluded or "")
  return used


def table(verdict: Verdict) -> str:
  """All rows; tests that are off come last, each with its reason."""
  ran = [row for row in verdict.rows if row.result != "off"]
  off = [row for row in verdict.rows if row.result == "off"]
  width = max((len(row.test) for row in verdict.rows), default=0)
  lines = [
    f"{r.test:{width}}  {r.result}  {r.seconds:6.1f} s  {_line(r.note)}"
    for r in ran
  ]
  lines += [
    f"{test:{width}}  off  {note}"
    for test, note in dict.fromkeys((row.test, row.note) for row in off)
  ]
  lines += [f"FAILED: {_line(text)}" for text in verdict.complaints]
  return "\n".join(line.rstrip() for line in lines)


def _line(text: str) -> str:
  """A message of any form, in one line that can be read."""
  return textwrap.shorten(text, _NOTE_COLUMNS, placeholder=" ...")


def summary(verdict: Verdict) -> str:
  """The last line."""
  return f"{verdict.passed} passed, {verdict.failed} failed"
