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

"""Verify: control groups, on version 1, version 2 and both."""

import os
import pathlib

import pytest
from unit.hypervisor.hv_lxc import fake_node
from unit.hypervisor.hv_lxc.fake_node import RELEASE, FakeNode
from unit.hypervisor.hv_lxc.verify_cases import (
  LAYOUTS,
  each,
  lxc_says,
  problems,
  replaced,
  with_text,
  without,
  without_line,
)


@pytest.fixture(params=LAYOUTS)
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeNode:
  return LAYOUTS[request.param](tmp_path)


@pytest.fixture
def v1(tmp_path: pathlib.Path) -> FakeNode:
  return LAYOUTS["v1"](tmp_path)


@pytest.fixture
def v2(tmp_path: pathlib.Path) -> FakeNode:
  return LAYOUTS["v2"](tmp_path)


V1_HIDDEN = [
  *(
    pytest.param(
      lambda node, name=name: node.drop_v1(name),
      f"controller {name} ",
      f"mount its v1 hierarchy at /sys/fs/cgroup/{name}",
      id=f"{name} not mounted",
    )
    for name in fake_node.V1[:-1]
  ),
  *(
    pytest.param(
      lambda node, name=name: (
        node.drop_v1(name),
        node.drop_line("proc/cgroups", f"{name}\t"),
      ),
      f"controller {name} ",
      "boot a kernel built with CONFIG_",
      id=f"{name} not in the kernel",
    )
    for name in fake_node.V1[:-1]
  ),
  pytest.param(
    lambda node: (
      node.drop_v1("memory"),
      node.replace("proc/cgroups", "memory\t0\t1\t1", "memory\t0\t1\t0"),
    ),
    "controller memory ",
    "add cgroup_enable=memory to GRUB_CMDLINE_LINUX",
    id="memory off",
  ),
  pytest.param(
    lambda node: (
      node.drop_v1("memory"),
      node.write("proc/cmdline", "ro cgroup_disable=memory,pids quiet"),
    ),
    "controller memory ",
    "take memory out of cgroup_disable=memory,pids",
    id="memory disabled",
  ),
  pytest.param(
    lambda node: (
      node.drop_v1("pids"),
      node.remove("sys/fs/cgroup/pids"),
      node.add_v1("pids", "mnt/cgroups"),
    ),
    "/mnt/cgroups/pids, where LXC does not look",
    "mount it below /sys/fs/cgroup",
    id="mounted elsewhere",
  ),
  pytest.param(
    without("sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    "limit CPU time",
    "CONFIG_CFS_BANDWIDTH",
    id="CFS bandwidth",
  ),
  pytest.param(
    with_text("sys/fs/cgroup/cpuset/cpuset.cpus", "\n"),
    "cpuset.cpus names nothing",
    "copy cpuset.cpus",
    id="empty cpuset",
  ),
  pytest.param(
    with_text("sys/fs/cgroup/cpuset/cpuset.mems", "\n"),
    "cpuset.mems names nothing",
    "copy cpuset.mems",
    id="empty mems",
  ),
  pytest.param(
    lxc_says("7.0.0\n"),
    "LXC 7 knows no cgroup v1",
    "systemd.unified_cgroup_hierarchy=1",
    id="LXC 7",
  ),
]
V2_HIDDEN = [
  pytest.param(
    replaced("proc/self/mountinfo", ",nsdelegate", ""),
    "Instances can raise their own limits",
    "remount,nsdelegate",
    id="boundary",
  ),
  *(
    pytest.param(
      replaced("sys/fs/cgroup/cgroup.controllers", f"{name} ", ""),
      f"controller {name} ",
      f"+{name}",
      id=f"{name} taken",
    )
    for name in ("memory", "cpuset", "cpu", "pids")
    if name != "cpu"
  ),
  pytest.param(
    with_text("sys/fs/cgroup/cgroup.controllers", "cpuset io memory pids\n"),
    "controller cpu ",
    "+cpu",
    id="cpu taken",
  ),
  pytest.param(
    lambda node: (
      node.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu pids\n"),
      node.replace("proc/cgroups", "memory\t0\t1\t1", "memory\t0\t1\t0"),
    ),
    "controller memory ",
    "cgroup_enable=memory",
    id="memory off",
  ),
  pytest.param(
    without("proc/sys/kernel/unprivileged_bpf_disabled"),
    "any device",
    "CONFIG_BPF_SYSCALL",
    id="no bpf",
  ),
  pytest.param(
    without_line(f"boot/config-{RELEASE}", "CONFIG_CGROUP_BPF"),
    "any device",
    "CONFIG_CGROUP_BPF",
    id="no bpf for groups",
  ),
  pytest.param(
    without_line(f"boot/config-{RELEASE}", "CONFIG_CFS_BANDWIDTH"),
    "limit CPU time",
    "CONFIG_CFS_BANDWIDTH",
    id="CFS bandwidth",
  ),
  pytest.param(
    with_text("sys/fs/cgroup/cpuset.cpus.effective", "\n"),
    "cpuset.cpus.effective names nothing",
    "copy cpuset.cpus",
    id="empty cpuset",
  ),
  pytest.param(
    each(
      with_text("sys/fs/cgroup/cgroup.type", "domain\n"),
      with_text("sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids\n"),
    ),
    "controller cpuset cannot be handed to instances",
    "write +cpuset",
    id="internal processes",
  ),
]


@pytest.mark.parametrize(("change", "what", "remedy"), V1_HIDDEN)
def test_hidden_on_v1(v1, change, what, remedy):
  change(v1)
  (line,) = problems(v1)
  assert what in line
  assert remedy in line


@pytest.mark.parametrize(("change", "what", "remedy"), V2_HIDDEN)
def test_hidden_on_v2(v2, change, what, remedy):
  change(v2)
  (line,) = problems(v2)
  assert what in line
  assert remedy in line


def test_no_control_groups(node):
  node.write("proc/self/mountinfo")
  (line,) = problems(node)
  assert "No control groups" in line


def test_a_kernel_without_control_groups(node):
  node.remove("proc/1/cgroup")
  (line,) = problems(node)
  assert "No control groups" in line


def test_lxc_7_on_v2(v2):
  v2.lxc_version = "7.0.0\n"
  assert problems(v2) == []


def test_a_controller_on_v2_beside_v1(v1):
  v1.drop_v1("memory")
  v1.add_v2("sys/fs/cgroup/unified", "memory hugetlb")
  (line,) = problems(v1)
  assert "controller memory" in line
  assert "LXC limits nothing on v2" in line


def test_controllers_in_one_hierarchy(v1):
  for name in ("cpu", "cpuacct"):
    v1.drop_v1(name)
  v1.add_v1("cpu,cpuacct")
  v1.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
  assert problems(v1) == []


def test_read_only(v1, monkeypatch):
  real = os.access
  closed = str(v1.path("sys/fs/cgroup/freezer"))
  monkeypatch.setattr(
    os, "access", lambda path, mode: path != closed and real(path, mode)
  )
  (line,) = problems(v1)
  assert "controller freezer" in line
  assert "read-only" in line
  assert f"remount,rw {closed}" in line


def test_processes_in_the_real_root_of_v2_do_no_harm(v2):
  v2.write("sys/fs/cgroup/cgroup.subtree_control", "\n")
  assert problems(v2) == []


def test_a_group_without_processes_can_hand_out_controllers(v2):
  v2.write("sys/fs/cgroup/cgroup.type", "domain\n")
  v2.write("sys/fs/cgroup/cgroup.subtree_control", "\n")
  v2.write("sys/fs/cgroup/cgroup.procs", "")
  assert problems(v2) == []


@pytest.mark.parametrize(
  ("layout", "name"),
  [
    ("v1", "cpuacct"),
    ("v1", "name=systemd"),
    ("hybrid", "hugetlb"),
    ("v2", "io"),
    ("v2", "blkio"),
    ("v2", "cpuacct"),
    ("v2", "freezer"),
    ("v2", "devices"),
    ("v2", "rdma"),
  ],
)
def test_extra_cgroups_there(tmp_path, layout, name):
  assert problems(LAYOUTS[layout](tmp_path), (name,)) == []


@pytest.mark.parametrize(
  ("name", "remedy"),
  [
    ("net_cls", "mount its v1 hierarchy at /sys/fs/cgroup/net_cls"),
    ("nonsense", "kernel built with nonsense"),
    ("blkio", "or use cgroup v2 only"),
  ],
)
def test_extra_cgroups_missing(v1, name, remedy):
  (line,) = problems(v1, ("memory", name))
  assert f"controller {name}, named" in line
  assert "take it out of extra_cgroups" in line
  assert remedy in line


def test_cpuacct_is_not_part_of_cpu_on_v1(v1):
  v1.drop_v1("cpuacct")
  assert any("cpuacct, named" in line for line in problems(v1, ("cpuacct",)))
