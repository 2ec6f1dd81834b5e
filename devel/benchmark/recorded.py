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


"""A run that was kept as JSON, and what is said of its figures.

The report page and the text in doc/ are both made from it.

"""

import itertools
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = "ganeti-lxc"
BARE_STEPS = "lxc-checkpoint: sum of the bare steps, {} MiB held"
PEER_STALL = re.compile(r"(?!migration)([\w-]+): stall of a client, ")
_QUARTERS = 4
_TENTHS, _WHOLES = 10, 100


@dataclass(frozen=True, slots=True)
class Spread:
  """Samples in short.

  @ivar low: a quarter of the samples is below it
  @ivar high: a quarter of the samples is above it

  """

  n: int
  median: float
  low: float
  high: float
  least: float
  greatest: float

  def told(self, unit: str) -> str:
    """For people, with number and spread."""
    return (
      f"{number(self.median)} {unit} (n {self.n}, middle half"
      f" {number(self.low)} to {number(self.high)})"
    )


def spread(samples: Sequence[float]) -> Spread:
  """Number, median and spread.

  @raise ValueError: there is no sample

  """
  if not samples:
    raise ValueError("no samples")
  quarters = [samples[0]] * (_QUARTERS - 1)
  if len(samples) > 1:
    quarters = statistics.quantiles(samples, n=_QUARTERS, method="inclusive")
  return Spread(
    len(samples),
    statistics.median(samples),
    quarters[0],
    quarters[-1],
    min(samples),
    max(samples),
  )


def number(value: float) -> str:
  """As many digits as mean something."""
  if abs(value) >= _WHOLES:
    return f"{value:.0f}"
  return f"{value:.1f}" if abs(value) >= _TENTHS else f"{value:.2f}"


def times(ratio: float) -> str:
  """A ratio as text: "1.15 times", "1/46"."""
  return f"{ratio:.2f} times" if ratio > 1 / _TENTHS else f"1/{1 / ratio:.0f}"


def maker(name: str) -> str:
  """Whose samples a figure of that name begins with."""
  peer = PEER_STALL.match(name)
  return peer[1] if peer else OURS


@dataclass(frozen=True, slots=True)
class Run:
  """One run."""

  data: dict[str, Any]

  @classmethod
  def load(cls, path: Path) -> "Run":
    """What was kept.

    @raise ValueError: it is no run

    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or "figures" not in data:
      raise ValueError(f"{path} is no record of devel/bench")
    return cls(data)

  @property
  def figures(self) -> list[dict[str, Any]]:
    """All figures, in the order in which they were measured."""
    found: list[dict[str, Any]] = self.data["figures"]
    return found

  def figure(self, name: str) -> dict[str, Any] | None:
    """The figure of that name, None if it was not measured."""
    return next((f for f in self.figures if f["name"] == name), None)

  def beginning(self, start: str) -> list[dict[str, Any]]:
    """The figures whose names begin like that."""
    return [f for f in self.figures if f["name"].startswith(start)]

  def sides(self, name: str) -> dict[str, list[float]]:
    """All samples of a figure, by who made them."""
    figure = self.figure(name)
    if figure is None:
      return {}
    found = {maker(name): figure["ours"], figure["against"]: figure["other"]}
    found |= figure.get("peers", {})
    return {side: list(samples) for side, samples in found.items() if samples}

  def course(self, name: str) -> Any:
    """What happened over time, None if it was not measured."""
    return self.data.get("courses", {}).get(name)

  def attempts(self) -> list[dict[str, Any]]:
    """What peers could not do."""
    return [a for a in self.data.get("attempts", []) if not a["able"]]

  def load_of(self, *parts: str) -> str:
    """How busy the machine was when these parts were measured."""
    loads = [x for x in self.data.get("loads", []) if x["part"] in parts]
    ends = [x[key] for x in loads for key in ("before", "after")]
    if not ends:
      return "load average not recorded"
    return f"load average {min(ends):.1f} to {max(ends):.1f}"

  def machine(self) -> str:
    """The machine, in short."""
    machine = self.data["machine"]
    return (
      f"{machine['cpus']} CPUs ({machine['cpu']}),"
      f" {machine['memory_mib'] / 1024:.0f} GiB,"
      f" {machine['kind']}, Linux {self.data['versions']['kernel']}"
    )

  def versions(self) -> str:
    """What was measured."""
    skipped = ("date", "kernel", "load")
    found = self.data["versions"].items()
    return ", ".join(f"{k} {v}" for k, v in found if k not in skipped)


def median_course(courses: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """The migration whose stall is in the middle.

  @raise ValueError: there is none

  """
  if not courses:
    raise ValueError("no migration")
  ordered = sorted(courses, key=lambda course: course["stall_ms"])
  return ordered[(len(ordered) - 1) // 2]


def longest_gap(
  client: Sequence[Sequence[float]], after: float | None = None
) -> tuple[float, float]:
  """Between which two moments the client got nothing for longest.

  @param after: it ends after this moment: on a busy machine there are others
  @raise ValueError: it got less than two answers

  """
  pairs = itertools.pairwise(client)
  return max(
    ((a[0], b[0]) for a, b in pairs if after is None or b[0] > after),
    key=lambda pair: pair[1] - pair[0],
  )
