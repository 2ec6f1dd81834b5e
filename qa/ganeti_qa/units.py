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

"""Ganeti's unit tests of the hypervisor interface, with our driver there.

They run on a lab node, against the Ganeti that is installed on it.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import time

from ganeti_lab.errors import LabCommandError
from ganeti_lab.node import Node
from ganeti_lab.progress import Progress

from . import bare
from .exclusions import Exclusion
from .source import Source
from .verdict import Row, Verdict

# Whatever asks a hypervisor for something, or has a table of all of them.
PROGRAMS = (
  "ganeti.backend_unittest",
  "ganeti.bootstrap_unittest",
  "ganeti.client.gnt_cluster_unittest",
  "ganeti.client.gnt_instance_unittest",
  "ganeti.config_unittest",
  "ganeti.constants_unittest",
  "ganeti.hypervisor.hv_chroot_unittest",
  "ganeti.hypervisor.hv_fake_unittest",
  "ganeti.hypervisor.hv_lxc_unittest",
  "ganeti.hypervisor.hv_xen_unittest",
  "ganeti.hypervisor_unittest",
  "ganeti.objects_unittest",
  "ganeti.query_unittest",
  "ganeti.rpc_unittest",
  "ganeti.storage.bdev_unittest",
  "ganeti.storage.filestorage_unittest",
  "ganeti.tools.burnin_unittest",
  "cmdlib/cluster_unittest",
  "cmdlib/instance_unittest",
  "cmdlib/instance_migration_unittest",
  "cmdlib/instance_storage_unittest",
)
_LEGACY = f"{bare.TARGET}/test/py/legacy"
_PATH = ":".join(
  (
    "/usr/share/ganeti/default",
    f"{bare.TARGET}/modules",
    _LEGACY,
    f"{bare.TARGET}/test/py",
  )
)
_ENVIRONMENT = (
  "env",
  "-C",
  bare.TARGET,
  f"TOP_SRCDIR={bare.TARGET}",
  f"PYTHONPATH={_PATH}",
)
_EVENTS = f"{bare.TARGET}/events"


def stage(directory: pathlib.Path, source: Source) -> None:
  """Gather in a directory what the node needs; none of Ganeti's modules."""
  directory.mkdir(parents=True)
  shutil.copytree(source.top / "test", directory / "test", symlinks=True)
  shutil.copy2(bare.NODE_FILES / "run_unit.py", directory)
  for modules in source.modules:
    shutil.copytree(modules, directory / "modules", dirs_exist_ok=True)


def run(
  node: Node,
  excluded: dict[str, Exclusion],
  log: pathlib.Path,
  progress: Progress,
) -> Verdict:
  """All programs, one after the other.

  @param log: gets all that they print

  """
  rows = []
  with log.open("w", encoding="utf-8") as stream:
    for program in PROGRAMS:
      if program in excluded:
        rows.append(Row(program, "off", 0.0, excluded[program].reason))
        continue
      begin = time.monotonic()
      status, output = _program(node, program)
      stream.write(f"== {program}: status {status}\n{output}\n")
      noted = node.read_text(_EVENTS) or ""
      seconds = time.monotonic() - begin
      found = rows_of(program, noted, output, status, seconds)
      bad = sum(row.result == "failed" for row in found)
      progress.say(f"{program}: {len(found) - bad} passed, {bad} failed")
      rows += found
  return Verdict(tuple(rows))


def _program(node: Node, program: str) -> tuple[int, str]:
  run = f'rm -f {_EVENTS}; exec {bare.TARGET}/run_unit.py "$@"'
  argv = ["sh", "-c", run, "run", f"{_LEGACY}/{program}.py", _EVENTS]
  try:
    return 0, node.run(program, [*_ENVIRONMENT, *argv])
  except LabCommandError as err:
    return err.status, err.output


def rows_of(
  program: str, noted: str, output: str, status: int, seconds: float
) -> list[Row]:
  """What run_unit.py noted, test by test.

  A program that ended with a failure none of its tests tells of has failed
  itself; so has one that ran nothing.

  """
  rows = []
  for line in noted.splitlines():
    event = json.loads(line)
    test = f"{program} {event['test']}"
    rows.append(Row(test, event["result"], 0.0, event["message"]))
  failed = any(row.result == "failed" for row in rows)
  if not rows or (status != 0 and not failed):
    last = output.strip().splitlines()[-1:] or ["no output"]
    rows.append(Row(program, "failed", seconds, last[0]))
  return rows
