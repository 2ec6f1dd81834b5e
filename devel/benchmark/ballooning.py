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


"""A memory limit that is changed while the guest is at work.

The guest holds some memory and writes a file again and again, whose pages the
kernel could give up at any time.  Its limit is made larger, smaller, and then
smaller than what it holds, which must be refused and kill nothing.

"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganeti import errors
from ganeti.hypervisor import hv_lxc

from . import instance
from .child import in_child, timed
from .course import Watch, holding, memory_group, oom_kills, wait_for
from .figures import Figure
from .findings import Findings
from .peers import Peer, PeerError, trying

START_MIB = 128
HELD_MIB = 64
_CYCLES = 5
_PAUSE_S = 1.5
_BUSY = (
  "while :; do dd if=/dev/zero of=/busy bs=1048576 count=90; sleep 0.2; done"
)
# What happens to the limit, in MiB.
_STEPS = (
  ("larger", 256),
  ("smaller", 128),
  ("below what is held", 40),
  ("back", START_MIB),
)
# A peer that kills its guest has no further steps.
_FATAL = 2


@dataclass(frozen=True, slots=True)
class _Side:
  name: str
  inside: Callable[[str], None]
  pid: Callable[[], int]
  limit: Callable[[int], None]


def _ours() -> _Side:
  name = instance.NAME

  def inside(script: str) -> None:
    quiet = f"exec >/dev/null 2>&1 </dev/null; setsid sh -c '{script}' &"
    argv = ["lxc-attach", "-P", "/var/lib/ganeti/lxc", "-n", name]
    subprocess.run([*argv, "--", "/bin/sh", "-c", quiet], check=True)

  def pid() -> int:
    info = hv_lxc.LXCHypervisor().GetInstanceInfo(name)
    return int(info[1])

  def limit(mib: int) -> None:
    found, _ = instance.as_noded_gets_it()

    def change() -> dict[str, Any]:
      try:
        hv_lxc.LXCHypervisor().BalloonInstanceMemory(found, mib)
      except errors.HypervisorError as err:
        return {"refused": str(err)}
      return {}

    refused = in_child(change).get("refused")
    if refused:
      raise PeerError("BalloonInstanceMemory", refused)

  return _Side("ganeti-lxc", inside, pid, limit)


def measure(
  peers: list[Peer],
  findings: Findings,
  progress: Callable[[str], None],
) -> None:
  """The course of it, ours first; and how long each step took."""
  courses = {}
  with instance.added():
    found, devices = instance.as_noded_gets_it()
    hv_lxc.LXCHypervisor().StartInstance(found, devices, False)  # noqa: FBT003
    progress("ballooning")
    courses["ganeti-lxc"] = _course(_ours())

  def one(peer: Peer) -> None:
    progress(f"ballooning of {peer.name}")
    peer.run(START_MIB)
    try:
      side = _Side(peer.name, peer.inside, peer.pid, peer.limit)
      courses[peer.name] = _course(side)
    finally:
      peer.end()

  trying(peers, findings, "change the memory limit of a running guest", one)
  findings.courses["ballooning"] = courses
  findings.figures += _figures(courses)


def _course(side: _Side) -> dict[str, Any]:
  side.limit(START_MIB)
  group = memory_group(side.pid())
  side.inside(holding(HELD_MIB))
  wait_for(lambda: _held(side) >= HELD_MIB * 0.9, "the guest to hold memory")
  side.inside(_BUSY)
  before, steps = oom_kills(group), []
  with Watch(group) as watch:
    time.sleep(_PAUSE_S)
    for cycle in range(_CYCLES):
      for name, mib in _STEPS:
        killed = oom_kills(group)
        steps.append(_step(side, watch, cycle, name, mib))
        time.sleep(_PAUSE_S)
        steps[-1]["killed"] = oom_kills(group) - killed
        steps[-1]["limit"] = watch.samples[-1][1]
      if _held(side) < HELD_MIB * 0.5:
        break
  return {
    "samples": watch.samples,
    "steps": steps,
    "killed": oom_kills(group) - before,
    "held_mib": HELD_MIB,
  }


def _step(
  side: _Side, watch: Watch, cycle: int, name: str, mib: int
) -> dict[str, Any]:
  answer, begun = "", watch.now

  def change() -> None:
    nonlocal answer
    try:
      side.limit(mib)
    except PeerError as err:
      answer = err.last_line

  took = timed(change)["ms"]
  return {
    "at": begun, "cycle": cycle, "name": name, "mib": mib,
    "ms": took, "answer": answer,
  }  # fmt: skip


def _held(side: _Side) -> float:
  """Memory that is no page cache, in MiB, by the guest's largest process."""
  group, largest = memory_group(side.pid()), 0.0
  for line in (group / "cgroup.procs").read_text("ascii").split():
    largest = max(largest, _resident(int(line)))
  return largest


def _resident(pid: int) -> float:
  try:
    text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
  except OSError:
    return 0.0
  found = [x.split()[1] for x in text.splitlines() if x.startswith("VmRSS:")]
  return int(found[0]) / 1024 if found else 0.0


def _figures(courses: dict[str, Any]) -> list[Figure]:
  def samples(side: str, name: str) -> tuple[float, ...]:
    steps = courses[side]["steps"]
    return tuple(step["ms"] for step in steps if step["name"] == name)

  others = [name for name in courses if name != "ganeti-lxc"]
  return [
    Figure(
      name=f"memory limit: {name}, to {mib} MiB",
      unit="ms",
      ours=samples("ganeti-lxc", name),
      peers={other: samples(other, name) for other in others},
      limits=f"the guest holds {HELD_MIB} MiB and writes files all the time",
    )
    for name, mib in _STEPS
  ]
