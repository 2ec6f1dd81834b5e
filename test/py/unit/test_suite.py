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

"""What all tests have in common."""

import dataclasses
import time
from typing import Any

import pytest
import suite


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[pytest.Item]:
  """Those that a run had no time for; this run's own list is kept."""
  left: list[pytest.Item] = []
  monkeypatch.setattr(suite, "NOT_BEGUN", left)
  return left


@pytest.mark.parametrize("limit", [0, 1e12])
def test_begun_while_there_is_time(
  left: list[pytest.Item],
  monkeypatch: pytest.MonkeyPatch,
  request: pytest.FixtureRequest,
  limit: float,
) -> None:
  monkeypatch.setattr(suite, "NOT_AFTER", limit)
  assert suite.pytest_runtest_protocol(request.node) is None
  assert left == []


def test_not_begun_when_the_time_is_over(
  left: list[pytest.Item],
  monkeypatch: pytest.MonkeyPatch,
  request: pytest.FixtureRequest,
) -> None:
  monkeypatch.setattr(suite, "NOT_AFTER", time.time() - 1)
  assert suite.pytest_runtest_protocol(request.node) is True
  assert left == [request.node]


@dataclasses.dataclass
class FakeItem:
  """A test that may take so long; None as long as others of its kind."""

  limit_s: float | None

  def get_closest_marker(self, name: str) -> pytest.Mark | None:
    assert name == "timeout"
    if self.limit_s is None:
      return None
    return pytest.mark.timeout(self.limit_s).mark


@pytest.mark.parametrize(
  ("limit", "order"),
  [(0, [900, None, 1800, None, 600]), (1e12, [None, None, 600, 900, 1800])],
)
def test_what_takes_long_comes_last_where_time_is_short(
  monkeypatch: pytest.MonkeyPatch,
  request: pytest.FixtureRequest,
  limit: float,
  order: list[float | None],
) -> None:
  monkeypatch.setattr(suite, "NOT_AFTER", limit)
  monkeypatch.setattr(suite, "IN_VM", True)
  items: list[Any] = [FakeItem(s) for s in (900, None, 1800, None, 600)]
  suite.pytest_collection_modifyitems(request.config, items)
  assert [item.limit_s for item in items] == order
