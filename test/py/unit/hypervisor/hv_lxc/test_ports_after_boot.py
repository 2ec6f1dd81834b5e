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

"""Ports that Open vSwitch has kept over a boot of the node."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import record, stopping
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.record import Phase, Record
from unit.hypervisor.hv_lxc.fakes import BOOT_ID, NAME, UUID, FakeLxc

PORT = {
  "index": 0,
  "uuid": "nic-0",
  "host_name": "tap0123456789ab",
  "mode": "openvswitch",
  "link": "ovs0",
}


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  """A node that was cut off while an instance ran, and has booted since."""
  node = FakeLxc(tmp_path)
  node.paths().home.mkdir(parents=True)
  bridged = {**PORT, "mode": "bridged", "host_name": "tapother"}
  noted = Record(
    name=NAME,
    uuid=UUID,
    boot_id=BOOT_ID,
    phase=Phase.RUNNING,
    nics=(PORT, bridged),
  )
  record.save(node.paths(), noted)
  node.write("proc/sys/kernel/random/boot_id", "another\n")
  return node


def clean_up(node: FakeLxc) -> None:
  stopping.clean_up_stopped(node.host, node.storage, NAME)
  assert not node.paths().home.exists()


def test_are_taken_out(node: FakeLxc) -> None:
  node.run.on("ovs-vsctl", 0)
  clean_up(node)
  (call,) = node.run.calls
  assert call[2:] == ("--if-exists", "del-port", PORT["host_name"])


def test_nothing_stands_in_the_way_without_open_vswitch(
  node: FakeLxc, caplog: pytest.LogCaptureFixture
) -> None:
  node.run.on("ovs-vsctl", Failed("Cannot run ovs-vsctl"))
  clean_up(node)
  assert "Not taken away after a reboot" in caplog.text


def test_a_damaged_record_tells_of_none(
  node: FakeLxc, caplog: pytest.LogCaptureFixture
) -> None:
  node.paths().record.write_text("{")
  clean_up(node)
  assert node.run.calls == []
  assert "is damaged" in caplog.text
