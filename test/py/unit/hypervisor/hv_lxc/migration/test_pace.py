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


"""How fast to send, and when to compress."""

import pytest
from ganeti.hypervisor.hv_lxc.migration.pace import MIB, Pace, Packing


def seconds_for(pace: Pace, sizes: list[int], begun: float = 1000.0) -> float:
  """How long it takes to send portions, waiting as told after each."""
  now = begun
  for size in sizes:
    now += pace.spend(size, now)
  return now - begun


def test_no_limit_is_no_wait() -> None:
  assert Pace(0).spend(1 << 40, 5.0) == 0


@pytest.mark.parametrize("rate", [1, 32, 1000])
def test_a_rate_is_kept_to(rate: int) -> None:
  took = seconds_for(Pace(rate), [MIB] * 10 * rate)
  assert took == pytest.approx(10.0, rel=0.05)


def test_after_a_pause_not_all_of_it_is_caught_up_with() -> None:
  pace = Pace(10)
  seconds_for(pace, [MIB] * 10, begun=1000.0)
  took = seconds_for(pace, [MIB] * 100, begun=5000.0)
  assert took == pytest.approx(10.0, abs=0.2)


def test_a_portion_larger_than_a_second_takes_its_time() -> None:
  assert Pace(1).spend(5 * MIB, 1000.0) == pytest.approx(5.0, abs=0.2)


# Rates in MiB/s; what of a chunk is left.
@pytest.mark.parametrize(
  ("wire", "packer", "left", "pays"),
  [
    (32, 100, 0.4, True),
    (32, 100, 0.9, True),
    (32, 100, 1.0, False),
    (100, 90, 0.3, False),
    (100, 110, 0.3, True),
    (1000, 900, 0.1, False),
    (1000, 2000, 0.1, False),
  ],
)
def test_when_compressing_pays(
  wire: int, packer: int, left: float, *, pays: bool
) -> None:
  packing = Packing()
  assert not packing.wanted(MIB), "before anything is known"
  packing.sent(MIB, 1 / wire)
  if tried := packing.wanted(MIB):
    packing.packed(tried, int(tried * left), tried / MIB / packer)
  assert packing.wanted(MIB) == (MIB if pays else 0)


def test_a_fast_connection_is_not_even_tried() -> None:
  packing = Packing()
  packing.sent(MIB, 1 / 1000)
  assert not any(packing.wanted(MIB) for _ in range(1000))


def test_a_first_try_is_small() -> None:
  assert 0 < Packing(32 * MIB).wanted(MIB) < MIB
  assert Packing(32 * MIB).wanted(10) == 10


def test_a_limit_is_known_from_the_start() -> None:
  assert Packing(32 * MIB).wanted(MIB)
  assert not Packing(1000 * MIB).wanted(MIB)


def test_what_cannot_be_compressed_is_tried_again_now_and_then() -> None:
  packing = Packing(32 * MIB)
  packing.packed(MIB, MIB + 10, 0.01)
  tries = [size for _ in range(100) if (size := packing.wanted(MIB))]
  assert 1 < len(tries) < 10
  assert max(tries) < MIB
  packing.packed(MIB, MIB // 4, 0.01)
  assert packing.wanted(MIB) == MIB


def test_a_processor_too_slow_for_the_connection_is_left_alone() -> None:
  packing = Packing(100 * MIB)
  packing.packed(MIB, 10, 1.0)
  assert not any(packing.wanted(MIB) for _ in range(100))
