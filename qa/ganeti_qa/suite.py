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

"""A run of the QA suite on a lab."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping

from ganeti_lab import command
from ganeti_lab.node import Node
from ganeti_lab.progress import Progress

from . import bare, configuration
from .configuration import Site
from .exclusions import Exclusion
from .source import Source
from .verdict import Event

CHECK = f"{bare.TARGET}/instance-check.sh"
_VERIFY = f"{bare.TARGET}/verify.sh"
_EVENTS = f"{bare.TARGET}/events"
_POLL = 0.5


def stage(
  directory: pathlib.Path,
  source: Source,
  site: Site,
  plan: Mapping[str, object],
) -> None:
  """Gather in a directory what the node needs."""
  directory.mkdir(parents=True)
  for path in bare.NODE_FILES.iterdir():
    if path.is_file():
      shutil.copy2(path, directory)
  suite = directory / "suite"
  suite.mkdir()
  shutil.copytree(source.top / "qa", suite / "qa")
  # The source package has no burnin: building Ganeti makes it.
  (suite / "tools").mkdir()
  shutil.copy2(bare.NODE_FILES / "burnin.sh", suite / "tools/burnin")
  for modules in source.modules:
    shutil.copytree(modules, suite, dirs_exist_ok=True)
  write = {
    "config.json": configuration.of(site),
    "plan.json": plan,
  }
  for name, value in write.items():
    (directory / name).write_text(json.dumps(value, indent=1) + "\n")
  nodes = "\n".join(configuration.node_names(site.lab))
  (directory / "nodes").write_text(f"{nodes}\n")


def plan_of(
  excluded: Mapping[str, Exclusion], only: str | None, *, sysrq: bool
) -> dict[str, object]:
  """What run_suite.py is to do."""
  return {
    "suite": f"{bare.TARGET}/suite",
    "config": f"{bare.TARGET}/config.json",
    "events": _EVENTS,
    "exclusions": {name: e.reason for name, e in excluded.items()},
    "only": only,
    "verify": None if sysrq else _VERIFY,
  }


def run(master: Node, log: pathlib.Path, progress: Progress) -> list[Event]:
  """Run what was pushed to the master; show each test as it ends.

  @param log: gets all that the suite prints

  """
  argv = [
    "env",
    "PYTHONPATH=/usr/share/ganeti/default",
    "PYTHONUNBUFFERED=1",
    # The suite shuffles its queries by the hash of a string: the same ones
    # in each run.
    "PYTHONHASHSEED=0",
    "/usr/bin/python3",
    f"{bare.TARGET}/run_suite.py",
    f"{bare.TARGET}/plan.json",
  ]
  events = []
  with (
    log.open("wb") as stream,
    subprocess.Popen(
      master.argv(argv),
      stdin=subprocess.DEVNULL,
      stdout=stream,
      stderr=subprocess.STDOUT,
      env=command.environment(),
    ) as process,
  ):
    try:
      for event in _follow(master, process):
        events.append(event)
        if event.is_verdict:
          progress.say(event.line())
    finally:
      process.terminate()
  return events


def _follow(master: Node, process: subprocess.Popen[bytes]) -> Iterator[Event]:
  """Events as the suite writes them, until it has ended."""
  seen = 0
  while True:
    ended = process.poll() is not None
    lines = (master.read_text(_EVENTS) or "").split("\n")[:-1]
    yield from map(Event.parse, lines[seen:])
    seen = len(lines)
    if ended:
      return
    time.sleep(_POLL)
