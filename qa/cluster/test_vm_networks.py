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


"""Open vSwitch and VLANs: traffic between two nodes, and nothing left of it."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.cluster import LXCPATH, Cluster, Instance, Node, wait_for
from cluster.stream import Stream
from cluster.test_migration import ECHO_PORT, HV

pytestmark = pytest.mark.vm  # Open vSwitch, VLANs

_VLAN, _OTHER_VLAN = 10, 20
_BRIDGE = "story"
_DAEMON = "ovs-vswitchd"
_PATH = "storypath"
_NODE_END = "story0"
# The path between the nodes takes 50 bytes of each packet (RFC 7348).
_MTU = 1400
_NET = "198.51.100"  # RFC 5737, TEST-NET-2
_NODE_ADDRESS = f"{_NET}.1"


@dataclasses.dataclass(frozen=True)
class Fabric:
  """A bridge on each node, joined by a path that carries VLANs.

  The first node has an end of its own in the first VLAN.

  @ivar mode: of the NICs

  """

  cluster: Cluster
  mode: str

  @property
  def nodes(self) -> tuple[Node, Node]:
    return self.cluster.nodes[0], self.cluster.nodes[1]

  def nic(self, vlan: str, last_byte: int) -> str:
    """Options of a NIC."""
    return f"mode={self.mode},link={_BRIDGE},vlan={vlan},ip={_NET}.{last_byte}"

  def build(self, stack: contextlib.ExitStack) -> None:
    """Makes the bridges, and has them taken away at the end."""
    for node, other in (self.nodes, self.nodes[::-1]):
      remote = _address(other)
      stack.callback(node.sh, _TAKE_AWAY[self.mode])
      node.sh(_MAKE[self.mode].format(remote=remote, local=_address(node)))
    self.nodes[0].sh(_NODE_ENDS[self.mode])

  def ports(self, node: Node) -> list[str]:
    """The guests' interfaces on a node, and the ports that the bridge has."""
    links = json.loads(node.run("ip", "-json", "link"))
    found = {
      link["ifname"]
      for link in links
      if "ganeti-lxc" in str(link.get("ifalias"))
    }
    if self.mode == "openvswitch":
      listed = node.run("ovs-vsctl", "list-ports", _BRIDGE).split()
      found |= {port for port in listed if port.startswith("tap")}
    return sorted(found)

  def all_of(self, node: Node) -> str:
    """All that a guest may change on a node's bridge."""
    if self.mode == "openvswitch":
      return node.sh(
        "ovs-vsctl --format=csv --columns=name,tag,trunks,vlan_mode list port"
        " | sort; ovs-dpctl show | grep port; ip -br link | cut -d' ' -f1"
      )
    return node.sh("bridge vlan show; ip -br link | cut -d' ' -f1")


_MAKE = {
  "openvswitch": f"""
    ovs-vsctl add-br {_BRIDGE} -- set interface {_BRIDGE} mtu_request={_MTU}
    ovs-vsctl add-port {_BRIDGE} {_PATH} -- set interface {_PATH} type=vxlan \\
      options:remote_ip={{remote}} options:key=7
    ip link set {_BRIDGE} up
    """,
  "bridged": f"""
    ip link add {_BRIDGE} type bridge vlan_filtering 1 forward_delay 0
    ip link add {_PATH} type vxlan id 7 remote {{remote}} local {{local}} \\
      dstport 4790
    for link in {_PATH} {_BRIDGE}; do ip link set $link mtu {_MTU} up; done
    ip link set {_PATH} master {_BRIDGE}
    """,
}
# The node's own end in the first VLAN.
_NODE_ENDS = {
  "openvswitch": f"""
    ovs-vsctl add-port {_BRIDGE} {_NODE_END} tag={_VLAN} \\
      -- set interface {_NODE_END} type=internal
    ip address add {_NODE_ADDRESS}/24 dev {_NODE_END}
    ip link set {_NODE_END} up
    """,
  "bridged": f"""
    bridge vlan add dev {_BRIDGE} vid {_VLAN} pvid untagged self
    ip address add {_NODE_ADDRESS}/24 dev {_BRIDGE}
    """,
}
_TAKE_AWAY = {
  "openvswitch": f"ovs-vsctl --if-exists del-br {_BRIDGE}",
  "bridged": f"""
    for link in {_PATH} {_BRIDGE}; do
      [ ! -e /sys/class/net/$link ] || ip link del $link
    done
    """,
}


@pytest.fixture(params=["openvswitch", "bridged"])
def fabric(
  cluster: Cluster, request: pytest.FixtureRequest
) -> Iterator[Fabric]:
  """Nothing is left on the bridges of what the guests had there."""
  made = Fabric(cluster, request.param)
  with contextlib.ExitStack() as stack:
    made.build(stack)
    before = [made.all_of(node) for node in made.nodes]
    yield made
    for name in cluster.names():
      cluster.gnt("instance", "remove", "-f", "--shutdown-timeout=0", name)
    assert [made.all_of(node) for node in made.nodes] == before


def _address(node: Node) -> str:
  return node.run("getent", "ahostsv4", node.host_name).split()[0]


def _wanted(node: Node, nic: str) -> dict[str, Any]:
  return {"on": node, "hv": HV, "memory": "memory=96M", "nics": (nic,)}


def _listen(instance: Instance) -> None:
  instance.inside(
    "exec >/dev/null 2>&1 </dev/null;"
    f" setsid nc -ll -p {ECHO_PORT} -e /bin/cat &"
  )


def _tagged_end(instance: Instance, vlan: int, last_byte: int) -> None:
  """The guest gets an interface for what comes with a tag."""
  enter = ["nsenter", f"--net=/proc/{instance.init_pid()}/ns/net", "ip"]
  name = f"eth0.{vlan}"
  for words in (
    f"link add link eth0 name {name} type vlan id {vlan}",
    f"address add {_NET}.{last_byte}/24 dev {name}",
    f"link set {name} up",
  ):
    instance.node.run(*enter, *words.split())


def _answers(instance: Instance, last_byte: int) -> None:
  """The guest has an answer to what it sends to an address."""
  ask = f"echo hello | timeout 20 nc {_NET}.{last_byte} {ECHO_PORT}"
  wait_for(
    lambda: instance.try_inside(ask).output.strip() == "hello",
    f"{instance.name} has an answer from {_NET}.{last_byte}",
  )


def _is_out_of_reach(instance: Instance, last_byte: int) -> None:
  ping = f"ping -c3 -W2 {_NET}.{last_byte}"
  assert instance.try_inside(ping).status != 0


def test_guests_on_two_nodes_talk_within_their_vlan(fabric: Fabric) -> None:
  """One without tags, a stranger, one with both VLANs, each in its way."""
  here, there = fabric.nodes
  access, hybrid = fabric.cluster.add_all(
    _wanted(here, fabric.nic(f".{_VLAN}", 11)),
    _wanted(there, fabric.nic(f".{_VLAN}:{_OTHER_VLAN}", 12)),
  )
  stranger, trunk = fabric.cluster.add_all(
    _wanted(there, fabric.nic(f".{_OTHER_VLAN}", 13)),
    _wanted(here, fabric.nic(f":{_VLAN}:{_OTHER_VLAN}", 14)),
  )
  for instance in (access, hybrid, stranger, trunk):
    _listen(instance)
    assert f"mtu {_MTU}" in instance.inside("ip link show eth0")
  _answers(access, 12)
  _answers(hybrid, 11)
  _is_out_of_reach(access, 13)
  _is_out_of_reach(stranger, 11)
  # Without a tag the trunk is in no VLAN.
  _is_out_of_reach(trunk, 12)
  trunk.inside(f"ip address del {_NET}.14/24 dev eth0")
  _tagged_end(trunk, _VLAN, 15)
  _answers(hybrid, 15)
  _is_out_of_reach(stranger, 15)
  trunk.inside(f"ip link set eth0.{_VLAN} down")
  _tagged_end(trunk, _OTHER_VLAN, 16)
  _answers(stranger, 16)
  _is_out_of_reach(access, 16)
  hybrid.inside(f"ip address del {_NET}.12/24 dev eth0")
  _tagged_end(hybrid, _OTHER_VLAN, 17)
  _answers(trunk, 17)
  _answers(stranger, 17)
  _is_out_of_reach(access, 17)


def _is_on(fabric: Fabric, instance: Instance, wanted: Node | None) -> None:
  """The guest's port is on that node and on no other."""
  for node in fabric.nodes:
    assert len(fabric.ports(node)) == (node == wanted), node.name
  if wanted:
    assert instance.node == wanted
    _listens(instance)


def _listens(instance: Instance) -> None:
  """As soon as it has booted; ping(8) itself ends when ARP has no answer."""
  ping = ("ping", "-c1", "-w1", f"{_NET}.11")
  master = instance.cluster.master
  wait_for(lambda: not master.try_run(*ping).status, "the guest's answer")


def _ends(fabric: Fabric, instance: Instance) -> None:
  """Without Ganeti's doing, and without a port left."""
  wait_for(lambda: not instance.init_pid(), "the guest's end")
  wait_for(lambda: not any(map(fabric.ports, fabric.nodes)), "its port to go")


def test_no_port_is_left_where_a_guest_was(fabric: Fabric) -> None:
  here, there = fabric.nodes
  nothing = [fabric.all_of(node) for node in fabric.nodes]
  nic = fabric.nic(f".{_VLAN}", 11)
  instance = fabric.cluster.add(**_wanted(here, nic))
  _is_on(fabric, instance, here)
  instance.gnt("shutdown")
  assert [fabric.all_of(node) for node in fabric.nodes] == nothing
  instance.gnt("startup")
  _is_on(fabric, instance, here)
  here.run("lxc-stop", "-P", LXCPATH, "-n", instance.name, "-k")
  _ends(fabric, instance)
  instance.gnt("startup")
  _is_on(fabric, instance, here)
  instance.gnt("failover", "-f")
  _is_on(fabric, instance, there)
  _listen(instance)
  with Stream(here, f"{_NET}.11", ECHO_PORT, pause_s=0.2) as stream:
    instance.gnt("migrate", "-f")
    _is_on(fabric, instance, here)
    stream.expect_progress()
    report = stream.end()
  assert report is not None
  assert report.lost == report.repeated == 0
  instance.try_inside("poweroff")
  _ends(fabric, instance)
  instance.gnt("startup")
  instance.gnt("remove", "-f")
  assert [fabric.all_of(node) for node in fabric.nodes] == nothing


@pytest.fixture
def switch(cluster: Cluster) -> Iterator[Fabric]:
  """Open vSwitch, which runs again afterwards."""
  made = Fabric(cluster, "openvswitch")
  with contextlib.ExitStack() as stack:
    made.build(stack)
    for node in made.nodes:
      stack.callback(node.run, "systemctl", "start", _DAEMON)
    yield made


def test_the_switch_is_down_at_start_and_at_stop(switch: Fabric) -> None:
  node = switch.cluster.master
  nic = switch.nic(f".{_VLAN}", 11)
  instance = switch.cluster.add(**_wanted(node, nic))
  # systemctl would stop the database too.
  node.run("ovs-appctl", "-t", _DAEMON, "exit")
  ask = ("ovs-appctl", "-t", _DAEMON, "version")
  wait_for(lambda: node.try_run(*ask).status != 0, "the switch's end")
  instance.gnt("shutdown")
  assert switch.ports(node) == []
  said = instance.refused("startup")
  assert "Open vSwitch, which does not answer" in said
  assert "start openvswitch-switch" in said
  assert switch.ports(node) == []
  node.run("systemctl", "start", _DAEMON)
  instance.gnt("startup")
  _is_on(switch, instance, node)


def test_no_switch_on_the_node_that_a_guest_is_to_move_to(
  switch: Fabric,
) -> None:
  here, there = switch.nodes
  nic = switch.nic(f".{_VLAN}", 11)
  instance = switch.cluster.add(**_wanted(here, nic))
  init = instance.init_pid()
  there.run("ovs-vsctl", "del-br", _BRIDGE)
  said = instance.refused("migrate", "-f")
  assert f"needs the Open vSwitch bridge {_BRIDGE}" in said
  assert instance.init_pid() == init
  assert len(switch.ports(here)) == 1
  _listens(instance)
