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


"""What judges the faults that are put into migrations."""

import json
import pathlib

import pytest
from cluster.migration_faults import leftovers, table
from cluster.migration_faults.campaign import Verdict
from cluster.migration_faults.catalogue import all_faults
from cluster.migration_faults.oracle import Seen
from cluster.migration_faults.witness import line


def _seen(boots: dict[str, list[str]], mounts: list[str]) -> Seen:
  return Seen(time=0.0, boots=boots, mounts=mounts, gap=0.0)


@pytest.mark.parametrize(
  ("boots", "mounts"),
  [
    ({"node1": ["a"], "node2": ["a"]}, ["node1"]),
    ({"node1": ["a", "b"]}, ["node1"]),
    ({}, ["node1", "node2"]),
  ],
)
def test_two_copies_or_two_mounts_are_seen(
  boots: dict[str, list[str]], mounts: list[str]
) -> None:
  assert _seen(boots, mounts).is_doubled


def test_one_copy_that_is_mounted_elsewhere_is_not_yet_two() -> None:
  assert not _seen({"node1": ["a"]}, ["node1"]).is_doubled
  assert not _seen({}, []).is_doubled


def test_a_seed_stands_for_the_same_faults_again() -> None:
  assert list(map(str, all_faults(7))) == list(map(str, all_faults(7)))
  assert list(map(str, all_faults(7))) != list(map(str, all_faults(8)))


def test_each_kind_of_fault_comes_once_before_any_comes_twice() -> None:
  names = [fault.name for fault in all_faults(3)]
  kinds = len(set(names))
  assert len(set(names[:kinds])) == kinds


def test_a_defect_is_in_the_summary_and_in_the_table(
  tmp_path: pathlib.Path,
) -> None:
  log = tmp_path / "log"
  table.append(log, 5, Verdict("good", hit="killed 1", outcome="moved"))
  bad = Verdict("bad", hit="killed 1", outcome="neither", defects=["LOST: x"])
  table.append(log, 5, bad)
  found = table.load(log)
  assert json.loads(log.read_text().splitlines()[0])["seed"] == 5
  text = table.as_rst(found, {"commit": "0"})
  assert "2 faults struck" in text
  assert "1 lost, 1 with any defect" in text
  assert "DEFECT LOST: x" in text


def test_the_witness_can_tell_lines_apart() -> None:
  assert line(1) != line(2)
  assert line(7).split()[0] == b"7"


@pytest.mark.parametrize("tree", [".", "pids", "unified"])
def test_group_that_was_left_is_seen_in_every_tree(
  tmp_path: pathlib.Path, tree: str
) -> None:
  assert leftovers.groups_of(tmp_path, "i.lab") == []
  left = tmp_path / tree / "ganeti-lxc/i.lab"
  left.mkdir(parents=True)
  assert leftovers.groups_of(tmp_path, "i.lab") == [str(left)]
  assert leftovers.groups_of(tmp_path, "other.lab") == []
