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


"""What devel/bench says of a live migration."""

import pytest
from benchmark import barelxc, checkpoint, moving, watching
from benchmark.recorded import BARE_STEPS

_LOG = """\
(00.000001) Version: 4.2.1
(00.010000) freezing cgroup /sys/fs/cgroup/x
(00.210500) Dumping finished successfully
"""


def test_frozen_is_from_criu_s_order_to_its_end() -> None:
  assert barelxc.frozen(_LOG) == pytest.approx(0.2005, abs=1e-6)


def test_the_stall_is_told_as_a_multiple_of_the_bare_steps() -> None:
  steps = [{"dump, frozen": 100.0, "restore": 150.0, "mount": 50.0}] * 3
  bare = checkpoint.bare_steps(64, steps)
  assert bare.name == BARE_STEPS.format(64)
  course = moving.course_of([], [], _told(stall=0.36), 0.0, 5.0)
  stall, *_ = moving.figures_of(64, [course], bare.ours)
  assert stall.name == "migration: stall of a client, 64 MiB held"
  assert round(stall.ratio or 0, 3) == 1.2


def test_without_bare_steps_nothing_is_compared() -> None:
  course = moving.course_of([], [], _told(stall=0.36), 0.0, 5.0)
  assert moving.figures_of(64, [course], ())[0].ratio is None


def _told(stall: float) -> dict[str, float]:
  return {"stall": stall, "lost": 0, "repeated": 0}


def test_what_a_slow_node_told_is_put_on_this_machine_s_clock() -> None:
  first = [100.0, "begin", ""]
  told = [[101.0, "v2", "frozen 1"], [104.0, "end", ""]]
  seen = watching.on_one_clock(first, told, began=1000.0, over=1012.0)
  assert seen == [[1003.0, "v2", "frozen 1"]]


def test_a_watcher_that_ended_by_itself_is_no_measurement() -> None:
  told = [[101.0, "v2", "frozen 1"]]
  with pytest.raises(RuntimeError, match="ended by itself"):
    watching.on_one_clock([100.0, "begin", ""], told, began=0.0, over=9.0)


def test_frozen_is_since_it_stood_still_for_the_last_time() -> None:
  seen = [
    [1.0, "v2", "populated 1\nfrozen 1\n"],
    [1.2, "v2", "populated 1\nfrozen 0\n"],
    [2.0, "v2", "populated 1\nfrozen 1\n"],
    [2.5, "v2", ""],
    [3.0, "progress", '{"phase": "done", "sent": 7}'],
  ]
  course = moving.course_of(seen, [], _told(stall=0.4), 0.5, 5.0)
  assert course["frozen_ms"] == pytest.approx(1000.0)
