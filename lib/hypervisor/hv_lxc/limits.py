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


"""An instance's limits as LXC configuration, for the groups a node has.

LXC takes lxc.cgroup2 keys on nodes with nothing but v2 and lxc.cgroup keys
on all others (cgfsng_setup_limits, cgfsng_setup_limits_legacy); there, a
controller that happens to be on v2 is found by its name and takes the
names of v2's files.  The wrong family is ignored in LXC 5 and 6, with a
mere warning; 7 knows lxc.cgroup2 alone.

CPU time is limited by a quota: with vcpus=2 a guest gets 200 ms of every
100 ms of wall clock and not more, on whichever CPUs it runs, with and
without a cpu_mask.  It still sees all CPUs of its cpuset.

"""

from collections.abc import Sequence
from pathlib import Path

from . import cpus
from .devices import DeviceRule
from .errors import Refused
from .hierarchies import Hierarchies, Hierarchy
from .host import Host
from .model import BlockDisk, ContainerSpec, Limits

_MIB = 1 << 20
# The kernel's own default (Documentation/scheduler/sched-bwc.rst).
PERIOD_US = 100_000

_Lines = list[tuple[str, str]]


def cpuset(host: Host, cpu_mask: str) -> str:
  """The CPUs of a mask, for Limits.cpuset; "" for all.

  @raise Refused: it is no mask, or the node does not have such CPUs

  """
  if not cpu_mask.strip():
    return ""
  cpus.check_mask(cpu_mask, cpus.online(host))
  return cpus.from_mask(cpu_mask)


def config_lines(trees: Hierarchies, spec: ContainerSpec) -> _Lines:
  """All limits and the device allow-list, in the order to be written.

  @raise Refused: the node cannot enforce one of them

  """
  limits = spec.limits
  return [
    *memory_lines(trees, limits),
    *cpu_lines(trees, limits),
    *device_lines(trees, [*spec.devices, *map(_rule, spec.block_disks)]),
  ]


def memory_lines(trees: Hierarchies, limits: Limits) -> _Lines:
  """The limit of memory, and of memory and swap.

  LXC writes v1's memsw last, whatever the order (sort_cgroup_settings).
  Where the kernel does not account swap (swapaccount=0) there is no such
  file, and a line for it would keep the guest from starting.

  """
  tree = _needed(trees, "memory", "memory")
  prefix = _prefix(trees)
  memory = limits.memory_mib * _MIB
  swap = limits.swap_mib * _MIB
  if tree.version == 1:
    lines = [(f"{prefix}memory.limit_in_bytes", str(memory))]
    if _has_file(tree, "memory.memsw.limit_in_bytes"):
      lines.append((f"{prefix}memory.memsw.limit_in_bytes", str(memory + swap)))
    return lines
  return [
    (f"{prefix}memory.max", str(memory)),
    (f"{prefix}memory.swap.max", str(swap)),
  ]


def memory_files(
  trees: Hierarchies, name: str, limits: Limits
) -> list[tuple[str, str]]:
  """The same limits as files of a running instance, with their values."""
  tree = _needed(trees, "memory", "memory")
  files = []
  for key, value in memory_lines(trees, limits):
    _, _, file = key.split(".", 2)
    files.append((f"{tree.payload(name)}/{file}", value))
  return files


def cpu_lines(trees: Hierarchies, limits: Limits) -> _Lines:
  """The quota for vcpus, and the CPUs to run on.

  cpuset.mems is left alone: LXC gives all memory nodes to its first group
  on v1 and has the others inherit them (cpuset1_initialize), and on v2
  empty means just that.

  """
  prefix = _prefix(trees)
  tree = _needed(trees, "cpu", "vcpus")
  quota = limits.vcpus * PERIOD_US
  if tree.version == 1:
    lines = [
      (f"{prefix}cpu.cfs_period_us", str(PERIOD_US)),
      (f"{prefix}cpu.cfs_quota_us", str(quota)),
    ]
  else:
    lines = [(f"{prefix}cpu.max", f"{quota} {PERIOD_US}")]
  if limits.cpuset:
    _needed(trees, "cpuset", "cpu_mask")
    lines.append((f"{prefix}cpuset.cpus", limits.cpuset))
  return lines


def device_lines(trees: Hierarchies, rules: Sequence[DeviceRule]) -> _Lines:
  """Everything is forbidden, then the list allowed.

  On v2 LXC makes a BPF program of them, with the same syntax; it does so
  only where there is nothing but v2.

  """
  _needed(trees, "devices", "the list of devices")
  prefix = _prefix(trees)
  allowed = dict.fromkeys(map(str, rules))
  return [
    (f"{prefix}devices.deny", "a"),
    *((f"{prefix}devices.allow", rule) for rule in allowed),
  ]


def _rule(disk: BlockDisk) -> DeviceRule:
  access = "r" if disk.read_only else "rw"
  return DeviceRule("b", disk.major, disk.minor, access)


def _prefix(trees: Hierarchies) -> str:
  return "lxc.cgroup2." if trees.pure_v2 else "lxc.cgroup."


def _has_file(tree: Hierarchy, name: str) -> bool:
  return Path(tree.base, name).exists()


def _needed(trees: Hierarchies, controller: str, what: str) -> Hierarchy:
  tree = trees.controller(controller)
  if tree is None:
    raise Refused(
      f"This node cannot enforce {what}",
      evidence=f"no control group mount has the {controller} controller",
      remedy="see what gnt-cluster verify says about the node",
    )
  return tree
