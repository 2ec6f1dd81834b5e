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

"""qa/run: which cluster, reached how, and what a run amounts to."""

import json
import pathlib
from typing import Any

import pytest
from cluster import run, site, verdicts
from cluster.remote import SshNode
from cluster.run import Row
from cluster.site import SiteError
from ganeti_lab.errors import LabError

EXAMPLE = pathlib.Path(run.TOP, "qa/example.json")
LEAST = {
  "nodes": [{"primary": "a.example"}, {"primary": "b.example"}],
  "instances": [{"name": "i1.example"}],
}


def parsed(**changes: Any) -> site.Site:
  return site.parse(json.dumps({**LEAST, **changes}), "my.json")


class TestFile:
  def test_example(self) -> None:
    found = site.load(EXAMPLE)
    assert [h.name for h in found.hosts] == [
      "node1.example.com",
      "node2.example.com",
    ]
    assert found.hosts[1].address == "192.0.2.12"
    assert len(found.instances) == 16
    assert found.link == "br0"
    assert dict(found.wanted)["default"]

  def test_the_least_there_may_be(self) -> None:
    found = parsed()
    assert found.hosts[0] == site.Host("a.example", "a.example")
    assert found.access == site.Access("root", (), ())
    assert found.templates == ("sharedfile", "file")
    assert not found.own_kernels
    assert found.moves_live

  def test_what_ganetis_suite_alone_understands_is_borne(self) -> None:
    parsed(
      **{
        "# Comment": "as in qa-sample.json",
        "name": "cluster.example",
        "options": {"burnin-instances": 2},
        "tests": {"# All": "of them", "default": True},
      }
    )

  @pytest.mark.parametrize(
    ("changes", "said"),
    [
      ({"nodes": []}, "need 2 nodes, and there are none"),
      ({"nodes": [{"primary": "a"}]}, "need 2 nodes, and there is one"),
      ({"nodes": [{"primary": "a"}, {"primary": "a"}]}, "there twice"),
      ({"nodes": [{"name": "a"}, {"name": "b"}]}, "'primary' is missing"),
      ({"nodes": "a b"}, "'nodes' should be a list"),
      ({"nodes": ["a", "b"]}, "'nodes' should hold nothing but objects"),
      ({"instances": [{"name": 7}]}, "'name' should be a str, and is 7"),
      ({"options": {"ssh-user": 1}}, "options: 'ssh-user' should be a str"),
      ({"options": {"ssh-enter": [1]}}, "'ssh-enter' should hold nothing but"),
      ({"options": {"ssh-usr": "x"}}, "nothing is known of 'ssh-usr'"),
      ({"tests": {"default": "no"}}, "'default' is neither true nor false"),
    ],
  )
  def test_mistakes_are_told(self, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SiteError) as caught:
      parsed(**changes)
    assert said in str(caught.value)
    assert "my.json" in str(caught.value)

  @pytest.mark.parametrize("text", ["{", "[]", "7", '"x"'])
  def test_what_is_no_object_is_refused(self, text: str) -> None:
    with pytest.raises(SiteError, match=r"my\.json"):
      site.parse(text, "my.json")

  def test_file_that_is_not_there(self, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SiteError, match="cannot be read"):
      site.load(tmp_path / "none.json")


class TestNode:
  SITE = parsed(
    nodes=[
      {"primary": "a.example", "address": "192.0.2.1"},
      {"primary": "b.example"},
    ],
    options={
      "ssh-user": "admin",
      "ssh-enter": ["ip", "netns", "exec", "test"],
      "ssh-options": ["Port=2222", "LogLevel=DEBUG"],
    },
  )

  def test_command_line(self) -> None:
    argv = SshNode("", "a.example", self.SITE).argv(["echo", "a b", "$c"])
    assert argv[:5] == ["ip", "netns", "exec", "test", "ssh"]
    assert argv[-2] == "admin@192.0.2.1"
    assert argv[-1].startswith("cd /; /usr/bin/env ")
    assert "echo 'a b' '$c'; exit" in argv[-1]

  def test_the_operators_settings_win(self) -> None:
    argv = SshNode("", "b.example", self.SITE).argv(["true"])
    assert argv.index("-oLogLevel=DEBUG") < argv.index("-oLogLevel=ERROR")
    assert "-oPort=2222" in argv
    assert "-tt" not in argv

  def test_terminal(self) -> None:
    argv = SshNode("", "b.example", self.SITE).on_terminal(["bash"])
    assert argv[-3] == "-tt"

  def test_nobody_sees_its_control_groups(self) -> None:
    node = SshNode("", "a.example", self.SITE)
    assert node.pid is None
    with pytest.raises(LabError, match=r"a\.example is reached by ssh"):
      _ = node.group


class TestChoice:
  @pytest.mark.parametrize(
    ("wanted", "result"),
    [
      ({}, True),
      ({"default": False}, False),
      ({"default": False, "test_nics": True}, True),
      ({"test_nics": True, "test_nics.test_bad_mac": False}, False),
      ({"test_nics.test_bad_mac[zz]": True, "test_nics": False}, True),
      ({"test_disks": False}, True),
    ],
  )
  def test_the_closest_name_counts(
    self, wanted: dict[str, bool], result: bool
  ) -> None:
    assert verdicts.is_wanted("test_nics.test_bad_mac[zz]", wanted) is result

  def test_names(self) -> None:
    name = verdicts.name_of("qa/cluster/test_nics.py::test_bad_mac[z::1]")
    assert name == "test_nics.test_bad_mac[z::1]"
    assert verdicts.known_names([name]) == {
      "default",
      "test_nics",
      "test_nics.test_bad_mac",
      name,
    }


def event(test: str, result: str, reason: str = "") -> dict[str, object]:
  return {"test": test, "result": result, "seconds": 1.0, "reason": reason}


class TestVerdict:
  def test_what_was_left_out_is_never_passed(self) -> None:
    rows, complaints = run.judged(
      [
        event("a", "chosen"),
        event("b", "not run", "no lab"),
        event("a", "passed"),
        event("c", "chosen"),
        event("c", "not run", "the cluster has no OS debian"),
      ]
    )
    assert complaints == []
    assert run.summary(rows, complaints) == "1 passed, 0 failed, 2 not run"
    lines = run.table(rows).splitlines()
    assert lines[0].split() == ["a", "passed", "1.0", "s"]
    assert [line.split()[:3] for line in lines[1:]] == [
      ["b", "not", "run"],
      ["c", "not", "run"],
    ]
    assert lines[2].endswith("the cluster has no OS debian")

  def test_a_story_without_an_end_is_a_failure(self) -> None:
    rows, complaints = run.judged(
      [event("a", "chosen"), event("a", "passed"), event("b", "chosen")]
    )
    assert complaints == ["b did not come to its end"]
    assert run.summary(rows, complaints) == "1 passed, 1 failed, 0 not run"

  def test_failed_clean_up_after_a_pass_is_a_failure(self) -> None:
    rows, _ = run.judged([event("a", "passed"), event("a", "failed", "leak")])
    assert [(r.result, r.reason) for r in rows] == [("failed", "leak")]
    rows, _ = run.judged([event("a", "failed", "no"), event("a", "passed")])
    assert rows == [Row("a", "failed", 1.0, "no")]


class Report:
  """As much of pytest's as is looked at."""

  def __init__(self, when: str, outcome: str, longrepr: object = "") -> None:
    self.nodeid = "qa/cluster/test_x.py::test_y"
    self.duration = 1.0
    self.when = when
    self.outcome = outcome
    self.longrepr = longrepr


SKIPPED = ("file", 1, "Skipped: the cluster has no OS debian")


@pytest.mark.parametrize(
  ("reports", "results"),
  [
    ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")],
     [("passed", "", 3.0)]),
    ([("setup", "passed"), ("call", "failed", "E: x\nmore"),
      ("teardown", "passed")], [("failed", "E: x", 2.0)]),
    ([("setup", "failed", "boom"), ("teardown", "passed")],
     [("failed", "setup: boom", 1.0)]),
    ([("setup", "passed"), ("call", "passed"), ("teardown", "failed", "left")],
     [("failed", "teardown: left", 3.0)]),
    ([("setup", "passed"), ("call", "skipped", SKIPPED),
      ("teardown", "passed")],
     [("not run", "the cluster has no OS debian", 2.0)]),
    ([("setup", "passed"), ("call", "skipped", SKIPPED),
      ("teardown", "failed", "left")],
     [("not run", "the cluster has no OS debian", 2.0),
      ("failed", "teardown: left", 3.0)]),
  ],
)  # fmt: skip
def test_phases_become_one_verdict(
  tmp_path: pathlib.Path, reports: Any, results: Any
) -> None:
  path = tmp_path / "events"
  recorder = verdicts.Recorder(path, "", parsed())
  for one in reports:
    recorder.pytest_runtest_logreport(Report(*one))  # type: ignore[arg-type]
  events = [json.loads(line) for line in path.read_text().splitlines()]
  assert [(e["result"], e["reason"], e["seconds"]) for e in events] == results
  assert {e["test"] for e in events} == {"test_x.test_y"}


def test_every_story_of_the_lab_alone_says_why() -> None:
  """A mark without a reason would be an error only when it is too late."""
  for path in verdicts.TOP.glob("test_*.py"):
    text = path.read_text()
    assert text.count("mark.lab") == text.count('mark.lab("'), path.name


def test_python_without_pytest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(run, "_NEEDED", ("no_such_module",))
  with pytest.raises(SiteError, match="apt-get install python3-no_such_module"):
    run.check(parsed())


def test_bad_pattern_is_an_error_of_usage(
  capsys: pytest.CaptureFixture[str],
) -> None:
  with pytest.raises(SystemExit) as caught:
    run.main(["my.json", "--only", "("])
  assert caught.value.code == 2
  assert "--only '('" in capsys.readouterr().err


def test_bad_file_ends_with_its_own_status(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  path = tmp_path / "my.json"
  path.write_text("{}")
  assert run.main([str(path)]) == 2
  assert "'nodes' is missing" in capsys.readouterr().err
