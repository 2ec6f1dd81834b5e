#!/usr/bin/env python3
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

"""Runs Ganeti's QA suite on a lab node, and notes how each test ended.

The suite itself stops at its first failure, and calls a test that found
nothing to do a success.  Here the next test follows a failed one, unless it
needs what that one should have made, and a test that asked the cluster
nothing is told apart from one that passed.

Usage: run_suite.py PLAN, where PLAN is a file with a JSON object:

  suite       the directory that holds "qa"
  config      the suite's configuration
  events      where to write; one JSON object a line
  exclusions  test -> reason
  only        regular expression, or null: which tests to judge
  verify      stands in for "gnt-cluster verify", or null
"""

import importlib.machinery
import importlib.util
import json
import pathlib
import re
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

# A function of the suite, of which nothing is known.
Test = Callable[..., Any]

# Without what these make nothing after them can work.
_FOUNDATIONS = {"qa_cluster.TestClusterInit", "qa_node.TestNodeAddAll"}
# They bring the cluster into the state that the others are told to find.
_STAGE = re.compile(
  r"qa_cluster\.Test(ClusterInit|ClusterDestroy)"
  r"|qa_node\.TestNode(AddAll|RemoveAll)"
  r"|qa_daemon\.Test(Pause|Resume)Watcher"
  r"|qa_instance\.TestInstance(Add[A-Z]\w*|Startup|Shutdown|Remove)"
)
# Their callers go on with what they return.
_MAKERS = re.compile(
  r"qa_instance\.TestInstance(Add[A-Z]\w*|Export)"
  r"|qa_rapi\.TestRapiInstance(Add|MultiAlloc)"
)
_REMOVE_ALL = (
  "gnt-instance list --no-headers -o name |"
  " xargs -r -n 1 gnt-instance remove -f --ignore-failures"
)
# What the suite calls a test that has no description.
_ADDRESS = re.compile(r"<function (\w+) at 0x[0-9a-f]+>")
_VERIFY = re.compile(r"gnt-cluster verify(?=$|\s)")


class AbandonedError(Exception):
  """What follows needs what a failed test should have made."""


class Judge:
  """Stands between the suite and its tests.

  @ivar requests: how often the cluster was asked for anything
  @ivar failures: how many tests and stories have failed
  @ivar selected: how many tests were to be judged
  @ivar nodes: returns the nodes that the suite knows

  """

  def __init__(self, plan: dict[str, Any]) -> None:
    self.exclusions = plan["exclusions"]
    self.only = re.compile(plan["only"]) if plan["only"] else None
    self.events = pathlib.Path(plan["events"])
    self.requests = 0
    self.failures = 0
    self.selected = 0
    self.consulted: set[str] = set()
    self.nodes: Callable[[], list[Any]] = list

  def note(self, **event: Any) -> None:
    """Write one event, for whoever reads along."""
    self.failures += event["result"] in {"failed", "abandoned"}
    with self.events.open("a", encoding="utf-8") as stream:
      stream.write(f"{json.dumps(event)}\n")

  def run_test(self, fn: Test, *args: Any, **kwargs: Any) -> Any:
    """In place of the suite's RunTest."""
    name = name_of(fn)
    full = name + subject_of(args)
    staged = _STAGE.fullmatch(name)
    selected = not self.only or self.only.search(full)
    if not selected and not staged:
      return None
    self.selected += bool(selected)
    excluded = self._exclusion(name, full)
    if excluded:
      self.note(test=full, result="off", excluded=excluded)
      return None
    return self._judge(name, full, lambda: fn(*args, **kwargs))

  def _exclusion(self, name: str, full: str) -> str | None:
    return next((n for n in (full, name) if n in self.exclusions), None)

  def _judge(self, name: str, full: str, call: Callable[[], Any]) -> Any:
    print(f"\n<<<< {full}", flush=True)
    begin, before = time.monotonic(), self.requests
    in_use = [(node, node.use_count) for node in self.nodes()]
    self.note(test=full, result="started")
    value, message = None, ""
    try:
      value = call()
      result = "passed" if self.requests > before else "empty"
    except Exception as err:  # noqa: BLE001
      traceback.print_exc()
      result, message = "failed", f"{type(err).__name__}: {err}"
    give_back(in_use)
    seconds = round(time.monotonic() - begin, 1)
    print(f">>>> {full}: {result} {message} ({seconds} s)", flush=True)
    self.note(test=full, result=result, seconds=seconds, message=message)
    if result == "failed" and (name in _FOUNDATIONS or _MAKERS.match(name)):
      raise AbandonedError(full)
    return value

  def run_block(self, fn: Test, *args: Any, **kwargs: Any) -> Any:
    """In place of RunTestBlock: the next block follows a failed one."""
    print(f"\n==== {fn.__name__}", flush=True)
    try:
      return fn(*args, **kwargs)
    except AbandonedError as err:
      self.note(test=fn.__name__, result="abandoned", message=str(err))
    except Exception as err:  # noqa: BLE001
      traceback.print_exc()
      message = f"{type(err).__name__}: {err}"
      self.note(test=fn.__name__, result="failed", seconds=0, message=message)
    return None

  def story(self, function: Test, qa_utils: Any) -> Test:
    """FUNCTION, of which a failed run leaves no instance to the next."""

    def told(*args: Any, **kwargs: Any) -> None:
      before = self.failures
      self.run_block(function, *args, **kwargs)
      if self.failures > before:
        qa_utils.AssertCommand(_REMOVE_ALL, fail=None)

    told.__name__ = function.__name__
    return told

  def report_skip(self, desc: str, testnames: Any) -> None:
    """In place of ReportTestSkip."""
    names = sorted(flatten(testnames))
    desc = _ADDRESS.sub(r"[\1]", desc)
    print(f"**** not run: {desc} {names}", flush=True)
    excluded = next((n for n in names if n in self.exclusions), None)
    self.note(test=desc, result="off", excluded=excluded, names=names)

  def count(self, function: Test) -> Test:
    """FUNCTION, counted as a request to the cluster."""

    def counted(*args: Any, **kwargs: Any) -> Any:
      self.requests += 1
      return function(*args, **kwargs)

    return counted

  def consult(self, function: Test) -> Test:
    """TestEnabled, which remembers what it was asked for."""

    def asked(tests: Any, *args: Any, **kwargs: Any) -> Any:
      self.consulted.update(flatten(tests))
      return function(tests, *args, **kwargs)

    return asked


def give_back(in_use: list[tuple[Any, int]]) -> None:
  """Release nodes that a test took and kept.

  Some of the suite's do (TestInstanceConvertDiskTemplate).  It hands out the
  node with the fewest uses, and where it asks for one more would soon get
  the one that it has.

  """
  for node, count in in_use:
    while node.use_count > count:
      node.Release()


def name_of(fn: Test) -> str:
  """A test as the exclusions name it: "qa_node.TestNodeInfo"."""
  return f"{fn.__module__.rpartition('.')[2]}.{fn.__name__}"


def subject_of(args: tuple[Any, ...]) -> str:
  """The disk template of the instance that a test is about, if any."""
  template = getattr(args[0], "disk_template", None) if args else None
  return f"[{template}]" if template else ""


def flatten(tests: Any) -> set[str]:
  """The names in what the suite hands to TestEnabled."""
  if isinstance(tests, str):
    return {tests}
  if isinstance(tests, list | tuple):
    return {name for test in tests for name in flatten(test)}
  return flatten(tests.tests) if hasattr(tests, "tests") else set()


def load_suite(top: pathlib.Path) -> Any:
  """The suite's main program as a module."""
  sys.path[:0] = [str(top), str(top / "qa")]
  loader = importlib.machinery.SourceFileLoader(
    "ganeti_qa_main", str(top / "qa/ganeti-qa.py")
  )
  spec = importlib.util.spec_from_loader(loader.name, loader)
  assert spec is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[loader.name] = module
  loader.exec_module(module)
  return module


def instrument(main: Any, judge: Judge, verify: str | None) -> None:
  """Put the judge between the suite and its tests.

  The suite imports its own modules under two names each, so there are two
  of qa_utils.

  """
  main.RunTest = judge.run_test
  main.RunTestBlock = judge.run_block
  main.ReportTestSkip = judge.report_skip
  # One disk template after the other, each for itself.
  for name in ("RunInstanceTestsFull", "RunInstanceTestsReduced"):
    setattr(main, name, judge.story(getattr(main, name), main.qa_utils))
  main.qa_config.TestEnabled = judge.consult(main.qa_config.TestEnabled)
  for name in ("qa_utils", "qa.qa_utils"):
    module: Any = sys.modules[name]
    module.StartLocalCommand = judge.count(module.StartLocalCommand)
    if verify:
      module.GetSSHCommand = substitute(module.GetSSHCommand, verify)
  judge.nodes = lambda: main.qa_config.get("nodes")
  client: Any = main.ganeti.rapi.client.GanetiRapiClient
  client._SendRequest = judge.count(client._SendRequest)


def substitute(function: Test, verify: str) -> Test:
  """GetSSHCommand with another program for "gnt-cluster verify"."""

  def replaced(node: str, cmd: str | None, **kwargs: Any) -> Any:
    return function(node, _VERIFY.sub(verify, cmd) if cmd else cmd, **kwargs)

  return replaced


def main() -> int:
  """Run the suite; status 0 when it came to its end, whatever failed."""
  plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
  suite = load_suite(pathlib.Path(plan["suite"]))
  judge = Judge(plan)
  instrument(suite, judge, plan["verify"])
  sys.argv = ["ganeti-qa", "--yes-do-it", plan["config"]]
  try:
    suite.main()
  except BaseException as err:  # noqa: BLE001
    traceback.print_exc()
    judge.note(result="ended", message=f"{type(err).__name__}: {err}")
    return 1
  if not judge.selected:
    judge.note(result="ended", message=f"no test matches {plan['only']!r}")
    return 1
  judge.note(result="complete", consulted=sorted(judge.consulted))
  return 0


if __name__ == "__main__":
  sys.exit(main())
