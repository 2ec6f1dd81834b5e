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

"""What is switched off, what the suite is told, what other programs print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from ganeti_lab.errors import LabError
from ganeti_lab.plan import LabPlan
from ganeti_qa import burnin, cli, configuration, exclusions, suite, units
from ganeti_qa.configuration import Site
from ganeti_qa.exclusions import Exclusion
from ganeti_qa.source import Source
from ganeti_qa.verdict import Row

if TYPE_CHECKING:
  import pathlib

SITE = Site(LabPlan("lab", 3), "namespace", "/check")


class TestExclusions:
  def test_the_file_itself(self) -> None:
    found = exclusions.parse(exclusions.FILE.read_text())
    assert all(e.reason for e in found)

  def test_every_backend_has_what_holds_everywhere(self) -> None:
    text = '[any-hypervisor]\na = "x"\n[driver]\nb = "x"\n[vm]\nc = "x"\n'
    found = exclusions.parse(text)
    assert sorted(exclusions.for_backend(found, "namespace")) == ["a", "b"]
    assert sorted(exclusions.for_backend(found, "vm")) == ["a", "b", "c"]

  @pytest.mark.parametrize(
    "text", ["[monday]\na = 'x'", "[vm]\na = ''", "[vm]\na = 1", "[vm"]
  )
  def test_a_file_that_is_none(self, text: str) -> None:
    with pytest.raises(LabError, match="ganeti-qa-exclusions"):
      exclusions.parse(text)

  def test_an_exclusion_of_no_test(self) -> None:
    wrong = Exclusion("cluster-upgrad", "vm", "x")
    with pytest.raises(LabError, match="cluster-upgrad;"):
      exclusions.check([wrong], frozenset({"cluster-upgrade"}))

  def test_a_template_may_follow_a_function(self) -> None:
    one = Exclusion("qa_node.TestX[file]", "vm", "x")
    exclusions.check([one], frozenset({"qa_node.TestX"}))

  def test_names_of_a_suite(self, tmp_path: pathlib.Path) -> None:
    qa = tmp_path / "qa"
    qa.mkdir()
    sample = {"tests": {"# note": None, "env": True}}
    (qa / "qa-sample.json").write_text(json.dumps(sample))
    (qa / "ganeti-qa.py").write_text(
      'RunTestIf("node-list", f)\nReportTestSkip("A b", "c d")\n'
    )
    (qa / "qa_node.py").write_text("def TestX(): pass\ndef _Help(): pass\n")
    known = exclusions.known_tests(tmp_path)
    assert known == {"env", "node-list", "c d", "qa_node.TestX"}


class TestConfiguration:
  def test_instances_have_two_disks(self) -> None:
    assert len(configuration.of(SITE)["disks"]) == 2

  @pytest.mark.parametrize("backend", exclusions.BACKENDS)
  def test_no_instance_without_disks_is_asked_for(self, backend: str) -> None:
    """gnt-instance add ... --disk-template=diskless ... failed."""
    made = configuration.of(Site(SITE.lab, backend, "/check"))
    assert "diskless" not in made["enabled-disk-templates"]
    assert "diskless" not in made["convert-disk-templates"]

  def test_all_but_what_is_off(self) -> None:
    site = Site(SITE.lab, "vm", "/check", frozenset({"os", "qa_os.TestOsList"}))
    assert configuration.of(site)["tests"] == {"default": True, "os": False}

  def test_the_core_and_nothing_else(self) -> None:
    site = Site(SITE.lab, "vm", "/check", frozenset({"b"}), ("a", "b"))
    assert configuration.of(site)["tests"] == {
      "default": False,
      "a": True,
      "b": False,
    }

  def test_addresses_differ(self) -> None:
    nodes = configuration.of(SITE)["nodes"]
    assert len({node["secondary"] for node in nodes}) == 3
    taken = {SITE.lab.address(node) for node in SITE.lab.nodes}
    taken.add(SITE.lab.cluster_address)
    assert configuration.renamed_address(SITE.lab) not in taken


class TestStage:
  def test_the_suite_finds_burnin_beside_its_own_directory(
    self, tmp_path: pathlib.Path
  ) -> None:
    """TestClusterBurnin: No such file: '.../suite/qa/../tools/burnin'."""
    made = Source("trixie", "3.1", tmp_path / "fetched")
    (made.top / "qa").mkdir(parents=True)
    for modules in made.modules:
      modules.mkdir()
    suite.stage(tmp_path / "stage", made, SITE, {})
    staged = tmp_path / "stage/suite/qa/../tools/burnin"
    assert staged.stat().st_mode & 0o700 == 0o700
    assert "--no-add-disks" in staged.read_text()


class TestBurnin:
  def test_steps(self) -> None:
    steps = burnin.Steps("r")
    lines = [
      "- Testing global parameters",
      "- Creating instances",
      "  * instance a",
      "- Skipping migration (...)",
      "- Rebooting instances",
    ]
    for second, line in enumerate(lines):
      steps.line(f"{line}\n", float(second))
    steps.end(9.0)
    assert steps.rows == [
      Row("burnin [r]: Creating instances", "passed", 3.0),
      Row("burnin [r]: Rebooting instances", "passed", 5.0),
    ]

  def test_the_step_that_failed(self) -> None:
    steps = burnin.Steps("r")
    steps.line("- Creating instances\n", 1.0)
    steps.end(3.0, "Failure: no")
    assert [row.result for row in steps.rows] == ["failed"]
    assert steps.rows[0].note == "Failure: no"

  def test_no_step_follows_a_failure(self) -> None:
    steps = burnin.Steps("r")
    for line in (
      "- Attaching and removing disks",
      "- Non-idempotent opcode failed, aborting",
      "- Error detected: opcode buffer follows:",
      "- Sat Nov 21 15:05:56 2026 * disk 0, size 256M",
      "- Removing instances",
    ):
      steps.line(f"{line}\n", 1.0)
    steps.end(3.0, "no")
    assert steps.rows == [
      Row("burnin [r]: Attaching and removing disks", "failed", 2.0, "no")
    ]

  def test_what_burnin_tried_again(self) -> None:
    steps = burnin.Steps("r")
    steps.line("- Rebooting instances\n", 1.0)
    steps.line("Idempotent opcode succeeded after 1 retries\n", 2.0)
    steps.line("Idempotent opcode failed, retry #1/3: no\n", 2.0)
    assert len(steps.retries) == 2


def note(test: str, result: str) -> str:
  return json.dumps({"test": test, "result": result, "message": "why"}) + "\n"


class TestUnits:
  def test_rows(self) -> None:
    noted = note("TestX.testA", "passed") + note("TestX.testB", "failed")
    rows = units.rows_of("p", noted, "FAILED (failures=1)", 1, 1.0)
    assert rows == [
      Row("p TestX.testA", "passed", 0.0, "why"),
      Row("p TestX.testB", "failed", 0.0, "why"),
    ]

  @pytest.mark.parametrize(
    ("noted", "status"),
    [("", 1), ("", 0), (note("TestX.testA", "passed"), -11)],
  )
  def test_a_program_that_fails_by_itself(
    self, noted: str, status: int
  ) -> None:
    rows = units.rows_of("p", noted, "ImportError: no\n", status, 1.0)
    failed = [row for row in rows if row.result == "failed"]
    assert failed == [Row("p", "failed", 1.0, "ImportError: no")]


class TestCommandLine:
  @pytest.mark.parametrize(
    ("argv", "kind"),
    [
      ([], "suite-namespace-trixie"),
      (["--only", "x"], "suite-namespace-trixie"),
      (["--core"], "core-trixie"),
      (["--burnin", "--release=bookworm"], "burnin-bookworm"),
      (["--unit"], "unit-trixie"),
    ],
  )
  def test_kinds(self, argv: list[str], kind: str) -> None:
    assert cli.kind_of(cli.parser().parse_args(argv)) == kind

  def test_the_suite_is_not_blamed_for_not_running_unit_tests(self) -> None:
    found = exclusions.parse(exclusions.FILE.read_text())
    assert not set(units.PROGRAMS) & set(cli.of_suite(found, "vm"))
    assert set(units.PROGRAMS) & {e.name for e in found}

  def test_a_pattern_that_is_none(
    self, capsys: pytest.CaptureFixture[str]
  ) -> None:
    with pytest.raises(SystemExit):
      cli.main(["--only", "("])
    assert "--only" in capsys.readouterr().err
