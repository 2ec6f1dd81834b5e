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

"""NICs' host ends on an imitated node."""

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import nic_links
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.model import NicMode, NicSpec
from ganeti.hypervisor.hv_lxc.nics import NicRecord

UUID = "6f0f9b0e-95c8-4d5d-9c33-4b4b1c3d0c11"
TAP = "tap0123456789ab"


class Node:
  """Interfaces and rules of an imitated node, and what was run there."""

  def __init__(self, root: Path) -> None:
    self.net = root / "class/net"
    self.net.mkdir(parents=True)
    self.calls: list[str] = []
    self.rules: list[str] = []
    self.answers: dict[str, int] = {}
    self.missing: set[str] = set()
    self.failing: set[str] = set()
    self.host = Host(
      layout=Layout.below("d", "r", "l", "c"), run=self, sys=root
    )

  def __call__(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    line = " ".join(argv)
    self.calls.append(line)
    if argv[0] in self.missing:
      raise Failed(f"Cannot run {argv[0]}")
    status = 1 if line in self.failing else self.answers.get(argv[0], 0)
    if status:
      return Result(tuple(argv), status, stderr="it did not work")
    return Result(tuple(argv), self.act(line))

  def act(self, line: str) -> int:
    words = line.split()
    if line.startswith("ip link del dev "):
      self.remove(words[-1])
    elif "rule del dev" in line:
      rule = f"{words[1]} {words[-1]}"
      if rule not in self.rules:
        return 2
      self.rules.remove(rule)
    return 0

  def remove(self, name: str) -> None:
    for entry in (self.net / name).iterdir():
      entry.unlink()
    (self.net / name).rmdir()

  def add(self, name: str, **attributes: str) -> None:
    (self.net / name).mkdir()
    defaults = {
      "mtu": "1500",
      "flags": "0x1003",
      "operstate": "up",
      "ifalias": "",
    }
    for key, value in {**defaults, **attributes}.items():
      (self.net / name / key).write_text(f"{value}\n")

  def add_bridge(self, name: str, *, filtering: str = "0", **kw: str) -> None:
    self.add(name, **kw)
    (self.net / name / "bridge").mkdir()
    (self.net / name / "bridge/vlan_filtering").write_text(f"{filtering}\n")


@pytest.fixture
def node(tmp_path: Path) -> Node:
  return Node(tmp_path)


def make_nic(**changes: Any) -> NicSpec:
  values: dict[str, Any] = {
    "index": 2,
    "uuid": UUID,
    "mac": "aa:00:00:12:34:56",
    "mode": NicMode.BRIDGED,
    "link": "br0",
    "host_name": TAP,
    **changes,
  }
  return NicSpec(**values)


def refusal(node: Node, nic: NicSpec) -> str:
  with pytest.raises(Refused) as caught:
    nic_links.check(node.host, "inst1.example.com", nic)
  text = str(caught.value)
  assert "NIC 2 of instance inst1.example.com" in text
  assert text.isprintable()
  return text


class TestCheck:
  def test_a_bridge_is_enough(self, node: Node) -> None:
    node.add_bridge("br0")
    nic_links.check(node.host, "inst1", make_nic())
    assert node.calls == []

  def test_no_bridge(self, node: Node) -> None:
    text = refusal(node, make_nic())
    assert "bridge br0, which does not exist on this node" in text
    assert "ip link add br0 type bridge" in text

  def test_an_interface_that_is_not_a_bridge(self, node: Node) -> None:
    node.add("br0")
    assert "br0, which is not a bridge" in refusal(node, make_nic())

  @pytest.mark.parametrize("vlan", ["10", ".10", ":10:20", ".10:20:4094"])
  def test_a_vlan_needs_filtering(self, node: Node, vlan: str) -> None:
    node.add_bridge("br0")
    node.add_bridge("br1", filtering="1")
    assert "vlan_filtering 1" in refusal(node, make_nic(vlan=vlan))
    nic_links.check(node.host, "i", make_nic(vlan=vlan, link="br1"))

  @pytest.mark.parametrize(
    "vlan",
    ["0", ".4095", "x", ".", ":", "10:", "1 2", "10\n", "٣", "10;reboot", "*"],
  )
  def test_a_bad_vlan(self, node: Node, vlan: str) -> None:
    node.add_bridge("br0", filtering="1")
    assert "bad VLAN" in refusal(node, make_nic(vlan=vlan))

  @pytest.mark.parametrize(
    "mac",
    [
      "",
      "aa:00:00:12:34",
      "aa:00:00:12:34:56:78",
      "aa-00-00-12-34-56",
      "aa:00:00:12:34:5g",
      "aa:00:00:12:34:56\n",
      "aa:00:00:xx:xx:xx",
      "aa:00:00:12:34:٣٣",
    ],
  )
  def test_a_bad_mac(self, node: Node, mac: str) -> None:
    node.add_bridge("br0")
    assert "bad MAC address" in refusal(node, make_nic(mac=mac))

  @pytest.mark.parametrize(
    "mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"]
  )
  def test_a_mac_that_is_no_unicast_one(self, node: Node, mac: str) -> None:
    node.add_bridge("br0")
    assert "not a unicast one" in refusal(node, make_nic(mac=mac))

  @pytest.mark.parametrize(
    "link",
    ["", ".", "..", "a" * 16, "../lo", "br 0", "br\n0", "br:0", "ä" * 8],
  )
  @pytest.mark.parametrize("mode", [NicMode.BRIDGED, NicMode.OVS])
  def test_a_link_that_is_no_interface_name(
    self, node: Node, mode: NicMode, link: str
  ) -> None:
    nic = make_nic(link=link, mode=mode)
    assert "cannot be an interface's name" in refusal(node, nic)
    assert node.calls == []

  @pytest.mark.parametrize("link", ["a" * 15, "brücke"])
  def test_a_link_at_the_limit(self, node: Node, link: str) -> None:
    node.add_bridge(link)
    nic_links.check(node.host, "i", make_nic(link=link))

  @pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
  def test_routed_with_an_address(self, node: Node, ip: str) -> None:
    nic = make_nic(mode=NicMode.ROUTED, link="100", ip=ip)
    nic_links.check(node.host, "i", nic)

  @pytest.mark.parametrize("ip", [None, "", "192.0.2.1/24", "x", "1.2.3.4\n"])
  def test_routed_needs_an_address(self, node: Node, ip: str | None) -> None:
    nic = make_nic(mode=NicMode.ROUTED, link="100", ip=ip)
    text = refusal(node, nic)
    assert "routed and needs an IP address" in text
    assert "N:ip=ADDRESS" in text


class TestCheckOvs:
  NIC = make_nic(mode=NicMode.OVS, link="ovs0")

  def test_is_asked_for_the_bridge_and_whether_it_lives(
    self, node: Node
  ) -> None:
    nic_links.check(node.host, "i", self.NIC)
    assert node.calls == [
      "ovs-vsctl --timeout=10 br-exists ovs0",
      "ovs-appctl --timeout=10 -t ovs-vswitchd version",
    ]

  def test_the_database_answers_but_not_the_switch(self, node: Node) -> None:
    node.answers["ovs-appctl"] = 1
    text = refusal(node, self.NIC)
    assert "does not answer" in text
    assert "start openvswitch-switch" in text

  def test_not_installed(self, node: Node) -> None:
    node.missing.add("ovs-vsctl")
    assert "install openvswitch-switch" in refusal(node, self.NIC)

  def test_no_such_bridge(self, node: Node) -> None:
    node.answers["ovs-vsctl"] = 2
    assert "ovs-vsctl add-br ovs0" in refusal(node, self.NIC)

  def test_daemon_does_not_answer(self, node: Node) -> None:
    node.answers["ovs-vsctl"] = -14
    text = refusal(node, self.NIC)
    assert "was killed by signal 14" in text
    assert "start openvswitch-switch" in text


class TestState:
  def test_none_without_the_interface(self, node: Node) -> None:
    assert nic_links.state(node.host, TAP) is None
    assert not nic_links.exists(node.host, TAP)

  def test_of_a_bridge_port(self, node: Node) -> None:
    node.add_bridge("br0")
    node.add(TAP, mtu="1400", ifalias="ganeti-lxc:u:i")
    (node.net / TAP / "master").symlink_to("../br0")
    assert nic_links.state(node.host, TAP) == nic_links.LinkState(
      up=True, carrier=True, master="br0", mtu=1400, alias="ganeti-lxc:u:i"
    )

  def test_down(self, node: Node) -> None:
    node.add(TAP, flags="0x1002", operstate="down")
    found = nic_links.state(node.host, TAP)
    assert found is not None
    assert (found.up, found.carrier, found.master) == (False, False, "")

  def test_none_while_the_kernel_removes_it(
    self, node: Node, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    def read(path: Path) -> str:
      raise OSError(errno.EINVAL, "Invalid argument")

    node.add(TAP)
    monkeypatch.setattr(nic_links, "read_optional", read)
    assert nic_links.state(node.host, TAP) is None

  def test_other_errors_are_not_taken_for_its_absence(
    self, node: Node, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    def read(path: Path) -> str:
      raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(nic_links, "read_optional", read)
    with pytest.raises(OSError, match="Input/output error"):
      nic_links.state(node.host, TAP)

  def test_mtu_of_a_bridge(self, node: Node) -> None:
    node.add_bridge("br0", mtu="9000")
    assert nic_links.bridge_mtu(node.host, "br0") == 9000

  @pytest.mark.parametrize("link", ["br1", "", "../br0", "100"])
  def test_no_mtu_without_a_bridge(self, node: Node, link: str) -> None:
    node.add_bridge("br0")
    assert nic_links.bridge_mtu(node.host, link) is None


def test_ifup_error(tmp_path: Path) -> None:
  env_file = tmp_path / "nic0.env"
  assert not nic_links.ifup_error(env_file)
  (tmp_path / "nic0.env.error").write_text("nic-up: it failed\n")
  assert nic_links.ifup_error(env_file) == "nic-up: it failed"


def test_configure_runs_the_hook(node: Node, tmp_path: Path) -> None:
  nic_links.configure(node.host, Path("/h/nic-up"), tmp_path / "nic0.env")
  assert node.calls == [f"sh /h/nic-up {tmp_path}/nic0.env"]


@pytest.mark.parametrize("recorded", [True, False])
def test_configure_tells_why_it_failed(
  node: Node, tmp_path: Path, recorded: bool
) -> None:
  node.answers["sh"] = 1
  if recorded:
    (tmp_path / "nic0.env.error").write_text("nic-up: no such bridge\n")
  expected = "no such bridge" if recorded else "it did not work"
  with pytest.raises(Failed, match=expected):
    nic_links.configure(node.host, Path("/h/nic-up"), tmp_path / "nic0.env")


def test_the_first_name_that_is_free(node: Node) -> None:
  names = [f"gnt.com.{number}" for number in range(4)]
  assert nic_links.free_name(node.host, names) == "gnt.com.0"
  node.add("gnt.com.0")
  node.add("gnt.com.2")
  assert nic_links.free_name(node.host, names) == "gnt.com.1"
  assert nic_links.free_name(node.host, names, {"gnt.com.1"}) == "gnt.com.3"


def record(**changes: Any) -> NicRecord:
  return NicRecord.of(make_nic(**changes))


class TestCutOff:
  def test_what_is_ours_goes_down(self, node: Node) -> None:
    node.add(TAP, ifalias=f"ganeti-lxc:{UUID}:inst1")
    nic_links.cut_off(node.host, [record()])
    assert node.calls == [f"ip link set dev {TAP} down"]

  def test_what_is_gone_or_somebody_elses_costs_no_program(
    self, node: Node
  ) -> None:
    node.add("gnt.com.0", ifalias="ganeti-lxc:other:inst2")
    others = record(host_name="gnt.com.0", mode=NicMode.ROUTED)
    nic_links.cut_off(node.host, [record(), others])
    assert node.calls == []


class TestTeardown:
  def test_a_bridged_nic_that_is_gone_costs_no_program(
    self, node: Node
  ) -> None:
    nic_links.teardown(node.host, [record()])
    assert node.calls == []

  def test_a_stale_interface_is_removed_once(self, node: Node) -> None:
    node.add(TAP, ifalias=f"ganeti-lxc:{UUID}:inst1")
    nic_links.teardown(node.host, [record()])
    nic_links.teardown(node.host, [record()])
    assert node.calls == [f"ip link del dev {TAP}"]

  def test_one_that_was_killed_before_it_had_an_alias(self, node: Node) -> None:
    node.add(TAP)
    nic_links.teardown(node.host, [record()])
    assert not nic_links.exists(node.host, TAP)

  @pytest.mark.parametrize("alias", ["", "ganeti-lxc:other:inst2", "uplink"])
  def test_a_number_that_somebody_else_has_now(
    self, node: Node, alias: str
  ) -> None:
    node.add("gnt.com.0", ifalias=alias)
    ours = record(host_name="gnt.com.0", mode=NicMode.ROUTED)
    nic_links.teardown(node.host, [ours])
    assert nic_links.exists(node.host, "gnt.com.0")
    assert node.calls == []

  def test_our_own_number(self, node: Node) -> None:
    node.add("gnt.com.0", ifalias=f"ganeti-lxc:{UUID}:inst1")
    ours = record(host_name="gnt.com.0", mode=NicMode.ROUTED)
    nic_links.teardown(node.host, [ours])
    assert not nic_links.exists(node.host, "gnt.com.0")

  def test_all_rules_of_both_families(self, node: Node) -> None:
    node.rules = [f"-4 {TAP}", f"-4 {TAP}", f"-6 {TAP}", "-4 tapother"]
    nic_links.teardown(node.host, [record(mode=NicMode.ROUTED, link="100")])
    assert node.rules == ["-4 tapother"]

  def test_an_ovs_port_outlives_its_interface(self, node: Node) -> None:
    nic_links.teardown(node.host, [record(mode=NicMode.OVS, link="ovs0")])
    assert node.calls == [f"ovs-vsctl --timeout=10 --if-exists del-port {TAP}"]

  def test_the_switch_is_down_and_the_port_goes_all_the_same(
    self, node: Node
  ) -> None:
    waiting = f"ovs-vsctl --timeout=10 --if-exists del-port {TAP}"
    node.failing.add(waiting)
    nic_links.teardown(node.host, [record(mode=NicMode.OVS, link="ovs0")])
    assert node.calls == [
      waiting,
      f"ovs-vsctl --timeout=10 --no-wait --if-exists del-port {TAP}",
    ]

  def test_what_is_left_is_named_and_the_rest_removed(self, node: Node) -> None:
    node.missing.add("ovs-vsctl")
    node.add("tapsecond")
    records = [
      record(mode=NicMode.OVS, link="ovs0"),
      record(host_name="tapsecond"),
    ]
    with pytest.raises(Incomplete, match=f"{TAP}: Cannot run ovs-vsctl"):
      nic_links.teardown(node.host, records)
    assert not nic_links.exists(node.host, "tapsecond")

  def test_an_interface_that_stays_is_named(
    self, node: Node, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(nic_links, "_REMOVE_TIMEOUT_S", 0)
    node.add(TAP)
    node.answers["ip"] = 2
    with pytest.raises(Incomplete, match="it did not work"):
      nic_links.teardown(node.host, [record()])
