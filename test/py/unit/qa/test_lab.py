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

"""Records, images, installation and command line of the lab command."""

from __future__ import annotations

import itertools
import pathlib
import subprocess
import tarfile
from io import BytesIO, StringIO

import pytest
from ganeti_lab import (
  boot,
  checkout,
  cli,
  cluster,
  command,
  criu,
  image,
  install,
  keys,
  lab,
  network,
  plan,
  progress,
  state,
  status,
)
from ganeti_lab.errors import LabCommandError, LabError, describe


class TestState:
  RECORD = state.State("lab", "trixie", 2, driver=True, devices=("0:64",))

  def test_round_trip(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path)
    assert state.load("lab") is None
    saved = self.RECORD.but(phase=state.Phase.UP)
    assert state.load("lab") == saved
    assert state.labs() == ["lab"]
    state.forget("lab")
    state.forget("lab")
    assert state.labs() == []

  @pytest.mark.parametrize("text", ["", "{}", "[]", '{"phase": "odd"}'])
  def test_unreadable(self, text: str) -> None:
    with pytest.raises(LabError, match="cannot be read"):
      state.parse(text)


class TestImage:
  def test_key_follows_the_recipe(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    before = image.kept("trixie").key
    assert before == image.kept("trixie").key != image.kept("bookworm").key
    monkeypatch.setattr(image, "_PACKAGES", ("ganeti",))
    assert image.kept("trixie").key != before

  def test_unknown_release(self) -> None:
    with pytest.raises(LabError, match="trixie, bookworm"):
      image.ensure("woody", progress.Progress(StringIO()))


class TestCriu:
  @pytest.mark.parametrize(
    ("release", "backend", "works"),
    [
      ("trixie", "namespace", True),
      ("trixie", "vm", True),
      ("bookworm", "namespace", False),
      ("bookworm", "vm", True),
    ],
  )
  def test_where_guests_move(
    self, release: str, backend: str, *, works: bool
  ) -> None:
    reason = criu.reason_against(release, backend)
    assert (reason == "") == works


class TestCheckout:
  def test_without_git_hidden_files_of_the_top_stay(
    self, tmp_path: pathlib.Path
  ) -> None:
    for name in (".git/config", "a", "b/.c"):
      path = tmp_path / name
      path.parent.mkdir(exist_ok=True)
      path.write_text("x")
    assert checkout._all_files(tmp_path) == ["a", "b/.c"]

  @pytest.mark.parametrize(
    ("changed", "expected"),
    [(b"", "1234abc"), (b"lib/x\n", "1234abc, with changes in lib")],
  )
  def test_a_commit_that_was_changed_is_told(
    self, monkeypatch: pytest.MonkeyPatch, changed: bytes, expected: str
  ) -> None:
    answers = {"rev-parse": b"1234abc\n", "diff": changed}
    monkeypatch.setattr(checkout, "git", lambda word, *_, **__: answers[word])
    assert checkout.commit() == expected

  def test_without_git_there_is_no_commit(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    def missing(*_: object, **__: object) -> None:
      raise FileNotFoundError("git")

    monkeypatch.setattr(checkout.subprocess, "run", missing)
    assert checkout.commit() == "none"
    with pytest.raises(LabError, match="install it"):
      checkout.git("describe")

  def test_what_git_said_is_in_the_error(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    failed = subprocess.CompletedProcess([], 128, b"", b"fatal: no repository")
    monkeypatch.setattr(checkout.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(LabError, match="fatal: no repository"):
      checkout.git("describe")

  def test_a_file_that_was_removed_is_not_there(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").symlink_to("nowhere")
    monkeypatch.setattr(checkout, "git", lambda *_, **__: b"b\0gone\0a\0")
    assert checkout.files(tmp_path) == ["a", "b"]


class TestInstall:
  def test_archive_belongs_to_root(self, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    data = install.archive(tmp_path, ["a", "link"])
    with tarfile.open(fileobj=BytesIO(data)) as tar:
      assert [(m.name, m.uid, m.issym()) for m in tar] == [
        ("a", 0, False),
        ("link", 0, True),
      ]

  def test_os_definitions_are_those_with_create(
    self, tmp_path: pathlib.Path
  ) -> None:
    (tmp_path / "qa/os/busybox").mkdir(parents=True)
    (tmp_path / "qa/os/busybox/create").write_text("")
    (tmp_path / "qa/os/other").mkdir()
    assert list(install.os_definitions(tmp_path)) == ["busybox"]


class TestCluster:
  def test_default_bridge(self) -> None:
    assert "--nic-parameters=mode=bridged,link=br0" in cluster.init_argv()

  def test_bridge_address_is_the_nodes_own(self) -> None:
    labels = [
      network.node_commands(plan.LabPlan("lab", 12), name)[1]
      for name in ("node1", "node12")
    ]
    assert "02:1a:b0:00:00:01" in labels[0]
    assert "02:1a:b0:00:00:0c" in labels[1]

  def test_known_hosts_name_every_node(self) -> None:
    lab_plan = plan.LabPlan("lab", 2)
    text = keys.known_hosts(lab_plan, ["ssh-rsa AAAA comment\n"])
    names, kind, key = text.split()
    assert {"node1", "node2.lab", lab_plan.address("node2")} < set(
      names.split(",")
    )
    assert (kind, key) == ("ssh-rsa", "AAAA")


class TestCli:
  def test_defaults(self) -> None:
    options = cli.parser().parse_args(["up"])
    assert (options.name, options.nodes, options.release) == (
      "lab",
      2,
      "trixie",
    )
    assert options.no_driver is False

  def test_exec_passes_options_of_the_command(self) -> None:
    options = cli.parser().parse_args(["exec", "node1", "--", "ls", "-l"])
    assert options.node == "node1"
    assert cli.command_of(options.argv) == ["ls", "-l"]

  def test_exec_keeps_a_second_separator(self) -> None:
    argv = ["exec", "node1", "--", "lxc-attach", "--", "ls"]
    options = cli.parser().parse_args(argv)
    assert cli.command_of(options.argv) == ["lxc-attach", "--", "ls"]

  def test_exec_of_nothing(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    with pytest.raises(LabError, match="No command given"):
      cli.command_of(["--"])

  def test_no_such_lab(
    self,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path)
    assert cli.main(["exec", "node1", "--", "true"]) == 1
    assert "There is no lab 'lab'; run: qa/lab" in capsys.readouterr().err

  def test_no_such_node(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path)
    TestState.RECORD.save()
    with pytest.raises(LabError, match="it has node1, node2"):
      lab.node("lab", "node3")

  @pytest.mark.parametrize(
    ("options", "has_cluster"), [([], True), (["--bare"], False)]
  )
  def test_bare_nodes_get_no_cluster(
    self,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    has_cluster: bool,
  ) -> None:
    asked: list[lab.UpRequest] = []
    monkeypatch.setattr(lab, "up", lambda request, _: asked.append(request))
    assert cli.main(["up", *options]) == 0
    assert [request.cluster for request in asked] == [has_cluster]


class TestErrors:
  def test_shows_the_last_lines(self) -> None:
    output = "".join(f"line {i}\n" for i in range(40))
    text = str(LabCommandError("a step", ["x", "a b"], 3, output))
    assert text.startswith("a step: command failed with exit status 3: x 'a b'")
    assert "line 39" in text
    assert "line 20\n" not in text

  def test_signal(self) -> None:
    assert describe(-9) == "signal 9"

  def test_step_says_how_it_ended(self) -> None:
    stream = StringIO()
    shown = progress.Progress(stream)
    with shown.step("good"):
      pass
    with pytest.raises(LabError), shown.step("bad"):
      raise LabError("x")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert "bad: FAILED" in lines[3]


def test_environment_is_not_the_callers(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("PYTHONPATH", "/x")
  monkeypatch.setenv("TERM", "vt220")
  found = command.environment({"A": "b"})
  assert "PYTHONPATH" not in found
  assert (found["TERM"], found["A"]) == ("vt220", "b")


def test_status_text() -> None:
  row = {"name": "node1", "address": "10.0.0.1", "state": "running", "pid": 7}
  text = status.as_text(
    {
      "name": "lab",
      "phase": "up",
      "release": "trixie",
      "cluster": "c",
      "master": "node1",
      "nodes": [row],
    }
  )
  assert "node1" in text.splitlines()[1]


def test_missing_directories_are_made_above_the_image(
  tmp_path: pathlib.Path,
) -> None:
  lower = tmp_path / "lower"
  (lower / "there").mkdir(parents=True)
  binds = tuple(
    boot.Bind(tmp_path / "data" / name, f"/{name}") for name in ("there", "new")
  )
  spec = boot.BootSpec("n", str(lower), tmp_path / "node", binds, ())
  boot.prepare(spec)
  made = {path.name for path in (tmp_path / "node/upper").iterdir()}
  assert made == {"new"}
  assert all(bind.source.is_dir() for bind in binds)


def test_no_two_nodes_share_a_directory() -> None:
  lab_plan = plan.LabPlan("lab", 3)
  for one, two in itertools.combinations(lab_plan.nodes, 2):
    assert lab_plan.node_dir(one) != lab_plan.node_dir(two)
