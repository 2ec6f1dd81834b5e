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

"""The program ganeti-lxc-doctor."""

import io
import json
import os
import pathlib
import sys

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.doctor import program
from ganeti.hypervisor.hv_lxc.doctor.facts import (
  Facts,
  differences,
  from_text,
  to_text,
)
from unit.hypervisor.hv_lxc import fake_node
from unit.hypervisor.hv_lxc.doctor.samples import FACTS
from unit.hypervisor.hv_lxc.doctor.test_reading import FakeProc
from unit.hypervisor.hv_lxc.fake_groups import NAME, FakeGroups, write
from unit.hypervisor.hv_lxc.fake_node import FakeNode

CPUINFO = "processor : 0\nmodel name\t: Test CPU\nflags\t\t: sse2 fpu avx\n"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeNode:
  found = fake_node.debian_13_v2(tmp_path)
  found.write("proc/cpuinfo", CPUINFO)
  return found


@pytest.fixture
def guest(tmp_path: pathlib.Path, node: FakeNode) -> FakeProc:
  """An instance on that node."""
  groups = FakeGroups.make(tmp_path, "v2")
  groups.instance(NAME, [99], [100])
  groups.process(99, children="100")
  groups.process(100, chain="100 1")
  return FakeProc(groups)


def doctor(node: FakeNode, *argv: str) -> int:
  return program.main(
    argv,
    node.host,
    root=node.root,
    search_path=str(node.path("bin")),
  )


def test_node_where_all_is_well(
  node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
  assert doctor(node) == program.FINE
  said = capsys.readouterr()
  lines = said.out.splitlines()
  assert "ok        LXC" in lines
  assert "ok        CRIU mem_dirty_track" in lines
  assert lines[-1].endswith(" ok, 0 missing, 0 degraded")
  assert said.err == ""


def test_what_is_missing_comes_first_with_its_remedy(
  node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
  node.remove("bin/ip")
  node.remove("bin/xfs_growfs")
  assert doctor(node) == program.BAD
  lines = capsys.readouterr().out.splitlines()
  assert lines[0].startswith("missing   ip: NICs cannot be set up")
  marks = [line for line in lines if line.strip().startswith("->")]
  assert marks == [
    "          -> run apt-get install --reinstall iproute2",
    "          -> run apt-get install --reinstall xfsprogs",
  ]
  assert any(line.startswith("degraded  xfs_growfs: ") for line in lines)


def test_degraded_alone_is_no_failure(node: FakeNode) -> None:
  node.criu_lacks = {"mem_dirty_track"}
  assert doctor(node) == program.FINE


@pytest.mark.parametrize(
  ("lacking", "said"),
  [
    ("mem_dirty_track", "CONFIG_MEM_SOFT_DIRTY"),
    ("get_rseq_conf", "glibc"),
    ("move_mount_set_group", "namespaces"),
    ("network_lock_nftables", "iptables"),
  ],
)
def test_feature_that_criu_lacks(
  node: FakeNode, capsys: pytest.CaptureFixture[str], lacking: str, said: str
) -> None:
  node.criu_lacks = {lacking}
  doctor(node)
  assert said in capsys.readouterr().out


@pytest.mark.parametrize(
  ("lacking", "package"),
  [("nft", "nftables"), ("iptables-nft-restore", "iptables")],
)
def test_what_saves_the_firewall_of_a_guest(
  node: FakeNode,
  capsys: pytest.CaptureFixture[str],
  lacking: str,
  package: str,
) -> None:
  node.remove(f"bin/{lacking}")
  doctor(node)
  out = capsys.readouterr().out
  assert "degraded  firewalls of guests" in out
  assert f"run apt-get install {package}" in out


def test_criu_that_does_not_start(
  node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
  """As 3.17 of Debian 12 on a kernel that is much newer."""
  node.criu = Result(("criu", "check"), 1, "", "Error: Kernel is too new\n")
  doctor(node)
  assert "Kernel is too new" in capsys.readouterr().out


def test_the_clusters_extra_cgroups_are_looked_for(
  node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
  told = node.host.layout.ssconf("hvparams_lxc")
  told.parent.mkdir(parents=True, exist_ok=True)
  told.write_text(
    "extra_config=lxc.prlimit.nofile=4096\nextra_cgroups=net_cls, blkio\n"
  )
  assert doctor(node) == program.BAD
  out = capsys.readouterr().out
  assert "missing   cgroup net_cls" in out
  assert "ok        cgroup blkio" in out


def test_json_of_a_node(
  node: FakeNode, capsys: pytest.CaptureFixture[str]
) -> None:
  node.remove("bin/ip")
  assert doctor(node, "--json") == program.BAD
  data = json.loads(capsys.readouterr().out)
  (missing,) = [r for r in data["requirements"] if r["state"] == "missing"]
  assert missing["subject"] == "ip"
  assert missing["remedy"] == "run apt-get install --reinstall iproute2"
  assert data["facts"]["cpu_flags"] == ["avx", "fpu", "sse2"]


def test_ordinary_user_is_told_in_one_line_what_is_left_out(
  node: FakeNode,
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(os, "geteuid", lambda: 1000)
  assert doctor(node) == program.FINE
  said = capsys.readouterr()
  assert said.err.count("\n") == 1
  assert "not root" in said.err
  assert "cgroup memory" in said.err
  assert said.out.splitlines()[-1].endswith(" unknown")


def test_instance_that_can_be_migrated(
  node: FakeNode, guest: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
  assert doctor(node, NAME) == program.FINE
  out = capsys.readouterr().out
  assert out.startswith(f"{NAME} can be migrated live from this node now\n")
  assert "Test CPU, 3 flags" in out
  assert "--compare FILE" in out


def test_instance_that_cannot(
  node: FakeNode, guest: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
  guest.open(7, "anon_inode:[io_uring]")
  guest.open(8, "anon_inode:[io_uring]")
  before = node.contents()
  assert doctor(node, NAME) == program.BAD
  out = capsys.readouterr().out
  assert out.startswith(f"{NAME} cannot be migrated live")
  assert "nginx           fd 7 anon_inode:[io_uring]" in out
  assert out.count("CRIU cannot save io_uring") == 1
  assert node.contents() == before


@pytest.mark.parametrize("argv", [(), ("--json",)])
def test_a_file_whose_name_is_no_utf_8_is_no_traceback(
  node: FakeNode,
  guest: FakeProc,
  capsys: pytest.CaptureFixture[str],
  argv: tuple[str, ...],
) -> None:
  guest.open(7, os.fsdecode(b"/srv/caf\xe9"), mount=999)
  assert doctor(node, *argv, NAME) == program.BAD
  assert "/srv/caf\\xe9" in capsys.readouterr().out.replace("\\\\", "\\")


def test_a_terminal_with_few_characters_is_no_traceback(
  node: FakeNode, guest: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
  stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
  monkeypatch.setattr(sys, "stdout", stream)
  guest.open(7, "/srv/\u96ea", mount=999)
  assert doctor(node, NAME) == program.BAD
  stream.seek(0)
  assert "/srv/\\u96ea" in stream.read()


def test_json_of_an_instance(
  node: FakeNode, guest: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
  guest.open(7, "anon_inode:[io_uring]")
  assert doctor(node, "--json", NAME) == program.BAD
  data = json.loads(capsys.readouterr().out)
  assert data["migratable"] is False
  (blocker,) = data["blockers"]
  assert blocker["pid"] == 100
  assert set(blocker) == {"pid", "command", "object", "reason", "remedy"}


def test_no_criu_stands_in_the_way(
  node: FakeNode, guest: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
  node.remove("bin/criu")
  assert doctor(node, NAME) == program.BAD
  assert "  node: CRIU is not installed" in capsys.readouterr().out


def test_instance_that_is_not_here(
  node: FakeNode, guest: FakeProc, capsys: pytest.CaptureFixture[str]
) -> None:
  assert doctor(node, "other.example.com") == program.UNANSWERED
  said = capsys.readouterr()
  assert said.out == ""
  assert "does not run on this node" in said.err


def test_wrong_option_is_no_answer(node: FakeNode) -> None:
  with pytest.raises(SystemExit) as end:
    doctor(node, "--nonsense")
  assert end.value.code == program.UNANSWERED


def test_compare_with_a_node_that_is_alike(
  node: FakeNode,
  guest: FakeProc,
  capsys: pytest.CaptureFixture[str],
  tmp_path: pathlib.Path,
) -> None:
  assert doctor(node, "--facts") == program.FINE
  file = tmp_path / "facts.json"
  write(file, capsys.readouterr().out)
  assert doctor(node, "--compare", str(file), NAME) == program.FINE


def test_compare_with_a_lesser_node(
  node: FakeNode,
  guest: FakeProc,
  capsys: pytest.CaptureFixture[str],
  tmp_path: pathlib.Path,
) -> None:
  doctor(node, "--facts")
  file = tmp_path / "facts.json"
  write(file, capsys.readouterr().out.replace('"avx",\n', ""))
  assert doctor(node, "--compare", str(file), NAME) == program.BAD
  assert "lacks what the source's has: avx" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\0"])
def test_file_that_holds_no_facts(
  node: FakeNode,
  guest: FakeProc,
  capsys: pytest.CaptureFixture[str],
  tmp_path: pathlib.Path,
  text: str,
) -> None:
  file = tmp_path / "facts.json"
  write(file, text)
  assert doctor(node, "--compare", str(file), NAME) == program.UNANSWERED
  assert "does not hold a node's facts" in capsys.readouterr().err


def changed(**values: object) -> Facts:
  text = json.loads(to_text(FACTS))
  return from_text(json.dumps({**text, **values}))


@pytest.mark.parametrize(
  ("values", "said"),
  [
    ({"cpu_flags": ["sse"]}, "avx"),
    ({"criu": "3.17.1"}, "CRIU 3.17.1"),
    ({"criu": ""}, "CRIU is not on the target"),
    ({"lxc": "5.0.2"}, "LXC 5.0.2"),
    ({"kernel": "6.1.0-18-amd64"}, "Linux 6.1.0"),
    ({"cgroup": "hybrid"}, "control groups differ"),
    ({"apparmor": False}, "AppArmor differ"),
    ({"criu_features": []}, "mem_dirty_track"),
  ],
)
def test_differences(values: dict[str, object], said: str) -> None:
  (problem,) = differences(FACTS, changed(**values))
  assert said in problem.what


def test_newer_target_is_fine() -> None:
  target = changed(
    criu="4.2", lxc="6.0.5", kernel="6.18.1", cpu_flags=["avx", "sse", "x"]
  )
  assert differences(FACTS, target) == ()
