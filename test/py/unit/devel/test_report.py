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


"""The report of devel/bench: what it says is what was measured."""

import json
import re
from typing import Any

import pytest
from benchmark import moving, page, peers, quoting, recorded, report
from benchmark.figures import Figure
from benchmark.findings import Attempt, Findings
from benchmark.recorded import Run

_MEASURED = re.compile(r"\d+(\.\d+)? (ms|s|times)\b")


def run_of(*figures: Figure, **more: Any) -> Run:
  """A run as it comes back from JSON."""
  findings = Findings(figures=list(figures), **more)
  data = {
    **findings.to_dict(),
    "command": "devel/bench --report there",
    "machine": {
      "cpu": "<a CPU>",
      "cpus": 2,
      "memory_mib": 24576,
      "kind": "nodes in namespaces",
    },
    "versions": {"date": "today", "kernel": "6.18", "lxc": "6.0.4"},
  }
  return Run(json.loads(json.dumps(data)))


START = Figure(
  name="StartInstance",
  unit="ms",
  ours=(100.0, 120.0, 110.0, 500.0),
  other=(100.0, 100.0, 100.0),
  against="bare commands",
  peers={"podman": (220.0, 230.0)},
)
REFUSED = Attempt(
  peer="incus",
  what="start & stop",
  able=False,
  command="incus start x",
  last_line="Error: <no> `cgroup`",
)


# Statistics


def test_a_spread_tells_number_median_and_the_middle_half() -> None:
  found = recorded.spread([1.0, 2.0, 3.0, 4.0, 100.0])
  assert (found.n, found.median) == (5, 3.0)
  assert (found.low, found.high) == (2.0, 4.0)
  assert (found.least, found.greatest) == (1.0, 100.0)
  assert found.told("ms") == "3.00 ms (n 5, middle half 2.00 to 4.00)"


def test_a_spread_of_one_sample_is_that_sample() -> None:
  found = recorded.spread([7.0])
  assert (found.low, found.median, found.high) == (7.0, 7.0, 7.0)


def test_no_sample_is_no_figure() -> None:
  with pytest.raises(ValueError, match="no samples"):
    recorded.spread([])


@pytest.mark.parametrize(
  ("value", "text"),
  [(1234.5, "1234"), (99.96, "100.0"), (12.34, "12.3"), (0.5, "0.50")],
)
def test_digits(value: float, text: str) -> None:
  assert recorded.number(value) == text


@pytest.mark.parametrize(
  ("ratio", "text"),
  [(1.149, "1.15 times"), (0.9, "0.90 times"), (0.02, "1/50")],
)
def test_ratios(ratio: float, text: str) -> None:
  assert recorded.times(ratio) == text


def test_the_longest_gap_is_between_two_answers() -> None:
  client = [(0.0, 1), (0.1, 2), (0.9, 3), (1.0, 4)]
  assert recorded.longest_gap(client) == (0.1, 0.9)
  assert recorded.longest_gap(client, after=0.95) == (0.9, 1.0)


def test_the_migration_in_the_middle_is_a_real_one() -> None:
  courses = [{"stall_ms": s} for s in (300, 100, 200, 400)]
  assert recorded.median_course(courses)["stall_ms"] == 200


# What was seen of a migration


def progress(phase: str, sent: int = 0) -> str:
  return json.dumps({"phase": phase, "sent": sent})


def test_a_course_counts_from_the_command_and_knows_frozen_and_sent() -> None:
  seen = [
    [9.0, "progress", progress("done", 999)],  # of the migration before
    [9.0, "v1", "THAWED\n"],
    [10.1, "progress", progress("starting")],
    [10.2, "progress", progress("dump")],
    [10.3, "v1", "FROZEN\n"],
    [10.4, "progress", progress("restore", 1 << 20)],
    [10.4, "v1", ""],
    [10.8, "progress", progress("done", 1 << 20)],
  ]
  told = {"stall": 0.55, "lost": 0, "repeated": 0}
  course = moving.course_of(seen, [(10.25, 7)], told, 10.0, 12.0)
  assert [name for name, _ in course["phases"]] == [
    "starting",
    "dump",
    "restore",
    "done",
  ]
  assert course["sent"] == 1 << 20
  assert course["rounds"] == 1
  assert course["frozen_ms"] == pytest.approx(500)
  assert course["stall_ms"] == pytest.approx(550)
  assert course["client"] == [(0.25, 7)]
  spans = moving.median_phases([course])
  assert spans["dump"] == pytest.approx(200)


@pytest.mark.parametrize(
  ("kind", "text", "frozen"),
  [
    ("v1", "FROZEN\n", True),
    ("v1", "FREEZING\n", True),
    ("v1", "THAWED\n", False),
    ("v1", "", False),
    ("v2", "populated 1\nfrozen 1\n", True),
    ("v2", "populated 1\nfrozen 0\n", False),
  ],
)
def test_frozen(kind: str, text: str, frozen: bool) -> None:
  assert moving.is_frozen(kind, text) == frozen


# Peers


def test_a_peers_failure_names_its_last_command_and_line() -> None:
  log = "+ podman run x\nTrying\n+ podman ps\n+ cat\nError: no such thing\n\n"
  found = peers.failure("a script", log)
  assert (found.command, found.last_line) == ("cat", "Error: no such thing")


def test_a_peer_that_says_nothing_is_told_so() -> None:
  found = peers.failure("a script", "+ false\n")
  assert (found.command, found.last_line) == ("false", "it printed nothing")


def test_a_peer_that_fails_is_noted_and_asked_no_more() -> None:
  class Peer:
    name = "podman"

  def work(_peer: Any) -> None:
    raise peers.PeerError("podman run", "no")

  findings = Findings()
  asked: Any = [Peer()]
  assert peers.trying(asked, findings, "start", work) == []
  assert findings.attempts == [
    Attempt(
      peer="podman",
      what="start",
      able=False,
      command="podman run",
      last_line="no",
    )
  ]


# The page


def test_the_page_needs_nothing_else_and_escapes_what_it_is_told() -> None:
  section = page.Section(
    title="Start <now>",
    says="fast",
    plot=lambda: "<svg></svg>",
    figures=["StartInstance"],
    parts=["lifecycle"],
    commands=["lxc-start <name>"],
  )
  run = run_of(START, attempts=[REFUSED])
  text = page.page(run, [page.Tile("1 & 2", "what", "n 3")], [section])
  assert "<a CPU>" not in text
  assert "Start &lt;now&gt;" in text
  assert "lxc-start &lt;name&gt;" in text
  assert "1 &amp; 2" in text
  assert "&lt;no&gt;" in text
  assert not re.search(r'(src|href)="(?!data:)', text)
  assert "<script" not in text


def test_every_figure_of_the_page_tells_number_and_spread() -> None:
  text = page.page(run_of(START), [], [])
  row = next(x for x in text.splitlines() if "bare commands</td>" in x)
  cells = re.findall(r'<td class="n">([^<]*)</td>', row)
  assert cells == ["100 ms", "3", "100 to 100", "100 to 100", "1.15 times"]
  assert ">podman</td>" in text


def test_a_page_without_failures_says_so() -> None:
  assert "Everybody did all" in page.page(run_of(START), [], [])


def test_load_is_told_where_it_was_recorded() -> None:
  loads = [
    {"part": "lifecycle", "before": 0.5, "after": 2.0},
    {"part": "listing", "before": 9.0, "after": 9.0},
  ]
  run = run_of(START, loads=loads)
  assert run.load_of("lifecycle") == "load average 0.5 to 2.0"
  assert run.load_of("migration") == "load average not recorded"


# The record, and the text that quotes it


def test_a_record_reads_back_as_it_was() -> None:
  data = run_of(START, attempts=[REFUSED]).data
  text = report.text_of(data)
  assert json.loads(text) == data
  assert max(map(len, text.splitlines())) < 1000


def test_only_the_migration_that_is_shown_keeps_what_its_client_got() -> None:
  courses = [
    {"held_mib": 0, "stall_ms": s, "client": [(0, 1)]} for s in (1, 2, 3)
  ]
  kept = report.thinned({"courses": {"migration": courses}})
  found = [bool(c["client"]) for c in kept["courses"]["migration"]]
  assert found == [False, True, False]


def test_a_quotation_replaces_what_is_between_the_marks_alone() -> None:
  text = (
    "before\n\n.. recorded figures begin: devel/bench --record\nold\n"
    ".. recorded figures end\n\nafter\n"
  )
  run = run_of(START, attempts=[REFUSED])
  once = quoting.quoted(text, run)
  assert "old" not in once
  assert once.startswith("before\n")
  assert once.endswith("\n\nafter\n")
  assert "* - StartInstance\n     - ganeti-lxc\n     - 115 ms\n" in once
  assert "ours 0.51 times" in once
  assert "``Error: <no> 'cgroup'``" in once
  assert quoting.quoted(once, run) == once


def test_a_text_without_marks_is_refused() -> None:
  with pytest.raises(ValueError, match="recorded figures begin"):
    quoting.quoted("nothing", run_of(START))


def test_what_is_measured_later_counts() -> None:
  kept = run_of(START, loads=[{"part": "imports", "before": 1, "after": 1}])
  start = Figure(name="StartInstance", unit="ms", ours=(1.0,))
  more = run_of(start, loads=[{"part": "migration", "before": 2, "after": 2}])
  found = Run(report.joined(kept.data, more.data))
  assert found.figure("StartInstance") == more.figure("StartInstance")
  assert len(found.figures) == 1
  assert found.load_of("imports", "migration") == "load average 1.0 to 2.0"
  assert found.data["command"].count("devel/bench") == 2


def test_the_documents_figures_are_the_recorded_ones() -> None:
  text = report.TEXT.read_text(encoding="utf-8")
  assert quoting.quoted(text, Run.load(report.RECORD)) == text


def test_no_other_measured_figure_is_in_the_document() -> None:
  text = quoting.outside(report.TEXT.read_text(encoding="utf-8"))
  assert not _MEASURED.findall(text)


def test_the_record_has_every_plot() -> None:
  run = Run.load(report.RECORD)
  for name in (
    "StartInstance",
    "StopInstance(force), CleanupInstance",
    "GetAllInstancesInfo, 200 containers",
    "migration: stall of a client, 0 MiB held",
  ):
    assert run.figure(name), name
  assert run.course("ballooning")
  assert run.course("migration")
