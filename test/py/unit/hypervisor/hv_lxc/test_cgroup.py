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

"""Where groups are, and what runs in them."""

import errno
import os
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, cgtree, freezer, hierarchies
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from unit.hypervisor.hv_lxc.fake_groups import (
  NAME,
  FakeGroups,
  FakeKernel,
  error,
  write,
)

LAYOUTS = ("v1", "hybrid", "v2")


@pytest.fixture(params=LAYOUTS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> FakeGroups:
  return FakeGroups.make(tmp_path, request.param)


def base_of(node: FakeGroups, controller: str) -> str:
  tree = node.trees.controller(controller)
  assert tree is not None
  return tree.base


def test_each_layout_is_told(tmp_path: Path) -> None:
  found = {
    layout: FakeGroups.make(tmp_path / layout, layout).trees
    for layout in LAYOUTS
  }
  assert [t.pure_v2 for t in found.values()] == [False, False, True]
  assert [t.hybrid for t in found.values()] == [False, True, False]
  versions = [t.version("memory") for t in found.values()]
  assert versions == [1, 1, 2]
  assert [t.version("devices") for t in found.values()] == [1, 1, 2]
  assert [t.version("freezer") for t in found.values()] == [1, 1, 2]
  assert [t.version("hugetlb") for t in found.values()] == [None, 2, 2]
  assert [len(t.all) for t in found.values()] == [6, 7, 1]


def test_co_mounted_controllers_share_a_tree(tmp_path: Path) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  trees = node.trees
  assert trees.controller("cpu") is trees.controller("cpuacct")
  assert base_of(node, "cpu") == str(node.root / "cpu,cpuacct")
  assert base_of(node, "name=systemd") == str(node.root / "systemd")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
  ("group", "expected"),
  [
    ("/", ""),
    ("/init.scope", ""),
    ("/a/init.scope", "/a"),
    ("/lxc/node1", "/lxc/node1"),
    ("/my-init.scope", "/my-init.scope"),
  ],
)
def test_base_is_the_group_of_process_1(
  tmp_path: Path, layout: str, group: str, expected: str
) -> None:
  node = FakeGroups.make(tmp_path, layout, group)
  for tree in node.trees.all:
    point = ",".join(tree.controllers).removeprefix("name=")
    if tree.version == 2:
      point = "unified" if layout == "hybrid" else ""
    assert tree.base == str(node.root / point) + expected


def test_group_that_is_not_there_is_left_out_as_lxc_does(
  tmp_path: Path,
) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  node.groups[2] = "3:memory:/gone"
  node.save()
  assert node.trees.controller("memory") is None


def test_bind_mount_of_another_group_is_not_taken(tmp_path: Path) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  node.mount(tmp_path / "bind", "memory", root="/other")
  node.save()
  assert base_of(node, "memory") == str(node.root / "memory")


def test_bind_mount_of_the_own_group_counts(tmp_path: Path) -> None:
  """As in a container that has no control group namespace."""
  node = FakeGroups.make(tmp_path, "v1")
  node.mountinfo.clear()
  node.mount(tmp_path / "own", "memory", root="/docker/1")
  node.groups = ["4:memory:/docker/1/a"]
  (tmp_path / "own/a").mkdir()
  node.save()
  assert base_of(node, "memory") == str(tmp_path / "own/a")


def test_mount_from_outside_the_namespace(tmp_path: Path) -> None:
  """Its root lies above ours; LXC goes by the path alone."""
  node = FakeGroups.make(tmp_path, "v1")
  node.mountinfo.clear()
  node.mount(node.root / "memory", "memory", root="/../..")
  node.save()
  assert base_of(node, "memory") == str(node.root / "memory")


def test_mount_at_an_odd_place(tmp_path: Path) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  node.mountinfo.clear()
  node.mount(tmp_path / "my groups", "memory")
  node.save()
  assert base_of(node, "memory") == str(tmp_path / "my groups")


@pytest.mark.parametrize("lxc_last", [True, False])
def test_mount_where_lxc_looks_is_preferred(
  tmp_path: Path, lxc_last: bool
) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  node.mount(tmp_path / "elsewhere", "memory")
  if lxc_last:
    node.mountinfo.insert(0, node.mountinfo.pop())
  node.save()
  assert base_of(node, "memory") == str(node.root / "memory")


def test_no_groups_at_all(tmp_path: Path) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  node.mountinfo.clear()
  node.groups.clear()
  node.save()
  trees = node.trees
  assert trees == hierarchies.Hierarchies(
    proc=str(tmp_path / "proc"), lxcpath=str(node.host.layout.lxcpath)
  )
  assert trees.reference is None
  assert cgroup.names(trees) == []
  assert not cgroup.is_running(trees, NAME)
  assert cgroup.processes(trees, NAME) == []
  assert cgroup.init_pid(node.host, trees, NAME) is None


@pytest.mark.parametrize(
  "name", ["", ".", "..", "a/b", "../x", "-a", "a\n", "a b", "x" * 256, "é"]
)
def test_names_that_are_no_groups(name: str) -> None:
  assert not hierarchies.valid_name(name)
  with pytest.raises(Refused, match="cannot be the name"):
    hierarchies.payload_dir(name)


def test_configuration_names_the_same_groups(node: FakeGroups) -> None:
  lines = dict(hierarchies.config_lines(NAME))
  for tree in node.trees.all:
    payload = lines["lxc.cgroup.dir.container"]
    assert f"{tree.base}/{payload}" == tree.payload(NAME)
    monitor = lines["lxc.cgroup.dir.monitor"]
    assert f"{tree.base}/{monitor}" == tree.monitor(NAME)
  pivot = lines["lxc.cgroup.dir.monitor.pivot"]
  assert not pivot.startswith("ganeti-lxc/")


@pytest.mark.parametrize("where", ["monitor", "payload"])
def test_a_process_anywhere_means_running(node: FakeGroups, where: str) -> None:
  node.instance(**{where: [7]})  # type: ignore[arg-type]
  assert cgroup.is_running(node.trees, NAME)
  assert cgroup.names(node.trees) == [NAME]
  assert cgroup.processes(node.trees, NAME) == [7]


def test_empty_groups_are_not_running(node: FakeGroups) -> None:
  node.instance()
  node.instance("other.example.com", payload=[8])
  assert not cgroup.is_running(node.trees, NAME)
  assert cgroup.names(node.trees) == ["other.example.com"]


def test_process_in_a_group_of_the_guests_own(node: FakeGroups) -> None:
  node.instance()
  for tree in node.trees.all:
    write(Path(tree.payload(NAME), "a/b c/\udcff/cgroup.procs"), "9\n")
    if tree.version == 2:
      events = Path(tree.group(NAME), "cgroup.events")
      write(events, "populated 1\nfrozen 0\n")
  assert cgroup.is_running(node.trees, NAME)
  assert cgroup.processes(node.trees, NAME) == [9]


def test_process_of_a_foreign_pid_namespace(node: FakeGroups) -> None:
  """The kernel shows it as 0: it runs, but cannot be signalled."""
  node.instance(payload=[0, 5])
  assert cgroup.processes(node.trees, NAME) == [5]


def test_files_and_odd_directories_beside_instances(node: FakeGroups) -> None:
  node.instance(payload=[5])
  for tree in node.trees.all:
    Path(tree.parent, "not a name").mkdir()
    write(Path(tree.parent, "cgroup.procs"), "")
  assert cgroup.names(node.trees) == [NAME]


def test_instance_that_reboots_is_in_the_pivot_group(
  node: FakeGroups,
) -> None:
  lxcpath = node.host.layout.lxcpath
  node.process(7, title=f"[lxc monitor] {lxcpath} {NAME}\0\0")
  node.process(8, title="[lxc monitor] /var/lib/lxc foreign\0")
  node.process(9, title="")
  node.pivot(7, 8, 9)
  assert cgroup.is_running(node.trees, NAME)
  assert cgroup.names(node.trees) == [NAME]
  assert cgroup.processes(node.trees, NAME) == [7]


def test_too_many_groups_are_not_proven_empty(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  node.instance()
  tree = node.trees.reference
  assert tree is not None
  for index in range(4):
    Path(tree.payload(NAME), str(index)).mkdir()
  monkeypatch.setattr(cgtree, "_MAX_GROUPS", 3)
  assert cgroup.is_running(node.trees, NAME)
  with pytest.raises(cgtree.TooManyGroupsError):
    cgroup.processes(node.trees, NAME)


def test_init_is_the_monitors_child(node: FakeGroups) -> None:
  node.instance(monitor=[10], payload=[11, 12, 13])
  node.process(10, children="9 11 ")
  node.process(9, chain="9")
  node.process(11, chain="11 1")
  assert cgroup.init_pid(node.host, node.trees, NAME) == 11


def test_init_without_a_list_of_children(node: FakeGroups) -> None:
  """A guest's own container has an init too, one level deeper."""
  node.instance(monitor=[10], payload=[20, 19, 11, 12])
  node.process(10)
  node.process(20, chain="20 5 1")
  node.process(19, chain="19 7")
  node.process(11, chain="11 1")
  assert cgroup.init_pid(node.host, node.trees, NAME) == 11


def test_no_init(node: FakeGroups) -> None:
  node.instance(monitor=[10], payload=[11])
  node.process(11, chain="11")
  assert cgroup.init_pid(node.host, node.trees, NAME) is None


@pytest.mark.parametrize(("number", "expected"), [(0, True), (1, False)])
def test_capability(node: FakeGroups, number: int, expected: bool) -> None:
  node.process(5)
  assert cgroup.has_capability(node.host, 5, number) == expected
  assert cgroup.has_capability(node.host, 6, number), "not seen"


FREEZER = {
  "v1": [("freezer.state", "FROZEN"), ("freezer.state", "THAWED")],
  "hybrid": [("freezer.state", "FROZEN"), ("freezer.state", "THAWED")],
  "v2": [("cgroup.freeze", "1"), ("cgroup.freeze", "0")],
}


def test_freeze_and_thaw(
  node: FakeGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
  kernel = FakeKernel()
  monkeypatch.setattr(cgtree, "write", kernel.write)
  node.instance(payload=[5])
  if node.layout == "v2":
    path = Path(node.trees.all[0].payload(NAME), "cgroup.events")
    write(path, "populated 1\nfrozen 1\n")
  assert not cgroup.is_frozen(node.trees, NAME)
  cgroup.freeze(node.trees, NAME)
  assert cgroup.is_frozen(node.trees, NAME)
  cgroup.thaw(node.trees, NAME)
  assert not cgroup.is_frozen(node.trees, NAME)
  assert kernel.log == FREEZER[node.layout]


def test_freeze_that_does_not_settle_is_taken_back(
  node: FakeGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
  kernel = FakeKernel()
  monkeypatch.setattr(cgtree, "write", kernel.write)
  monkeypatch.setattr(freezer, "settled", lambda _tree, _group: False)
  node.instance(payload=[5])
  with pytest.raises(Failed, match=f"{NAME} cannot be paused: not all"):
    cgroup.freeze(node.trees, NAME, timeout_s=0)
  assert kernel.log == FREEZER[node.layout]


def test_freeze_what_does_not_run(node: FakeGroups) -> None:
  with pytest.raises(Failed, match="does not run"):
    cgroup.freeze(node.trees, NAME)
  assert not cgroup.is_frozen(node.trees, NAME)


def test_groups_in_use_name_the_processes(node: FakeGroups) -> None:
  node.instance(payload=[5])
  node.process(5)
  with pytest.raises(Incomplete, match=r"process 5 \(a \(b\) c\), state D"):
    cgroup.remove(node.host, node.trees, NAME, timeout_s=0)


def test_prepare_hands_controllers_down_on_hybrid_nodes_only(
  node: FakeGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
  kernel = FakeKernel()
  monkeypatch.setattr(cgtree, "write", kernel.write)
  unified = node.trees.unified
  if unified:
    write(Path(unified.base, "cgroup.controllers"), "memory hugetlb")
    for group in (unified.base, unified.parent, unified.group(NAME)):
      write(Path(group, "cgroup.subtree_control"), "")
  cgroup.prepare(node.trees, NAME)
  expected = [("cgroup.subtree_control", "+memory")] * 3
  assert kernel.log == (expected if node.layout == "hybrid" else [])


def test_prepare_says_what_the_kernel_refused(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  def refuse(_path: str, _value: str) -> None:
    raise error(errno.EBUSY)

  node = FakeGroups.make(tmp_path, "hybrid")
  write(node.root / "unified/cgroup.controllers", "memory")
  monkeypatch.setattr(cgtree, "write", refuse)
  with pytest.raises(Failed, match=r"subtree_control .*busy"):
    cgroup.prepare(node.trees, NAME)


def test_threaded_groups_list_no_processes(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  def read(path: str, *, dir_fd: int | None = None) -> str:
    raise error(errno.EOPNOTSUPP)

  monkeypatch.setattr(cgtree, "read", read)
  assert cgtree.pids("x") == []


def test_long_list_is_read_to_its_end_though_the_kernel_gives_a_page(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """seq_read_iter returns whole lines, and not more than a page of them."""
  numbers = list(range(10000, 13000))
  path = tmp_path / "cgroup.procs"
  write(path, "".join(f"{number}\n" for number in numbers))
  real = os.read
  monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 4092)))
  assert cgtree.pids(str(path)) == numbers
