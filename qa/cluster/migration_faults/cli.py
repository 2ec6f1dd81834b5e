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


"""The command line of qa/migration-faults."""

import argparse
import os
import pathlib
import re
import sys
from collections.abc import Sequence

from cluster.cluster import of_environment
from cluster.migration_faults import table
from cluster.migration_faults.campaign import NEITHER, Campaign, Verdict
from cluster.migration_faults.catalogue import all_faults
from cluster.migration_faults.guest import Kind
from cluster.migration_faults.injecting import Fault
from ganeti_lab import checkout

RESULTS = checkout.TOP / "qa/results/migration-faults.rst"
ROWS = RESULTS.with_suffix(".jsonl")
_CHECK_DISK_EVERY = 20


def parser() -> argparse.ArgumentParser:
  """All options."""
  top = argparse.ArgumentParser(
    prog="qa/migration-faults",
    description="Puts faults into live migrations on a lab and judges what"
    " comes of them.",
  )
  top.add_argument("--lab", default="lab", help="which lab (default: lab)")
  kind = Kind()
  top.add_argument("--os", default=kind.os, help=f"default: {kind.os}")
  top.add_argument(
    "--template", default=kind.template, help=f"default: {kind.template}"
  )
  top.add_argument("--count", type=int, default=0, help="default: all")
  top.add_argument("--seed", type=int, default=1, help="default: 1")
  top.add_argument("--skip", type=int, default=0, help="leave out the first")
  top.add_argument("--only", default="", help="those that match, as re.search")
  top.add_argument("--list", action="store_true", help="only show them")
  top.add_argument("--keep-going", action="store_true")
  top.add_argument("--log", type=pathlib.Path, help="append the results here")
  top.add_argument(
    "--record",
    type=pathlib.Path,
    help="add such a log to those kept, and write their table",
  )
  return top


def chosen(options: argparse.Namespace) -> list[Fault]:
  """What is to be tried, in order."""
  found = [f for f in all_faults(options.seed) if _fits(f, options.only)]
  found = found[options.skip :]
  return found[: options.count] if options.count else found


def _fits(fault: Fault, pattern: str) -> bool:
  return re.search(pattern, str(fault)) is not None


def show(number: int, verdict: Verdict) -> None:
  """One fault, for people."""
  print(
    f"{number:3} {verdict.fault}: {verdict.hit or 'NOT HIT'}"
    f" in {verdict.states or '-'}; {verdict.outcome};"
    f" command: {verdict.command}; {verdict.seconds:.0f} s;"
    f" {'; '.join(verdict.notes)}",
    flush=True,
  )
  print(f"      job {verdict.job}", flush=True)
  for defect in verdict.defects:
    print(f"      DEFECT {defect}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command line."""
  options = parser().parse_args(argv)
  faults = chosen(options)
  if options.list:
    print("\n".join(map(str, faults)))
    return 0
  if options.record:
    table.append(ROWS, *table.load(options.record))
    RESULTS.write_text(table.as_rst(table.load(ROWS)))
    return 0
  os.environ["GANETI_LAB"] = options.lab
  print(f"seed {options.seed}, {len(faults)} faults", flush=True)
  verdicts = run(faults, options)
  print(table.summary(verdicts))
  return 1 if any(v.defects for v in verdicts) else 0


def run(faults: list[Fault], options: argparse.Namespace) -> list[Verdict]:
  """The campaign; ends at the first defect, unless told otherwise."""
  kind = Kind(options.os, options.template)
  cluster = of_environment()
  about = table.versions(cluster)
  campaign = Campaign(cluster, options.seed, kind)
  campaign.begin()
  verdicts = []
  commit = checkout.commit()
  try:
    for number, fault in enumerate(faults, 1):
      verdict = campaign.run(fault)
      verdict.commit = commit
      if number % _CHECK_DISK_EVERY == 0 or number == len(faults):
        bad = campaign.check_disk()
        verdict.defects += [f"fsck: {bad}"] if bad else []
      verdicts.append(verdict)
      show(number, verdict)
      if options.log:
        table.append(options.log, table.Row(options.seed, verdict, about))
      if verdict.outcome == NEITHER or (
        verdict.defects and not options.keep_going
      ):
        break
  finally:
    campaign.end()
  return verdicts


if __name__ == "__main__":
  sys.exit(main())
