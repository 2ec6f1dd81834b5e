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

"""Verify: what is worth knowing, but no problem."""

import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from unit.hypervisor.hv_lxc import fake_node
from unit.hypervisor.hv_lxc.fake_node import RELEASE, FakeNode
from unit.hypervisor.hv_lxc.verify_cases import (
  LAYOUTS,
  advice,
  all_advice,
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


WISHES = [
  pytest.param(
    without("proc/self/ns/user"), "user namespaces", id="user namespace"
  ),
  pytest.param(
    without("proc/self/ns/time"), "time namespaces", id="time namespace"
  ),
  pytest.param(
    with_text("proc/sys/user/max_user_namespaces", "0\n"),
    "user.max_user_namespaces is 0",
    id="user limit",
  ),
  *(
    pytest.param(
      lambda node, name=name: node.drop_module(name.replace("_d", "-d")),
      f"module {name} ",
      id=name,
    )
    for name in fake_node.MODULES[2:]
  ),
  *(
    pytest.param(
      without_line(f"boot/config-{RELEASE}", option),
      f"without CONFIG_{option} ",
      id=option,
    )
    for option in ("NETFILTER_ADVANCED", "FHANDLE", "EVENTFD", "EPOLL")
  ),
  pytest.param(
    without("proc/sys/kernel/ns_last_pid"), "checkpoint", id="checkpoints"
  ),
  pytest.param(
    replaced("proc/self/mounts", "devtmpfs", "tmpfs"),
    "its 2 loop devices",
    id="/dev",
  ),
  *(
    pytest.param(without(f"bin/{tool}"), f"command {tool} ", id=tool)
    for tool in ("sfdisk", "resize2fs", "xfs_growfs", "btrfs")
  ),
  pytest.param(without("bin/criu"), "CRIU is not installed", id="CRIU"),
]


@pytest.mark.parametrize(("change", "what"), WISHES)
def test_advice(node, change, what):
  change(node)
  (line,) = advice(node)
  assert what in line
  assert line.endswith(")")
  assert problems(node) == []


@pytest.mark.parametrize(
  ("change", "what"),
  [
    (
      without("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"),
      "swapaccount=1",
    ),
    (lambda node: node.drop_v1("name=systemd"), "name=systemd"),
  ],
)
def test_advice_on_v1(v1, change, what):
  change(v1)
  (line,) = advice(v1)
  assert what in line
  assert problems(v1) == []


@pytest.mark.parametrize("layout", ["v1", "hybrid"])
def test_a_guest_that_lifts_its_own_limits_on_v1(tmp_path, layout):
  node = LAYOUTS[layout](tmp_path)
  (line,) = all_advice(node)
  assert "raise the instance's limits" in line
  assert "systemd.unified_cgroup_hierarchy=1" in line
  assert problems(node) == []


def test_on_v2_a_guest_cannot_lift_its_limits(tmp_path):
  assert all_advice(LAYOUTS["v2"](tmp_path)) == []


def test_without_swap_nobody_counts_it(v1):
  v1.remove("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
  v1.write("proc/swaps", "Filename Type Size Used Priority\n")
  assert advice(v1) == []


def test_criu_that_does_not_work(node, monkeypatch):
  monkeypatch.setattr(os, "geteuid", lambda: 0)
  node.criu = Result(("criu", "check"), 1, "", "Error: vdso\nnot good\n")
  (line,) = advice(node)
  assert "criu check exited with status 1: not good" in line


def test_criu_is_not_asked_by_an_ordinary_user(node, monkeypatch):
  monkeypatch.setattr(os, "geteuid", lambda: 1000)
  node.criu = Result(("criu", "check"), 1)
  assert advice(node) == []
  assert node.started == []


@pytest.mark.parametrize(
  ("isolated", "mask", "named"),
  [
    ("5-8", "4-8", "4"),
    ("5-8", "0-2:5:all", None),
    ("5-8", "3:5-8", "3"),
    ("5-8", "5-8", None),
    ("5-8", "6", None),
    ("5-8", "0-4", None),
    ("5-8", "all", None),
    ("5-8", "", None),
    ("", "0-4", None),
  ],
)
def test_isolated_cpus(node, isolated, mask, named):
  node.write("sys/devices/system/cpu/isolated", f"{isolated}\n")
  lines = advice(node, mask)
  if named is None:
    assert lines == []
  else:
    (line,) = lines
    assert "isolcpus" in line
    assert f"does not: {named} " in line


def test_a_mask_that_is_none_does_no_harm(node):
  node.write("sys/devices/system/cpu/isolated", "5-8\n")
  (line,) = advice(node, "many")
  assert "check of cpu_mask failed" in line
