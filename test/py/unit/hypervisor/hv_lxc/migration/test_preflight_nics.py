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


"""What the target of a migration is told of NICs, and looks for."""

import json
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import preflight
from ganeti.hypervisor.hv_lxc.migration.auth import Secret
from ganeti.hypervisor.hv_lxc.migration.calls import Info
from ganeti.hypervisor.hv_lxc.model import NicMode
from ganeti.hypervisor.hv_lxc.nics import NicRecord
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc


@pytest.fixture
def node(tmp_path: Path) -> FakeLxc:
  node = FakeLxc(tmp_path)
  node.add_link("br0", bridge=True)
  node.run.on("ovs-vsctl", 2)
  return node


def entry(mode: NicMode, link: str, vlan: str = "") -> dict[str, object]:
  nic = NicRecord(
    index=0, uuid="u", host_name="tap1", mode=mode, link=link, vlan=vlan
  )
  return nic.to_dict()


def info(**changes: object) -> Info:
  values: dict[str, object] = {
    "id": "1",
    "secret": Secret.new().to_text(),
    "node": "node1",
    "name": NAME,
    "uuid": "u",
    "facts": "{}",
    "room": 1,
    **changes,
  }
  return Info(**values)


@pytest.mark.parametrize(
  ("nic", "text"),
  [
    (entry(NicMode.OVS, "ovs0"), "Open vSwitch bridge ovs0, which does not"),
    (entry(NicMode.BRIDGED, "br1"), "bridge br1, which does not exist"),
    (entry(NicMode.BRIDGED, "br0", ".10"), "VLAN filtering is off"),
    ({"mode": "pigeon"}, "is not known of here"),
    ({}, "is not known of here"),
  ],
)
def test_a_node_that_lacks_what_a_nic_needs(
  node: FakeLxc, nic: dict[str, object], text: str
) -> None:
  with pytest.raises(Refused, match=text) as caught:
    preflight.check_nics(node.host, [nic], NAME)
  assert NAME in str(caught.value)


def test_a_node_that_has_it(node: FakeLxc) -> None:
  wanted = [entry(NicMode.BRIDGED, "br0"), entry(NicMode.ROUTED, "100")]
  preflight.check_nics(node.host, wanted, NAME)


def test_nics_are_told_to_the_other_node() -> None:
  told = info(nics=(entry(NicMode.OVS, "ovs0"),))
  heard = Info.from_text(told.to_text())
  assert list(heard.nics) == [entry(NicMode.OVS, "ovs0") | {"uplinks": []}]


def test_an_earlier_release_tells_none() -> None:
  data = json.loads(info().to_text())
  del data["nics"], data["disks"]
  heard = Info.from_text(json.dumps(data))
  assert (heard.nics, heard.disks) == ((), ())


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", "null"])
def test_another_language(text: str) -> None:
  with pytest.raises(Refused, match="another language"):
    Info.from_text(text)
