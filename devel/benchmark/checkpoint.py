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


"""What a client sees while peers write a guest to a file and restore it.

What a peer has of a live migration on one node: with its memory, from a file,
connections included.  The file does not even travel.

"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from .barelxc import BareLxc
from .course import client, holding, memory_group, wait_for
from .figures import Figure, shares, told
from .findings import Findings
from .peers import Freezer, PeerError, trying
from .recorded import BARE_STEPS

PORT = 7000
_WHAT = "checkpoint a guest with a connection, and restore it"
_TOLD_EVERY_S = 0.005
_BEFORE_S = 0.5
_MEMORY_MIB = 512
_CLIENT = Path(__file__).with_name("counting_client.py")
ECHO = f"exec nc -ll -p {PORT} -e /bin/cat"


def measure(
  peers: list[Freezer],
  rounds: int,
  memory: tuple[int, ...],
  findings: Findings,
  progress: Callable[[str], None],
) -> None:
  """The client's stall, for each amount of memory that the guest holds."""

  def one(peer: Freezer) -> None:
    for mib in memory:
      progress(f"checkpoint and restore by {peer.name}, {mib} MiB")
      count = rounds if mib == memory[0] else -(-rounds // 2)
      steps: list[dict[str, float]] = []
      samples = _stalls(peer, count, mib, steps)
      findings.figures.append(
        Figure(
          name=f"{peer.name}: stall of a client, {mib} MiB held",
          unit="ms",
          ours=tuple(samples),
          limits="checkpoint to a file and restore from it, on one node",
        )
      )
      if steps:
        findings.figures.append(bare_steps(mib, steps))

  trying(peers, findings, _WHAT, one)


def bare_steps(mib: int, steps: list[dict[str, float]]) -> Figure:
  """Their sum, which a live migration is compared with."""
  return Figure(
    name=BARE_STEPS.format(mib),
    unit="ms",
    ours=tuple(sum(one.values()) for one in steps),
    limits=told(shares(steps)),
  )


def _stalls(
  peer: Freezer, rounds: int, mib: int, steps: list[dict[str, float]]
) -> list[float]:
  found = []
  for _ in range(rounds):
    try:
      found.append(_stall(peer, mib))
      if isinstance(peer, BareLxc):
        steps.append(peer.steps())
    finally:
      peer.end()
  return found


def _stall(peer: Freezer, mib: int) -> float:
  peer.run(_MEMORY_MIB)
  if mib:
    peer.inside(holding(mib))
    used = memory_group(peer.pid()) / "memory.usage_in_bytes"
    wait_for(lambda: int(used.read_text()) > mib << 20, "the guest's memory")
  peer.inside(ECHO)
  argv = [sys.executable, "-u", str(_CLIENT), peer.address(), str(PORT)]
  with client(argv, _TOLD_EVERY_S) as one:
    time.sleep(_BEFORE_S)
    peer.freeze_out()
    peer.bring_back()
    at = len(one.got)
    try:
      wait_for(lambda: len(one.got) > at + 1, "the guest's answer", 40)
    except RuntimeError as err:
      told = one.end().get("error") or str(err)
      raise PeerError(peer.back_command, f"the client: {told}") from err
    return float(one.end()["stall"]) * 1e3
