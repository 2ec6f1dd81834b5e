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


"""VLANs of a bridge's uplinks, on an imitated node."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import record, uplinks
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import Host, make_directory
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.model import NicMode
from ganeti.hypervisor.hv_lxc.nics import NicRecord
from ganeti.hypervisor.hv_lxc.record import Phase, Record

BOOT_ID = "3d1b6c38-8f0e-4d0e-a9a4-5a2b3f2b7a11"


class Bridge:
  """A node with the bridge br0, whose uplinks are eth1 and eth2."""

  def __init__(self, top: Path) -> None:
    self.vlans: dict[str, set[int]] = {"br0": {1}}
    self.calls: list[str] = []
    self.after_change = lambda: None
    self.status = 0
    self.net = top / "sys/class/net"
    boot = top / "proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text(f"{BOOT_ID}\n")
    directories = (str(top / name) for name in "drlc")
    self.host = Host(
      layout=Layout.below(*directories),
      run=self,
      proc=top / "proc",
      sys=top / "sys",
    )
    for port in ("eth1", "eth2"):
      self.plug(port, 1)

  def plug(self, port: str, *vlans: int) -> None:
    (self.net / "br0" / f"lower_{port}").mkdir(parents=True)
    self.vlans[port] = set(vlans)

  def unplug(self, port: str) -> None:
    (self.net / "br0" / f"lower_{port}").rmdir()
    del self.vlans[port]

  def __call__(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    words = tuple(argv)
    if words[-2:] == ("vlan", "show"):
      return Result(words, self.status, self._shown())
    self.calls.append(" ".join(words[2:]))
    verb, port, vlan = words[2], words[4], int(words[6])
    known = self.vlans.get(port)
    if known is None:
      return Result(words, 1, stderr="Cannot find device")
    if verb == "add":
      known.add(vlan)
    else:
      known.remove(vlan)
    self.after_change()
    return Result(words, 0)

  def _shown(self) -> str:
    """Neighbours become a range, as with -compressvlans."""
    shown = []
    for port, vlans in self.vlans.items():
      ranges: list[dict[str, int]] = []
      for vlan in sorted(vlans):
        if ranges and vlan - 1 in (
          ranges[-1]["vlan"], ranges[-1].get("vlanEnd"),
        ):  # fmt: skip
          ranges[-1]["vlanEnd"] = vlan
        else:
          ranges.append({"vlan": vlan})
      shown.append({"ifname": port, "vlans": ranges})
    return json.dumps(shown)


@pytest.fixture
def node(tmp_path: Path) -> Bridge:
  return Bridge(tmp_path)


def nic(number: int = 1, **changes: object) -> NicRecord:
  values: dict[str, object] = {
    "index": 0,
    "uuid": f"nic-{number}",
    "host_name": f"tap{number}",
    "mode": NicMode.BRIDGED,
    "link": "br0",
    "vlan": ".10",
    **changes,
  }
  return NicRecord(**values)


def begin(node: Bridge, wanted: NicRecord) -> NicRecord:
  """As starting.py and net-common do it."""
  noted = uplinks.noted(node.host, wanted)
  paths = node.host.layout.instance(noted.uuid)
  make_directory(paths.home)
  made = Record(
    name=noted.uuid,
    uuid="",
    boot_id=BOOT_ID,
    phase=Phase.RUNNING,
    nics=(noted.to_dict(),),
  )
  record.save(paths, made)
  vlans = [int(v) for v in noted.vlan.replace(".", "").split(":") if v]
  node.plug(noted.host_name, *vlans)
  for port in ("eth1", "eth2"):
    node.vlans[port].update(vlans)
  return noted


def end(node: Bridge, noted: NicRecord) -> None:
  """As stopping.py does it."""
  node.unplug(noted.host_name)
  uplinks.release(node.host, noted)
  node.host.layout.instance(noted.uuid).record.unlink()


def test_the_last_one_takes_its_vlans_away(node: Bridge) -> None:
  one = begin(node, nic(1, vlan=".10:20"))
  other = begin(node, nic(2))
  assert one.uplinks == ("eth1:10", "eth1:20", "eth2:10", "eth2:20")
  end(node, one)
  assert node.vlans["eth1"] == {1, 10}
  end(node, other)
  assert node.vlans == {"br0": {1}, "eth1": {1}, "eth2": {1}}


def test_what_the_administrator_has_set_up_stays(node: Bridge) -> None:
  node.vlans["eth1"] |= set(range(2, 4095))
  noted = begin(node, nic())
  assert noted.uplinks == ("eth2:10",)
  end(node, noted)
  assert len(node.vlans["eth1"]) == 4094
  assert node.vlans["eth2"] == {1}


def test_another_hypervisors_guest_has_the_vlan(node: Bridge) -> None:
  noted = begin(node, nic())
  node.plug("tap0", 10)
  end(node, noted)
  assert node.vlans["eth1"] == {1, 10}
  assert node.calls == []


def test_a_guest_that_comes_while_another_goes(node: Bridge) -> None:
  noted = begin(node, nic())

  def come() -> None:
    if "tap2" not in node.vlans:
      node.plug("tap2", 10)

  node.after_change = come
  end(node, noted)
  assert 10 in node.vlans["eth1"]


def test_an_uplink_that_has_left_the_bridge(
  node: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
  noted = begin(node, nic())
  node.unplug("eth1")
  end(node, noted)
  assert node.vlans["eth2"] == {1}
  assert node.calls == ["del dev eth2 vid 10 master"]
  assert not caplog.text


@pytest.mark.parametrize(
  "wanted",
  [nic(vlan=""), nic(mode=NicMode.OVS), nic(mode=NicMode.ROUTED)],
  ids=["no VLAN", "Open vSwitch", "routed"],
)
def test_other_nics_cost_nothing(node: Bridge, wanted: NicRecord) -> None:
  node.status = 1
  moved = replace(wanted, uplinks=("eth1:10",))
  assert uplinks.noted(node.host, moved).uplinks == ()
  uplinks.release(node.host, wanted)
  assert node.calls == []


def test_an_answer_that_is_no_list(node: Bridge) -> None:
  node._shown = lambda: "Option -json is unknown"
  with pytest.raises(Failed, match="cannot be listed"):
    uplinks.noted(node.host, nic())
