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


"""What the node tells Ganeti: what runs, how much it uses, what is left.

A list of all instances is asked for by every "gnt-instance list" and every
watcher run, so it costs a handful of small reads per instance, and an
instance that vanishes while it is looked at is no error (an error would
show every instance of the node as unreachable).  A change of memory whose
writer was killed is undone on the way.

"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import balloon, cgroup, cgtree, cpus, lxcfiles
from .errors import LxcError
from .hierarchies import Hierarchies, Hierarchy
from .host import Host, read_text
from .model import RunState, Usage
from .versions import for_ganeti

_log = logging.getLogger(__name__)

_MIB = 1 << 20
# v1 says "no limit" by the largest multiple of a page in 63 bits.
_NO_LIMIT = 1 << 62
_US_PER_S = 1_000_000
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Sources:
  """Where an instance's figures are read, and what "no limit" means."""

  host: Host
  trees: Hierarchies
  memory: Hierarchy | None
  cpu: Hierarchy | None
  cpuset: Hierarchy | None
  cpuacct: Hierarchy | None
  unified: Hierarchy | None
  node_memory_mib: int
  node_cpus: int


def running_names(host: Host) -> list[str]:
  """The instances that run on this node, sorted.

  @raise OSError: /proc is not readable

  """
  return cgroup.names(cgroup.find(host))


def usage(host: Host, name: str) -> Usage | None:
  """What one instance uses; None when it does not run.

  @raise OSError: /proc is not readable

  """
  trees = cgroup.find(host)
  if not cgroup.is_running(trees, name):
    return None
  pid = _attempt(name, lambda: cgroup.init_pid(host, trees, name))
  return _usage(_sources(host, trees), name, pid or -1)


def all_usage(host: Host) -> list[Usage]:
  """What all running instances use, sorted by name.

  The pid of init, which nobody looks at in a list, is not searched for.
  What cannot be read of an instance is 0 and logged; it is listed all
  the same, for Ganeti starts again what it misses.

  @raise OSError: /proc is not readable

  """
  trees = cgroup.find(host)
  sources = _sources(host, trees)
  return [_usage(sources, name, -1) for name in cgroup.names(trees)]


def node_info(host: Host) -> dict[str, int | list[int]]:
  """The node's resources, with just the keys that Ganeti accepts.

  Memory is in MiB.  memory_dom0 is what the node itself uses, without
  what is in its instances' groups: the allocator subtracts the instances
  on its own.  memory_free is what new instances can be given: neither
  more than is available now, nor more than is left when all instances
  use up their limits.  Where the node itself is in a group with a limit,
  that limit is its memory.

  @raise OSError: /proc is not readable

  """
  trees = cgroup.find(host)
  total, available = _node_memory(host, trees)
  tree = trees.controller("memory")
  held = _held(tree, tree.parent) if tree else 0
  own = max(0, total - available - held)
  free = max(0, min(available, total - own - _promised(host, trees, total)))
  online = cpus.online(host)
  sockets, nodes = cpus.sockets_and_nodes(host, online)
  info: dict[str, int | list[int]] = {
    "memory_total": total // _MIB,
    "memory_free": free // _MIB,
    "memory_dom0": own // _MIB,
    "cpu_total": len(online),
    "cpu_nodes": nodes,
    "cpu_sockets": sockets,
    # As for KVM: the node may run on all of them.
    "cpu_dom0": len(online),
  }
  version = for_ganeti(host)
  if version:
    info["hv_version"] = version
  return info


def memory_limit(tree: Hierarchy, group: str) -> int | None:
  """A group's memory limit in bytes, None for none (or no group)."""
  if tree.version == 1:
    limit = cgtree.read_int(group + "/memory.limit_in_bytes")
    return None if limit is None or limit >= _NO_LIMIT else limit
  return cgtree.read_int(group + "/memory.max")


def memory_used(host: Host, name: str) -> int:
  """Bytes of memory that a guest holds, without its page cache."""
  tree = cgroup.find(host).controller("memory")
  return _held(tree, tree.payload(name)) if tree else 0


def _usage(sources: _Sources, name: str, pid: int) -> Usage:
  _attempt(name, lambda: balloon.repair(sources.trees, name))
  limit = _attempt(name, lambda: _memory_mib(sources, name))
  vcpus = _attempt(name, lambda: _vcpus(sources, name))
  seconds = _attempt(name, lambda: _cpu_seconds(sources, name))
  return Usage(
    name=name,
    state=RunState.RUNNING,
    init_pid=pid,
    memory_mib=sources.node_memory_mib if limit is None else limit,
    vcpus=vcpus or sources.node_cpus,
    cpu_seconds=seconds or 0,
  )


def _attempt(name: str, get: Callable[[], int | None]) -> int | None:
  """A figure of an instance, or None: one must not spoil the list."""
  try:
    return get()
  except (OSError, ValueError, LxcError, cgtree.TooManyGroupsError) as err:
    _log.warning("A figure of instance %s cannot be read: %s", name, err)
    return None


def _memory_mib(sources: _Sources, name: str) -> int | None:
  tree = sources.memory
  limit = _memory_limit(sources.host, tree, name) if tree else None
  return None if limit is None else limit // _MIB


def _memory_limit(host: Host, tree: Hierarchy, name: str) -> int | None:
  """The limit of an instance, also while it reboots.

  LXC then makes its group anew and sets the limit a moment later.  "No
  limit" would be all memory of the node to Ganeti, and a migration would
  make what is free on the other node the instance's limit, for good
  (_ExecMigration in ganeti.cmdlib.instance_migration).

  """
  limit = memory_limit(tree, tree.payload(name))
  return lxcfiles.kept_memory(host, name) if limit is None else limit


def _vcpus(sources: _Sources, name: str) -> int | None:
  """From the CPU time quota, or else from the CPUs that may be used."""
  tree = sources.cpu
  if tree:
    quota, period = _quota(tree, tree.payload(name))
    if quota > 0 and period > 0:
      return -(-quota // period)
  tree = sources.cpuset
  text = cgtree.read(tree.payload(name) + "/cpuset.cpus") if tree else None
  return len(cpus.parse(text)) if text and text.strip() else None


def _quota(tree: Hierarchy, group: str) -> tuple[int, int]:
  """CPU time in each period, both in microseconds; (0, 0) for no limit."""
  if tree.version == 1:
    quota = cgtree.read_int(group + "/cpu.cfs_quota_us") or 0
    if quota <= 0:
      return 0, 0
    return quota, cgtree.read_int(group + "/cpu.cfs_period_us") or 0
  text = cgtree.read(group + "/cpu.max")
  if text is None or text.startswith("max"):
    return 0, 0
  first, second = text.split()
  return int(first), int(second)


def _cpu_seconds(sources: _Sources, name: str) -> int | None:
  tree = sources.cpuacct
  if tree:
    used = cgtree.read_int(tree.payload(name) + "/cpuacct.usage")
    return None if used is None else used // _NS_PER_S
  tree = sources.unified
  if tree is None:
    return None
  # Every group has it, also without the cpu controller.
  text = cgtree.read(tree.payload(name) + "/cpu.stat") or ""
  return (cgtree.keyed(text, "usage_usec") or 0) // _US_PER_S


def _sources(host: Host, trees: Hierarchies) -> _Sources:
  total, _ = _node_memory(host, trees)
  return _Sources(
    host=host,
    trees=trees,
    memory=trees.controller("memory"),
    cpu=trees.controller("cpu"),
    cpuset=trees.controller("cpuset"),
    cpuacct=trees.controller("cpuacct"),
    unified=trees.unified,
    node_memory_mib=total // _MIB,
    node_cpus=len(cpus.online(host)),
  )


def _node_memory(host: Host, trees: Hierarchies) -> tuple[int, int]:
  """Bytes that the node has, and that are free or can be made so."""
  meminfo = read_text(host.proc / "meminfo")
  total = _meminfo(meminfo, "MemTotal")
  available = _meminfo(meminfo, "MemAvailable")
  tree = trees.controller("memory")
  limit = _own_limit(tree) if tree else None
  if tree is None or limit is None or limit >= total:
    return total, available
  left = max(0, limit - _held(tree, tree.base))
  return limit, min(available, left)


def _meminfo(text: str, key: str) -> int:
  for line in text.splitlines():
    name, _, value = line.partition(":")
    if name == key:
      return int(value.split()[0]) * 1024
  return 0


def _own_limit(tree: Hierarchy) -> int | None:
  """The limit of the group that the node is in, or of one around it."""
  if tree.version == 1:
    stat = cgtree.read(tree.base + "/memory.stat") or ""
    limit = cgtree.keyed(stat, "hierarchical_memory_limit")
    return None if limit is None or limit >= _NO_LIMIT else limit
  limits: list[int] = []
  group = tree.base
  while (text := cgtree.read(group + "/memory.max")) is not None:
    if not text.startswith("max"):
      limits.append(int(text))
    group = group.rpartition("/")[0]
  return min(limits, default=None)


def _held(tree: Hierarchy, group: str) -> int:
  """Bytes of a group that are not there for the taking.

  Files in the page cache are available memory already (MemAvailable), and
  so are reclaimable slabs, which v1 does not count.

  """
  name, prefix = "memory.current", ""
  if tree.version == 1:
    name, prefix = "memory.usage_in_bytes", "total_"
  used = cgtree.read_int(f"{group}/{name}")
  stat = cgtree.read(f"{group}/memory.stat")
  if used is None or stat is None:
    return 0
  for key in ("inactive_file", "active_file", "slab_reclaimable"):
    used -= cgtree.keyed(stat, prefix + key) or 0
  return max(0, used)


def _promised(host: Host, trees: Hierarchies, total: int) -> int:
  """Bytes that the running instances may come to use.

  One without a limit of its own counts with what it holds now.

  """
  tree = trees.controller("memory")
  if tree is None:
    return 0
  return sum(
    _attempt(name, partial(_may_use, host, tree, name, total)) or 0
    for name in cgroup.names(trees)
  )


def _may_use(host: Host, tree: Hierarchy, name: str, total: int) -> int:
  limit = _memory_limit(host, tree, name)
  if limit is None or limit >= total:
    return _held(tree, tree.payload(name))
  return limit
