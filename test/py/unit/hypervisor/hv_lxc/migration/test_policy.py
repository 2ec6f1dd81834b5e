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

"""When to stop copying a running guest's memory and freeze it."""

import pytest
from ganeti.hypervisor.hv_lxc.migration.policy import (
  MAX_ROUNDS,
  Round,
  Verdict,
  Wish,
  decide,
  forecast,
  left,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
WISH = Wish(downtime_s=0.03)
GIGABIT = 112 * MIB


def copied(*sizes_mib: float, rate: float = GIGABIT) -> list[Round]:
  """Rounds of these sizes, saved and sent at this rate in bytes/s."""
  return [
    Round(size=int(size * MIB), duration_s=size * MIB / rate)
    for size in sizes_mib
  ]


def simulated(
  memory_mib: int, writes: float, working_set_mib: int, wish: Wish
) -> tuple[int, float, Verdict]:
  """A guest that writes within its working set at a rate in bytes/s.

  Returns the rounds, the stall in seconds, and why it was frozen.
  """
  rounds: list[Round] = []
  size = memory_mib * MIB
  while (verdict := decide(rounds, wish)).goes_on:
    rate = min(wish.bandwidth or GIGABIT, GIGABIT)
    rounds.append(Round(size=size, duration_s=size / rate))
    size = min(int(writes * size / rate), working_set_mib * MIB)
  return len(rounds), size / rate, verdict


@pytest.mark.parametrize(
  ("rounds", "verdict"),
  [
    ([], Verdict.FIRST),
    (copied(1), Verdict.DOWNTIME_MET),
    (copied(1024), Verdict.ANOTHER),
    (copied(1024, 100), Verdict.ANOTHER),
    (copied(1024, 2), Verdict.DOWNTIME_MET),
    (copied(1024, 100, 10), Verdict.DOWNTIME_MET),
    (copied(1024, 200, 100), Verdict.ANOTHER),
    # As many pages as there were before, in a shorter time.
    (copied(1024, 100, 90), Verdict.DOES_NOT_SHRINK),
    (copied(1024, 100, 300), Verdict.DOES_NOT_SHRINK),
    # All of it again: it writes faster than can be sent.
    (copied(1024, 1024), Verdict.NO_GAIN),
    (copied(1024, 1000), Verdict.NO_GAIN),
    (copied(*[1024 * 0.69**i for i in range(MAX_ROUNDS)]),
     Verdict.ENOUGH_ROUNDS),
    # Nothing at all to send.
    ([Round(size=0, duration_s=0.0)], Verdict.DOWNTIME_MET),
    ([Round(size=0, duration_s=0.5)] * 2, Verdict.DOWNTIME_MET),
    # So short that no duration was measured.
    ([Round(size=5 * MIB, duration_s=0.0)], Verdict.DOWNTIME_MET),
  ],
)  # fmt: skip
def test_verdict(rounds: list[Round], verdict: Verdict) -> None:
  assert decide(rounds, WISH) == verdict


@pytest.mark.parametrize(
  ("downtime_s", "verdict"),
  [
    (0.0, Verdict.ANOTHER),
    (0.05, Verdict.ANOTHER),
    (0.5, Verdict.DOWNTIME_MET),
  ],
)
def test_the_wanted_downtime_is_respected(
  downtime_s: float, verdict: Verdict
) -> None:
  assert decide(copied(1024, 150), Wish(downtime_s=downtime_s)) == verdict


def test_a_limit_of_the_bandwidth_makes_the_stall_longer() -> None:
  rounds = copied(1024, 100, 10)
  free = forecast(rounds, WISH)
  limited = forecast(rounds, Wish(downtime_s=0.03, bandwidth=GIGABIT // 4))
  assert limited.now_s == pytest.approx(4 * free.now_s)
  assert decide(rounds, WISH) == Verdict.DOWNTIME_MET
  limit = Wish(downtime_s=0.03, bandwidth=GIGABIT // 4)
  assert decide(rounds, limit) == Verdict.ANOTHER


def test_a_small_round_does_not_tell_how_fast_memory_goes() -> None:
  """CRIU's start and its stop of the guest take 0.3 s of every round."""
  rounds = [
    Round(size=256 * MIB, duration_s=256 * MIB / GIGABIT + 0.3),
    Round(size=MIB, duration_s=MIB / GIGABIT + 0.3),
  ]
  assert decide(rounds, WISH) == Verdict.DOWNTIME_MET
  assert forecast(rounds, WISH).now_s < 0.002


def test_what_is_left_is_what_the_guest_wrote_meanwhile() -> None:
  second = Round(size=10 * MIB, duration_s=0.5)
  assert left([]) == left([second]) == 0
  first = Round(size=100 * MIB, duration_s=1.0)
  assert left([first, second]) == 5 * MIB
  # It cannot write more than it has.
  assert left([second, first]) == 100 * MIB


def test_fewer_rounds_may_be_allowed() -> None:
  wish = Wish(downtime_s=0.0, max_rounds=2)
  assert decide(copied(1024), wish) == Verdict.ANOTHER
  assert decide(copied(1024, 100), wish) == Verdict.ENOUGH_ROUNDS


@pytest.mark.parametrize(
  ("memory_mib", "writes", "working_set_mib", "rounds", "stall_s"),
  [
    # Idle: everything once, then next to nothing.
    (64, 0.2 * MIB, 8, 2, 0.01),
    (1024, 0.2 * MIB, 8, 2, 0.02),
    (8192, 0.2 * MIB, 8, 3, 0.01),
    # A working set that is written over and over.
    (1024, 1000 * MIB, 16, 3, 0.15),
    # All of its memory, faster than it goes: one try, one stall.
    (1024, 1000 * MIB, 1024, 2, 9.2),
    (1024, 60 * MIB, 1024, 8, 0.1),
  ],
)
def test_guests(
  memory_mib: int,
  writes: float,
  working_set_mib: int,
  rounds: int,
  stall_s: float,
) -> None:
  found, stall, _ = simulated(memory_mib, writes, working_set_mib, WISH)
  assert found <= rounds
  assert stall <= stall_s


def test_the_stall_does_not_grow_with_idle_memory() -> None:
  small = simulated(64, 0.2 * MIB, 8, WISH)[1]
  large = simulated(1024, 0.2 * MIB, 8, WISH)[1]
  assert large <= max(1.5 * small, WISH.downtime_s)


@given(
  memory=st.integers(1, 1 << 16),
  writes=st.floats(0, 1e12),
  share=st.floats(0, 1),
  downtime=st.floats(0, 10),
  bandwidth=st.integers(0, 1 << 40),
)
def test_it_always_comes_to_an_end(
  memory: int, writes: float, share: float, downtime: float, bandwidth: int
) -> None:
  wish = Wish(downtime_s=downtime, bandwidth=bandwidth)
  rounds, stall, verdict = simulated(memory, writes, int(memory * share), wish)
  assert 1 <= rounds <= MAX_ROUNDS
  assert not verdict.goes_on
  assert stall >= 0


@given(
  st.lists(
    st.builds(
      Round, size=st.integers(0, 1 << 50), duration_s=st.floats(0, 1e6)
    ),
    min_size=1,
  )
)
def test_whatever_was_measured_it_decides(rounds: list[Round]) -> None:
  assert isinstance(decide(rounds, WISH), Verdict)
  expected = forecast(rounds, WISH)
  assert expected.now_s >= 0
  assert expected.then_s >= 0
