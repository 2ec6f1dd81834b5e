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


"""Routed NICs: guests on two nodes, and routes that go where the guest goes."""

import contextlib
import json
from collections.abc import Iterator

import pytest
from cluster.cluster import LXCPATH, Cluster, Instance, Node, wait_for
from cluster.stream import Stream
from cluster.test_migration import ECHO_PORT, HV

# RFC 5737, TEST-NET-2
_ADDRESSES = ("198.51.100.7", "198.51.100.8")
_TABLE = "100"


@pytest.fixture
def routers(cluster: Cluster) -> Iterator[Cluster]:
  """The nodes forward, and ask table 100 too, as their administrator says."""
  setting = "net.ipv4.ip_forward"
  with contextlib.ExitStack() as stack:
    for node in cluster.nodes:
      before = node.run("sysctl", "-n", setting).strip()
      stack.callback(node.run, "sysctl", "-q", "-w", f"{setting}={before}")
      node.run("sysctl", "-q", "-w", f"{setting}=1")
      rule = ("pref", "100", "lookup", _TABLE)
      node.run("ip", "rule", "add", *rule)
      stack.callback(node.run, "ip", "rule", "del", *rule)
      for address in _ADDRESSES:
        stack.callback(node.try_run, "ip", "route", "del", address)
    stack.callback(_remove_all, cluster)
    yield cluster


def _remove_all(cluster: Cluster) -> None:
  for name in cluster.names():
    cluster.gnt("instance", "remove", "-f", "--shutdown-timeout=0", name)


def _add(cluster: Cluster, *wanted: tuple[Node, str]) -> list[Instance]:
  """Routed guests that send back what they are sent, one in each table."""
  found = cluster.add_all(*(
    {
      "on": node,
      "hv": HV,
      "memory": "memory=96M",
      "nics": (f"mode=routed,link={table},ip={address}",),
    }
    for (node, address), table in zip(wanted, ("main", _TABLE), strict=False)
  ))  # fmt: skip
  for instance in found:
    _listen(instance)
  return found


def _listen(instance: Instance) -> None:
  instance.inside(
    "exec >/dev/null 2>&1 </dev/null;"
    f" setsid nc -ll -p {ECHO_PORT} -e /bin/cat &"
  )


def _address(instance: Instance) -> str:
  return instance.listed("nic.ip/0")


def _tell_the_others(instance: Instance) -> None:
  """The administrator's part: every other node has a way to the guest."""
  node = instance.node
  via = node.run("getent", "ahostsv4", node.host_name).split()[0]
  for other in instance.cluster.nodes:
    if other != node:
      argv = ["route", "replace", _address(instance), "via", via]
      other.run("ip", *argv)


def _answers(instance: Instance, address: str) -> None:
  """The guest has an answer to what it sends there."""
  ask = f"echo hello | timeout 5 nc {address} {ECHO_PORT}"
  wait_for(
    lambda: instance.try_inside(ask).output.strip() == "hello",
    f"{instance.name} has an answer from {address}",
  )


def _tap(instance: Instance) -> str:
  """The host end of the guest's NIC, while it runs."""
  for link in json.loads(instance.node.run("ip", "-json", "link")):
    if str(link.get("ifalias", "")).endswith(f":{instance.name}"):
      return str(link["ifname"])
  raise AssertionError(f"{instance.name} has no interface on its node")


def _traces(node: Node, tap: str) -> list[str]:
  """Routes, rules, proxy neighbours and the interface of a guest's NIC."""
  text = node.sh(
    "ip route show table all; ip -6 route show table all; ip rule; ip -6 rule;"
    " ip neigh show proxy; ip -br link"
  )
  return [line for line in text.splitlines() if tap in line]


def _is_on(instance: Instance, node: Node | None, tap: str) -> None:
  """The guest's route is on that node and nothing of it on the others."""
  route = f"{_address(instance)} dev {tap}"
  for other in instance.cluster.nodes:
    found = _traces(other, tap)
    if other == node:
      assert any(route in line for line in found), found
    else:
      assert found == [], other.name


def _is_gone(instance: Instance, tap: str) -> None:
  """What ended by itself has taken its route and rules along."""
  node = instance.node
  wait_for(lambda: not instance.init_pid(), "the guest's end")
  wait_for(lambda: not _traces(node, tap), "its route to go")


def test_routed_guests_on_two_nodes_reach_each_other(routers: Cluster) -> None:
  here, there = routers.nodes[:2]
  one, other = _add(routers, (here, _ADDRESSES[0]), (there, _ADDRESSES[1]))
  for instance in (one, other):
    _tell_the_others(instance)
    _is_on(instance, instance.node, _tap(instance))
  _answers(one, _ADDRESSES[1])
  _answers(other, _ADDRESSES[0])
  tap = _tap(other)
  other.gnt("shutdown")
  _is_on(other, None, tap)
  _is_on(one, here, _tap(one))


def test_the_route_goes_where_the_guest_goes(routers: Cluster) -> None:
  here, there = routers.nodes[:2]
  (one,) = _add(routers, (here, _ADDRESSES[0]))
  tap = _tap(one)
  one.gnt("failover", "-f")
  _is_on(one, there, tap)
  _tell_the_others(one)
  _listen(one)
  with Stream(here, _ADDRESSES[0], ECHO_PORT, pause_s=0.02) as stream:
    # The other node has the guest's route instead of the administrator's.
    one.gnt("migrate", "-f")
    assert one.status == "running"
    _is_on(one, here, tap)
    stream.expect_progress()
    report = stream.end()
  assert report is not None
  assert report.lost == report.repeated == 0
  _tell_the_others(one)
  with Stream(there, _ADDRESSES[0], ECHO_PORT) as stream:
    stream.expect_progress()


def test_no_route_outlives_a_guest_that_ends_by_itself(
  routers: Cluster,
) -> None:
  here, there = routers.nodes[:2]
  one, other = _add(routers, (here, _ADDRESSES[0]), (here, _ADDRESSES[1]))
  for instance in (one, other):
    tap = _tap(instance)
    here.run("lxc-stop", "-P", LXCPATH, "-n", instance.name, "-k")
    _is_gone(instance, tap)
    instance.gnt("shutdown")
    instance.gnt("startup")
    instance.gnt("migrate", "-f")
    _is_on(instance, there, tap)
    instance.try_inside("poweroff")
    _is_gone(instance, tap)
    instance.gnt("remove", "-f")


def test_a_network_is_bridged_in_one_group_and_routed_in_another(
  routers: Cluster,
) -> None:
  here, there = routers.nodes[:2]
  home = routers.gnt("node", "list", "--no-headers", "-o", "group").split()[0]
  net, group = "storynet", "storygroup"
  undo = []

  def do(*argv: str, back: tuple[str, ...]) -> None:
    routers.gnt(*argv)
    undo.append(back)

  try:
    do("group", "add", group, back=("group", "remove", group))
    do(
      "group", "assign-nodes", "--force", group, there.host_name,
      back=("group", "assign-nodes", "--force", home, there.host_name),
    )  # fmt: skip
    do(
      "network", "add", "--network=198.51.100.0/29", net,
      back=("network", "remove", net),
    )  # fmt: skip
    for name, parameters in (
      (home, f"mode=bridged,link={routers.link}"),
      (group, "mode=routed,link=main"),
    ):
      do(
        "network", "connect", f"--nic-parameters={parameters}", net, name,
        back=("network", "disconnect", net, name),
      )  # fmt: skip
    nics = (f"network={net},ip=pool",)
    bridged, routed = routers.add_all(
      {"on": here, "nics": nics}, {"on": there, "nics": nics}
    )
    assert bridged.listed("nic.mode/0") == "bridged"
    assert routed.listed("nic.mode/0") == "routed"
    _is_on(routed, there, _tap(routed))
    assert f"master {routers.link}" in here.run("ip", "link")
    assert f"{_address(routed)}/32" in routed.inside("ip addr")
    assert f"{_address(bridged)}/29" in bridged.inside("ip addr")
    there.run("ping", "-c1", "-W5", _address(routed))
    for instance in (bridged, routed):
      instance.gnt("remove", "-f")
  finally:
    _remove_all(routers)
    for back in reversed(undo):
      routers.gnt(*back)
