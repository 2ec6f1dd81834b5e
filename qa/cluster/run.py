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

"""The command line of qa/run."""

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence

from cluster import site as sites
from cluster.remote import SshNode
from cluster.site import Site, SiteError
from ganeti_lab import describing
from ganeti_lab.errors import LabError

TOP = pathlib.Path(__file__).resolve().parents[2]
# What pytest ends with when stories ran, with and without failures, and when
# none was chosen.
_ORDINARY = (0, 1, 5)
_NEEDED = ("pytest", "pexpect")
_REASON_COLUMNS = 300


@dataclasses.dataclass(frozen=True)
class Row:
  """How one story ended.

  @ivar result: "passed", "failed" or "not run"

  """

  test: str
  result: str
  seconds: float
  reason: str


def parser() -> argparse.ArgumentParser:
  """All options."""
  top = argparse.ArgumentParser(
    prog="qa/run",
    description="The driver's stories on a test cluster that a file in the"
    " style of Ganeti's QA suite describes. They add and remove instances,"
    " kill daemons and change the cluster's parameters: no cluster for"
    " anything else. The last line is 'N passed, N failed, N not run'.",
  )
  top.add_argument(
    "config", help="the file, or with --describe-lab the name of a lab"
  )
  top.add_argument(
    "--only",
    default="",
    metavar="PATTERN",
    help="stories whose name the regular expression is found in",
  )
  top.add_argument(
    "--describe-lab",
    action="store_true",
    help="only print such a file for a running lab of qa/lab",
  )
  return top


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command line.

  @return: 0 if stories passed and none failed, 1 if one failed or none ran,
    2 if the cluster cannot be used as it is described

  """
  options = parser().parse_args(argv)
  try:
    re.compile(options.only)
  except re.error as err:
    parser().error(f"--only {options.only!r}: {err}")
  try:
    if options.describe_lab:
      print(json.dumps(describing.lab(options.config), indent=2))
      return 0
    site = sites.load(pathlib.Path(options.config))
    check(site)
  except (LabError, SiteError) as err:
    print(f"qa/run: {err}", file=sys.stderr)
    return 2
  rows, complaints = perform(site, options.only)
  print(table(rows))
  for complaint in complaints:
    print(f"FAILED: {complaint}")
  print(summary(rows, complaints))
  return 0 if _good(rows) and not complaints else 1


def check(site: Site) -> None:
  """Refuses a cluster that no story could be run on.

  @raise LabError: when a node does not answer
  @raise SiteError: when the file tells the cluster wrong

  """
  missing = [n for n in _NEEDED if importlib.util.find_spec(n) is None]
  if missing:
    raise SiteError(
      f"this Python lacks {' and '.join(missing)}; run: apt-get install"
      f" {' '.join(f'python3-{name}' for name in missing)}"
    )
  nodes = [SshNode("", host.name, site) for host in site.hosts]
  for node in nodes:
    node.run("does it answer", ["true"])
  master = nodes[0].run("the master", ["gnt-cluster", "getmaster"]).strip()
  if master != nodes[0].name:
    raise SiteError(
      f"{site.path}: the master is {master}, and the first of the nodes is"
      f" {nodes[0].name}: put the master first"
    )
  out = nodes[0].run(
    "the instances", ["gnt-instance", "list", "--no-headers", "-o", "name"]
  )
  if out.split():
    raise SiteError(
      f"the cluster has instances ({', '.join(out.split()[:3])}), which the"
      " first story would remove: use a cluster that has none"
    )


def perform(site: Site, only: str) -> tuple[list[Row], list[str]]:
  """Runs the stories.

  @return: how each ended, and what is wrong with the run as a whole

  """
  with tempfile.TemporaryDirectory(prefix="ganeti-lxc-qa-") as directory:
    events = pathlib.Path(directory, "events")
    events.touch()
    environment = {
      **os.environ,
      "GANETI_LXC_QA": str(pathlib.Path(site.path).resolve()),
      "GANETI_LXC_QA_EVENTS": str(events),
      "GANETI_LXC_QA_ONLY": only,
      # Plugins are loaded before pytest's own setting of it counts.
      "PYTHONPATH": f"{TOP}/qa:{TOP}/test/py",
    }
    if site.own_kernels:
      environment["GANETI_LXC_VM"] = "1"
    status = subprocess.run(
      [
        sys.executable,
        *("-m", "pytest", "-p", "cluster.verdicts", "-p", "no:cacheprovider"),
        *("-v", str(TOP / "qa/cluster")),
      ],
      cwd=TOP,
      env=environment,
      check=False,
    ).returncode
    lines = events.read_text(encoding="utf-8").splitlines()
  rows, complaints = judged(json.loads(line) for line in lines)
  if status not in _ORDINARY:
    complaints.append(f"pytest ended with status {status}, see above")
  return rows, complaints


def judged(
  events: Iterable[dict[str, object]],
) -> tuple[list[Row], list[str]]:
  """One row for each story; a story without an end is a failure."""
  rows: dict[str, Row] = {}
  complaints = []
  for event in events:
    row = Row(**event)  # type: ignore[arg-type]
    before = rows.get(row.test)
    if before is None or before.result != "failed":
      rows[row.test] = row
  complaints = [
    f"{row.test} did not come to its end"
    for row in rows.values()
    if row.result == "chosen"
  ]
  return [r for r in rows.values() if r.result != "chosen"], complaints


def table(rows: Sequence[Row]) -> str:
  """All rows; what was not run comes last, each with its reason."""
  width = max((len(row.test) for row in rows), default=0)
  lines = []
  for row in sorted(rows, key=lambda r: r.result == "not run"):
    reason = textwrap.shorten(row.reason, _REASON_COLUMNS, placeholder=" ...")
    seconds = "" if row.result == "not run" else f"{row.seconds:6.1f} s"
    line = f"{row.test:{width}}  {row.result:7}  {seconds:8}  {reason}"
    lines.append(line.rstrip())
  return "\n".join(lines)


def summary(rows: Sequence[Row], complaints: Sequence[str]) -> str:
  """The last line."""
  count = {
    result: sum(row.result == result for row in rows)
    for result in ("passed", "failed", "not run")
  }
  count["failed"] += len(complaints)
  return ", ".join(f"{number} {result}" for result, number in count.items())


def _good(rows: Sequence[Row]) -> bool:
  results = {row.result for row in rows}
  return "passed" in results and "failed" not in results
