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
import os
import pathlib
import random
from types import SimpleNamespace
from typing import cast

import pytest
from cluster.cluster import Cluster, Instance, Node
from cluster.migration_faults import acts, eyes, table
from cluster.migration_faults.campaign import Verdict
from cluster.migration_faults.catalogue import all_faults
from cluster.migration_faults.injecting import Context
from cluster.migration_faults.looking import Looking, answers
from cluster.migration_faults.oracle import History, Seen
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
  good = Verdict("good", hit="killed 1", outcome="moved")
  bad = Verdict("bad", hit="killed 1", outcome="neither", defects=["LOST: x"])
  about = {"commit": "0"}
  table.append(log, table.Row(5, good, about), table.Row(5, bad, about))
  assert json.loads(log.read_text().splitlines()[0])["seed"] == 5
  text = table.as_rst(table.load(log))
  assert "2 faults struck" in text
  assert "1 lost, 1 with any defect" in text
  assert "DEFECT LOST: x" in text


def test_kinds_of_guests_and_of_nodes_have_parts_of_the_table(
  tmp_path: pathlib.Path,
) -> None:
  log = tmp_path / "log"
  there = Verdict("a", hit="x", guest="debian on drbd", nodes="machines")
  for verdict in (Verdict("b", hit="x"), there, Verdict("c", hit="x")):
    table.append(log, table.Row(1, verdict, {}))
  text = table.as_rst(table.load(log))
  assert text.count("2 faults struck") == 1
  assert text.count("1 faults struck") == 1
  assert text.index("- c") < text.index("debian on drbd") < text.index("- a")


def test_a_part_names_all_versions_it_was_tried_with(
  tmp_path: pathlib.Path,
) -> None:
  log = tmp_path / "log"
  for kernel in ("6.1", "6.12", "6.1"):
    table.append(log, table.Row(1, Verdict("a", hit="x"), {"kernel": kernel}))
  assert ":kernel: 6.1, 6.12\n" in table.as_rst(table.load(log))


def _at(time: float, *runs: str) -> Seen:
  return Seen(time, {node: ["a"] for node in runs}, [], 0.0)


def test_line_that_was_held_up_does_not_make_two_of_one() -> None:
  """The source is cut off; what it saw comes when the target runs."""
  history = History(2)
  history.add("source", _at(1.0, "source"), 1.1)
  history.add("target", _at(1.0), 1.1)
  history.add("target", _at(20.0, "target"), 20.1)
  history.add("source", _at(10.0), 30.0)
  assert not any(seen.is_doubled for seen in history.since(0.0))


def test_two_at_once_are_seen_whatever_their_clocks_show() -> None:
  history = History(2)
  history.add("source", _at(101.0, "source"), 1.1)
  history.add("target", _at(1.0), 1.1)
  history.add("target", _at(20.0, "target"), 20.1)
  history.add("source", _at(125.0), 25.1)
  assert [seen.is_doubled for seen in history.since(2.0)] == [
    False,
    True,
    False,
  ]


def test_what_was_over_is_not_told_again() -> None:
  history = History(1)
  history.add("all", _at(1.0, "one", "two"), 1.0)
  history.add("all", _at(2.0, "one"), 2.0)
  history.forget(3.0)
  assert history.since(3.0) == [_at(2.0, "one")]


def test_machine_that_is_off_runs_nothing() -> None:
  history = History(2)
  history.add("source", _at(1.0, "source"), 1.0)
  history.add("target", _at(1.0), 1.0)
  history.off("source", 5.0)
  history.add("target", _at(6.0, "target"), 6.0)
  assert history.since(5.5)[-1].boots == {"target": ["a"]}
  assert not any(seen.is_doubled for seen in history.since(0.0))


def test_machine_without_power_is_not_missed_late() -> None:
  history = History(2)
  history.add("source", _at(1.0, "source"), 1.0)
  history.add("target", _at(1.0), 1.0)
  history.add("target", _at(6.0, "target"), 6.0)
  history.off("source", 30.0)
  assert any(seen.is_doubled for seen in history.since(0.0))
  history.off("source", 5.0)
  assert not any(seen.is_doubled for seen in history.since(0.0))


def test_the_witness_can_tell_lines_apart() -> None:
  assert line(1) != line(2)
  assert line(7).split()[0] == b"7"


@pytest.mark.parametrize("tree", [".", "pids", "unified"])
def test_group_that_was_left_is_seen_in_every_tree(
  tmp_path: pathlib.Path, tree: str
) -> None:
  below = "ganeti-lxc/i.lab"
  look = Looking(root=str(tmp_path))
  assert look.groups(below) == []
  left = tmp_path / "sys/fs/cgroup" / tree / below
  left.mkdir(parents=True)
  assert look.groups(below) == [str(left)]
  assert look.groups("ganeti-lxc/other.lab") == []


def test_value_counts_once_it_was_written_anew(tmp_path: pathlib.Path) -> None:
  look = Looking(root=str(tmp_path))
  journal = tmp_path / "journal.json"
  journal.write_text('{"state": "gone"}')
  before = look.stamp("/journal.json")
  old = ("/journal.json", "state", "gone", before, 0.0)
  assert not look.await_value(*old)
  (tmp_path / "new").write_text('{"state": "gone"}')
  (tmp_path / "new").rename(journal)
  assert look.await_value(*old)


def test_program_in_a_node_answers_what_it_is_asked(
  tmp_path: pathlib.Path,
) -> None:
  (tmp_path / "there").touch()
  asked = ['["existing", [["/there", "/not"]]]\n', '["find", ["criu", "i"]]\n']
  look = Looking(os.getpid(), str(tmp_path))
  assert list(answers(look, asked)) == ['[["/there"]]', "[[]]"]
  # It is sent as text, so that it may need nothing else of ours.
  assert "from cluster" not in eyes.program("looking")


def test_a_campaign_waited_for_a_machine_that_it_had_unplugged(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  near, far = Node("lab", "node1"), Node("lab", "node2")
  cluster = SimpleNamespace(master=near, other=lambda _: far)
  monkeypatch.setattr(eyes, "is_machine", lambda _: True)
  monkeypatch.setattr(eyes, "is_off", lambda _: False)
  monkeypatch.setattr(eyes, "look", lambda _: pytest.fail("it was asked"))
  monkeypatch.setattr(acts, "_in_switch", lambda *_: None)
  context = Context(
    cast(Cluster, cluster),
    cast(Instance, None),
    source=near,
    target=far,
    rng=random.Random(1),
    is_over=lambda: False,
  )
  assert acts.cutting(-1)(context) == "unplugged node2"
  assert context.state(far) == "unplugged"
