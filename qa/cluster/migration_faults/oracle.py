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


"""Starts the scanner and judges what it has seen."""

import contextlib
import json
import pathlib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from cluster.cluster import Cluster, Node
from cluster.migration_faults import eyes
from ganeti_lab.errors import LabError

_PAUSE_S = 0.015
# An emulated processor has other things to do; all takes longer there.
_PAUSE_IN_MACHINE_S = 0.5
_AGAIN_S = 2.0


@dataclass(frozen=True)
class Seen:
  """What was so from a moment on.

  @ivar boots: for each node the boots of the guest that have processes
  @ivar mounts: nodes in which the disk is mounted
  @ivar gap: the longest time between two looks before this one

  """

  time: float
  boots: dict[str, list[str]]
  mounts: list[str]
  gap: float

  @property
  def is_doubled(self) -> bool:
    """Two copies, or a disk that is mounted twice."""
    copies = sum(len(boots) for boots in self.boots.values())
    return copies > 1 or len(self.mounts) > 1

  def __str__(self) -> str:
    runs = ", ".join(f"{n} {b}" for n, b in self.boots.items())
    mounted = ", ".join(self.mounts)
    return f"runs: {runs or 'nowhere'}; mounted: {mounted or 'nowhere'}"


def together(parts: list[Seen]) -> Seen:
  """What is seen of several machines, each by a scanner of its own."""
  return Seen(
    time=max(part.time for part in parts),
    boots={n: b for part in parts for n, b in part.boots.items()},
    mounts=sorted({n for part in parts for n in part.mounts}),
    gap=max(part.gap for part in parts),
  )


@dataclass(frozen=True)
class _Line:
  """What one scanner printed.

  @ivar whom: the scanner
  @ivar arrived: by this machine's clock

  """

  whom: str
  seen: Seen
  arrived: float


class History:
  """What several scanners saw, in the order in which it was so.

  A line may be late: a node that is cut off tells all when it is back.  By how
  much a node's clock differs is known from the line that took the least time.

  """

  def __init__(self, count: int):
    self._count = count
    self._lines: list[_Line] = []
    self._ahead: dict[str, float] = {}

  def add(self, whom: str, seen: Seen, arrived: float) -> None:
    """Takes a line."""
    self._lines.append(_Line(whom, seen, arrived))
    ahead = arrived - seen.time
    self._ahead[whom] = min(ahead, self._ahead.get(whom, ahead))

  def off(self, whom: str, now: float) -> Seen:
    """Takes that a machine does not run since now, by this machine's clock."""
    seen = Seen(now - self._ahead.get(whom, 0.0), {}, [], 0.0)
    self._lines.append(_Line(whom, seen, now))
    self._ahead.setdefault(whom, 0.0)
    return seen

  def since(self, moment: float) -> list[Seen]:
    """What was so at that moment, and all that followed."""
    latest: dict[str, Seen] = {}
    found: list[Seen] = []
    for at, line in sorted(
      ((e.seen.time + self._ahead[e.whom], e) for e in list(self._lines)),
      key=lambda pair: pair[0],
    ):
      latest[line.whom] = line.seen
      if len(latest) < self._count:
        continue
      if at <= moment:
        found.clear()
      found.append(together(list(latest.values())))
    return found

  def forget(self, moment: float) -> None:
    """All that was over then is not asked for any more."""
    last = {e.whom: e for e in self._lines if e.arrived <= moment}
    rest = [e for e in self._lines if e.arrived > moment]
    self._lines = [*last.values(), *rest]


class Oracle:
  """What the scanners print."""

  def __init__(self, cluster: Cluster, word: str, disk: str):
    if eyes.is_machine(cluster.master):
      self._watched: list[_Watched] = [
        _InMachine(self, node, word, disk) for node in cluster.nodes
      ]
    else:
      self._watched = [_OnThis(self, cluster, word, disk)]
    self._history = History(len(self._watched))
    self._news = threading.Lock()
    self._latest: dict[str, Seen] = {}
    for watched in self._watched:
      watched.start()

  def tell(self, whom: str, seen: Seen) -> None:
    """Takes what one scanner has seen."""
    with self._news:
      self._latest[whom] = seen
      self._history.add(whom, seen, time.time())

  def is_off(self, whom: str) -> None:
    """Takes that a machine does not run."""
    with self._news:
      self._latest[whom] = self._history.off(whom, time.time())

  def was_off(self, whom: str, since: float) -> None:
    """Takes that a machine did not run then, told by who cut its power.

    Its scanner is missed only when the connection to it is given up.

    """
    with self._news:
      self._history.off(whom, since)

  @property
  def now(self) -> Seen:
    """How it is."""
    while len(self._latest) < len(self._watched):
      self._require_all()
      time.sleep(0.01)
    self._require_all()
    return together(list(self._latest.values()))

  def _require_all(self) -> None:
    for watched in self._watched:
      assert watched.is_alive(), "the scanner has died"

  def since(self, moment: float) -> list[Seen]:
    """What was so at a moment that C{mark} returned, and all that followed."""
    with self._news:
      return self._history.since(moment)

  def mark(self) -> float:
    """The present moment; nothing before it will be asked for."""
    moment = time.time()
    with self._news:
      self._history.forget(moment)
    return moment

  def end(self) -> None:
    """No more."""
    for watched in self._watched:
      watched.end()


class _Watched(threading.Thread):
  """Reads from a scanner."""

  def __init__(self, oracle: Oracle, name: str):
    super().__init__(daemon=True)
    self._oracle = oracle
    self._whom = name
    self._process: subprocess.Popen[str] | None = None
    self._over = threading.Event()

  def _begin(self) -> "subprocess.Popen[str]":
    raise NotImplementedError

  def _read(self) -> None:
    with self._begin() as process:
      self._process = process
      assert process.stdout
      for line in process.stdout:
        self._oracle.tell(self._whom, Seen(**json.loads(line)))

  def run(self) -> None:
    """Until its end."""
    self._read()

  def end(self) -> None:
    """No more."""
    self._over.set()
    process = self._process
    if process is not None and process.stdin:
      process.stdin.close()
    self.join(10)


class _OnThis(_Watched):
  """One scanner for all nodes, whose processes this machine sees."""

  def __init__(self, oracle: Oracle, cluster: Cluster, word: str, disk: str):
    super().__init__(oracle, "all")
    nodes = [f"{n.name}={n.seen.pid}" for n in cluster.nodes]
    self._argv = [word, disk, str(_PAUSE_S), *nodes]

  def _begin(self) -> "subprocess.Popen[str]":
    path = pathlib.Path(__file__).with_name("scanner.py")
    return subprocess.Popen(
      [sys.executable, "-u", str(path), *self._argv],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )


class _InMachine(_Watched):
  """A scanner in a node; it is begun anew after a power cut."""

  def __init__(self, oracle: Oracle, node: Node, word: str, disk: str):
    super().__init__(oracle, node.name)
    self._node = node
    self._argv = [word, disk, str(_PAUSE_IN_MACHINE_S), f"{node.name}=1"]

  def _begin(self) -> "subprocess.Popen[str]":
    return eyes.resident(self._node, "scanner", *self._argv)

  def run(self) -> None:
    """Until its end; a node that is off runs nothing."""
    while not self._over.is_set():
      with contextlib.suppress(LabError):
        self._read()
      self._oracle.is_off(self._whom)
      self._over.wait(_AGAIN_S)
