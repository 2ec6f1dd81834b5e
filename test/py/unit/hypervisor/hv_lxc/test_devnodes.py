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

"""Nodes in the guest's /dev, named as the kernel names them."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import devices, devnodes, paramvalues
from ganeti.hypervisor.hv_lxc.devices import DeviceRule
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.model import DeviceNode


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
  return Host(layout=Layout.below("/a", "/b", "/c", "/d"), sys=tmp_path)


def add(host: Host, kind: str, number: str, text: str) -> None:
  where = host.sys / "dev" / kind / number
  where.mkdir(parents=True)
  (where / "uevent").write_text(text)


def nodes(host: Host, *rules: DeviceRule) -> tuple[DeviceNode, ...]:
  return devnodes.nodes_for(host, rules)


TUN = DeviceRule("c", 10, 200, "rw")


def test_name_and_mode_are_the_kernels(host: Host) -> None:
  add(
    host, "char", "10:200",
    "MAJOR=10\nMINOR=200\nDEVNAME=net/tun\nDEVMODE=0666\n",
  )  # fmt: skip
  assert nodes(host, TUN) == (
    DeviceNode(path="net/tun", kind="c", major=10, minor=200, mode=0o666),
  )


def test_a_device_without_a_mode(host: Host) -> None:
  add(host, "block", "8:1", "DEVNAME=sda1\n")
  (node,) = nodes(host, DeviceRule("b", 8, 1, "r"))
  assert node.mode == 0o660
  assert node.kind == "b"


def test_character_and_block_devices_are_told_apart(host: Host) -> None:
  add(host, "block", "10:200", "DEVNAME=sda1\n")
  assert nodes(host, TUN) == ()


def test_a_device_that_the_kernel_does_not_know(host: Host) -> None:
  assert nodes(host, TUN) == ()


@pytest.mark.parametrize("numbers", [(None, 1), (1, None), (None, None)])
def test_a_rule_for_many_devices(
  host: Host, numbers: tuple[int | None, int | None]
) -> None:
  add(host, "char", "1:1", "DEVNAME=mem\n")
  assert nodes(host, DeviceRule("c", *numbers, "rw")) == ()


@pytest.mark.parametrize(
  "name", ["", "../etc/passwd", "/dev/x", "a b", "x/../../y", "x\ty", "a//b"]
)
def test_names_that_would_leave_dev(host: Host, name: str) -> None:
  add(host, "char", "10:200", f"DEVNAME={name}\n")
  assert nodes(host, TUN) == ()


def test_the_default_list_needs_no_node_of_ours(host: Host) -> None:
  """LXC makes those; but for 1:10, which no kernel has had for long."""
  rules = devices.parse(str(paramvalues.defaults()["devices"]))
  for rule in rules:
    number = f"{rule.major}:{rule.minor}"
    if number not in ("1:10", "None:None"):
      add(host, "char", number, "DEVNAME=x\n")
  assert devnodes.nodes_for(host, rules) == ()
