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

"""From Ganeti's own objects to values."""

import pathlib
from typing import Any

import pytest
from ganeti import objects
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import nics, translate
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.model import NicMode, NicSpec, Params
from unit.hypervisor.hv_lxc.fakes import NAME, UUID, FakeLxc

NIC_UUID = "7d8c0f6e-9b3e-4f0f-8d3c-0d9d3a9b8a55"
NETWORK = {
  "NETWORK_NAME": "net1",
  "NETWORK_SUBNET": "192.0.2.0/24",
  "NETWORK_TAGS": "a b",
}


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path)
  node.add_link("br0", bridge=True)
  node.write("sys/class/net/br0/mtu", "9000\n")
  return node


def instance(*nics_: objects.NIC) -> objects.Instance:
  return objects.Instance(
    name=NAME,
    uuid=UUID,
    beparams={"vcpus": 3, "minmem": 1, "maxmem": 2},
    nics=list(nics_),
    tags={"a"},
  )


def nic(**changes: Any) -> objects.NIC:
  values: dict[str, Any] = {
    "mac": "aa:00:00:00:00:01",
    "uuid": NIC_UUID,
    "nicparams": {"mode": "bridged", "link": "br0", "vlan": ".7"},
    **changes,
  }
  return objects.NIC(**values)


def spec(
  node: FakeLxc,
  value: objects.NIC,
  network: dict[str, str] | None = None,
) -> NicSpec:
  return translate.nic_spec(
    node.host,
    instance=instance(value),
    index=2,
    nic=value,
    network=network,
    taken=(),
  )


@pytest.mark.parametrize(
  ("params", "network"),
  [
    ({"mode": "bridged", "link": "br0", "vlan": ".7"}, None),
    ({"mode": "routed", "link": "rt_table", "vlan": ""}, NETWORK),
    ({"mode": "openvswitch", "link": "ovs", "vlan": ":1:2"}, NETWORK),
  ],
)
@pytest.mark.parametrize("ip", [None, "192.0.2.9"])
@pytest.mark.parametrize("name", [None, "front"])
def test_the_scripts_environment_is_that_of_configure_nic(
  node: FakeLxc,
  monkeypatch: pytest.MonkeyPatch,
  params: dict[str, str],
  network: dict[str, str] | None,
  ip: str | None,
  name: str | None,
) -> None:
  value = nic(nicparams=params, ip=ip, name=name)
  found = spec(node, value, network)
  seen: dict[str, str] = {}

  class Ended:
    failed = False

  def run(_cmd: Any, env: dict[str, str]) -> Any:
    seen.update(env)
    return Ended()

  monkeypatch.setattr(hv_base.utils, "RunCmd", run)
  monkeypatch.setattr(
    hv_base.objects.Network, "FromDict", lambda _: FakeNetwork()
  )
  if network:
    value.network, value.netinfo = "uuid", {}
  hv_base.ConfigureNIC("cmd", instance(value), 2, value, found.host_name)
  assert dict(found.script_env) == seen


class FakeNetwork:
  def HooksDict(self) -> dict[str, str]:  # noqa: N802
    return dict(NETWORK)


def test_the_guests_end_has_the_bridges_mtu(node: FakeLxc) -> None:
  assert spec(node, nic()).mtu == 9000
  routed = {"mode": "routed", "link": "br0", "vlan": ""}
  assert spec(node, nic(nicparams=routed)).mtu is None


def test_names_on_the_host(node: FakeLxc) -> None:
  found = spec(node, nic())
  assert found.host_name == nics.host_name(NIC_UUID, UUID, 2)
  assert found.mode is NicMode.BRIDGED
  assert spec(node, nic(uuid=None)).host_name != found.host_name


def communication_nic(uuid: str) -> objects.NIC:
  params = {"mode": "routed", "link": "100", "vlan": ""}
  return nic(name="ganeti:communication:x", nicparams=params, uuid=uuid)


def names(node: FakeLxc, *uuids: str) -> list[str]:
  request = start_request(node, [communication_nic(u) for u in uuids])
  return [found.host_name for found in request.nics]


def test_two_nics_for_communication_have_two_names(node: FakeLxc) -> None:
  first, second = names(node, "u", "u")
  assert int(second[8:]) == int(first[8:]) + 1


def test_two_starts_at_once_do_not_choose_one_name(node: FakeLxc) -> None:
  """Neither has made its interface when the other one looks."""
  found = {*names(node, "u0"), *names(node, "u1"), *names(node, "u2")}
  assert len(found) == 3


def test_kvm_can_go_on_counting_behind_our_names(node: FakeLxc) -> None:
  """hv_base.GenerateTapName adds one to the largest."""
  longest = nics.MAX_LINK_NAME
  for number in range(50):
    (name,) = names(node, f"u{number}")
    assert name == nics.COMMUNICATION_LINK_PREFIX + str(int(name[8:]))
    assert len(name) < longest


def start_request(node: FakeLxc, values: list[objects.NIC]) -> Any:
  disk = objects.Disk(uuid="d", mode="ro", size=512)
  return translate.start_request(
    node.host,
    instance=instance(*values),
    block_devices=[(disk, str(node.top / "image"), None)],
    networks=[None] * len(values),
    params=Params(cpu_mask="0-1"),
    memory_mib=77,
    ifup=nics.IfupScript(
      path=node.top, override=node.top, log=node.top / "log"
    ),
    paused=True,
  )


def test_a_whole_request(node: FakeLxc) -> None:
  request = start_request(node, [nic(), nic(uuid="other")])
  assert (request.name, request.uuid, request.paused) == (NAME, UUID, True)
  assert request.limits.memory_mib == 77
  assert request.limits.vcpus == 3
  assert request.limits.cpuset == "0-1"
  assert [n.index for n in request.nics] == [0, 1]
  (disk,) = request.disks
  assert disk.read_only
  assert disk.size_mib == 512


def test_cpus_that_are_not_there(node: FakeLxc) -> None:
  node.write("sys/devices/system/cpu/online", "0\n")
  with pytest.raises(Refused, match="cpu_mask"):
    start_request(node, [])


def test_links_to_disks_are_resolved(node: FakeLxc) -> None:
  disk = objects.Disk(uuid="d", mode="rw", size=1)
  real = node.write("image")
  (node.top / "link").symlink_to("image")
  (found,) = translate.disk_specs(NAME, [(disk, str(node.top / "link"), None)])
  assert found.path == real
  assert not found.read_only
  assert found.index == 0


@pytest.mark.parametrize("link", [None, ""])
def test_a_disk_that_the_kernel_does_not_show(link: str | None) -> None:
  disk = objects.Disk(uuid="d", mode="rw", size=1)
  with pytest.raises(Refused, match=r"Disk 0 .*rbd:pool/x.*access=kernel"):
    translate.disk_specs(NAME, [(disk, link, "rbd:pool/x")])
