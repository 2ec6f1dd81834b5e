#
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

"""The command line of qa/ganeti-qa."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import pathlib
import re
import signal
import sys
import time
from collections.abc import Sequence

from ganeti_lab import checkout, image, kept, lab
from ganeti_lab import cli as lab_cli
from ganeti_lab.errors import LabError
from ganeti_lab.progress import Progress
from ganeti_lab.state import State

from . import (
  bare,
  burnin,
  configuration,
  exclusions,
  results,
  source,
  suite,
  units,
  verdict,
)
from .configuration import Site
from .exclusions import Exclusion
from .verdict import Verdict

OUTPUT = checkout.TOP / "build/ganeti-qa"
_LOGS = "/var/log/ganeti"
# As few as each can do with.
_NODES = {"suite": 3, "core": 2, "burnin": 2, "unit": 1}
_VERSIONS = ("ganeti", "lxc", "criu")


@dataclasses.dataclass(frozen=True)
class Job:
  """One run: what, where, and where its output goes."""

  kind: str
  only: str | None
  record: State
  directory: pathlib.Path
  progress: Progress


def parser() -> argparse.ArgumentParser:
  """All options."""
  top = argparse.ArgumentParser(
    prog="qa/ganeti-qa",
    description="Ganeti's own tests, of its Debian source package, on a lab"
    " made for them. The last line is 'N passed, N failed'.",
  )
  what = top.add_mutually_exclusive_group()
  what.add_argument(
    "--only",
    metavar="PATTERN",
    help="judge the tests whose name the regular expression is found in;"
    " what brings the cluster into the state they need is run as well",
  )
  what.add_argument(
    "--core", action="store_true", help="the story of one instance: minutes"
  )
  what.add_argument(
    "--burnin", action="store_true", help="Ganeti's burnin, eight instances"
  )
  what.add_argument(
    "--unit",
    action="store_true",
    help="Ganeti's unit tests of the hypervisor interface",
  )
  _add_place(top)
  top.add_argument(
    "--record", action="store_true", help="write the run to qa/results"
  )
  return top


def _add_place(top: argparse.ArgumentParser) -> None:
  top.add_argument(
    "--lab",
    default="ganeti-qa",
    metavar="NAME",
    help="the lab to make; taken down first if it is there",
  )
  top.add_argument(
    "--nodes",
    type=int,
    help="default: 3; 2 for --core and --burnin, 1 for --unit",
  )
  top.add_argument(
    "--release", choices=image.RELEASES, default=image.RELEASES[0]
  )
  top.add_argument("--backend", choices=lab.BACKENDS, default=lab.BACKENDS[0])
  lab_cli.add_slow_clock(top)
  top.add_argument(
    "--keep", action="store_true", help="leave the lab up afterwards"
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Run one command line.

  @return: the exit status: 0 when nothing failed

  """
  options = parser().parse_args(argv)
  if options.only is not None:
    try:
      re.compile(options.only)
    except re.error as err:
      parser().error(f"--only {options.only!r}: {err}")
    if options.record:
      parser().error("--record: a run of some tests is no record of all")
  progress = Progress()
  # An end from outside takes the lab down too.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  try:
    outcome = _run(options, progress)
  except LabError as err:
    print(f"qa/ganeti-qa: {err}", file=sys.stderr)
    outcome = Verdict((), (str(err).splitlines()[0],))
  print(verdict.table(outcome))
  print(f"{outcome.executed} tests executed")
  print(verdict.summary(outcome))
  return 1 if outcome.failed else 0


def kind_of(options: argparse.Namespace) -> str:
  """What a run is recorded as."""
  for name in ("core", "burnin", "unit"):
    if getattr(options, name):
      return f"{name}-{options.release}"
  return f"suite-{options.backend}-{options.release}"


def _run(options: argparse.Namespace, progress: Progress) -> Verdict:
  everything = exclusions.parse(exclusions.FILE.read_text())
  begin = time.monotonic()
  try:
    job = _begin(options, progress)
    outcome = _WAYS[job.kind.partition("-")[0]](job, everything)
    facts = _facts(job, time.monotonic() - begin)
    _keep_logs(job)
  finally:
    if not options.keep:
      lab.down(options.lab, progress, purge=False)
  run = results.Run(job.kind, facts)
  if options.only is None:
    complaint = results.below_minimum(run, outcome)
    outcome = outcome.but(complaint) if complaint else outcome
  if options.record:
    progress.say(f"recorded in {results.record(run, outcome)}")
  return outcome


def _begin(options: argparse.Namespace, progress: Progress) -> Job:
  kind = kind_of(options)
  nodes = options.nodes or _NODES[kind.partition("-")[0]]
  directory = OUTPUT / kind
  kept.remove_tree(directory)
  directory.mkdir(parents=True)
  request = lab.UpRequest(
    options.lab,
    nodes,
    options.release,
    driver=True,
    backend=options.backend,
    cluster=options.burnin,
    slowness=options.slow_clock,
  )
  record = bare.up(request, progress)
  progress.say(f"all output goes to {directory}")
  return Job(kind, options.only, record, directory, progress)


def _suite(job: Job, everything: Sequence[Exclusion]) -> Verdict:
  master = lab.nodes_of(job.record)[0]
  release = job.record.release
  version = bare.source_version(master)
  fetched = source.ensure(release, version, job.progress)
  exclusions.check(
    everything, exclusions.known_tests(fetched.top) | set(units.PROGRAMS)
  )
  active = of_suite(everything, job.record.backend)
  core = job.kind.startswith("core")
  site = Site(
    job.record.plan,
    job.record.backend,
    suite.CHECK,
    frozenset(active),
    configuration.CORE if core else None,
  )
  plan = suite.plan_of(active, job.only, sysrq=not bare.lacks_sysrq(master))
  suite.stage(job.directory / "stage", fetched, site, plan)
  bare.push(master, job.directory / "stage")
  events = suite.run(master, job.directory / "suite.log", job.progress)
  return verdict.judge(events, active, whole=not core and job.only is None)


def of_suite(
  everything: Sequence[Exclusion], backend: str
) -> dict[str, Exclusion]:
  """Exclusions of the QA suite's tests, none of programs of unit tests."""
  active = exclusions.for_backend(everything, backend)
  return {n: e for n, e in active.items() if n not in units.PROGRAMS}


def _burnin(job: Job, everything: Sequence[Exclusion]) -> Verdict:
  del everything
  master = lab.nodes_of(job.record)[0]
  return burnin.run(master, job.directory / "burnin.log", job.progress)


def _units(job: Job, everything: Sequence[Exclusion]) -> Verdict:
  node = lab.nodes_of(job.record)[0]
  version = bare.source_version(node)
  fetched = source.ensure(job.record.release, version, job.progress)
  units.stage(job.directory / "stage", fetched)
  bare.push(node, job.directory / "stage")
  active = exclusions.for_backend(everything, job.record.backend)
  return units.run(node, active, job.directory / "unit.log", job.progress)


_WAYS = {"suite": _suite, "core": _suite, "burnin": _burnin, "unit": _units}


def _keep_logs(job: Job) -> None:
  """What Ganeti wrote on the nodes goes with the lab."""
  for node in lab.nodes_of(job.record):
    text = node.run(
      "read Ganeti's logs",
      ["find", _LOGS, "-name", "*.log", "-exec", "tail", "-n", "+1", "{}", "+"],
    )
    (job.directory / f"{node.name}.log").write_text(text)


def _facts(job: Job, seconds: float) -> dict[str, str]:
  show = ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *_VERSIONS]
  node = lab.nodes_of(job.record)[0]
  versions = node.run("versions", show)
  now = dt.datetime.now(dt.UTC)
  return {
    "date": f"{now:%Y-%m-%d %H:%M} UTC",
    "commit": checkout.commit(),
    "command": f"qa/ganeti-qa, {job.kind}",
    "lab": _lab(job.record),
    "versions": versions.strip(", "),
    "kernel": node.run("kernel", ["uname", "-r"]).strip(),
    "time": f"{seconds / 60:.0f} min",
  }


def _lab(record: State) -> str:
  text = (
    f"{record.node_count} nodes of Debian {record.release},"
    f" backend {record.backend}"
  )
  if record.slowness == 1:
    return text
  return f"{text}, clocks {record.slowness} times slower"
