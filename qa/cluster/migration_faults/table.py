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


"""The table of what came of each fault."""

import dataclasses
import json
import pathlib
import textwrap

from cluster.cluster import Cluster
from cluster.migration_faults.campaign import Verdict


def versions(cluster: Cluster) -> dict[str, str]:
  """Of what was tried."""
  node = cluster.master
  return {
    "kernel": node.run("uname", "-r").strip(),
    "CRIU": node.run("criu", "--version").split()[-1],
    "LXC": node.run("lxc-start", "--version").strip(),
    "Ganeti": node.run("gnt-cluster", "--version").split()[-1],
  }


@dataclasses.dataclass(frozen=True)
class Row:
  """What came of a fault, and where.

  @ivar about: versions of what was tried

  """

  seed: int
  verdict: Verdict
  about: dict[str, str]

  @property
  def part(self) -> tuple[str, str]:
    """Of the document: what the nodes are, and what is moved."""
    return self.verdict.nodes, self.verdict.guest


def append(path: pathlib.Path, *rows: Row) -> None:
  """Adds some to a file of lines."""
  with path.open("a") as out:
    for row in rows:
      out.write(json.dumps(dataclasses.asdict(row)) + "\n")


def load(path: pathlib.Path) -> list[Row]:
  """What L{append} has written."""
  found = []
  for line in path.read_text().splitlines():
    entry = json.loads(line)
    found.append(Row(**{**entry, "verdict": Verdict(**entry["verdict"])}))
  return found


def summary(found: list[Verdict]) -> str:
  """In one line."""
  hit = [v for v in found if v.hit]
  text = ", ".join(
    f"{sum(v.outcome == o for v in hit)} {o}"
    for o in ("moved", "stayed", "neither")
  )
  alone = sum(v.command == "none" for v in hit)
  doubled = sum(any("DOUBLED" in d for d in v.defects) for v in found)
  lost = sum(any("LOST" in d for d in v.defects) for v in found)
  bad = sum(bool(v.defects) for v in found)
  return (
    f"{len(hit)} faults struck ({len(found) - len(hit)} more found nothing to"
    f" hit): {text}; {alone} needed no command; {doubled} doubled, {lost}"
    f" lost, {bad} with any defect"
  )


def as_rst(found: list[Row]) -> str:
  """The document."""
  lines = [
    "Faults in the middle of live migrations",
    "=======================================",
    "",
    "Written by ``qa/migration-faults --record``.  Seconds are those of the",
    "machine that the lab is on, also where the nodes' clocks are slow.",
  ]
  for part in dict.fromkeys(row.part for row in found):
    lines += _part(part, [row for row in found if row.part == part])
  return "\n".join(lines) + "\n"


_NODES = {
  "namespaces": "nodes in namespaces of one kernel",
  "machines": "nodes that are virtual machines",
  "slow machines": "nodes that are virtual machines with slow clocks",
}
_HEADS = (
  "seed",
  "commit",
  "fault",
  "states",
  "outcome",
  "command",
  "s",
  "remarks",
)


def _part(part: tuple[str, str], rows: list[Row]) -> list[str]:
  nodes, guest = part
  title = f"{guest}, {_NODES[nodes]}"
  lines = ["", title, "-" * len(title), ""]
  for key in rows[-1].about:
    seen = dict.fromkeys(row.about[key] for row in rows if key in row.about)
    text = f":{key}: {', '.join(seen)}"
    lines += textwrap.wrap(text, 72, subsequent_indent="  ")
  about = summary([row.verdict for row in rows])
  lines += ["", *textwrap.wrap(about, 72), ""]
  lines += [".. list-table::", "   :header-rows: 1", "", *_row(*_HEADS)]
  for row in rows:
    if row.verdict.hit:
      lines += _verdict(row.seed, row.verdict)
  return lines


def _verdict(seed: int, verdict: Verdict) -> list[str]:
  return _row(
    str(seed),
    verdict.commit,
    verdict.fault,
    verdict.states,
    verdict.outcome,
    verdict.command,
    f"{verdict.seconds:.0f}",
    "; ".join([*(f"DEFECT {d}" for d in verdict.defects), *verdict.notes]),
  )


def _row(*cells: str) -> list[str]:
  plain = [c.replace("*", "").replace("`", "'")[:240] for c in cells]
  marks = ["   * -", *["     -"] * (len(cells) - 1)]
  lines = []
  for mark, cell in zip(marks, plain, strict=True):
    head, *rest = textwrap.wrap(cell, 72) or [""]
    lines += [f"{mark} {head}".rstrip(), *(f"       {line}" for line in rest)]
  return lines
