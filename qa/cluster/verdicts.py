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

"""A plugin of pytest's: what qa/run is told of each story.

Stories that cannot be run on the operator's cluster are taken out of the run
with the reason; GANETI_LXC_QA_EVENTS names the file that gets a JSON object
for each story: {"test", "result", "seconds", "reason"}, and first, one with
"chosen", for each that is to be run.
"""

import json
import os
import pathlib
import re
from typing import Any

import pytest
import suite
from cluster import site as sites

TOP = pathlib.Path(__file__).parent
NEEDS_KERNEL = (
  "needs a kernel with all of Debian's parts on every node"
  " (options: lxc-kernel-tests)"
)


def name_of(nodeid: str) -> str:
  """A story's name: "test_nics.test_bad_mac[zz:00]"."""
  path, _, test = nodeid.partition("::")
  return f"{pathlib.PurePath(path).stem}.{test}"


def known_names(names: list[str]) -> set[str]:
  """What may stand in a file's "tests", given all stories' names."""
  found = {"default"}
  for name in names:
    plain = name.partition("[")[0]
    found |= {name, plain, plain.partition(".")[0]}
  return found


def is_wanted(name: str, wanted: dict[str, bool]) -> bool:
  """Whether a file's "tests" want a story; the closest name counts."""
  plain = name.partition("[")[0]
  for key in (name, plain, plain.partition(".")[0], "default"):
    if key in wanted:
      return wanted[key]
  return True


def reason_against(item: pytest.Item, site: sites.Site) -> str:
  """Why a story is not run on that site; "" if it is."""
  if not is_wanted(name_of(item.nodeid), dict(site.wanted)):
    return f"switched off in {site.path} (tests)"
  mark = item.get_closest_marker("lab")
  if mark:
    return str(mark.args[0])
  if item.get_closest_marker("vm") and not suite.IN_VM:
    return NEEDS_KERNEL
  return ""


class Recorder:
  """Writes the events of a run."""

  def __init__(self, path: pathlib.Path, only: str, site: sites.Site) -> None:
    self._path = path
    self._only = only
    self._site = site
    self._seconds: dict[str, float] = {}
    self._ended: set[str] = set()

  def note(self, **event: Any) -> None:
    """One line."""
    with self._path.open("a", encoding="utf-8") as stream:
      stream.write(json.dumps(event) + "\n")

  @pytest.hookimpl(tryfirst=True)
  def pytest_collection_modifyitems(
    self, config: pytest.Config, items: list[pytest.Item]
  ) -> None:
    """Takes out what is not to be run here, with the reason."""
    known = known_names([name_of(item.nodeid) for item in items])
    unknown = [n for n, _ in self._site.wanted if n not in known]
    if unknown:
      raise pytest.UsageError(
        f"{self._site.path}: tests: there is no {', '.join(unknown)}"
      )
    left, out = [], []
    for item in items:
      name = name_of(item.nodeid)
      if not re.search(self._only, name):
        out.append(item)
        continue
      reason = reason_against(item, self._site)
      if reason:
        out.append(item)
        self.note(test=name, result="not run", seconds=0, reason=reason)
        continue
      left.append(item)
      self.note(test=name, result="chosen", seconds=0, reason="")
    items[:] = left
    config.hook.pytest_deselected(items=out)

  def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
    """One phase of a story; the last one ends it."""
    name = name_of(report.nodeid)
    self._seconds[name] = self._seconds.get(name, 0) + report.duration
    failed = report.outcome == "failed"
    if failed or report.outcome == "skipped" or report.when == "teardown":
      self._end(name, report)

  def _end(self, name: str, report: pytest.TestReport) -> None:
    """What comes after the first verdict is only told if it is worse."""
    result = {"skipped": "not run"}.get(report.outcome, report.outcome)
    if name in self._ended and result != "failed":
      return
    self._ended.add(name)
    self.note(
      test=name,
      result=result,
      seconds=self._seconds[name],
      reason=_reason(report) if result != "passed" else "",
    )


def _reason(report: pytest.TestReport) -> str:
  """Why it was left out, or the line that says what went wrong."""
  if isinstance(report.longrepr, tuple):
    return str(report.longrepr[2]).removeprefix("Skipped: ")
  crash = getattr(report.longrepr, "reprcrash", None)
  text = str(getattr(crash, "message", report.longrepr))
  phase = f"{report.when}: " if report.when != "call" else ""
  return phase + (text.splitlines() or [""])[0]


def pytest_configure(config: pytest.Config) -> None:
  """Begins to record."""
  recorder = Recorder(
    pathlib.Path(os.environ["GANETI_LXC_QA_EVENTS"]),
    os.environ.get("GANETI_LXC_QA_ONLY", ""),
    sites.load(pathlib.Path(os.environ["GANETI_LXC_QA"])),
  )
  config.pluginmanager.register(recorder, "ganeti-lxc-qa-run")
