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

"""Figures: samples, medians, and what is said about them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
  """One thing measured for the driver, and for what it is compared with.

  @ivar ours: samples of the driver
  @ivar other: samples of the other side, taken in turn with ours
  @ivar against: what the other side is
  @ivar peers: samples of other managers of containers, by their names
  @ivar derived: ours has the medians of parts taken off, so that its least
      sample means nothing
  @ivar limits: what the figure is made of or limited by, as measured

  """

  name: str
  unit: str
  ours: tuple[float, ...]
  other: tuple[float, ...] = ()
  against: str = ""
  aim: str = ""
  limits: str = ""
  derived: bool = False
  peers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

  @property
  def ratio(self) -> float | None:
    """The driver's median as a multiple of the other's."""
    if not self.other:
      return None
    return statistics.median(self.ours) / statistics.median(self.other)

  def to_dict(self) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
      **asdict(self),
      "ours_median": statistics.median(self.ours),
      "other_median": statistics.median(self.other) if self.other else None,
      "ratio": self.ratio,
    }


def shares(spans: Sequence[dict[str, float]]) -> dict[str, float]:
  """The median of each part, the largest first.

  A part that a run did not have counts as 0 in it.

  """
  names = {name for one in spans for name in one}
  medians = {
    name: statistics.median(one.get(name, 0.0) for one in spans)
    for name in names
  }
  return dict(sorted(medians.items(), key=lambda item: -item[1]))


def told(parts: dict[str, float], least: float = 0.1) -> str:
  """The parts as text, those below C{least} put together."""
  large = {name: value for name, value in parts.items() if value >= least}
  text = [f"{name} {value:.1f}" for name, value in large.items()]
  return ", ".join(text)


def table(figures: Sequence[dict[str, Any]]) -> str:
  """The figures for people; each with its limits below."""
  lines = []
  for figure in figures:
    lines.append(_line(figure))
    lines += [
      f"    {key}: {figure[key]}" for key in ("aim", "limits") if figure[key]
    ]
  return "\n".join(lines)


def _line(figure: dict[str, Any]) -> str:
  unit, ours, other = figure["unit"], figure["ours"], figure["other"]
  text = f"{figure['name']}: {figure['ours_median']:.2f} {unit}"
  least = f"{min(ours):.2f}"
  if other:
    text += f"; {figure['against']}: {figure['other_median']:.2f} {unit}"
    text += f"; ratio {figure['ratio']:.3f}"
    least += f" and {min(other):.2f}, ratio {min(ours) / min(other):.3f}"
  for name, samples in figure.get("peers", {}).items():
    text += f"; {name}: {statistics.median(samples):.2f} {unit}"
  if figure["derived"]:
    return f"{text} (medians of {len(ours)})"
  return f"{text} (medians of {len(ours)}; least {least})"
