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

"""The program that runs the suite on a node."""

from __future__ import annotations

import json
import types
from typing import TYPE_CHECKING, Any

import pytest
from ganeti_qa.node import run_suite

if TYPE_CHECKING:
  import pathlib
  from collections.abc import Callable


class Suite:
  """A judge, tests for it, and what it noted."""

  def __init__(self, directory: pathlib.Path) -> None:
    self.path = directory / "events"
    self.judge = run_suite.Judge(self.plan())

  def plan(self, **changes: Any) -> dict[str, Any]:
    plain = {"events": str(self.path), "exclusions": {}, "only": None}
    return {**plain, **changes}

  def test(
    self, name: str, act: Callable[[], Any] = lambda: None
  ) -> Callable[..., Any]:
    """A test of the suite that asks the cluster something, then acts."""

    def function(*_: Any) -> Any:
      self.judge.requests += 1
      return act()

    function.__module__, _, function.__name__ = name.rpartition(".")
    return function

  @property
  def noted(self) -> list[tuple[str, str]]:
    events = map(json.loads, self.path.read_text().splitlines())
    return [
      (e["test"], e["result"]) for e in events if e["result"] != "started"
    ]


@pytest.fixture
def suite(tmp_path: pathlib.Path) -> Suite:
  return Suite(tmp_path)


def fail() -> None:
  raise RuntimeError("no")


def test_the_next_test_follows_a_failed_one(suite: Suite) -> None:
  suite.judge.run_test(suite.test("qa.qa_node.TestA", fail))
  suite.judge.run_test(suite.test("qa.qa_node.TestB"))
  assert suite.noted == [
    ("qa_node.TestA", "failed"),
    ("qa_node.TestB", "passed"),
  ]


def test_a_value_reaches_the_suite(suite: Suite) -> None:
  made = suite.test("qa.qa_instance.TestInstanceAddFile", lambda: "inst1")
  assert suite.judge.run_test(made) == "inst1"


class Node:
  """As the suite counts its uses of a node."""

  def __init__(self, use_count: int) -> None:
    self.use_count = use_count

  def use(self) -> None:
    self.use_count += 1

  def Release(self) -> None:  # noqa: N802
    self.use_count -= 1


@pytest.mark.parametrize("act", [lambda: None, fail])
def test_another_primary_node_is_not_the_one_in_use(
  suite: Suite, act: Callable[[], None]
) -> None:
  """TestInstanceModifyPrimaryAndBack: '--new-primary=node1.lab ... didn't'."""
  first, second = Node(1), Node(0)
  suite.judge.nodes = lambda: [first, second]

  def keep() -> None:
    first.use()
    second.use()
    act()

  suite.judge.run_test(suite.test("qa.qa_instance.TestConvert", keep))
  assert [first.use_count, second.use_count] == [1, 0]


def test_what_makes_nothing_ends_its_story(suite: Suite) -> None:
  story = suite.test(
    "qa.RunAll",
    lambda: suite.judge.run_test(
      suite.test("qa.qa_instance.TestInstanceAddFile", fail)
    ),
  )
  suite.judge.run_block(story)
  assert suite.noted == [
    ("qa_instance.TestInstanceAddFile", "failed"),
    ("RunAll", "abandoned"),
  ]


def test_a_story_that_fails_outside_its_tests(suite: Suite) -> None:
  suite.judge.run_block(suite.test("qa.RunAll", fail))
  assert suite.noted == [("RunAll", "failed")]


def test_no_cluster_ends_the_run(suite: Suite) -> None:
  with pytest.raises(run_suite.AbandonedError):
    suite.judge.run_test(suite.test("qa.qa_cluster.TestClusterInit", fail))


def test_a_test_that_asks_nothing(suite: Suite) -> None:
  def empty() -> None:
    pass

  empty.__module__ = "qa.qa_node"
  suite.judge.run_test(empty)
  assert suite.noted == [("qa_node.empty", "empty")]


def test_the_template_tells_tests_apart(suite: Suite) -> None:
  instance = types.SimpleNamespace(disk_template="file")
  suite.judge.run_test(suite.test("qa.qa_instance.TestX"), instance)
  assert suite.noted == [("qa_instance.TestX[file]", "passed")]


@pytest.mark.parametrize(
  "name", ["qa_instance.TestX", "qa_instance.TestX[file]"]
)
def test_excluded(suite: Suite, name: str) -> None:
  suite.judge.exclusions = {name: "because"}
  instance = types.SimpleNamespace(disk_template="file")
  suite.judge.run_test(suite.test("qa.qa_instance.TestX", fail), instance)
  assert suite.noted == [("qa_instance.TestX[file]", "off")]


def test_what_the_suite_skips_has_a_lasting_name(suite: Suite) -> None:
  suite.judge.report_skip(repr(fail), ["a"])
  assert suite.noted == [("[fail]", "off")]


def test_only_some_and_what_they_stand_on(suite: Suite) -> None:
  suite.judge = run_suite.Judge(suite.plan(only="Reboot"))
  for name in ("TestInstanceReboot", "TestInstanceInfo", "TestInstanceStartup"):
    suite.judge.run_test(suite.test(f"qa.qa_instance.{name}"))
  assert [test for test, _ in suite.noted] == [
    "qa_instance.TestInstanceReboot",
    "qa_instance.TestInstanceStartup",
  ]
  assert suite.judge.selected == 1


@pytest.mark.parametrize(
  ("command", "run"),
  [
    ("gnt-cluster verify", "/v"),
    ("gnt-cluster verify --error-codes", "/v --error-codes"),
    ("gnt-cluster verify-disks", "gnt-cluster verify-disks"),
    (None, None),
  ],
)
def test_what_stands_in_for_verify(
  command: str | None, run: str | None
) -> None:
  replaced = run_suite.substitute(lambda _, cmd: cmd, "/v")
  assert replaced("node1", command) == run


def test_names_in_conditions() -> None:
  either = types.SimpleNamespace(tests=["b", ("c",)])
  assert run_suite.flatten(["a", either, len]) == {"a", "b", "c"}
