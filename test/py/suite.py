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

"""What every test of the project shares: marks, time limits, counts.

A plugin that the conftest.py of each tree of tests registers. There is no
conftest.py in the top directory, since autoconf's "configure" removes every
"conftest.*" from the directory it runs in.
"""

import collections
import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Seconds, for each phase of a test, by where its file lies; the
# first that fits. Unit tests are limited in processor time as well, which a
# busy machine does not use up. They end what hangs, and must not end what is
# slow: machines were seen that took three times as long as others.
TIME_LIMITS_S = (
  ("test/py/unit/static", 180),
  ("test/py/unit", 60),
  ("test/py", 180),
  ("qa", 1200),
)
UNIT_CPU_LIMIT_S = 6
IN_VM = os.environ.get("GANETI_LXC_VM") == "1"
# How much longer everything may take on an emulated processor.
SLOWNESS = 10 if IN_VM else 1

# Seconds since the epoch after which no test begins; 0 for no such limit.
NOT_AFTER = float(os.environ.get("GANETI_LXC_NOT_AFTER") or 0)

NEED_VM: list[pytest.Item] = []
NOT_BEGUN: list[pytest.Item] = []


def register(config: pytest.Config) -> None:
  """Makes this module a plugin; a second time does nothing."""
  this = sys.modules[__name__]
  if not config.pluginmanager.is_registered(this):
    config.pluginmanager.register(this, "ganeti-lxc")


def pytest_collection_modifyitems(
  config: pytest.Config, items: list[pytest.Item]
) -> None:
  """Leaves out what needs another kernel, unless this is a VM that has it.

  Where time is short what takes long comes last, so that little is not begun.

  """
  if NOT_AFTER:
    items.sort(key=_own_limit)
  if IN_VM:
    return
  NEED_VM[:] = [i for i in items if i.get_closest_marker("vm")]
  items[:] = [i for i in items if not i.get_closest_marker("vm")]
  config.hook.pytest_deselected(items=NEED_VM)


def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
  """Leaves out what there is no time for; that is told in the end."""
  if not NOT_AFTER or time.time() <= NOT_AFTER:
    return None
  NOT_BEGUN.append(item)
  return True


def _own_limit(item: pytest.Item) -> float:
  marker = item.get_closest_marker("timeout")
  return float(marker.args[0]) if marker else 0


def time_limits(item: pytest.Item) -> tuple[float, float]:
  """Wall clock and processor seconds a test may take; 0 is no limit."""
  own = _own_limit(item)
  if own:
    return own * SLOWNESS, 0
  where = item.path.relative_to(ROOT).as_posix()
  wall = next(s for top, s in TIME_LIMITS_S if where.startswith(f"{top}/"))
  is_unit = wall == dict(TIME_LIMITS_S)["test/py/unit"]
  return wall * SLOWNESS, UNIT_CPU_LIMIT_S if is_unit else 0


@contextlib.contextmanager
def limited(item: pytest.Item) -> Iterator[None]:
  """Fails the test from inside when its time is over.

  pytest's Failed derives from BaseException, so that no "except Exception"
  of the code under test swallows it.
  """
  wall, cpu = time_limits(item)

  def over(signum: int, _frame: Any) -> None:
    clock, limit = ("", wall) if signum == signal.SIGALRM else ("CPU ", cpu)
    pytest.fail(f"took more than {limit:g} {clock}seconds")

  timers = (
    (signal.SIGALRM, signal.ITIMER_REAL, wall),
    (signal.SIGPROF, signal.ITIMER_PROF, cpu),
  )
  for signum, timer, seconds in timers:
    signal.signal(signum, over)
    signal.setitimer(timer, seconds)
  try:
    yield
  finally:
    for _, timer, _ in timers:
      signal.setitimer(timer, 0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
  """Limits the time of a test's fixtures."""
  with limited(item):
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
  """Limits the time of a test."""
  with limited(item):
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
  """Limits the time of a test's clean-up."""
  with limited(item):
    yield


# pytest.TerminalReporter has no public name in the pytest of Debian 12.
def pytest_terminal_summary(terminalreporter: Any) -> None:
  """Prints the counts that devel/check adds up."""
  count = collections.Counter(
    {kind: len(found) for kind, found in terminalreporter.stats.items()}
  )
  passed = count["passed"]
  failed = count["failed"] + count["error"]
  skipped = count["skipped"] + count["xfailed"]
  for item in NOT_BEGUN:
    terminalreporter.write_line(f"not begun, no time: {item.nodeid}")
  counts = (passed, failed, skipped, len(NEED_VM), len(NOT_BEGUN))
  terminalreporter.write_line(
    f"ganeti-lxc-counts: {' '.join(map(str, counts))}"
  )
