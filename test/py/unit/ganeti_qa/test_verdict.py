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

"""How a run of Ganeti's own tests is weighed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ganeti_lab.errors import LabError
from ganeti_qa import results, verdict
from ganeti_qa.exclusions import Exclusion
from ganeti_qa.verdict import Event, Result, Row, Verdict

if TYPE_CHECKING:
  import pathlib

REASON = "the kernel has no DRBD"
EXCLUDED = {"drbd": Exclusion("drbd", "namespace", REASON)}
END = Event(Result.COMPLETE, names=("drbd",))


def ran(result: Result = Result.PASSED, **fields: Any) -> list[Event]:
  test = fields.pop("test", "qa_node.TestNodeInfo")
  return [Event(Result.STARTED, test), Event(result, test, **fields)]


def judged(*events: Event, whole: bool = True) -> Verdict:
  return verdict.judge(events, EXCLUDED, whole=whole)


def test_a_line_of_the_suites_notes() -> None:
  line = json.dumps({"test": "T", "result": "passed", "seconds": 1.5})
  assert Event.parse(line) == Event(Result.PASSED, "T", 1.5)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"result": "odd"}'])
def test_a_line_that_is_none(line: str) -> None:
  with pytest.raises(LabError, match="The suite noted"):
    Event.parse(line)


def test_all_passed() -> None:
  outcome = judged(*ran(), END)
  assert verdict.summary(outcome) == "1 passed, 0 failed"
  assert outcome.executed == 1


def test_a_failure_says_why() -> None:
  outcome = judged(*ran(Result.FAILED, message="Error: no"), END)
  assert verdict.summary(outcome) == "0 passed, 1 failed"
  assert "Error: no" in verdict.table(outcome)


def test_a_long_message_is_one_line() -> None:
  outcome = judged(*ran(Result.FAILED, message="Error:\n\tno " * 99), END)
  (line,) = verdict.table(outcome).splitlines()
  assert "Error: no Error:" in line
  assert line.endswith("...")


def test_a_test_that_asked_nothing_has_not_passed() -> None:
  outcome = judged(*ran(Result.EMPTY), END)
  assert verdict.summary(outcome) == "0 passed, 1 failed"


def test_a_test_that_asks_nothing_and_is_listed_is_off() -> None:
  outcome = judged(*ran(Result.EMPTY, test="drbd"), END)
  assert verdict.summary(outcome) == "0 passed, 0 failed"
  assert REASON in verdict.table(outcome)
  assert outcome.executed == 0


def test_a_test_that_is_off_needs_a_reason() -> None:
  off = Event(Result.OFF, "some tests", names=("tags",))
  assert judged(*ran(), off, END).failed == 1
  assert judged(*ran(), off, END, whole=False).failed == 0


def test_the_reason_is_found_by_the_configurations_name() -> None:
  off = Event(Result.OFF, "some tests", excluded="drbd", names=("drbd",))
  outcome = judged(*ran(), off, END)
  assert outcome.failed == 0
  assert outcome.rows[-1] == Row("some tests", "off", 0.0, REASON)


def test_an_exclusion_that_switches_nothing_off() -> None:
  outcome = judged(*ran(), Event(Result.COMPLETE))
  assert outcome.failed == 1
  assert "switched nothing off" in verdict.table(outcome)


def test_nothing_at_all_is_a_failure() -> None:
  assert judged().failed >= 1


def test_a_suite_cut_short_is_a_failure() -> None:
  outcome = judged(*ran(), Event(Result.ENDED, message="SystemExit: 1"))
  assert outcome.failed == 1
  assert "SystemExit: 1" in verdict.table(outcome)


def test_a_test_that_never_ended() -> None:
  outcome = judged(*ran(), Event(Result.STARTED, "slow"))
  assert "slow began and did not end" in verdict.table(outcome)


@pytest.fixture
def directory(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  monkeypatch.setattr(results, "DIRECTORY", tmp_path)
  monkeypatch.setattr(results, "_MINIMUM", tmp_path / "minimum.json")
  return tmp_path


def verdict_of(count: int, *complaints: str) -> Verdict:
  return Verdict(
    tuple(Row(f"t{i}", "passed") for i in range(count)), complaints
  )


RUN = results.Run("suite-namespace", {"commit": "abc"})


def test_fewer_tests_than_ever(directory: pathlib.Path) -> None:
  results.record(RUN, verdict_of(3))
  assert results.below_minimum(RUN, verdict_of(3)) is None
  complaint = results.below_minimum(RUN, verdict_of(2))
  assert complaint is not None
  assert "2 tests" in complaint


def test_the_least_number_never_falls(directory: pathlib.Path) -> None:
  results.record(RUN, verdict_of(3))
  results.record(RUN, verdict_of(2))
  assert results.below_minimum(RUN, verdict_of(2)) is not None


def test_a_failed_run_raises_no_minimum(directory: pathlib.Path) -> None:
  path = results.record(RUN, verdict_of(9, "cut short"))
  assert results.below_minimum(RUN, verdict_of(1)) is None
  assert path.read_text().endswith("9 passed, 1 failed\n")
