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

"""Limits and device rules of cgroup v2, AppArmor: what a guest cannot do."""

import pytest
from cluster import groups
from cluster.cluster import Cluster, Instance, wait_for
from cluster.groups import Limits

pytestmark = pytest.mark.vm  # cgroup v2 with its controllers, AppArmor

_MIB = 1 << 20
_PROFILE = "lxc-container-default-cgns"


def _memory_max_mib(instance: Instance) -> int:
  limit = groups.limits(instance).memory
  assert limit is not None
  return limit // _MIB


def test_limits_are_set_and_processors_counted(cluster: Cluster) -> None:
  free = cluster.add(memory="minmem=64M,maxmem=256M", template="plain")
  assert groups.limits(free) == Limits(
    memory=256 * _MIB, swap=0, processors=1, share=1, cpus=""
  )
  _busy(free)
  _balloon(free)
  masked = cluster.add(vcpus=2, hv=("cpu_mask=1",), template="plain")
  limits = groups.limits(masked)
  assert (limits.processors, limits.cpus) == (2, "1")
  _busy(masked)


def _busy(instance: Instance) -> None:
  """One processor and no more: by the quota, or by the mask."""
  instance.inside("for i in 1 2 3; do yes </dev/null >/dev/null 2>&1 & done")
  assert 0.1 < groups.processor_share(instance, 4) <= 1.1
  instance.inside("killall -9 yes")


def _balloon(instance: Instance) -> None:
  """Memory is taken and given; what cannot be taken is refused."""
  init = instance.init_pid()
  for size in (96, 256):
    instance.gnt("modify", "-m", str(size))
    assert _memory_max_mib(instance) == size
  instance.inside("dd if=/dev/zero of=/dev/shm/held bs=1M count=110")
  said = instance.refused("modify", "-m", "64")
  assert instance.name in said
  assert "memory" in said.lower()
  assert _memory_max_mib(instance) == 256
  assert groups.value(instance, "memory", "memory.high") == "max"
  assert groups.oom_kills(instance) == 0
  assert instance.inside("ls -l /dev/shm/held")
  assert instance.init_pid() == init


@pytest.mark.core
def test_what_a_guest_cannot_do(cluster: Cluster) -> None:
  guest = cluster.add(template="plain")
  _cannot_open_a_disk_of_the_node(guest)
  _cannot_raise_its_limits(guest)
  _is_denied_by_the_distributions_profile(guest)
  # Another profile only as far as the cluster allows.
  guest.gnt("shutdown")
  guest.gnt("modify", "-H", "security_domain=unconfined")
  said = guest.refused("startup")
  assert "security_domain" in said
  assert "unconfined" in said


def _cannot_open_a_disk_of_the_node(guest: Instance) -> None:
  numbers = guest.node.run("stat", "-c", "%Hr %Lr", "/dev/vda").split()
  guest.inside(f"mknod /dev/stolen b {' '.join(numbers)}")
  for how in ("</dev/stolen", ">/dev/stolen"):
    assert "not permitted" in guest.try_inside(f": {how}").output
  guest.inside(": >/dev/null; head -c 1 /dev/zero >/dev/null")


def _cannot_raise_its_limits(guest: Instance) -> None:
  before = groups.limits(guest)
  for file, value in (
    ("memory.max", "max"),
    ("memory.swap.max", "max"),
    ("cpu.max", "max"),
    ("cpuset.cpus", "0-1"),
  ):
    done = guest.try_inside(f"echo {value} >/sys/fs/cgroup/{file}")
    assert done.status != 0, file
  assert groups.limits(guest) == before


def _is_denied_by_the_distributions_profile(guest: Instance) -> None:
  label = f"/proc/{guest.init_pid()}/attr/current"
  assert guest.node.run("cat", label).strip("\0\n ") == f"{_PROFILE} (enforce)"
  # The kernel's own answer to who lacks a capability is EPERM; AppArmor's
  # is EACCES, and comes first.
  denied = guest.try_inside("head -c 1 /proc/kcore")
  assert denied.status != 0
  assert "Permission denied" in denied.output
  shell = guest.inside("cat /proc/self/attr/current")
  assert shell.startswith(_PROFILE)


@pytest.mark.core
def test_systemd_has_groups_of_its_own_and_no_more_than_it_was_given(
  cluster: Cluster,
) -> None:
  instance = cluster.add(
    os="debian+trixie", memory="memory=256M", template="plain"
  )
  done = instance.try_inside("systemctl is-system-running --wait")
  assert done.output.strip() == "running"
  before = groups.limits(instance)
  instance.try_inside(
    "systemctl set-property --runtime -- -.slice MemoryMax=infinity"
    " CPUQuota= AllowedCPUs=0-1"
  )
  assert groups.limits(instance) == before
  # What is below is its own: delegated (systemd.resource-control(5)).
  instance.inside(
    "systemctl set-property --runtime cron.service MemoryMax=20M TasksMax=7"
  )
  group = f"{groups.payload(instance)}/system.slice/cron.service"
  assert wait_for(
    lambda: instance.node.run("cat", f"{group}/memory.max").split(), "a limit"
  ) == [str(20 * _MIB)]
  assert instance.node.run("cat", f"{group}/pids.max").split() == ["7"]
