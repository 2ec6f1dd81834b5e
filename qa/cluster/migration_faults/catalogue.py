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


"""All faults that there are."""

import random
import signal
from collections import Counter
from collections.abc import Iterator

from cluster.migration_faults import acts, eyes
from cluster.migration_faults.acts import killing
from cluster.migration_faults.injecting import (
  Context,
  Fault,
  Moment,
  Side,
  Where,
)
from cluster.migration_faults.looking import Who

SOURCE, TARGET, PHASE = Where.SOURCE, Where.TARGET, Where.PHASE

_SOURCE_STATES = ("offered", "dumping", "dumped", "handing", "gone")
_TARGET_STATES = ("expecting", "ready", "owner", "resumed")
_PHASES = ("dump", "send", "verify", "end", "hand over", "restore")
_AT_SOURCE = [Moment(SOURCE, state) for state in _SOURCE_STATES]
_AT_TARGET = [Moment(TARGET, state) for state in _TARGET_STATES]
_AT_PHASES = [Moment(PHASE, phase) for phase in _PHASES]


_WORKER = (Side.SOURCE, Who.WORKER)
_RECEIVER = (Side.TARGET, Who.RECEIVER)


def _kills() -> Iterator[Fault]:
  for moment in (*_AT_SOURCE[1:], *_AT_PHASES, *_AT_TARGET[1:]):
    yield Fault("kill source worker", moment, killing(*_WORKER))
  for moment in (*_AT_TARGET, *_AT_SOURCE[2:], Moment(PHASE, "send")):
    yield Fault("kill receiver", moment, killing(*_RECEIVER))
  dumping = (*_AT_SOURCE[1:3], *_AT_PHASES[:4])
  restoring = _AT_TARGET[1:]
  for who, moments in {
    Who.CRIU: dumping,
    Who.SCRIPT: dumping,
    Who.MONITOR: (*_AT_SOURCE[:3], *_AT_PHASES[1:4]),
    Who.INIT: (*_AT_SOURCE[:3], *_AT_PHASES[1:3]),
  }.items():
    for moment in moments:
      yield Fault(
        f"kill source {who}",
        moment,
        killing(Side.SOURCE, who),
        may_reboot=who in (Who.MONITOR, Who.INIT),
        may_end=who in (Who.MONITOR, Who.INIT),
      )
  for who in (Who.CRIU, Who.SCRIPT, Who.LXC_CHECKPOINT, Who.INIT):
    for moment in restoring:
      yield Fault(
        f"kill target {who}",
        moment,
        killing(Side.TARGET, who),
        may_reboot=moment.value == "resumed",
        may_end=moment.value == "resumed",
      )
  yield Fault(
    "kill target monitor",
    Moment(TARGET, "resumed"),
    killing(Side.TARGET, Who.MONITOR),
    may_reboot=True,
    may_end=True,
  )


def _ganeti() -> Iterator[Fault]:
  for side in (Side.SOURCE, Side.TARGET):
    for moment in (*_AT_SOURCE, *_AT_TARGET):
      for after_s in (0.0, -1.0):
        back = "at once" if after_s == 0 else "afterwards"
        yield Fault(
          f"kill {side} node daemon, back {back}",
          moment,
          acts.killing_noded(side, after_s),
        )
    for moment in (*_AT_SOURCE, *_AT_TARGET):
      yield Fault(f"kill {side} {Who.CALLS}", moment, killing(side, Who.CALLS))
  for moment in (*_AT_SOURCE, *_AT_TARGET):
    yield Fault("kill the job", moment, killing(Side.MASTER, Who.JOBS))


def _nodes() -> Iterator[Fault]:
  for side in (Side.SOURCE, Side.TARGET):
    for moment in (*_AT_SOURCE[1:], *_AT_TARGET):
      yield Fault(
        f"crash {side} node",
        moment,
        acts.crashing(side),
        may_reboot=True,
        may_end=True,
      )
  for moment in (*_AT_SOURCE[1:], *_AT_TARGET, *_AT_PHASES[1:3]):
    for seconds in (3.0, 25.0):
      yield Fault(
        f"cut network for {seconds:.0f} s", moment, acts.cutting(seconds)
      )
  for moment in (_AT_SOURCE[1], _AT_SOURCE[3], _AT_TARGET[2], _AT_TARGET[3]):
    yield Fault("cut network until the end", moment, acts.cutting(-1))


def _resources() -> Iterator[Fault]:
  yield Fault(
    "target has no room",
    Moment(Where.BEFORE),
    acts.nothing,
    acts.tiny_file_system,
  )
  for moment in (
    *_AT_SOURCE[1:4],
    *_AT_TARGET,
    *_AT_PHASES[1:3],
    Moment(PHASE, "starting"),
  ):
    yield Fault("target fills up", moment, acts.filling, acts.small_file_system)
  yield Fault(
    "port is taken", Moment(Where.BEFORE), acts.nothing, acts.taking_port
  )
  for moment in (*_AT_TARGET[:3], *_AT_PHASES[:2]):
    yield Fault("stop receiver for 8 s", moment, _pausing(*_RECEIVER, 8.0))
    yield Fault("stop source worker for 8 s", moment, _pausing(*_WORKER, 8.0))


def _pausing(side: Side, who: Who, for_s: float) -> acts.Strike:
  def strike(context: Context) -> str:
    look = eyes.look(context.side(side))
    pids = context.find(side, who)
    hit = look.kill(pids, signal.SIGSTOP)
    if not hit:
      return ""

    def goes_on() -> None:
      look.kill(pids, signal.SIGCONT)

    context.undo.callback(goes_on)
    acts.later(context, for_s, goes_on)
    return f"stopped {hit}"

  return strike


def _guest(rng: random.Random) -> Iterator[Fault]:
  now = Moment(Where.BEFORE)
  for script, name in (
    ("poweroff || kill -USR2 1", "guest halts"),
    ("reboot || kill -TERM 1", "guest reboots"),
  ):
    for _ in range(3):
      delay = rng.uniform(1, 7)
      yield Fault(
        f"{name} after {delay:.1f} s",
        now,
        acts.nothing,
        acts.in_guest(script, delay),
        may_reboot=True,
        may_end=True,
      )
  wild = "i=0; while [ $i -lt 400 ]; do i=$((i+1));"
  wild += " (sleep 0.$((i % 7 + 1))) & done; wait"
  grow = "i=0; while [ $i -lt 60 ]; do i=$((i+1));"
  grow += " head -c 1000000 /dev/urandom >>/dev/shm/grown; sleep 0.1; done;"
  grow += " sleep 20; rm -f /dev/shm/grown"
  for _ in range(3):
    yield Fault("guest forks wildly", now, acts.nothing, acts.in_guest(wild))
    yield Fault("guest grows", now, acts.nothing, acts.in_guest(grow))


def _random(rng: random.Random) -> Iterator[Fault]:
  victims = {"source worker": _WORKER, "receiver": _RECEIVER}
  for side in (Side.SOURCE, Side.TARGET):
    for who in (Who.CRIU, Who.SCRIPT, Who.CALLS):
      victims[f"{side} {who}"] = (side, who)
  for name, victim in victims.items():
    for _ in range(4):
      state = rng.choice((*_AT_SOURCE[:4], *_AT_TARGET))
      moment = Moment(state.where, state.value, rng.uniform(0.01, 0.8))
      yield Fault(f"kill {name}", moment, killing(*victim))


def all_faults(seed: int) -> list[Fault]:
  """All of them in an order of chance, each kind once before any twice."""
  rng = random.Random(seed)
  found = [
    *_kills(),
    *_ganeti(),
    *_nodes(),
    *_resources(),
    *_guest(rng),
    *_random(rng),
  ]
  rng.shuffle(found)
  kinds = Counter[str]()
  rounds = []
  for fault in found:
    rounds.append(kinds[fault.name])
    kinds[fault.name] += 1
  order = sorted(range(len(found)), key=lambda i: rounds[i])
  return [found[i] for i in order]
