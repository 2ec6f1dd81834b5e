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


"""What a user types first, with Debian's own OS definition."""

import shlex
from collections.abc import Iterator

import pytest
from cluster.cluster import Cluster, Node

pytestmark = [
  pytest.mark.vm,  # DRBD
  pytest.mark.lab("fills the cache of debootstrap from the lab's guests"),
]

_CACHE = "/var/cache/ganeti-instance-debootstrap"
_GUEST = "/var/cache/ganeti-lxc-lab/guests/debian-trixie/root.tar"
_HOOKS = "/etc/ganeti/instance-debootstrap/hooks"
_EXAMPLES = "/usr/share/doc/ganeti-instance-debootstrap/examples"
_DEFAULTS = "/etc/default/ganeti-instance-debootstrap"
_NETWORK = "story"
# As its manual has it: the suite, what debootstrap would fetch, two hooks
# of its examples (an address from gnt-network, a key for root).
_SET_UP = f"""\
cp -p {_DEFAULTS} {_DEFAULTS}.before
echo SUITE=trixie >>{_DEFAULTS}
mkdir -p {_CACHE}
ln -s {_GUEST} {_CACHE}/cache-trixie-$(dpkg --print-architecture).tar
cp {_EXAMPLES}/interfaces {_HOOKS}/interfaces
sed s,/home/.USER,/root, {_EXAMPLES}/ssh-keys >{_HOOKS}/ssh-keys
chmod 755 {_HOOKS}/*
"""
_CLEAN = f"""\
mv {_DEFAULTS}.before {_DEFAULTS}
rm -r {_CACHE} {_HOOKS}/interfaces {_HOOKS}/ssh-keys
"""


@pytest.fixture
def debootstrap(cluster: Cluster) -> Iterator[None]:
  """Debian's OS definition as an administrator configures it."""
  for node in cluster.nodes:
    node.sh(_SET_UP)
  yield
  for node in cluster.nodes:
    node.sh(_CLEAN)


@pytest.fixture
def network(cluster: Cluster) -> Iterator[str]:
  """The lab's network as Ganeti knows it."""
  subnet = cluster.master.sh(
    f"ip -4 -o addr show {cluster.link} | awk '{{print $4; exit}}'"
  ).strip()
  address, _, bits = subnet.partition("/")
  base = address.rpartition(".")[0] + f".0/{bits}"
  cluster.gnt("network", "add", f"--network={base}", _NETWORK)
  try:
    link = f"mode=bridged,link={cluster.link}"
    cluster.gnt("network", "connect", "-N", link, _NETWORK)
    yield _NETWORK
    cluster.remove_all()
    cluster.gnt("network", "disconnect", _NETWORK)
  finally:
    cluster.gnt("network", "remove", _NETWORK)


def _ssh(node: Node, address: str, *argv: str) -> str:
  return node.run(
    "ssh", "-i", "/root/.ssh/id_rsa", "-o", "BatchMode=yes",
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
    "-o", "LogLevel=ERROR", f"root@{address}", shlex.join(argv),
  )  # fmt: skip


@pytest.mark.usefixtures("debootstrap")
def test_debootstrap_on_drbd_boots_and_answers_ssh(
  cluster: Cluster, network: str
) -> None:
  instance = cluster.instance()
  both = ":".join(node.host_name for node in cluster.nodes[:2])
  address = instance.address
  instance.add(
    os="debootstrap+default",
    template="drbd",
    disks=("size=1G",),
    memory="memory=256M",
    nics=(f"ip={address},network={network}",),
    more=("-n", both),
  )
  booted = instance.try_inside("systemctl is-system-running --wait")
  assert booted.output.strip() == "running"
  for node in cluster.nodes[:2]:
    assert _ssh(node, address, "hostname").strip() == instance.name
  instance.gnt("failover", "-f")
  instance.try_inside("systemctl is-system-running --wait")
  assert _ssh(cluster.master, address, "hostname").strip() == instance.name
