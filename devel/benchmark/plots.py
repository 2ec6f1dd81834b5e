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


"""The plots of the report, with matplotlib, each as an SVG picture.

Who is who has the same colour in all of them.

"""

import io
import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .recorded import OURS, Run, longest_gap, median_course, number, spread

mpl.use("svg")
mpl.rcParams.update(
  {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.hashsalt": "ganeti-lxc",
  }
)
_COLOURS = {OURS: "#c2410c", "podman": "#6d28d9", "incus": "#0f766e"}
_OTHER = "#64748b"
_PHASES = ("#fde68a", "#fdba74", "#bfdbfe", "#ddd6fe", "#bbf7d0", "#fecaca")
_WIDTH = 11.0
_NARROW = 0.06
_AROUND_S = 0.4


def _colour(side: str) -> str:
  return _COLOURS.get(side, _OTHER)


def _svg(figure: Figure) -> str:
  text = io.StringIO()
  figure.savefig(text, format="svg", metadata={"Date": None})
  return text.getvalue()


def samples(
  panels: Sequence[tuple[str, str, dict[str, list[float]]]],
) -> str:
  """Every sample as a dot, the median as a bar with its number.

  @param panels: title, unit, and the samples of each side

  """
  heights = [0.55 + 0.42 * len(sides) for _, _, sides in panels]
  figure = Figure(figsize=(_WIDTH, sum(heights) + 0.5), layout="constrained")
  axes = figure.subplots(
    len(panels), 1, squeeze=False, height_ratios=heights, sharex=True
  )
  limit = max(
    spread(values).high * 1.3 for _, _, s in panels for values in s.values()
  )
  for axis, (title, unit, sides) in zip(axes[:, 0], panels, strict=True):
    _panel(axis, title, unit, sides)
    axis.set_xlim(0, limit)
  axes[-1, 0].set_xlabel(panels[-1][1])
  return _svg(figure)


def _panel(
  axis: Any, title: str, unit: str, sides: dict[str, list[float]]
) -> None:
  names = list(sides)
  for row, name in enumerate(names):
    found, colour = spread(sides[name]), _colour(name)
    axis.barh(row, found.median, color=colour, alpha=0.30, height=0.7)
    axis.plot(
      sides[name], [row] * found.n, ".", color=colour, alpha=0.6, markersize=4
    )
    axis.plot([found.low, found.high], [row, row], color=colour, linewidth=3)
    axis.annotate(
      f" {number(found.median)} {unit}",
      (max(found.high, found.median), row),
      xytext=(6, 0),
      textcoords="offset points",
      va="center",
      weight="bold",
      color=colour,
      bbox={"facecolor": "white", "alpha": 0.75, "pad": 0.5, "lw": 0},
    )
  axis.set_yticks(
    range(len(names)), [f"{n} (n {len(sides[n])})" for n in names]
  )
  axis.invert_yaxis()
  axis.set_title(title)


def listing(run: Run, names: dict[int, str]) -> str:
  """Time of a list against the number of containers, both logarithmic."""
  figure = Figure(figsize=(_WIDTH, 4.6), layout="constrained")
  axis = figure.subplots()
  found: dict[str, list[tuple[int, float, float, float]]] = {}
  for count, name in names.items():
    for side, values in run.sides(name).items():
      one = spread(values)
      found.setdefault(side, []).append((count, one.median, one.low, one.high))
  for side, points in found.items():
    x, median, low, high = zip(*points, strict=True)
    colour = _colour(side)
    axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(x, median, "o-", color=colour, linewidth=2)
    axis.annotate(
      f"{side}, {number(median[-1])} ms",
      (x[-1], median[-1]),
      xytext=(8, 0),
      textcoords="offset points",
      va="center",
      color=colour,
      weight="bold",
      bbox={"facecolor": "white", "alpha": 0.8, "pad": 0.5, "lw": 0},
      zorder=10,
    )
  axis.set(xscale="log", yscale="log", xlim=(0.9, max(names) * 6))
  axis.set_xticks(list(names), [str(count) for count in names])
  axis.minorticks_off()
  axis.yaxis.set_major_formatter("{x:g}")
  axis.grid(visible=True, axis="y", alpha=0.3)
  axis.set_xlabel("running containers")
  axis.set_ylabel("milliseconds for one list")
  return _svg(figure)


def ballooning(courses: dict[str, Any]) -> str:
  """Limit and use over time, a panel for each side."""
  figure = Figure(
    figsize=(_WIDTH, 2.9 * len(courses) + 0.3), layout="constrained"
  )
  axes = figure.subplots(len(courses), 1, squeeze=False, sharex=True)
  for axis, (side, course) in zip(axes[:, 0], courses.items(), strict=True):
    _balloon(axis, side, course)
  axes[-1, 0].set_xlabel("seconds")
  return _svg(figure)


def _balloon(axis: Any, side: str, course: dict[str, Any]) -> None:
  at, limit, used = zip(*course["samples"], strict=True)
  top = max(step["mib"] for step in course["steps"])
  # Without any limit the kernel tells a number that is out of this world.
  shown = [min(value or 0, top * 1.3) for value in limit]
  axis.plot(at, shown, color="black", linewidth=1.6, label="limit")
  axis.fill_between(
    at, [u or 0 for u in used], color=_colour(side), alpha=0.45, label="used"
  )
  held = course["held_mib"]
  axis.axhline(held, color=_OTHER, linestyle=":", label=f"{held} MiB are held")
  for step in course["steps"]:
    _mark(axis, step, top)
  axis.set_ylim(0, top * 1.35)
  axis.set_ylabel("MiB")
  lifted = sum(value is not None and value > top * 2 for value in limit)
  title = f"{side}: {course['killed']} processes killed"
  if lifted:
    title += "; at every change there is no limit at all for a moment"
  axis.set_title(title)
  axis.legend(loc="upper right", ncols=3, fontsize=10, framealpha=0.9)


def _mark(axis: Any, step: dict[str, Any], top: float) -> None:
  """A refused step, or one that killed; the others are seen anyway."""
  word = "KILLED" if step["killed"] else "refused" if step["answer"] else ""
  if word:
    axis.annotate(
      f"{step['mib']} MiB:\n{word}",
      (step["at"], step["mib"]),
      xytext=(step["at"], top * 0.02),
      fontsize=9,
      va="bottom",
      ha="center",
      color="black",
      bbox={"facecolor": "white", "alpha": 0.8, "pad": 1, "lw": 0},
    )


def migration(courses: Sequence[dict[str, Any]]) -> str:
  """The migration in the middle: what the client got, and the phases."""
  course = median_course(courses)
  figure = Figure(figsize=(_WIDTH, 5.2), layout="constrained")
  client, phases = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.6))
  begin, end = longest_gap(course["client"], course["frozen_at"])
  first, last = _window(course, end)
  shown = [(at, n) for at, n in course["client"] if first <= at <= last]
  client.plot(*zip(*shown, strict=True), color=_colour(OURS), linewidth=2)
  client.axvspan(begin, end, color=_colour(OURS), alpha=0.15, linewidth=0)
  client.annotate(
    f"stall {course['stall_ms']:.0f} ms",
    ((begin + end) / 2, shown[-1][1]),
    ha="center",
    va="top",
    weight="bold",
    color=_colour(OURS),
    bbox={"facecolor": "white", "alpha": 0.8, "pad": 1, "lw": 0},
  )
  client.set_ylabel("lines that came back")
  client.set_title(
    f"{course['sent'] / (1 << 20):.1f} MiB in {course['rounds']} round(s),"
    f" {course['lost']} lines lost, {course['repeated']} repeated;"
    f" the whole command took {course['command_ms'] / 1e3:.1f} s"
  )
  _phases(phases, course, last - first)
  phases.set_xlim(first, last)
  phases.set_xlabel("seconds since gnt-instance migrate was given")
  return _svg(figure)


def _window(course: dict[str, Any], end: float) -> tuple[float, float]:
  """From a little before the first phase to a little after all is over."""
  times = [at for _, at in course["phases"]] or [0.0]
  return times[0] - _AROUND_S, max(times[-1], end) + _AROUND_S


def _phases(axis: Any, course: dict[str, Any], width: float) -> None:
  found = course["phases"]
  pairs = list(itertools.pairwise(found))
  for index, ((name, at), (_, until)) in enumerate(pairs):
    colour = _PHASES[index % len(_PHASES)]
    axis.broken_barh([(at, until - at)], (1, 0.8), color=colour)
    if until - at > width * _NARROW:
      text = f"{name}\n{(until - at) * 1e3:.0f} ms"
      axis.text(
        (at + until) / 2, 1.4, text, ha="center", va="center", fontsize=8
      )
  if course["frozen_at"] is not None and course["frozen_ms"]:
    length = course["frozen_ms"] / 1e3
    axis.broken_barh([(course["frozen_at"], length)], (0, 0.8), color="#93c5fd")
    text = f"frozen {length * 1e3:.0f} ms"
    axis.text(course["frozen_at"], 0.4, text, va="center", fontsize=10)
  axis.set_yticks([1.4, 0.4], ["phase", "guest"])
