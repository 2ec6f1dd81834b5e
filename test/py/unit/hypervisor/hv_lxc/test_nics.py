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

"""NICs as values: names, environment, configuration."""

import dataclasses
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ganeti import constants, objects
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import nics
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.model import NicMode, NicSpec
from hypothesis import given
from hypothesis import strategies as st

UUID = "6f0f9b0e-95c8-4d5d-9c33-4b4b1c3d0c11"
NETWORK_UUID = "0a1b2c3d-95c8-4d5d-9c33-4b4b1c3d0c11"
MAC = "aa:00:00:12:34:56"
SCRIPT = nics.IfupScript(
  path=Path("/usr/lib/ganeti/kvm-ifup"),
  override=Path("/etc/ganeti/kvm-vif-bridge"),
  log=Path("/var/log/ganeti/lxc/a.log"),
)


def make_nic(**changes: Any) -> NicSpec:
  values: dict[str, Any] = {
    "index": 0,
    "uuid": UUID,
    "mac": MAC,
    "mode": NicMode.BRIDGED,
    "link": "br0",
    "host_name": "tap0123456789ab",
    **changes,
  }
  return NicSpec(**values)


class TestHostName:
  def test_is_a_tap_of_15_characters(self) -> None:
    name = nics.host_name(UUID, "instance", 0)
    assert name.startswith("tap")
    assert len(name) == 15

  def test_depends_on_the_nic_alone(self) -> None:
    assert nics.host_name(UUID, "a", 0) == nics.host_name(UUID, "b", 7)

  def test_without_a_nic_uuid_the_instance_and_index_count(self) -> None:
    names = {
      nics.host_name("", instance, index)
      for instance in ("a", "b", "\udc80")
      for index in range(8)
    }
    assert len(names) == 24

  def test_is_the_same_in_every_version(self) -> None:
    # Running instances are looked up by it after an upgrade.
    assert nics.host_name(UUID, "", 0) == "tapcd43d11fc86f"

  @given(st.sets(st.uuids().map(str), min_size=2, max_size=200))
  def test_is_distinct(self, uuids: set[str]) -> None:
    assert len({nics.host_name(uuid, "", 0) for uuid in uuids}) == len(uuids)


class TestCommunication:
  def test_prefix_is_ganetis(self) -> None:
    assert (
      nics.COMMUNICATION_NIC_PREFIX
      == constants.INSTANCE_COMMUNICATION_NIC_PREFIX
    )

  @pytest.mark.parametrize(
    ("name", "expected"),
    [
      ("ganeti:communication:inst1", True),
      ("ganeti:other", False),
      ("", False),
      (None, False),
    ],
  )
  def test_is_told_by_the_name(self, name: str | None, expected: bool) -> None:
    assert nics.is_communication(name) is expected


class TestRecord:
  def test_survives_json(self) -> None:
    record = nics.NicRecord.of(make_nic(vlan=".10", mode=NicMode.OVS))
    stored = json.loads(json.dumps(record.to_dict()))
    assert nics.NicRecord.from_dict(stored) == record

  def test_keeps_what_uplinks_have_for_it(self) -> None:
    record = nics.NicRecord.of(make_nic(vlan=".10"))
    record = dataclasses.replace(record, uplinks=("eth1:10",))
    stored = json.loads(json.dumps(record.to_dict()))
    assert nics.NicRecord.from_dict(stored) == record
    with pytest.raises(ValueError, match="no list"):
      nics.NicRecord.from_dict({**stored, "uplinks": "eth1:10"})

  def test_one_of_an_earlier_version_has_nothing_of_uplinks(self) -> None:
    stored = nics.NicRecord.of(make_nic()).to_dict()
    del stored["uplinks"]
    assert nics.NicRecord.from_dict(stored).uplinks == ()

  def test_entries_of_a_newer_version_are_ignored(self) -> None:
    record = nics.NicRecord.of(make_nic())
    stored = {**record.to_dict(), "new": 1}
    assert nics.NicRecord.from_dict(stored) == record

  @pytest.mark.parametrize("missing", ["index", "host_name", "mode", "link"])
  def test_a_missing_entry_is_a_value_error(self, missing: str) -> None:
    stored = nics.NicRecord.of(make_nic()).to_dict()
    del stored[missing]
    with pytest.raises(ValueError, match=missing):
      nics.NicRecord.from_dict(stored)

  def test_an_unknown_mode_is_a_value_error(self) -> None:
    stored = {**nics.NicRecord.of(make_nic()).to_dict(), "mode": "pigeon"}
    with pytest.raises(ValueError, match="pigeon"):
      nics.NicRecord.from_dict(stored)


NETWORK = {
  "name": "net1",
  "uuid": NETWORK_UUID,
  "network": "192.0.2.0/24",
  "gateway": "192.0.2.1",
  "network6": "2001:db8::/64",
  "gateway6": "2001:db8::1",
  "mac_prefix": "aa:bb:cc",
  "tags": ["nfdhcpd", "public"],
}

CASES = {
  "bridged": make_nic(),
  "bridged, VLAN": make_nic(vlan=".10:20:30"),
  "bridged, IP and name": make_nic(ip="192.0.2.7", name="front", index=3),
  "openvswitch": make_nic(mode=NicMode.OVS, link="ovs0"),
  "openvswitch, VLAN": make_nic(mode=NicMode.OVS, link="ovs0", vlan=":10:20"),
  "routed": make_nic(mode=NicMode.ROUTED, link="100", ip="192.0.2.9"),
  "routed, no table": make_nic(mode=NicMode.ROUTED, link="", ip="2001:db8::9"),
  "odd values": make_nic(name="naïve 'quoted'\n$(reboot)", link="br 0"),
}


def ganetis_env(
  monkeypatch: pytest.MonkeyPatch, nic: NicSpec, *, network: bool
) -> dict[str, str]:
  """The environment in which ConfigureNIC runs its script."""
  seen: dict[str, str] = {}

  def run_cmd(cmd: object, *, env: dict[str, str]) -> SimpleNamespace:
    seen.update(env)
    return SimpleNamespace(failed=False)

  monkeypatch.setattr(hv_base.utils, "RunCmd", run_cmd)
  theirs = objects.NIC(
    mac=nic.mac,
    ip=nic.ip,
    name=nic.name,
    uuid=nic.uuid,
    nicparams={"mode": nic.mode.value, "link": nic.link, "vlan": nic.vlan},
    network=NETWORK_UUID if network else None,
    netinfo=dict(NETWORK) if network else None,
  )
  instance = objects.Instance(name="inst1.example.com", tags={"a", "b:c"})
  hv_base.ConfigureNIC("script", instance, nic.index, theirs, nic.host_name)
  # A set has no order.
  seen["TAGS"] = " ".join(sorted(seen["TAGS"].split()))
  return seen


class TestScriptEnv:
  @pytest.mark.parametrize("network", [False, True])
  @pytest.mark.parametrize("nic", CASES.values(), ids=CASES.keys())
  def test_equals_configure_nics(
    self, monkeypatch: pytest.MonkeyPatch, nic: NicSpec, network: bool
  ) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    expected = ganetis_env(monkeypatch, nic, network=network)
    hooks_dict = objects.Network.FromDict(dict(NETWORK)).HooksDict()
    env = nics.script_env(
      nic,
      instance="inst1.example.com",
      tags=("a", "b:c"),
      network=hooks_dict if network else None,
      path="/usr/bin:/bin",
    )
    # The order of a set of tags is nobody's promise.
    for known in (env, expected):
      if "NETWORK_TAGS" in known:
        known["NETWORK_TAGS"] = " ".join(sorted(known["NETWORK_TAGS"].split()))
    assert env == expected

  def test_no_name_is_left_from_an_earlier_environment(self) -> None:
    nic = make_nic(ip="192.0.2.7", name="front")
    env = nics.script_env(
      nic,
      instance="i",
      tags=(),
      network=objects.Network.FromDict(dict(NETWORK)).HooksDict(),
      path="/bin",
    )
    first = nics.render_env(env, SCRIPT).splitlines()[0].split()
    assert first[0] == "unset"
    assert set(first[1:]) == set(env) - {"PATH"}


# What an environment can hold: anything but the zero byte.
VALUES = st.text(
  st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)


def parse(text: str) -> dict[str, str]:
  """What a shell would assign."""
  words = shlex.split(text, posix=True)
  return dict(word.split("=", 1) for word in words if "=" in word)


class TestRenderEnv:
  @given(VALUES)
  def test_any_value_is_carried(self, value: str) -> None:
    assert parse(nics.render_env({"NAME": value}, SCRIPT))["NAME"] == value

  def test_the_hooks_own_settings_are_not_exported(self) -> None:
    lines = nics.render_env({}, SCRIPT).splitlines()
    assert "hook_ifup='/usr/lib/ganeti/kvm-ifup'" in lines
    assert "hook_override='/etc/ganeti/kvm-vif-bridge'" in lines
    assert "hook_log='/var/log/ganeti/lxc/a.log'" in lines
    assert "hook_timeout='60'" in lines

  @pytest.mark.parametrize("name", ["", "1A", "A B", "A;reboot", "Ä", "A\n"])
  def test_a_bad_name_is_refused(self, name: str) -> None:
    with pytest.raises(Refused, match="name of an environment variable"):
      nics.render_env({name: "x"}, SCRIPT)

  @pytest.mark.parametrize("value", ["a\0b", "\ud800"])
  def test_what_no_environment_holds_is_refused(self, value: str) -> None:
    with pytest.raises(Refused, match="Variable NAME") as caught:
      nics.render_env({"NAME": value}, SCRIPT)
    assert str(caught.value).isprintable()


UP = ("/var/lib/ganeti/lxc/i/nic-up", "/var/lib/ganeti/lxc/i/nic0.env")
DOWN = ("/var/lib/ganeti/lxc/i/nic-down", "/var/lib/ganeti/lxc/i/nic0.env")


class TestConfigLines:
  def test_a_bridged_nic(self) -> None:
    nic = make_nic(index=1, mac=MAC.upper(), mtu=1400)
    assert nics.config_lines(nic, up=UP, down=DOWN) == [
      ("lxc.net.1.type", "veth"),
      ("lxc.net.1.flags", "up"),
      ("lxc.net.1.name", "eth1"),
      ("lxc.net.1.hwaddr", MAC),
      ("lxc.net.1.veth.pair", "tap0123456789ab"),
      ("lxc.net.1.script.up", " ".join(UP)),
      ("lxc.net.1.script.down", " ".join(DOWN)),
      ("lxc.net.1.mtu", "1400"),
    ]

  def test_without_an_mtu_the_kernels_is_kept(self) -> None:
    keys = [key for key, _ in nics.config_lines(make_nic(), up=UP, down=DOWN)]
    assert "lxc.net.0.mtu" not in keys

  @pytest.mark.parametrize("mode", list(NicMode))
  def test_lxc_itself_attaches_nothing(self, mode: NicMode) -> None:
    nic = make_nic(mode=mode)
    keys = [key for key, _ in nics.config_lines(nic, up=UP, down=DOWN)]
    assert "lxc.net.0.link" not in keys

  @pytest.mark.parametrize("path", ["/a b", "/a;b", "/a$b", "/a\nb", "/ä'"])
  def test_a_path_the_shell_would_act_on_is_refused(self, path: str) -> None:
    with pytest.raises(Refused, match="shell"):
      nics.config_lines(make_nic(), up=(path, "/x"), down=DOWN)

  def test_no_nic_is_not_the_hosts_network(self) -> None:
    assert nics.no_network_lines()[0] == ("lxc.net.0.type", "empty")
