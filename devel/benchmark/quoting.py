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


"""The figures that texts quote, made from a recorded run.

Only what is between two marks is replaced; a test compares it with the record.

"""

import re
import textwrap
from collections.abc import Iterator, Sequence

from .recorded import PEER_STALL, Run, maker, number, spread, times

_BEGIN = ".. recorded figures begin: devel/bench --record"
_END = ".. recorded figures end"
_MARKED = re.compile(re.escape(_BEGIN) + r"\n.*?" + re.escape(_END), re.DOTALL)
_ROWS = (
  "StartInstance",
  "StartInstance without network scripts and records",
  "StopInstance(force), CleanupInstance",
  "StopInstance(force), CleanupInstance without network scripts and records",
  "GetAllInstancesInfo, 1 containers",
  "GetAllInstancesInfo, 50 containers",
  "GetAllInstancesInfo, 200 containers",
  "import ganeti.hypervisor",
  "transfer",
)
_BEGINNINGS = ("memory limit:", "migration:", "gnt-instance migrate")


def quoted(text: str, run: Run) -> str:
  """The text with the figures of a run.

  @raise ValueError: it has no marks

  """
  if not _MARKED.search(text):
    raise ValueError(f"no lines {_BEGIN!r} and {_END!r}")
  return _MARKED.sub(lambda _: f"{_BEGIN}\n\n{block(run)}\n{_END}", text)


def outside(text: str) -> str:
  """What a person wrote."""
  return _MARKED.sub("", text)


def block(run: Run) -> str:
  """Machine, figures, and what peers could not do, as reStructuredText."""
  versions = run.data["versions"]
  lines = [
    *_wrapped(
      f"Measured {versions['date']} on {run.machine()};"
      f" {run.versions()}; {run.load_of(*_parts(run))}."
    ),
    "",
    *_table(("what", "who", "median", "n", "middle half", "ratio"), _rows(run)),
    "",
    *_missing(run),
  ]
  return "\n".join(lines)


def _parts(run: Run) -> list[str]:
  return [load["part"] for load in run.data.get("loads", [])]


def _rows(run: Run) -> Iterator[Sequence[str]]:
  names = [name for name in _ROWS if run.figure(name)]
  for start in _BEGINNINGS:
    names += [figure["name"] for figure in run.beginning(start)]
  names += [f["name"] for f in run.figures if PEER_STALL.match(f["name"])]
  for name in names:
    yield from _of_figure(run, name)


def _of_figure(run: Run, name: str) -> Iterator[Sequence[str]]:
  figure = run.figure(name)
  assert figure is not None
  sides, first = run.sides(name), maker(name)
  own = spread(sides[first])
  for side, samples in sides.items():
    one = spread(samples)
    yield (
      name if side == first else "",
      side,
      f"{number(one.median)} {figure['unit']}",
      str(one.n),
      f"{number(one.low)} to {number(one.high)}",
      "" if side == first else f"ours {times(own.median / one.median)}",
    )


def _missing(run: Run) -> Iterator[str]:
  found = run.attempts()
  if not found:
    return
  yield "What could not be done, and how it was tried:"
  yield ""
  yield from _table(
    ("who", "what", "command", "last line"),
    [
      (a["peer"], a["what"], _literal(a["command"]), _literal(a["last_line"]))
      for a in found
    ],
  )
  yield ""


def _literal(text: str) -> str:
  """As a literal; it must not begin or end with a space."""
  return f"``{text.replace('`', chr(39)).strip() or '-'}``"


def _wrapped(text: str, indent: str = "") -> list[str]:
  return textwrap.wrap(
    text,
    80,
    subsequent_indent=indent,
    break_long_words=False,
    break_on_hyphens=False,
  )


def _table(
  header: Sequence[str], rows: Iterator[Sequence[str]] | list[Sequence[str]]
) -> Iterator[str]:
  yield ".. list-table::"
  yield "   :header-rows: 1"
  yield ""
  for row in (header, *rows):
    for index, cell in enumerate(row):
      mark = "*" if not index else " "
      yield from _wrapped(f"   {mark} - {cell}".rstrip(), " " * 7)
