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

"""NICs on a real Open vSwitch, with its datapath in user space."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import nic_links
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.model import NicMode
from integration.hv_lxc.hooked_nic import (
  HOOKS,
  INSTANCE,
  KVM_IFUP,
  TAP,
  make_nic,
)
from integration.hv_lxc.netns import Network, network

# The daemons' directories are hidden below the mount namespace's own.
SETUP = """
set -e
mkdir -p /run/openvswitch /var/log/openvswitch /etc/openvswitch
for directory in /run /var/log /etc; do
  mount -t tmpfs ovs $directory/openvswitch
done
schema=/usr/share/openvswitch/vswitch.ovsschema
ovsdb-tool create /etc/openvswitch/conf.db $schema
ovsdb-server --remote=punix:/var/run/openvswitch/db.sock --detach --pidfile
ovs-vsctl --timeout=10 --no-wait init
ovs-vswitchd --disable-system --detach --pidfile
ovs-vsctl --timeout=10 add-br ovs0 -- set bridge ovs0 datapath_type=netdev
"""

# openvswitch-switch is not among the lab's packages.
pytestmark = pytest.mark.vm


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
  assert KVM_IFUP.exists(), "Debian's package ganeti is not installed"
  with network(tmp_path) as made:
    try:
      result = made.run(["sh", "-c", SETUP])
      assert not result.failed, result.evidence()
      yield made
    finally:
      for daemon in ("ovs-vswitchd", "ovsdb-server"):
        made.run(["ovs-appctl", "-t", daemon, "exit"])


@pytest.mark.parametrize(
  ("vlan", "port"),
  [
    ("", "[] [] []"),
    (".10", "10 [] access"),
    ("10", "10 [] access"),
    (":10:20", "[] [10, 20] trunk"),
    (".10:20", "10 [20] native-untagged"),
  ],
)
def test_a_port_is_made_and_removed(
  net: Network, tmp_path: Path, vlan: str, port: str
) -> None:
  nic = make_nic(net, tmp_path, mode=NicMode.OVS, link="ovs0", vlan=vlan)
  nic_links.check(net.host, INSTANCE, nic.spec)
  result = nic.up()
  assert not result.failed, result.evidence()
  shown = net.do(f"ovs-vsctl --timeout=10 get port {TAP} tag trunks vlan_mode")
  assert " ".join(shown.split()) == port
  for _ in range(2):
    assert not nic.down().failed
    assert TAP not in net.do("ovs-vsctl --timeout=10 list-ports ovs0")
    nic_links.teardown(net.host, [nic.record])
  assert not nic_links.exists(net.host, TAP)


def test_a_port_goes_when_the_hook_has_no_input(
  net: Network, tmp_path: Path
) -> None:
  """As after a live migration."""
  nic = make_nic(net, tmp_path, mode=NicMode.OVS, link="ovs0")
  assert not nic.up().failed
  hook = ["sh", str(HOOKS / "nic-down.sh"), str(nic.env_file)]
  result = net.run(["sh", "-c", 'exec "$@" <&-', "sh", *hook])
  assert not result.failed, result.evidence()
  assert TAP not in net.do("ovs-vsctl --timeout=10 list-ports ovs0")


def test_a_port_that_outlived_a_crash(net: Network, tmp_path: Path) -> None:
  nic = make_nic(net, tmp_path, mode=NicMode.OVS, link="ovs0")
  assert not nic.up().failed
  net.do(f"ip link del {TAP}")
  assert TAP in net.do("ovs-vsctl --timeout=10 list-ports ovs0")
  nic_links.teardown(net.host, [nic.record])
  assert TAP not in net.do("ovs-vsctl --timeout=10 list-ports ovs0")


def test_no_such_bridge(net: Network, tmp_path: Path) -> None:
  nic = make_nic(net, tmp_path, mode=NicMode.OVS, link="ovs1")
  with pytest.raises(Refused, match="bridge ovs1, which does not exist"):
    nic_links.check(net.host, INSTANCE, nic.spec)
  result = nic.up()
  assert result.status == 1
  assert "is not a port of Open vSwitch bridge ovs1" in result.last_line


def test_the_switch_is_dead_but_not_its_database(
  net: Network, tmp_path: Path
) -> None:
  nic = make_nic(net, tmp_path, mode=NicMode.OVS, link="ovs0")
  assert not nic.up().failed
  pid = net.do("cat /run/openvswitch/ovs-vswitchd.pid").strip()
  net.do(f"kill -{signal.SIGKILL.value} {pid}")
  nic_links.teardown(net.host, [nic.record])
  assert TAP not in net.do("ovs-vsctl --timeout=10 --no-wait list-ports ovs0")
  with pytest.raises(Refused, match="start openvswitch-switch"):
    nic_links.check(net.host, INSTANCE, nic.spec)


def test_database_server_is_dead(net: Network, tmp_path: Path) -> None:
  nic = make_nic(net, tmp_path, mode=NicMode.OVS, link="ovs0")
  pid = net.do("cat /run/openvswitch/ovsdb-server.pid").strip()
  net.do(f"kill -{signal.SIGKILL.value} {pid}")
  with pytest.raises(Refused, match="start openvswitch-switch"):
    nic_links.check(net.host, INSTANCE, nic.spec)
