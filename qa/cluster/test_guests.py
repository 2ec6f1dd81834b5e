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
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""Every kind of guest is added, runs, is shown, stops and is removed."""

import re
import time

import pytest
from cluster.cluster import DEBIAN_GUESTS, Cluster, Instance, wait_for


def _shut_down_seconds(instance: Instance) -> float:
  """How long the guest itself takes to stop, its job not counted."""
  node = instance.node
  begin = time.monotonic()
  instance.gnt("shutdown")
  seconds = time.monotonic() - begin
  assert instance.status == "ADMIN_down"
  assert instance.name not in node.run("ls", "/var/lib/ganeti/lxc").split()
  return seconds


@pytest.mark.parametrize("template", ["sharedfile", "file"])
def test_busybox_from_add_to_remove(cluster: Cluster, template: str) -> None:
  instance = cluster.instance()
  begin = time.monotonic()
  instance.add(template=template)
  assert instance.status == "running"
  assert instance.listed("oper_ram").rstrip("M") == "64"
  info = instance.gnt("info")
  assert "actual state is up" in info
  assert instance.inside("hostname").strip() == instance.name
  assert "eth0" in instance.inside("ip link")
  assert f"inet {instance.address}/24" in instance.inside("ip addr show eth0")
  nodes = cluster.gnt(
    "node", "list", "--no-headers", "-o", "name,pinst_cnt"
  ).split()
  assert nodes[1] == "1"
  assert time.monotonic() - begin < 60
  assert _shut_down_seconds(instance) < 15
  instance.gnt("startup")
  assert instance.status == "running"
  instance.gnt("remove", "-f")
  assert instance.name not in cluster.names()


def _settled(instance: Instance) -> str:
  """What systemd says when it has finished booting."""
  done = instance.try_inside("systemctl is-system-running --wait")
  failed = instance.try_inside("systemctl --failed --plain --no-legend").output
  return f"{done.output.strip()} {failed.strip()}".strip()


def _assert_boots(instance: Instance, guest: str) -> None:
  if guest in ("bookworm", "trixie"):
    assert _settled(instance) == "running"
    wait_for(
      lambda: "login:" in instance.console_log(), "a login on the console"
    )
    return
  wait_for(lambda: "getty" in instance.inside("ps ax"), "a getty", timeout_s=60)
  wait_for(lambda: "sshd" in instance.inside("ps ax"), "sshd", timeout_s=60)
  bad = re.findall(
    r".*(?:failed!|ERROR:|cannot start|crashed).*", instance.console_log()
  )
  assert bad == []


@pytest.mark.parametrize("fstab", ["plain", "vm"])
@pytest.mark.parametrize("guest", DEBIAN_GUESTS)
def test_debian_guest_boots_and_stops(
  cluster: Cluster, guest: str, fstab: str
) -> None:
  instance = cluster.add(
    os=f"debian+{guest}", os_params=f"fstab={fstab}", memory="memory=256M"
  )
  assert instance.status == "running"
  _assert_boots(instance, guest)
  assert f"inet {instance.address}/24" in instance.inside("ip addr show eth0")
  # A Ganeti job of its own takes about four seconds.
  assert _shut_down_seconds(instance) < 15


def test_guest_does_not_see_the_node(cluster: Cluster) -> None:
  instance = cluster.add()
  processes = instance.inside("ps | wc -l")
  assert int(processes) < 20
  mounts = instance.inside("cat /proc/mounts")
  assert "shared-file-storage" not in mounts
  assert "/var/lib/ganeti/" not in mounts
  root = next(line for line in mounts.splitlines() if " / ext4 " in line)
  assert "nodev" in root
