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


"""The command line of qa/migration-matrix."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

from cluster.cluster import Cluster, of_environment
from cluster.migration_matrix import table
from cluster.migration_matrix.cells import FAILS, GUESTS, Cell, Guest, try_guest


def parser() -> argparse.ArgumentParser:
  """All options."""
  names = [guest.name for guest in GUESTS]
  top = argparse.ArgumentParser(
    prog="qa/migration-matrix",
    description="Moves a guest of each kind live, there and back, on a lab"
    " without instances, and tells which moves and which is refused.",
  )
  top.add_argument("--lab", default="lab", help="which lab (default: lab)")
  top.add_argument(
    "--guest", action="append", choices=names, help="not all, but this one"
  )
  top.add_argument(
    "--record",
    action="store_true",
    help="write qa/results/migration-matrix.rst",
  )
  return top


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command line."""
  options = parser().parse_args(argv)
  os.environ["GANETI_LAB"] = options.lab
  cluster = of_environment()
  if cluster.names():
    print("the lab has instances; remove them first", file=sys.stderr)
    return 2
  wanted = [g for g in GUESTS if g.name in (options.guest or [g.name])]
  head = table.heading(cluster.master)
  print(head, flush=True)
  cells = [_try(cluster, guest) for guest in wanted]
  print(table.summary(cells))
  if options.record:
    columns = table.load()
    about = table.about(cluster)
    known = [dataclasses.replace(cell, about=about) for cell in cells]
    now = table.with_cells(columns.get(head, {}), known)
    table.save({**columns, head: now})
  return 1 if any(cell.verdict == FAILS for cell in cells) else 0


def _try(cluster: Cluster, guest: Guest) -> Cell:
  """One kind of guest; nothing is left of it."""
  cluster.used = 0
  try:
    cell = try_guest(cluster, guest)
  finally:
    for name in cluster.names():
      cluster.gnt("instance", "remove", "-f", "--shutdown-timeout=0", name)
  print(f"{cell.guest}: {cell.verdict}: {cell.remark}", flush=True)
  return cell


if __name__ == "__main__":
  sys.exit(main())
