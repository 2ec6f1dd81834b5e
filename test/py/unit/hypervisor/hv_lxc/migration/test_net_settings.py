#
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

"""What a guest has set below /proc/sys/net, in a directory."""

import errno
import json
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import net_settings, netns

INIT = 4321
PORTS = "ipv4/ip_local_port_range"
FIRST = "ipv4/ip_unprivileged_port_start"
V6ONLY = "ipv6/bindv6only"
RESERVED = "ipv4/ip_local_reserved_ports"
DEFAULTS = {
  PORTS: "32768\t60999",
  FIRST: "1024",
  V6ONLY: "0",
  RESERVED: "",
  "ipv4/ip_nonlocal_bind": "0",
  "ipv6/ip_nonlocal_bind": "0",
}


class Network:
  """A guest's: on the source, then anew on the target."""

  def __init__(self, node: Host, top: Path) -> None:
    self.node = node
    self.top = top
    self.images = top / "images"
    self.images.mkdir()
    self.set(DEFAULTS)

  def set(self, values: dict[str, str]) -> None:
    for name, value in values.items():
      file = self.top / "net" / name
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(f"{value}\n")

  def get(self, name: str) -> str:
    return (self.top / "net" / name).read_text().rstrip("\n")

  def save(self) -> list[str]:
    net_settings.save(self.node, INIT, self.images)
    note = self.images / "ganeti-net-settings.json"
    return list(json.loads(note.read_text()))

  def restore(self) -> None:
    self.set(DEFAULTS)
    net_settings.restore(self.node, INIT, self.images)

  def complete(self) -> None:
    net_settings.complete(self.node, INIT, self.images)


@pytest.fixture
def network(
  node: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Network:
  monkeypatch.setattr(net_settings, "_TOP", tmp_path / "net")
  monkeypatch.setattr(netns, "inside", lambda _host, _init, act: act())
  return Network(node, tmp_path)


def test_new_sockets_are_of_both_kinds_while_criu_makes_them(
  network: Network,
) -> None:
  """CRIU says so of those only that are not; the guest was lost."""
  network.set({V6ONLY: "1"})
  network.save()
  network.restore()
  assert network.get(V6ONLY) == "0"
  network.complete()
  assert network.get(V6ONLY) == "1"


def test_a_setting_that_waits_for_another(
  network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
  network.set({PORTS: "500\t60000", FIRST: "80"})
  network.save()

  def checked(file: Path, value: bytes) -> None:
    # As the kernel (ipv4_local_port_range, net/ipv4/sysctl_net_ipv4.c).
    if file.match(PORTS) and int(value.split()[0]) < int(network.get(FIRST)):
      raise OSError(errno.EINVAL, "Invalid argument")
    file.write_bytes(value)

  monkeypatch.setattr(net_settings, "_write", checked)
  network.restore()
  assert network.get(PORTS) == "500\t60000"


def test_a_long_list_is_not_cut(network: Network) -> None:
  """Ports were reserved that the guest had never named."""
  ports = ",".join(str(port) for port in range(1, 65535, 2))
  network.set({RESERVED: ports})
  network.save()
  network.restore()
  assert network.get(RESERVED) == ports


@pytest.mark.parametrize(
  "name", ["netfilter/nf_hooks_lwtunnel", "ipv4/ip_forward"]
)
def test_what_is_the_nodes_or_criu_sets(network: Network, name: str) -> None:
  network.set({name: "1"})
  assert name not in network.save()
