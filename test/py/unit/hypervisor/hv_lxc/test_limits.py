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

"""Limits as LXC configuration, and CPU lists."""

from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cpus, limits
from ganeti.hypervisor.hv_lxc.devices import DeviceRule
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchies
from ganeti.hypervisor.hv_lxc.model import BlockDisk, ContainerSpec, Limits
from unit.hypervisor.hv_lxc.fake_groups import NAME, FakeGroups, write

MIB = 1 << 20
NULL = DeviceRule("c", 1, 3, "rwm")
PTS = DeviceRule("c", 136, None, "rw")
SPEC = ContainerSpec(
  name=NAME,
  uuid="u",
  limits=Limits(memory_mib=128, swap_mib=64, vcpus=2, cpuset="0-1,3"),
  devices=(NULL, PTS, NULL),
  block_disks=(
    BlockDisk(index=1, node="disk1", major=7, minor=3),
    BlockDisk(index=2, node="disk2", major=7, minor=4, read_only=True),
  ),
)
DEVICES = [
  ("devices.deny", "a"),
  ("devices.allow", "c 1:3 rwm"),
  ("devices.allow", "c 136:* rw"),
  ("devices.allow", "b 7:3 rw"),
  ("devices.allow", "b 7:4 r"),
]
V1 = [
  ("memory.limit_in_bytes", str(128 * MIB)),
  ("memory.memsw.limit_in_bytes", str(192 * MIB)),
  ("cpu.cfs_period_us", "100000"),
  ("cpu.cfs_quota_us", "200000"),
  ("cpuset.cpus", "0-1,3"),
  *DEVICES,
]
V2 = [
  ("memory.max", str(128 * MIB)),
  ("memory.swap.max", str(64 * MIB)),
  ("cpu.max", "200000 100000"),
  ("cpuset.cpus", "0-1,3"),
  *DEVICES,
]


def node(tmp_path: Path, layout: str) -> FakeGroups:
  made = FakeGroups.make(tmp_path, layout)
  memory = made.trees.controller("memory")
  if memory and memory.version == 1:
    write(Path(memory.base, "memory.memsw.limit_in_bytes"), "0\n")
  return made


@pytest.mark.parametrize(
  ("layout", "prefix", "expected"),
  [
    ("v1", "lxc.cgroup.", V1),
    ("hybrid", "lxc.cgroup.", V1),
    ("v2", "lxc.cgroup2.", V2),
  ],
)
def test_all_lines(
  tmp_path: Path, layout: str, prefix: str, expected: list[tuple[str, str]]
) -> None:
  lines = limits.config_lines(node(tmp_path, layout).trees, SPEC)
  assert lines == [(prefix + key, value) for key, value in expected]


def test_controller_that_a_hybrid_node_has_on_v2(tmp_path: Path) -> None:
  """LXC reads lxc.cgroup there, and finds v2's files by their names."""
  made = node(tmp_path, "hybrid")
  write(made.root / "unified/cgroup.controllers", "memory cpu")
  made.groups = [
    g for g in made.groups if "memory" not in g and "cpu," not in g
  ]
  made.save()
  lines = dict(limits.config_lines(made.trees, SPEC))
  assert lines["lxc.cgroup.memory.max"] == str(128 * MIB)
  assert lines["lxc.cgroup.cpu.max"] == "200000 100000"
  assert lines["lxc.cgroup.cpuset.cpus"] == "0-1,3"
  assert lines["lxc.cgroup.devices.deny"] == "a"


def test_kernel_that_does_not_account_swap(tmp_path: Path) -> None:
  trees = FakeGroups.make(tmp_path, "v1").trees
  assert limits.memory_lines(trees, SPEC.limits) == [
    ("lxc.cgroup.memory.limit_in_bytes", str(128 * MIB))
  ]


def test_no_swap_is_the_default(tmp_path: Path) -> None:
  lines = limits.memory_lines(node(tmp_path, "v1").trees, Limits(memory_mib=1))
  assert [value for _, value in lines] == [str(MIB), str(MIB)]


def test_all_cpus_need_no_cpuset(tmp_path: Path) -> None:
  lines = limits.cpu_lines(
    node(tmp_path, "v2").trees, Limits(memory_mib=1, vcpus=3)
  )
  assert lines == [("lxc.cgroup2.cpu.max", "300000 100000")]


@pytest.mark.parametrize("missing", ["memory", "cpu", "cpuset", "devices"])
def test_what_cannot_be_enforced_is_refused(
  tmp_path: Path, missing: str
) -> None:
  made = node(tmp_path, "hybrid")
  gone = [g for g in made.groups if missing not in g.split(":")[1].split(",")]
  made.groups = gone
  made.save()
  with pytest.raises(Refused, match=f"has the {missing} controller"):
    limits.config_lines(made.trees, SPEC)


def test_node_without_groups() -> None:
  with pytest.raises(Refused, match="cannot enforce memory"):
    limits.config_lines(Hierarchies(), SPEC)


@pytest.mark.parametrize(
  ("mask", "expected"),
  [
    ("", ""),
    ("  ", ""),
    ("all", ""),
    ("0", "0"),
    ("0-1,3", "0-1,3"),
    ("3,1,0", "0-1,3"),
    ("0,1,2,3", "0-3"),
    ("1:3", "1,3"),
    ("0-1:1-2", "0-2"),
    ("0:all:2", ""),
  ],
)
def test_cpu_mask(tmp_path: Path, mask: str, expected: str) -> None:
  host = FakeGroups.make(tmp_path, "v2").host
  assert limits.cpuset(host, mask) == expected


@pytest.mark.parametrize(
  "mask",
  ["a", "-1", "1-", "2-1", "0--1", "0,", ":", "0:", "0:x:all", "0\n1", "9" * 30]
)  # fmt: skip
def test_what_is_no_cpu_mask(tmp_path: Path, mask: str) -> None:
  host = FakeGroups.make(tmp_path, "v2").host
  with pytest.raises(Refused):
    limits.cpuset(host, mask)


@pytest.mark.parametrize("mask", ["4", "0-4", "0:7"])
def test_cpus_that_the_node_does_not_have(tmp_path: Path, mask: str) -> None:
  host = FakeGroups.make(tmp_path, "v2").host
  with pytest.raises(Refused, match=r"does not have: CPU [47]; there are 0-3"):
    limits.cpuset(host, mask)


def test_cpu_that_is_switched_off(tmp_path: Path) -> None:
  made = FakeGroups.make(tmp_path, "v2")
  write(tmp_path / "sys/devices/system/cpu/online", "0,2-3\n")
  assert cpus.online(made.host) == {0, 2, 3}
  with pytest.raises(Refused, match="CPU 1"):
    limits.cpuset(made.host, "0-1")


def test_cpus_without_sysfs(tmp_path: Path) -> None:
  made = FakeGroups.make(tmp_path, "v2")
  (tmp_path / "sys/devices/system/cpu/online").unlink()
  write(tmp_path / "proc/cpuinfo", "processor\t: 0\nx: 1\nprocessor : 1\n")
  assert cpus.online(made.host) == {0, 1}


def test_sockets_and_nodes(tmp_path: Path) -> None:
  made = FakeGroups.make(tmp_path, "v2")
  assert cpus.sockets_and_nodes(made.host, [0, 1]) == (1, 1)
  for cpu, package in enumerate("0011"):
    top = f"sys/devices/system/cpu/cpu{cpu}/topology"
    write(tmp_path / top / "physical_package_id", f"{package}\n")
  write(tmp_path / "sys/devices/system/node/has_cpu", "0-1,3\n")
  assert cpus.sockets_and_nodes(made.host, range(4)) == (2, 3)


@pytest.mark.parametrize(
  ("numbers", "text"),
  [([], ""), ([0], "0"), ([0, 1, 2], "0-2"), ([5, 0, 2, 1], "0-2,5")],
)
def test_cpu_list_round_trip(numbers: list[int], text: str) -> None:
  assert cpus.format_list(numbers) == text
  if text:
    assert cpus.parse(text) == frozenset(numbers)
