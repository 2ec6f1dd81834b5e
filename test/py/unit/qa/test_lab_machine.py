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

"""What the lab command knows of the machine it runs on."""

from __future__ import annotations

import os
import pathlib

import pytest
from ganeti_lab import (
  cgroup,
  host,
  loops,
  node,
  plan,
)
from ganeti_lab.errors import LabError

V1_MOUNTS = """\
proc /proc proc rw,relatime 0 0
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset,clone_children 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,release_agent=/a,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0
cgroup /elsewhere cgroup rw,cpuset 0 0
"""


class TestPlan:
  @pytest.mark.parametrize("name", ["lab", "a", "two-3", "x" * 31])
  def test_good_name(self, name: str) -> None:
    plan.check_name(name)

  @pytest.mark.parametrize(
    "name",
    ["", "Lab", "1lab", "a/b", "..", "a b", "lab\n", "x" * 32, "é", "-a"],
  )
  def test_bad_name(self, name: str) -> None:
    with pytest.raises(LabError, match="cannot be used"):
      plan.LabPlan(name, 2)

  @pytest.mark.parametrize("count", [0, -1, plan.MAX_NODES + 1])
  def test_bad_number_of_nodes(self, count: int) -> None:
    with pytest.raises(LabError, match="choose a number"):
      plan.LabPlan("lab", count)

  def test_every_address_is_one_host(self) -> None:
    hosts = plan.LabPlan("lab", plan.MAX_NODES).hosts().splitlines()[2:]
    addresses = [line.split()[0] for line in hosts]
    assert len(set(addresses)) == len(addresses)
    assert all(0 < int(a.rsplit(".", 1)[1]) < 255 for a in addresses)

  def test_hosts(self) -> None:
    lines = plan.LabPlan("lab", 2).hosts().splitlines()
    text = "\n".join(line.split(" ", 1)[1] for line in lines)
    assert "node2.lab node2" in text
    assert "inst40.lab inst40" in text
    assert "cluster.lab" in text
    assert "node3" not in text

  def test_a_node_s_address_has_no_name_but_the_node_s(self) -> None:
    """Ganeti asks for the name of its own address to know which node it is."""
    lab = plan.LabPlan("lab", 2)
    lines = lab.hosts().splitlines()
    for name in lab.nodes:
      address = lab.address(name)
      of_node = [n for n in lines if n.startswith(f"{address} ")]
      assert of_node == [f"{address} {name}.lab {name}"]

  def test_networks_differ_by_name(self) -> None:
    assert plan.LabPlan("one", 1).network != plan.LabPlan("two", 1).network


class TestCgroup:
  def test_parse_v1(self) -> None:
    found = cgroup.parse_mounts(V1_MOUNTS)
    assert [(h.version, h.options) for h in found] == [
      (1, "cpu,cpuacct"),
      (1, "cpuset"),
      (1, "name=systemd"),
      (2, ""),
    ]
    assert found[1].mount_point == "/sys/fs/cgroup/cpuset"

  def test_parse_v2(self) -> None:
    text = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"
    assert cgroup.parse_mounts(text) == (cgroup.Hierarchy("/sys/fs/cgroup", 2),)

  def test_processes_enter_a_leaf_on_v2_alone(self) -> None:
    group = cgroup.Group("ganeti-lab/x", cgroup.parse_mounts(V1_MOUNTS))
    files = group.procs_files
    assert files[1] == "/sys/fs/cgroup/cpuset/ganeti-lab/x/cgroup.procs"
    assert files[3].endswith("unified/ganeti-lab/x/init.scope/cgroup.procs")

  def test_create_delegates_down_to_the_group(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path / "run")
    top = tmp_path / "cgroup"
    (top / "ganeti-lab/x").mkdir(parents=True)
    for directory in (top, top / "ganeti-lab"):
      (directory / "cgroup.controllers").write_text("memory\n")
    group = cgroup.Group("ganeti-lab/x", (cgroup.Hierarchy(str(top), 2),))
    cgroup.create(group)
    assert (top / "cgroup.subtree_control").read_text() == "+memory"
    assert (top / "ganeti-lab/cgroup.subtree_control").exists()
    assert not (top / "ganeti-lab/x/cgroup.subtree_control").exists()
    assert (top / "ganeti-lab/x/init.scope").is_dir()

  def test_a_group_with_v1_beside_it_hands_nothing_down(
    self, tmp_path: pathlib.Path
  ) -> None:
    """Else LXC lets no CRIU run: "Failed to escape to cgroup", EBUSY."""
    (tmp_path / "ganeti-lab/x").mkdir(parents=True)
    (tmp_path / "ganeti-lab/x/cgroup.controllers").write_text("hugetlb\n")
    unified = cgroup.Hierarchy(str(tmp_path), 2)
    cpuset = cgroup.Hierarchy("/sys/fs/cgroup/cpuset", 1, "cpuset")
    control = tmp_path / "ganeti-lab/x/cgroup.subtree_control"
    cgroup.delegate(cgroup.Group("ganeti-lab/x", (cpuset, unified)))
    assert not control.exists()
    cgroup.delegate(cgroup.Group("ganeti-lab/x", (unified,)))
    assert control.read_text() == "+hugetlb"

  def test_empty_cpuset_is_filled(
    self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(plan, "STATE_ROOT", tmp_path / "run")
    top = tmp_path / "cpuset"
    for directory in (top, top / "lab"):
      directory.mkdir()
      for name, value in (("cpuset.cpus", "0-1"), ("cpuset.mems", "0")):
        (directory / name).write_text(value if directory == top else "\n")
    hierarchy = cgroup.Hierarchy(str(top), 1, "cpuset")
    cgroup.create(cgroup.Group("lab", (hierarchy,)))
    assert (top / "lab/cpuset.cpus").read_text() == "0-1"
    assert (top / "lab/cpuset.mems").read_text() == "0"

  def test_no_hierarchy(self) -> None:
    with pytest.raises(LabError, match="No cgroup hierarchy"):
      cgroup.create(cgroup.Group("lab", ()))

  def test_memory_controller_off(self, tmp_path: pathlib.Path) -> None:
    group = cgroup.Group("lab", (cgroup.Hierarchy(str(tmp_path), 2),))
    with pytest.raises(LabError, match="cgroup_enable=memory"):
      cgroup.limit_memory(group, 64)

  @pytest.mark.parametrize("name", ["memory.max", "memory.limit_in_bytes"])
  def test_memory_limit(self, tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_text("max")
    cgroup.limit_memory(
      cgroup.Group("", (cgroup.Hierarchy(str(tmp_path), 2),)), 64
    )
    assert (tmp_path / name).read_text() == str(64 * 1024 * 1024)

  def test_processes_of_all_groups_below(self, tmp_path: pathlib.Path) -> None:
    (tmp_path / "lab/a/b").mkdir(parents=True)
    (tmp_path / "lab/cgroup.procs").write_text("0\n11\n")
    (tmp_path / "lab/a/b/cgroup.procs").write_text("12\n")
    group = cgroup.Group("lab", (cgroup.Hierarchy(str(tmp_path), 1),))
    assert cgroup.processes(group) == {11, 12}
    assert cgroup.processes(group, recursive=False) == {11}


class TestHost:
  def test_one_line(self) -> None:
    text = (
      "# comment\n"
      "deb [signed-by=/k.gpg arch=amd64] http://m/debian/ trixie main # x\n"
      "deb-src http://m/debian trixie main\n"
      "deb http://m/debian trixie contrib\n"
    )
    assert host.parse_one_line(text) == [
      host.Source("http://m/debian", "trixie")
    ]

  def test_deb822(self) -> None:
    text = (
      "# comment\nTypes: deb deb-src\nURIs: http://m/debian\n"
      "Suites: bookworm\n  bookworm-updates\nComponents: main contrib\n"
      "\n"
      "Types: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\n"
      "Components: main\n"
    )
    assert host.parse_deb822(text) == [
      host.Source("http://m/debian", "bookworm"),
      host.Source("http://m/debian", "bookworm-updates"),
    ]

  def test_mirrors_are_the_hosts(self) -> None:
    sources = [
      host.Source("http://other", "nodistro"),
      host.Source("http://m", "bookworm"),
      host.Source("http://m", "bookworm-updates"),
      host.Source("http://s", "bookworm-security"),
    ]
    conf = (
      'Acquire::http::Proxy "http://p:3128";\n'
      'Acquire::Check-Valid-Until "false";\nAPT::Architecture "amd64";\n'
    )
    found = host.choose_mirrors(sources, "bookworm", conf)
    assert found.sources("trixie") == (
      "deb http://m trixie main\n"
      "deb http://m trixie-updates main\n"
      "deb http://s trixie-security main\n"
    )
    assert "Check-Valid-Until" in found.apt_conf
    assert "Architecture" not in found.apt_conf
    assert found.proxies() == {"http_proxy": "http://p:3128"}

  def test_no_sources_means_debians_own(self) -> None:
    found = host.choose_mirrors([], "noble", "")
    assert found.sources("trixie") == f"deb {host.DEFAULT_MIRROR} trixie main\n"

  def test_needs_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="as root"):
      host.require_root()


class TestNode:
  def test_command_line(self) -> None:
    argv = node.entering(7, ["/cg/a", "/cg/b"], ["echo", "a b"])
    assert argv[argv.index("enter") + 1 : argv.index("--")] == [
      "/cg/a",
      "/cg/b",
    ]
    assert "--target=7" in argv
    assert argv[-2:] == ["echo", "a b"]

  def test_init_is_number_one_one_level_below(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    numbers = {
      "self": ["50"],
      "5": ["5"],
      "6": ["6", "1"],
      "7": ["7", "2"],
      "8": ["8", "3", "1"],
    }
    monkeypatch.setattr(node, "_namespace_pids", lambda pid: numbers[pid])
    monkeypatch.setattr(
      cgroup, "processes", lambda group, recursive: {8, 7, 6, 5}
    )
    assert node.find_init(cgroup.Group("x", ())) == 6

  def test_not_running(self, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "find_init", lambda group: None)
    with pytest.raises(LabError, match="not running"):
      node.Node("lab", "node1").argv(["true"])


class TestLoops:
  def test_device_number(self) -> None:
    assert loops.device_number("254:300") == os.makedev(254, 300)

  @pytest.mark.parametrize(
    ("major", "minor"), [(0, 64), (8, 1), (259, 4097), (254, 0xFFFFF)]
  )
  def test_decode(self, major: int, minor: int) -> None:
    # new_encode_dev of the kernel's include/linux/kdev_t.h
    encoded = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
    assert loops._decode(encoded) == os.makedev(major, minor)

  def test_mountinfo(self) -> None:
    text = (
      "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
      "40 22 0:64 / /run rw - tmpfs tmpfs rw\n"
    )
    assert loops.parse_mountinfo(text) == {"254:0", "0:64"}

  def test_owned_by_device_or_inode(self, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "disk"
    path.write_text("")
    stat = path.stat()
    owned = loops.Owned(frozenset({64}), loops.inodes_below(tmp_path))
    assert owned.holds(64, 1)
    assert owned.holds(stat.st_dev, stat.st_ino)
    assert not owned.holds(stat.st_dev, tmp_path.stat().st_ino)

  def test_status_is_a_loop_info64(self) -> None:
    # sizeof(struct loop_info64), include/uapi/linux/loop.h
    assert loops._STATUS.size == 232
