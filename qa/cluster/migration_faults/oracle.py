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

import json
import pathlib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from cluster.cluster import Cluster


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


class Oracle:
  """The scanner's output, in a list."""

  def __init__(self, cluster: Cluster, word: str, disk: str):
    program = pathlib.Path(__file__).with_name("scanner.py")
    nodes = [f"{n.name}={n.seen.pid}" for n in cluster.nodes]
    self._process = subprocess.Popen(
      [sys.executable, "-u", str(program), word, disk, *nodes],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    self.history: list[Seen] = []
    self._thread = threading.Thread(target=self._read, daemon=True)
    self._thread.start()

  def _read(self) -> None:
    assert self._process.stdout
    for line in self._process.stdout:
      found = Seen(**json.loads(line))
      # A restored guest that reboots has another boot at once.
      self.history.append(found)

  @property
  def now(self) -> Seen:
    """How it is."""
    assert self._process.poll() is None, "the scanner has died"
    while not self.history:
      time.sleep(0.01)
    return self.history[-1]

  def since(self, moment: int) -> list[Seen]:
    """What was seen from the number on that C{mark} returned."""
    return self.history[max(0, moment - 1) :]

  def mark(self) -> int:
    """The present moment."""
    return len(self.history)

  def end(self) -> None:
    """No more."""
    assert self._process.stdin
    self._process.stdin.close()
    self._process.wait(10)
    self._thread.join()
    if self._process.stdout:
      self._process.stdout.close()
