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


"""What was seen, kept as data and shown as a table.

A run fills one column, that of its hosts; the others stay as they were.

"""

import dataclasses
import json
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

from cluster.cluster import Cluster
from cluster.migration_faults import eyes
from cluster.migration_faults.table import versions
from cluster.migration_matrix.cells import FAILS, GUESTS, MOVES, Cell
from cluster.nodes import Node
from ganeti_lab import checkout
from ganeti_lab.vm_node import VmNode

DATA = checkout.TOP / "qa/results/migration-matrix.json"
_NOT_TRIED = "not tried"
_WIDTH = 76

# What was seen on one kind of host, by the guest's label.
Column = Mapping[str, Cell]
Columns = Mapping[str, Column]


def with_cells(column: Column, cells: Sequence[Cell]) -> Column:
  """The same with these instead of older ones."""
  return {**column, **{cell.guest: cell for cell in cells}}


def heading(node: Node) -> str:
  """What a node is, as the head of a column."""
  script = '. /etc/os-release; echo "$VERSION_ID"'
  kind = "virtual machines" if isinstance(node.seen, VmNode) else "namespaces"
  if node.site:
    kind = "hosts"
  return f"Debian {node.sh(script).strip()}, {kind}"


def about(cluster: Cluster) -> dict[str, str]:
  """The versions of what takes part."""
  text = cluster.master.run("cat", "/proc/mounts")
  pure = " /sys/fs/cgroup cgroup2 " in text
  found = versions(cluster) | {"cgroup": "v2" if pure else "v1 and v2"}
  if (slowness := eyes.clock(cluster.master)) != 1:
    found["clocks"] = f"{slowness} times slower"
  return found | {"commit": checkout.commit()}


def load(path: pathlib.Path = DATA) -> dict[str, Column]:
  """What is kept; nothing if there is nothing yet."""
  if not path.exists():
    return {}
  return {
    head: {cell["guest"]: Cell(**cell) for cell in column}
    for head, column in json.loads(path.read_text()).items()
  }


def save(columns: Columns, path: pathlib.Path = DATA) -> None:
  """Keeps it, and writes the page that shows it."""
  data = {
    head: [dataclasses.asdict(cell) for cell in _sorted(column)]
    for head, column in columns.items()
  }
  path.write_text(json.dumps(data, indent=1) + "\n")
  path.with_suffix(".rst").write_text(as_rst(columns))


def _sorted(column: Column) -> list[Cell]:
  labels = [guest.label for guest in GUESTS]
  return [column[label] for label in labels if label in column]


def summary(cells: Sequence[Cell]) -> str:
  """In one line."""
  moved = sum(cell.verdict == MOVES for cell in cells)
  failed = sum(cell.verdict == FAILS for cell in cells)
  refused = len(cells) - moved - failed
  return f"{moved} move, {refused} refused beforehand, {failed} fail"


def as_rst(columns: Columns) -> str:
  """The document."""
  lines = [
    "Which guest moves between which hosts",
    "=====================================",
    "",
    "Written by ``qa/migration-matrix --record``.  An unmodified guest of each",
    "kind is moved live, there and back, on ``sharedfile``, while a client",
    "sends it numbers and reads them back.  *Moves*: both times, and the",
    "client lost nothing and got nothing twice.  *Refused beforehand*:",
    "``gnt-instance migrate`` said why, and the guest and the client's",
    "connection went on where they were.  No cell may say *fails*.",
    "",
    ".. list-table::",
    "   :header-rows: 1",
    "   :stub-columns: 1",
    "",
    *_row(["guest", *columns]),
  ]
  for guest in GUESTS:
    found = [column.get(guest.label) for column in columns.values()]
    lines += _row(
      [guest.label, *(c.verdict if c else _NOT_TRIED for c in found)]
    )
  for head, column in columns.items():
    lines += ["", head, "-" * len(head)]
    for cell in _sorted(column):
      about = ", ".join(f"{key} {value}" for key, value in cell.about.items())
      text = f"{cell.guest}: {cell.verdict}: {cell.remark} ({about})"
      lines += ["", *_item(text)]
  return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> list[str]:
  marks = ["   * -", *["     -"] * (len(cells) - 1)]
  return [f"{mark} {c}" for mark, c in zip(marks, cells, strict=True)]


def _item(text: str) -> list[str]:
  plain = text.replace("*", "").replace("`", "'").replace("_", r"\_")
  return textwrap.wrap(
    plain,
    _WIDTH,
    initial_indent="- ",
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
  )
