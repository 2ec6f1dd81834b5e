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

"""Verify: modules that are there, that are not, that are unknown."""

import gzip
import pathlib

import pytest
from unit.hypervisor.hv_lxc.fake_node import RELEASE, FakeNode
from unit.hypervisor.hv_lxc.verify_cases import (
  LAYOUTS,
  advice,
  problems,
)


@pytest.fixture(params=LAYOUTS)
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeNode:
  return LAYOUTS[request.param](tmp_path)


@pytest.fixture
def v1(tmp_path: pathlib.Path) -> FakeNode:
  return LAYOUTS["v1"](tmp_path)


# Modules: what counts as there, and what is unknown.


def test_a_loaded_module_is_enough(node):
  node.drop_module("veth")
  node.path("sys/module/veth").mkdir(parents=True)
  assert problems(node) == []


def test_a_builtin_module_is_enough(node):
  node.drop_module("veth")
  node.write(
    f"lib/modules/{RELEASE}/modules.builtin", "kernel/drivers/net/veth.ko\n"
  )
  assert problems(node) == []


def test_debian_s_kernels_can_do_nat_by_iptables(node):
  assert not any("NAT" in line for line in advice(node))


def test_loadable_but_loading_is_forbidden(node):
  node.write("proc/sys/kernel/modules_disabled", "1\n")
  lines = problems(node)
  assert [line.split(" (")[0] for line in lines] == [
    "The kernel module veth",
    "The kernel module bridge",
  ]
  assert all("/etc/modules-load.d/" in line for line in lines)


def test_no_modules_and_no_configuration_is_unknown(node):
  node.remove("lib/modules")
  node.remove("boot")
  assert problems(node) == []


def test_no_modules_and_the_configuration_says_module(node):
  node.remove("lib/modules")
  node.write(f"boot/config-{RELEASE}", "CONFIG_VETH=m\nCONFIG_BRIDGE=y\n")
  if node.lxc_version == "6.0.4\n":
    node.write(
      f"boot/config-{RELEASE}",
      "CONFIG_VETH=m\nCONFIG_BRIDGE=y\nCONFIG_CGROUP_BPF=y\n"
      "CONFIG_CFS_BANDWIDTH=y\n",
    )
  assert problems(node) == []


def test_no_modules_and_the_configuration_says_no(v1):
  v1.remove("lib/modules")
  v1.write(
    f"boot/config-{RELEASE}", "# CONFIG_VETH is not set\nCONFIG_BRIDGE=y\n"
  )
  (line,) = problems(v1)
  assert "module veth" in line


def test_the_running_kernels_own_configuration_comes_first(v1):
  v1.remove("lib/modules")
  data = gzip.compress(b"CONFIG_VETH=y\n# CONFIG_BRIDGE is not set\n")
  v1.path("proc/config.gz").write_bytes(data)
  (line,) = problems(v1)
  assert "module bridge" in line


def test_a_damaged_configuration_is_passed_over(v1):
  v1.path("proc/config.gz").write_bytes(b"\x1f\x8b\x08")
  assert problems(v1) == []
