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

"""Network: bridged, routed, several NICs, networks of gnt-network."""

import json
from collections.abc import Iterator

import pytest
from cluster.cluster import Cluster, Instance, Node, wait_for

_NETWORK = "storynet"


def _ping(instance: Instance, address: str, *options: str) -> None:
  """The guest reaches an address; the first packets may be lost to ARP."""
  command = " ".join(["ping -c1 -W1", *options, address])
  wait_for(
    lambda: instance.try_inside(command).status == 0,
    f"{instance.name} reaches {address}", 15,
  )  # fmt: skip


def _taps(node: Node) -> list[dict[str, object]]:
  """The host ends of instances' NICs."""
  links = json.loads(node.run("ip", "-json", "-details", "link"))
  return [link for link in links if link["ifname"].startswith("tap")]


def test_guests_on_two_nodes_reach_each_other(cluster: Cluster) -> None:
  one, other = cluster.add_all({"on": cluster.nodes[0]}, {
    "on": cluster.nodes[1]})  # fmt: skip
  _ping(one, other.address)
  _ping(other, one.address)
  taps = _taps(one.node)
  assert len(taps) == 1
  assert taps[0]["master"] == cluster.link
  # Still so after it has rebooted itself.
  before = one.init_pid()
  one.inside("reboot")
  wait_for(lambda: one.init_pid() not in (0, before), "a reboot")
  assert len(_taps(one.node)) == 1
  _ping(one, other.address)


def test_routed_nic(cluster: Cluster) -> None:
  address = "192.0.2.77"
  instance = cluster.add(nics=(f"mode=routed,link=main,ip={address}",))
  routes = instance.node.run("ip", "route", "show", "table", "main")
  assert f"{address} dev tap" in routes
  wait_for(
    lambda: instance.node.try_run("ping", "-c1", "-W1", address).status == 0,
    "the node reaches the routed guest",
  )
  instance.gnt("shutdown")
  assert address not in instance.node.run("ip", "route", "show", "table", "all")
  rules = instance.node.run("ip", "rule", "show")
  assert "tap" not in rules
  instance.gnt("startup")
  assert f"{address} dev tap" in instance.node.run("ip", "route")


def test_mtu_of_the_bridge_is_carried_over(cluster: Cluster) -> None:
  node = cluster.nodes[1]
  node.sh("ip link add br-story type bridge; ip link set br-story mtu 1400 up")
  try:
    instance = cluster.add(on=node, nics=("mode=bridged,link=br-story",))
    assert "mtu 1400" in instance.inside("ip link show eth0")
    assert _taps(node)[0]["mtu"] == 1400
    instance.gnt("remove", "-f")
  finally:
    node.run("ip", "link", "del", "br-story")


@pytest.fixture
def network(cluster: Cluster) -> Iterator[str]:
  """A network of gnt-network, connected to the node group."""
  cluster.gnt(
    "network", "add", "--network=192.0.2.0/24", "--gateway=192.0.2.1",
    _NETWORK,
  )  # fmt: skip
  try:
    cluster.gnt(
      "network", "connect",
      f"--nic-parameters=mode=bridged,link={cluster.link}", _NETWORK,
    )  # fmt: skip
    yield _NETWORK
  finally:
    cluster.remove_all()
    cluster.master.try_run("gnt-network", "disconnect", _NETWORK)
    cluster.gnt("network", "remove", _NETWORK)


def test_two_nics_one_of_a_network(cluster: Cluster, network: str) -> None:
  """The administrator's ifup script gets the whole environment."""
  instance = cluster.instance()
  script = "/etc/ganeti/kvm-vif-bridge"
  node = cluster.master
  node.write(
    script,
    '#!/bin/sh\nenv >"/tmp/story-ifup.$INTERFACE"\n'
    'ip link set "$INTERFACE" up\n'
    'ip link set "$INTERFACE" master "${LINK:-$BRIDGE}"\n',
    "755",
  )
  try:
    instance.add(nics=(f"ip={instance.address}", f"network={network},ip=pool"))
    assert len(_taps(node)) == 2
    addresses = instance.inside("ip addr")
    assert instance.address in addresses
    assert "192.0.2.2/24" in addresses
    text = node.sh("cat $(grep -l '^INTERFACE_INDEX=1' /tmp/story-ifup.*)")
    for line in (
      f"INSTANCE={instance.name}",
      "MODE=bridged",
      "IP=192.0.2.2",
      f"LINK={cluster.link}",
      f"NETWORK_NAME={network}",
      "NETWORK_SUBNET=192.0.2.0/24",
      "NETWORK_GATEWAY=192.0.2.1",
      "INTERFACE=tap",
      "MAC=",
      "TAGS=",
    ):
      assert f"\n{line}" in f"\n{text}", text
  finally:
    node.sh(f"rm -f {script} /tmp/story-ifup.*")


def test_nics_of_a_running_guest_are_changed_cold(cluster: Cluster) -> None:
  instance = cluster.add()
  init = instance.init_pid()
  said = instance.gnt("modify", "--net", "add:ip=192.0.2.9")
  assert "Traceback" not in said
  assert "rror" not in said.replace("HotplugError", ""), said
  assert instance.init_pid() == init
  assert "eth1" not in instance.inside("ip link")
  # What was attached is what is taken away, whatever Ganeti's list says.
  instance.gnt("modify", "--net", "0:remove")
  instance.gnt("shutdown")
  assert _taps(instance.node) == []
  instance.gnt("startup")
  assert "192.0.2.9" in instance.gnt("info")
  assert len(_taps(instance.node)) == 1


def test_no_nic_at_all(cluster: Cluster) -> None:
  instance = cluster.add(nics=())
  links = instance.inside("ls /sys/class/net").split()
  assert "eth0" not in links
  assert "lo" in links


def test_bridge_gone(cluster: Cluster) -> None:
  node = cluster.nodes[1]
  node.sh("ip link add br-story type bridge; ip link set br-story up")
  try:
    instance = cluster.add(
      on=node, nics=("mode=bridged,link=br-story",), more=("--no-start",)
    )
  finally:
    node.run("ip", "link", "del", "br-story")
  said = instance.refused("startup")
  assert "br-story" in said
  assert instance.status in ("ADMIN_down", "ERROR_down")


def test_failing_ifup_is_told_and_undone(cluster: Cluster) -> None:
  instance = cluster.instance()
  script = "/etc/ganeti/kvm-vif-bridge"
  node = cluster.master
  node.write(script, "#!/bin/sh\necho no carrier pigeon >&2\nexit 7\n", "755")
  try:
    instance.add(more=("--no-start",))
    said = instance.refused("startup")
    assert "no carrier pigeon" in said
  finally:
    node.run("rm", "-f", script)
  instance.gnt("startup")
  assert instance.status == "running"


@pytest.mark.parametrize("mac", ["zz:00:00:00:00:00", "01:00:00:00:00:01"])
def test_bad_mac(cluster: Cluster, mac: str) -> None:
  said = cluster.instance().add_refused(nics=(f"mac={mac}",))
  assert mac in said
  assert cluster.names() == [] or "start" in said
