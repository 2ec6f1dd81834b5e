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

"""Memory, processors, devices, capabilities: what an instance may use."""

import time

import pytest
from cluster import groups
from cluster.cluster import Cluster, Instance

_DROP = (
  "mac_admin,mac_override,sys_admin,sys_module,sys_rawio,sys_time,syslog"
  ",bpf,perfmon"
)
_MIB = 1 << 20


def _limit_mib(instance: Instance) -> int:
  limit = groups.limits(instance).memory
  assert limit is not None
  return limit // _MIB


def _listed_mib(instance: Instance) -> int:
  """As Ganeti lists it, in MiB."""
  text = instance.cluster.gnt(
    "instance", "list", "--no-headers", "--units=m", "-o", "oper_ram",
    instance.name,
  )  # fmt: skip
  return int(text.strip().rstrip("M"))


def test_memory_grows_and_shrinks_while_it_runs(cluster: Cluster) -> None:
  instance = cluster.add(memory="minmem=64M,maxmem=256M")
  assert _limit_mib(instance) == _listed_mib(instance)
  init = instance.init_pid()
  for size in (128, 256, 96):
    instance.gnt("modify", "-m", str(size))
    assert _limit_mib(instance) == size
    assert _listed_mib(instance) == size
  assert groups.limits(instance).swap == 0
  assert instance.init_pid() == init


def test_shrink_below_what_is_used_is_refused(cluster: Cluster) -> None:
  instance = cluster.add(memory="minmem=16M,maxmem=256M")
  instance.gnt("modify", "-m", "256")
  # Held by a process of the guest, and so not to be reclaimed.
  instance.inside(
    "(dd if=/dev/zero bs=120M count=1 2>/dev/null; sleep 1000)"
    " </dev/null >/dev/null 2>&1 & true"
  )
  instance.inside(
    "mkdir -p /mnt/m; dd if=/dev/zero of=/dev/shm/held bs=1M count=120"
  )
  assert groups.memory_used(instance) > 120 * _MIB
  said = instance.refused("modify", "-m", "48")
  assert instance.name in said
  assert "48" in said
  assert "memory" in said.lower()
  assert _limit_mib(instance) == 256
  assert _listed_mib(instance) == 256
  assert instance.inside("ls -l /dev/shm/held")
  assert groups.oom_kills(instance) == 0


def _burn_seconds(instance: Instance, loops: int) -> float:
  """CPU seconds per second that busy loops get, over two seconds."""
  instance.inside(
    f"for i in $(seq {loops}); do yes </dev/null >/dev/null 2>&1 & done"
  )
  try:
    return groups.processor_share(instance, 2)
  finally:
    instance.inside("killall -9 yes")


def test_vcpus_are_a_limit_without_a_mask(cluster: Cluster) -> None:
  instance = cluster.add(vcpus=1)
  got = _burn_seconds(instance, 3)
  assert 0.2 < got <= 1.1


@pytest.mark.parametrize(
  ("mask", "vcpus", "cpus"),
  [("0", 1, "0"), ("0-1", 1, "0-1"), (r"1:0-1", 2, "0-1")],
)
def test_cpu_mask(cluster: Cluster, mask: str, vcpus: int, cpus: str) -> None:
  instance = cluster.add(vcpus=vcpus, hv=(f"cpu_mask={mask}",))
  status = instance.inside("cat /proc/self/status")
  allowed = next(
    line.split()[1]
    for line in status.splitlines()
    if line.startswith("Cpus_allowed_list")
  )
  assert allowed == cpus
  assert _burn_seconds(instance, 3) <= vcpus * 1.1


def test_a_cpu_mask_that_the_node_does_not_have(cluster: Cluster) -> None:
  said = cluster.instance().add_refused(hv=("cpu_mask=999",))
  assert "999" in said


def test_devices_capabilities_and_seccomp(cluster: Cluster) -> None:
  devices = (
    r"c *:* m\,b *:* m\,c 1:3 rwm\,c 1:5 rwm\,c 1:7 rwm\,c 1:8 rwm\,c 1:9 rwm"
    r"\,c 5:0 rwm\,c 5:1 rwm\,c 5:2 rwm\,c 136:* rwm"
  )
  with cluster.modified(
    "-H", rf"lxc:devices={devices}\,c 10:200 rwm\,c 10:229 rwm",
    back=("-H", rf"lxc:devices={devices}\,c 1:10 rwm"),
  ):  # fmt: skip
    instance = cluster.add(hv=(rf"devices={devices}\,c 10:200 rwm",))
    # An allowed device is there and opens; net/tun may be missing on a node
    # that does not have it.
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
      assert instance.inside(f"ls -l /dev/{name}").startswith("c")
    instance.inside("head -c 8 /dev/urandom | wc -c")
    instance.inside("ls -l /dev/net/tun && : <>/dev/net/tun")
    # A node can be made of a device that is not allowed, but not opened;
    # /dev is not mounted nodev.
    instance.inside("mknod /dev/kmsg-of-node c 1 11")
    done = instance.try_inside("head -c 1 /dev/kmsg-of-node")
    assert "not permitted" in done.output
    instance.inside("mknod /dev/mem-of-node c 1 1")
    assert (
      "not permitted"
      in instance.try_inside("head -c 1 /dev/mem-of-node").output
    )
    status = instance.inside("cat /proc/1/status")
    assert "Seccomp:\t2" in status
    bounding = int(
      next(s for s in status.splitlines() if s.startswith("CapBnd")).split()[1],
      16,
    )
    sys_admin, sys_boot, sys_module = 21, 22, 16
    assert not bounding >> sys_admin & 1
    assert not bounding >> sys_module & 1
    assert bounding >> sys_boot & 1
    _assert_beyond_the_cluster_refused(instance)


def _assert_beyond_the_cluster_refused(instance: Instance) -> None:
  """At the start; Ganeti has the cluster's own values checked alike."""
  instance.gnt("shutdown")
  for value, told in (
    (r"devices=c 1:3 rwm\,b 8:* rwm", ("devices", "b 8:*")),
    ("drop_capabilities=sys_module", ("drop_capabilities", "sys_admin")),
  ):
    instance.gnt("modify", "-H", value)
    said = instance.refused("startup")
    for word in told:
      assert word in said, said
    instance.gnt("shutdown")
    instance.gnt("modify", "-H", f"{value.partition('=')[0]}=default")
  instance.gnt("startup")
  assert instance.status == "running"


def test_bad_values_name_the_parameter(cluster: Cluster) -> None:
  instance = cluster.instance()
  for value, told in (
    ("devices=c 1:3", ("devices", "c 1:3")),
    ("devices=x 1:3 rwm", ("devices", "x 1:3 rwm")),
    ("drop_capabilities=sys_bot", ("drop_capabilities", "sys_bot")),
    ("startup_timeout=-3", ("startup_timeout", "-3")),
    ("num_ttys=many", ("num_ttys", "many")),
    ("cpu_mask=a-b", ("cpu_mask",)),
    ("extra_cgroups=no/such", ("extra_cgroups", "no/such")),
  ):
    said = instance.add_refused(hv=(value,))
    for word in told:
      assert word in said, said
  assert cluster.names() == []


def test_num_ttys_and_extra_cgroups(cluster: Cluster) -> None:
  none, three = cluster.add_all(
    {"hv": ("num_ttys=0", "extra_cgroups=pids"), "os_params": "getty=console"},
    {"hv": ("num_ttys=3",)},
  )
  assert "tty1" not in none.inside("ls /dev")
  assert {"tty1", "tty3"} <= set(three.inside("ls /dev").split())
  assert "tty4" not in three.inside("ls /dev")
  missing = cluster.instance()
  said = missing.add_refused(hv=("extra_cgroups=nonesuch",))
  assert "nonesuch" in said


def test_node_figures_are_sane(cluster: Cluster) -> None:
  node = cluster.nodes[1]

  def figures() -> tuple[int, int, int]:
    line = cluster.gnt(
      "node", "list", "--no-headers", "--units=m", "-o",
      "mtotal,mnode,mfree", node.host_name,
    )  # fmt: skip
    total, used, free = (int(word) for word in line.split())
    return total, used, free

  instance = cluster.add(on=node, memory="memory=512M")
  time.sleep(1)
  before = figures()
  instance.inside("dd if=/dev/zero of=/dev/shm/held bs=1M count=200")
  total, used, free = figures()
  assert total == groups.node_memory(node) // _MIB
  # What the guest holds is not counted as the node's own.
  assert used - before[1] < 60
  assert free <= total - used
