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

"""Whether another round of pre-copy pays.  Pure: no I/O, no clock.

In each round the pages that were written since the one before are saved
and sent while the guest runs; the last is done with the guest frozen, and
its length is the stall.  Another round is worth its time and its own short
pause only as long as it leaves clearly less for the last one.

"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

# CRIU reads the page tables of the whole guest in each round, and stops it
# for that; Incus and P.Haul stop at 5 and 8 rounds.
MAX_ROUNDS = 8
# A round that leaves more than this share of the one before it shows a
# guest that writes the same pages over and over, or faster than they go.
_MAX_SHARE = 0.7
# What a round costs and what can be measured: a smaller gain is none; nor
# is a small share of a long stall, which costs a round as long.
_MIN_GAIN_S = 0.02
_MIN_GAIN = 0.1


class Verdict(enum.Enum):
  """What to do next, and why."""

  FIRST = "nothing has been sent yet"
  ANOTHER = "another round shortens the stall"
  DOWNTIME_MET = "what is left goes within the wanted downtime"
  NO_GAIN = "another round would not shorten the stall"
  DOES_NOT_SHRINK = "the guest writes as fast as its memory is sent"
  ENOUGH_ROUNDS = "there were as many rounds as are allowed"

  @property
  def goes_on(self) -> bool:
    """Whether there is to be another round; else the guest is frozen."""
    return self in (Verdict.FIRST, Verdict.ANOTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
  """A round that is over.

  @ivar size: of the memory that was saved and sent, in bytes
  @ivar duration_s: from its beginning until all was sent, in seconds

  """

  size: int
  duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
  """What the administrator asked for.

  @ivar downtime_s: the stall that is good enough, in seconds
  @ivar bandwidth: the most that may be sent, bytes/s; 0 is no limit
  @ivar max_rounds: after so many the guest is frozen whatever is left

  """

  downtime_s: float
  bandwidth: int = 0
  max_rounds: int = MAX_ROUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
  """What is to be expected, in seconds.

  @ivar now_s: how long the last copy takes if the guest is frozen now
  @ivar then_s: how long if there is another round before

  """

  now_s: float
  then_s: float


def decide(rounds: Sequence[Round], wish: Wish) -> Verdict:
  """Whether another round is to be done, or the guest frozen.

  @param rounds: those which are over, in order

  """
  if not rounds:
    return Verdict.FIRST
  expected = forecast(rounds, wish)
  if expected.now_s <= wish.downtime_s:
    return Verdict.DOWNTIME_MET
  if len(rounds) >= wish.max_rounds:
    return Verdict.ENOUGH_ROUNDS
  # The first had all memory, so it says nothing about the second.
  later = rounds[1:]
  if len(later) > 1 and later[-1].size > _MAX_SHARE * later[-2].size:
    return Verdict.DOES_NOT_SHRINK
  gain_s = expected.now_s - expected.then_s
  if gain_s < max(_MIN_GAIN_S, _MIN_GAIN * expected.now_s):
    return Verdict.NO_GAIN
  return Verdict.ANOTHER


def left(rounds: Sequence[Round]) -> int:
  """Bytes that are expected to be left after these rounds; 0 if unknown.

  What a round brought was written during the one before it; the guest is
  taken to go on writing at that rate.  After the first round nothing is
  known of that.

  """
  if len(rounds) < _TWO:
    return 0
  written = _dirty_rate(rounds) * rounds[-1].duration_s
  return int(min(written, _all_memory(rounds)))


def forecast(rounds: Sequence[Round], wish: Wish) -> Forecast:
  """The stall to expect; there must have been a round.

  After the first round all is taken to have been written again (see
  L{left}), and a second one to be worth its while.

  """
  rate = _rate(rounds, wish)
  if len(rounds) < _TWO:
    return Forecast(now_s=rounds[-1].size / rate, then_s=0.0)
  now_s = left(rounds) / rate
  written = min(_dirty_rate(rounds) * now_s, _all_memory(rounds))
  return Forecast(now_s=now_s, then_s=written / rate)


_TINY = 1e-6
_TWO = 2


def _dirty_rate(rounds: Sequence[Round]) -> float:
  """At which the guest writes, in bytes/s; there must have been two."""
  before, last = rounds[-2:]
  return last.size / max(before.duration_s, _TINY)


def _all_memory(rounds: Sequence[Round]) -> int:
  """The guest cannot have written more than it has."""
  return max(one.size for one in rounds)


def _rate(rounds: Sequence[Round], wish: Wish) -> float:
  """At which memory is saved and sent, in bytes/s.

  The best that was seen: CRIU's start and its stop of the guest take a
  share of each round, and of a small one nearly all; the last copy has that
  to bear whatever is left.

  """
  measured = max(
    max(one.size, 1) / max(one.duration_s, _TINY) for one in rounds
  )
  return min(measured, wish.bandwidth) if wish.bandwidth else measured
