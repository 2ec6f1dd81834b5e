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


"""The table of which guest moves between which hosts."""

import dataclasses
import pathlib

import pytest
from cluster.migration_matrix import cells, table
from cluster.migration_matrix.cells import FAILS, MOVES, REFUSED, Cell

_BEGIN = "Failure: command execution error:\nCould not start: "
_REFUSED = (
  "Instance inst1.lab cannot be migrated live: process 91\n(dbus-daemon),"
  " user 101: needs CAP_SYS_RESOURCE (ganeti-lxc-doctor inst1.lab\non its"
  " node tells all; gnt-instance failover moves it with a restart)\n"
)


def test_the_reason_is_found_in_what_gnt_instance_prints() -> None:
  assert cells.reason_of(_BEGIN + _REFUSED) == (
    "process 91 (dbus-daemon), user 101: needs CAP_SYS_RESOURCE"
  )


def test_a_node_that_cannot_move_any_guest() -> None:
  said = "This node cannot move running\n guests: CRIU does not work here: x"
  assert cells.reason_of(_BEGIN + said) == "CRIU does not work here: x"


def test_of_many_processes_the_first_is_named() -> None:
  said = _REFUSED.replace(
    " (ganeti", "; process 2 (x): y; process 3 (x): y (ganeti"
  )
  reason = cells.reason_of(said)
  assert reason.startswith("process 91 (dbus-daemon)")
  assert reason.endswith("CAP_SYS_RESOURCE; 2 more")


@pytest.mark.parametrize(
  "said",
  [
    "Instance inst1.lab could not be checkpointed, it runs on: x",
    "Instance inst1.lab could not be restored: x",
    "Node failed",
  ],
)
def test_what_was_tried_in_vain_is_no_refusal(said: str) -> None:
  assert not cells.reason_of(_BEGIN + said)


def _cell(number: int, verdict: str, remark: str = "x") -> Cell:
  return Cell(cells.GUESTS[number].label, verdict, remark)


def test_a_run_fills_its_column_and_leaves_the_others(
  tmp_path: pathlib.Path,
) -> None:
  path = tmp_path / "m.json"
  table.save({"A": table.with_cells({}, [_cell(0, MOVES)])}, path)
  kept = table.load(path)
  second = table.with_cells({}, [_cell(1, REFUSED, "uts")])
  table.save({**kept, "B": table.with_cells(second, [_cell(0, FAILS)])}, path)
  columns = table.load(path)
  assert columns["A"] == kept["A"]
  assert list(columns["B"].values()) == [
    _cell(0, FAILS),
    _cell(1, REFUSED, "uts"),
  ]
  text = path.with_suffix(".rst").read_text()
  assert (
    f"   * - {cells.GUESTS[0].label}\n     - {MOVES}\n     - {FAILS}" in text
  )
  assert (
    f"   * - {cells.GUESTS[1].label}\n     - not tried\n     - {REFUSED}"
    in text
  )


def test_each_cell_tells_what_it_was_seen_with(tmp_path: pathlib.Path) -> None:
  old = dataclasses.replace(_cell(0, MOVES), about={"commit": "1111111"})
  new = dataclasses.replace(_cell(1, MOVES), about={"commit": "2222222"})
  path = tmp_path / "m.json"
  table.save({"A": table.with_cells({}, [old])}, path)
  column = table.with_cells(table.load(path)["A"], [new])
  table.save({"A": column}, path)
  first, second = path.with_suffix(".rst").read_text().split("\n- ")[1:]
  assert "commit 1111111" in first
  assert "commit 2222222" in second


def test_a_guest_tried_again_replaces_what_was_seen_before() -> None:
  column = table.with_cells({}, [_cell(0, FAILS), _cell(1, MOVES)])
  again = table.with_cells(column, [_cell(0, MOVES)])
  assert [c.verdict for c in again.values()] == [MOVES, MOVES]
  assert table.summary(list(again.values())) == (
    "2 move, 0 refused beforehand, 0 fail"
  )
