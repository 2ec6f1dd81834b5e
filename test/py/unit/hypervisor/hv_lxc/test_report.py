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

"""What a node tells about instances and about itself."""

import logging
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgtree, report
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchy
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.model import RunState, Usage
from unit.hypervisor.hv_lxc.fake_groups import NAME, FakeGroups, error, write

MIB = 1 << 20
LAYOUTS = ("v1", "hybrid", "v2")
# Of MEMINFO: 8 GiB, of which 6 are available.
TOTAL, AVAILABLE = 8192, 6144


@pytest.fixture(params=LAYOUTS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> FakeGroups:
  return FakeGroups.make(tmp_path, request.param)


def tree_of(node: FakeGroups, controller: str) -> Hierarchy:
  tree = node.trees.controller(controller)
  assert tree is not None
  return tree


def set_file(node: FakeGroups, name: str, v1: str, v2: str) -> None:
  """Writes a payload file; "name" is v1's, and "v1 | v2" its values."""
  controller = name.partition(".")[0]
  tree = tree_of(node, "cpuset" if controller == "cpuacct" else controller)
  v2_names = {
    "memory.limit_in_bytes": "memory.max",
    "cpu.cfs_quota_us": "cpu.max",
    "cpuacct.usage": "cpu.stat",
  }
  if tree.version == 1:
    tree = tree_of(node, controller)
    write(Path(tree.payload(NAME), name), v1 + "\n")
  else:
    write(Path(tree.payload(NAME), v2_names.get(name, name)), v2 + "\n")


def one_usage(node: FakeGroups) -> Usage:
  usages = report.all_usage(node.host)
  assert len(usages) == 1
  assert report.usage(node.host, NAME) == usages[0]
  return usages[0]


def test_nothing_runs(node: FakeGroups) -> None:
  node.instance()
  assert report.running_names(node.host) == []
  assert report.all_usage(node.host) == []
  assert report.usage(node.host, NAME) is None


def test_no_limits(node: FakeGroups) -> None:
  node.instance(payload=[5])
  assert one_usage(node) == Usage(
    name=NAME, state=RunState.RUNNING, memory_mib=TOTAL, vcpus=4
  )


def test_limits_and_time(node: FakeGroups) -> None:
  node.instance(payload=[5])
  size = str(200 * MIB + 4095)
  set_file(node, "memory.limit_in_bytes", size, size)
  set_file(node, "cpu.cfs_quota_us", "150000", "150000 100000")
  set_file(node, "cpuacct.usage", "12999999999", "usage_usec 12999999")
  usage = one_usage(node)
  assert usage.memory_mib == 200
  assert usage.vcpus == 2
  assert usage.cpu_seconds == 12


def test_vcpus_from_the_cpuset(node: FakeGroups) -> None:
  node.instance(payload=[5])
  set_file(node, "cpuset.cpus", "0,2-3", "0,2-3")
  assert one_usage(node).vcpus == 3


def test_pid_of_init_only_for_one(node: FakeGroups) -> None:
  node.instance(monitor=[10], payload=[11])
  node.process(10, children="11")
  node.process(11, chain="11 1")
  usage = report.usage(node.host, NAME)
  assert usage is not None
  assert usage.init_pid == 11
  assert report.all_usage(node.host)[0].init_pid == -1


def test_rebooting_instance_has_no_groups(node: FakeGroups) -> None:
  lxcpath = node.host.layout.lxcpath
  node.process(7, title=f"[lxc monitor] {lxcpath} {NAME}")
  node.pivot(7)
  assert one_usage(node).state is RunState.RUNNING


def promise(node: FakeGroups, config: str, at_reboot: str = "") -> None:
  paths = node.host.layout.instance(NAME)
  write(paths.config, config)
  write(paths.start_host_data, at_reboot)


@pytest.mark.parametrize(
  "key", ["cgroup.memory.limit_in_bytes", "cgroup2.memory.max"]
)
def test_guest_that_reboots_does_not_seem_to_have_all_memory(
  node: FakeGroups, key: str
) -> None:
  """Ganeti would make that its limit (a migration that balloons it)."""
  node.instance(payload=[5])
  promise(node, f"lxc.uts.name = x\nlxc.{key} = {128 * MIB}\n")
  assert one_usage(node).memory_mib == 128


@pytest.mark.parametrize("file", ["memory.limit_in_bytes", "memory.max"])
def test_limit_set_while_it_ran_counts_when_it_reboots(
  node: FakeGroups, file: str
) -> None:
  node.instance(payload=[5])
  swap = "memory.memsw.limit_in_bytes"
  promise(
    node,
    f"lxc.cgroup2.memory.max = {128 * MIB}\n",
    f"ptys 4\ntry /x/{file} {64 * MIB}\nwrite /x/{swap} {65 * MIB}\n"
    f"write /x/{file} {64 * MIB}\n",
  )
  assert one_usage(node).memory_mib == 64


def test_what_a_rebooting_guest_may_use_is_not_free(node: FakeGroups) -> None:
  node.instance(payload=[5])
  promise(node, f"lxc.cgroup2.memory.max = {4096 * MIB}\n")
  assert info_of(node)["memory_free"] == AVAILABLE - 4096


def test_figure_that_cannot_be_read_spoils_nothing(
  node: FakeGroups, caplog: pytest.LogCaptureFixture
) -> None:
  node.instance(payload=[5])
  node.instance("second.example.com", payload=[6])
  set_file(node, "memory.limit_in_bytes", "\x00junk", "junk")
  with caplog.at_level(logging.WARNING):
    usages = report.all_usage(node.host)
  assert [usage.name for usage in usages] == [NAME, "second.example.com"]
  assert NAME in caplog.text


@pytest.mark.parametrize("number", [5, 13])
def test_errors_of_reads_are_survived(
  node: FakeGroups, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
  """EIO and EACCES from whatever is below the instance's group."""
  node.instance(payload=[5])
  real, failed = cgtree.read, []

  def read(path: str, *, dir_fd: int | None = None) -> str | None:
    if NAME in path:
      failed.append(path)
      raise error(number)
    return real(path, dir_fd=dir_fd)

  monkeypatch.setattr(cgtree, "read", read)
  assert [usage.name for usage in report.all_usage(node.host)] == [NAME]
  assert report.usage(node.host, NAME) is not None
  assert report.node_info(node.host)["memory_total"] == TOTAL
  assert len(failed) > 5


def info_of(node: FakeGroups, host: Host | None = None) -> dict[str, object]:
  return dict(report.node_info(host or node.host))


def hold(tree: Hierarchy, group: str, used_mib: int, file_mib: int) -> None:
  prefix = "total_" if tree.version == 1 else ""
  name = "usage_in_bytes" if tree.version == 1 else "current"
  write(Path(group, f"memory.{name}"), f"{used_mib * MIB}\n")
  stat = (
    f"{prefix}inactive_file {file_mib * MIB // 2}\n"
    f"{prefix}active_file {file_mib * MIB // 2}\n"
  )
  if tree.version == 1:
    stat += "hierarchical_memory_limit 9223372036854771712\n"
  write(Path(group, "memory.stat"), stat)


def test_node_without_instances(node: FakeGroups) -> None:
  assert info_of(node) == {
    "memory_total": TOTAL,
    "memory_free": AVAILABLE,
    "memory_dom0": TOTAL - AVAILABLE,
    "cpu_total": 4,
    "cpu_nodes": 1,
    "cpu_sockets": 1,
    "cpu_dom0": 4,
  }


def test_memory_of_instances_is_not_the_nodes_own(node: FakeGroups) -> None:
  tree = tree_of(node, "memory")
  node.instance(payload=[5])
  set_file(node, "memory.limit_in_bytes", str(2048 * MIB), str(2048 * MIB))
  hold(tree, tree.parent, used_mib=1000, file_mib=400)
  info = info_of(node)
  own = TOTAL - AVAILABLE - 600
  assert info["memory_dom0"] == own
  # total = the node's own + what instances may use + what is free
  assert info["memory_free"] == TOTAL - own - 2048


def test_free_memory_is_no_more_than_available(node: FakeGroups) -> None:
  """Though the instances hold more than they are allowed to now."""
  tree = tree_of(node, "memory")
  node.instance(payload=[5])
  set_file(node, "memory.limit_in_bytes", str(MIB), str(MIB))
  hold(tree, tree.parent, used_mib=1900, file_mib=0)
  assert info_of(node)["memory_free"] == AVAILABLE


def test_instance_without_a_limit_counts_as_it_is(node: FakeGroups) -> None:
  tree = tree_of(node, "memory")
  node.instance(payload=[5])
  hold(tree, tree.payload(NAME), used_mib=500, file_mib=100)
  hold(tree, tree.parent, used_mib=500, file_mib=100)
  info = info_of(node)
  assert info["memory_dom0"] == TOTAL - AVAILABLE - 400
  assert info["memory_free"] == AVAILABLE


def test_promises_beyond_the_memory(node: FakeGroups) -> None:
  for index in range(5):
    name = f"i{index}.example.com"
    node.instance(name, payload=[5])
    tree = tree_of(node, "memory")
    file = "memory.limit_in_bytes" if tree.version == 1 else "memory.max"
    write(Path(tree.payload(name), file), f"{2048 * MIB}\n")
  assert info_of(node)["memory_free"] == 0


def test_node_that_has_a_limit_itself(node: FakeGroups) -> None:
  tree = tree_of(node, "memory")
  hold(tree, tree.base, used_mib=700, file_mib=200)
  if tree.version == 1:
    stat = Path(tree.base, "memory.stat")
    text = stat.read_text().replace("9223372036854771712", str(2048 * MIB))
    stat.write_text(text)
  else:
    write(Path(tree.base, "memory.max"), f"{2048 * MIB}\n")
  info = info_of(node)
  assert info["memory_total"] == 2048
  assert info["memory_free"] == 2048 - 500
  assert info["memory_dom0"] == 500
