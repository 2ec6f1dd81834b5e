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

"""A run of Ganeti's burnin: many instances through all of their lives."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess
import time
from collections.abc import Sequence

from ganeti_lab import command, plan
from ganeti_lab.node import Node
from ganeti_lab.progress import Progress

from .verdict import Row, Verdict

INSTANCES = 8
_BURNIN = "/usr/share/ganeti/default/burnin"
_RENAME = f"inst{INSTANCES + 1}.{plan.DOMAIN}"
# A step's title, and the titles that are none.
_STEP = re.compile(r"- (?P<title>\S.*)")
_NO_STEP = re.compile(r"Testing global|Skipping|Idempotent")
# No step follows, though lines that look like one do.
_BROKEN = re.compile(r"- (Non-idempotent .* failed|Error detected)")
# Burnin repeats what fails, up to three times.
_RETRIED = re.compile(r"Idempotent .* (succeeded after|failed, retry)")


@dataclasses.dataclass(frozen=True)
class Round:
  """One call of burnin."""

  name: str
  options: tuple[str, ...]


# Shared storage has failover and live migration, files have moves; the second
# round lets jobs run beside each other.
ROUNDS = (
  Round("sharedfile", ("--disk-template=sharedfile",)),
  Round("file, parallel", ("--disk-template=file", "--parallel")),
)


def argv(burn: Round) -> list[str]:
  """The command of one round."""
  return [
    _BURNIN,
    "--os=busybox",
    "--disk-size=256m,160m",
    "--disk-growth=64m,64m",
    "--minmem-size=128",
    "--maxmem-size=256",
    "--vcpu-count=2",
    # What is to be moved live has no terminals of LXC's, and a file system on
    # each disk.
    "--hypervisor-parameters=lxc:num_ttys=0",
    "--os-parameters=data=ext4",
    # It removes a disk of a running instance, which asks for hotplug.
    "--no-add-disks",
    f"--rename={_RENAME}",
    *burn.options,
    *(f"inst{i + 1}.{plan.DOMAIN}" for i in range(INSTANCES)),
  ]


@dataclasses.dataclass
class Steps:
  """What burnin prints, cut into steps with their times."""

  name: str
  rows: list[Row] = dataclasses.field(default_factory=list)
  retries: list[str] = dataclasses.field(default_factory=list)
  title: str = ""
  since: float = 0.0
  broken: bool = False

  def line(self, text: str, now: float) -> Row | None:
    """Take one line; a step that it ends."""
    if _RETRIED.search(text):
      self.retries.append(f"{self.name}: {self.title}: {text.strip()}")
    self.broken = self.broken or bool(_BROKEN.match(text))
    match = None if self.broken else _STEP.match(text)
    if match is None or _NO_STEP.match(match["title"]):
      return None
    return self._turn(match["title"], now)

  def end(self, now: float, problem: str = "") -> Row | None:
    """No more lines; PROBLEM tells how the step that was running failed."""
    if not problem:
      return self._turn("", now)
    title = self.title or "start"
    row = Row(self._test(title), "failed", now - self.since, problem)
    self.rows.append(row)
    return row

  def _turn(self, title: str, now: float) -> Row | None:
    row = None
    if self.title:
      row = Row(self._test(self.title), "passed", now - self.since)
      self.rows.append(row)
    self.title, self.since = title, now
    return row

  def _test(self, title: str) -> str:
    return f"burnin [{self.name}]: {title}"


def run(
  master: Node,
  log: pathlib.Path,
  progress: Progress,
  rounds: Sequence[Round] = ROUNDS,
) -> Verdict:
  """All rounds, up to the first that fails.

  @param log: gets all that burnin prints

  """
  rows: list[Row] = []
  retries: list[str] = []
  for burn in rounds:
    steps = _round(master, burn, log, progress)
    rows += steps.rows
    retries += steps.retries
    if any(row.result == "failed" for row in steps.rows):
      break
  return Verdict(tuple(rows), tuple(f"retried: {text}" for text in retries))


def _round(
  master: Node, burn: Round, log: pathlib.Path, progress: Progress
) -> Steps:
  steps = Steps(burn.name, since=time.monotonic())
  last = ""
  with (
    log.open("a", buffering=1, encoding="utf-8") as stream,
    subprocess.Popen(
      master.argv(argv(burn)),
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      env=command.environment(),
      text=True,
      errors="replace",
    ) as process,
  ):
    assert process.stdout is not None
    for line in process.stdout:
      stream.write(line)
      last = line.strip() or last
      row = steps.line(line, time.monotonic())
      if row is not None:
        progress.say(f"{row.result} {row.seconds:7.1f} s  {row.test}")
  problem = "" if process.returncode == 0 else last
  steps.end(time.monotonic(), problem)
  return steps
