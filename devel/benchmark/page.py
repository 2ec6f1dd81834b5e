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


"""The report as one HTML page that needs nothing else."""

import base64
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .recorded import Run, maker, number, spread, times

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto;
  padding: 1.5rem; color: #1e293b; background: #fff; }
h1 { margin: 0 0 .2rem; } h2 { margin: 2.6rem 0 .3rem; font-size: 1.5rem; }
.sub, .how { color: #475569; font-size: .9rem; margin: .3rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { flex: 1 1 13rem; border: 1px solid #cbd5e1; border-radius: .5rem;
  padding: .7rem 1rem; }
.tile b { display: block; font-size: 1.7rem; color: #c2410c; line-height: 1.2; }
.tile small { color: #475569; }
.says { font-size: 1.1rem; margin: .2rem 0 .6rem; }
img { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem;
  margin: .6rem 0; }
th, td { text-align: left; padding: .25rem .6rem; vertical-align: top;
  border-bottom: 1px solid #e2e8f0; }
td.n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
code, pre { font-size: .82rem; background: #f1f5f9; border-radius: .25rem; }
code { padding: .05rem .25rem; overflow-wrap: anywhere; }
pre { padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
  """One plot with what belongs to it.

  @ivar says: what is seen in it, in one sentence
  @ivar plot: makes the picture, as SVG
  @ivar figures: names of the figures of its table
  @ivar parts: of the run, for their load averages
  @ivar commands: what was run for it

  """

  title: str
  says: str
  plot: Callable[[], str]
  figures: Sequence[str]
  parts: Sequence[str]
  commands: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tile:
  """A figure that is seen first."""

  value: str
  what: str
  basis: str


def page(run: Run, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
  """The whole page."""
  body = "\n".join(
    [
      *_head(run, tiles),
      *(text for section in sections for text in _section(run, section)),
      *_attempts(run),
      *_everything(run),
    ]
  )
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    f"<title>ganeti-lxc: performance</title><style>{_STYLE}</style></head>"
    f"<body>\n{body}\n</body></html>\n"
  )


def _e(text: object) -> str:
  return html.escape(str(text))


def _head(run: Run, tiles: Sequence[Tile]) -> Iterator[str]:
  yield "<h1>ganeti-lxc: performance</h1>"
  yield (
    f'<p class="sub">{_e(run.data["versions"]["date"])} &middot;'
    f" {_e(run.machine())}<br>{_e(run.versions())}<br>"
    f"made by <code>{_e(run.data['command'])}</code></p>"
  )
  yield '<div class="tiles">'
  for tile in tiles:
    yield (
      f'<div class="tile"><b>{_e(tile.value)}</b>{_e(tile.what)}<br>'
      f"<small>{_e(tile.basis)}</small></div>"
    )
  yield "</div>"
  yield (
    '<p class="sub">Ratios are of medians measured side by side in one run:'
    " driver, bare commands and, for start and stop, peers in turn; else one"
    " after the other. A dot is a sample, a bar the median, a thick line the"
    " middle half."
    " Other work went on on the machine where a load average says so: the"
    " times then are longer than on an idle one, while both sides of a ratio"
    " had to bear it.</p>"
  )


def _section(run: Run, section: Section) -> Iterator[str]:
  picture = base64.b64encode(section.plot().encode()).decode("ascii")
  yield f"<h2>{_e(section.title)}</h2>"
  yield f'<p class="says">{_e(section.says)}</p>'
  yield (
    f'<img alt="{_e(section.title)}" src="data:image/svg+xml;base64,{picture}">'
  )
  yield from _figures(run, section.figures)
  yield (
    f'<p class="how">{_e(run.machine())}; {_e(run.versions())};'
    f" {_e(run.load_of(*section.parts))}. What was run:</p>"
  )
  yield f"<pre>{_e(chr(10).join(section.commands))}</pre>"


def _figures(run: Run, names: Sequence[str]) -> Iterator[str]:
  yield (
    "<table><tr><th>figure</th><th>who</th><th>median</th><th>n</th>"
    "<th>middle half</th><th>least to greatest</th><th>ours is</th></tr>"
  )
  for name in names:
    yield from _rows(run, name)
  yield "</table>"


def _rows(run: Run, name: str) -> Iterator[str]:
  figure, sides = run.figure(name), run.sides(name)
  if figure is None:
    return
  first = maker(name)
  own = spread(sides[first]).median
  for side, values in sides.items():
    one = spread(values)
    cells = (
      f"{number(one.median)} {figure['unit']}",
      str(one.n),
      f"{number(one.low)} to {number(one.high)}",
      f"{number(one.least)} to {number(one.greatest)}",
      "" if side == first else times(own / one.median),
    )
    who = f"<td>{_e(name) if side == first else ''}</td><td>{_e(side)}</td>"
    numbers = "".join(f'<td class="n">{_e(cell)}</td>' for cell in cells)
    yield f"<tr>{who}{numbers}</tr>"
  notes = "; ".join(figure[key] for key in ("aim", "limits") if figure[key])
  if notes:
    yield f'<tr><td></td><td colspan="6"><small>{_e(notes)}</small></td></tr>'


def _attempts(run: Run) -> Iterator[str]:
  yield "<h2>What could not be done here</h2>"
  found = run.attempts()
  if not found:
    yield "<p>Everybody did all that was asked of them.</p>"
    return
  yield (
    "<table><tr><th>who</th><th>what</th><th>command</th>"
    "<th>its last line</th></tr>"
  )
  for one in found:
    yield (
      f"<tr><td>{_e(one['peer'])}</td><td>{_e(one['what'])}</td>"
      f"<td><code>{_e(one['command'])}</code></td>"
      f"<td><code>{_e(one['last_line'])}</code></td></tr>"
    )
  yield "</table>"


def _everything(run: Run) -> Iterator[str]:
  yield "<h2>All figures</h2>"
  yield from _figures(run, [figure["name"] for figure in run.figures])
