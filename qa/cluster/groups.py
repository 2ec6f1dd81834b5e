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


"""Control groups as a node has them: those of v1, of v2, or both.

The driver gives an instance one group in each tree, ganeti-lxc/NAME, and
below it "payload" for the guest and "monitor" for LXC's own process.  A limit
is in the tree that has its controller; a controller is in one tree only, and
what is no controller of v2, such as the freezer, is in v1's if that is there
(cgroups(7)).
"""

import dataclasses
import functools
from collections.abc import Mapping

from cluster.cluster import CommandError, Instance, Node
from ganeti_lab import cgroup

PARENT = "ganeti-lxc"
_V1, _V2 = 1, 2
# What tells what runs, as in the driver.
_REFERENCE = "pids"
# v1 says "no limit" as the largest number of pages.
_NO_LIMIT = 1 << 62
# What a group has that nobody gave a share to (sched-design-CFS.rst of the
# kernel's documentation; cgroup-v2.rst).
_SHARES, _WEIGHT = 1024, 100

# Of the tree's first group; v2 does not have it there.
_ALL_CPUS = "all cpus"
_FILES = {
  ("memory", _V1): ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
  ("memory", _V2): ("memory.max", "memory.swap.max"),
  ("cpu", _V1): ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares"),
  ("cpu", _V2): ("cpu.max", "cpu.weight"),
  ("cpuset", _V1): ("cpuset.cpus",),
  ("cpuset", _V2): ("cpuset.cpus",),
}


@dataclasses.dataclass(frozen=True)
class Trees:
  """The trees that are mounted on a node.

  @ivar v1: controller -> where its tree is mounted
  @ivar unified: where that of v2 is, "" if it is not mounted

  """

  v1: Mapping[str, str]
  unified: str

  def version(self, controller: str) -> int:
    """1 or 2: which tree has a controller."""
    return _V1 if controller in self.v1 else _V2

  def top(self, controller: str) -> str:
    """The directory of that tree.

    @raise LookupError: neither version is mounted

    """
    found = self.v1.get(controller, self.unified)
    if not found:
      raise LookupError(f"no control group tree has {controller}")
    return found


@dataclasses.dataclass(frozen=True)
class Limits:
  """All that a guest is held to; None stands for no limit.

  @ivar memory: in bytes
  @ivar swap: in bytes, besides memory; None also where it is not counted
  @ivar processors: how many it may keep busy
  @ivar share: of what several want, as a multiple of the usual one
  @ivar cpus: the list of those that it may run on; "" where none was given,
    which v1 shows as those of the whole node

  """

  memory: int | None
  swap: int | None
  processors: float | None
  share: float
  cpus: str


def trees_of(mounts: str) -> Trees:
  """The trees that a /proc/mounts tells of."""
  v1: dict[str, str] = {}
  unified = ""
  for tree in cgroup.parse_mounts(mounts):
    if tree.unified:
      unified = tree.mount_point
    else:
      v1 |= dict.fromkeys(tree.options.split(","), tree.mount_point)
  return Trees(v1, unified)


@functools.cache
def trees(node: Node) -> Trees:
  """What a node has; it is asked once."""
  return trees_of(node.run("cat", "/proc/mounts"))


def instances(node: Node, controller: str = _REFERENCE) -> str:
  """The directory above the groups of all instances."""
  return f"{trees(node).top(controller)}/{PARENT}"


def payload(instance: Instance, controller: str = _REFERENCE) -> str:
  """The directory of what a guest is confined by."""
  return f"{instances(instance.node, controller)}/{instance.name}/payload"


def processes(instance: Instance, part: str = "payload") -> list[int]:
  """The guest's processes as the node numbers them, or LXC's own.

  @param part: "payload", "monitor", or "" for both

  """
  node = instance.node
  top = f"{instances(node)}/{instance.name}/{part}"
  out = node.run(
    "find", top, "-name", "cgroup.procs", "-exec", "cat", "{}", "+"
  )
  return [int(word) for word in out.split()]


def value(instance: Instance, controller: str, file: str) -> str:
  """A control file of the guest's group, whose name depends on the version."""
  path = f"{payload(instance, controller)}/{file}"
  return instance.node.run("cat", path).strip()


def limits(instance: Instance) -> Limits:
  """What the kernel holds a guest to now."""
  node = instance.node
  found = trees(node)
  below = f"{PARENT}/{instance.name}/payload"
  files = {
    file: f"{found.top(controller)}/{below}/{file}"
    for controller in ("memory", "cpu", "cpuset")
    for file in _FILES[controller, found.version(controller)]
  }
  files[_ALL_CPUS] = f"{found.top('cpuset')}/cpuset.cpus"
  return limits_of(found, _read(node, files))


def limits_of(found: Trees, files: Mapping[str, str]) -> Limits:
  """Limits as the files of one or the other version tell them.

  @param files: name -> text; what the kernel does not have is missing

  """
  if found.version("memory") == _V1:
    memory = _number(files["memory.limit_in_bytes"])
    both = _number(files.get("memory.memsw.limit_in_bytes", "max"))
    swap = None if both is None or memory is None else both - memory
  else:
    memory = _number(files["memory.max"])
    swap = _number(files.get("memory.swap.max", "max"))
  if found.version("cpu") == _V1:
    quota = _number(files["cpu.cfs_quota_us"])
    period = int(files["cpu.cfs_period_us"])
    share = int(files["cpu.shares"]) / _SHARES
  else:
    words = files["cpu.max"].split()
    quota, period = _number(words[0]), int(words[1])
    share = int(files["cpu.weight"]) / _WEIGHT
  cpus = files["cpuset.cpus"]
  if found.version("cpuset") == _V1 and cpus == files[_ALL_CPUS]:
    cpus = ""
  return Limits(
    memory, swap, None if quota is None else quota / period, share, cpus
  )


def memory_used(instance: Instance) -> int:
  """Bytes that are charged to a guest, its page cache among them."""
  is_v1 = trees(instance.node).version("memory") == _V1
  file = "memory.usage_in_bytes" if is_v1 else "memory.current"
  return int(value(instance, "memory", file))


def oom_kills(instance: Instance) -> int:
  """How many processes of a guest were killed for want of memory."""
  is_v1 = trees(instance.node).version("memory") == _V1
  file = "memory.oom_control" if is_v1 else "memory.events"
  return keyed(value(instance, "memory", file), "oom_kill")


def tasks(instance: Instance) -> int:
  """How many processes and threads a guest has."""
  return int(value(instance, "pids", "pids.current"))


def is_frozen(instance: Instance) -> bool:
  """Whether all processes of a guest have been stopped where they are."""
  if trees(instance.node).version("freezer") == _V1:
    return value(instance, "freezer", "freezer.state") == "FROZEN"
  return keyed(value(instance, "freezer", "cgroup.events"), "frozen") == 1


def processor_share(instance: Instance, seconds: int) -> float:
  """How many processors a guest keeps busy, measured on its node."""
  is_v1 = trees(instance.node).version("cpuacct") == _V1
  file = "cpuacct.usage" if is_v1 else "cpu.stat"
  path = f"{payload(instance, 'cpuacct')}/{file}"
  return float(instance.node.python(_MEASURE, path, str(seconds)))


# v1 has nanoseconds and nothing else in the file; v2 begins with
# "usage_usec" and microseconds.
_MEASURE = """
import sys, time

def used():
  with open(sys.argv[1]) as stream:
    words = stream.readline().split()
  return int(words[-1]) / (1e6 if len(words) > 1 else 1e9)

begin, before = time.monotonic(), used()
time.sleep(int(sys.argv[2]))
print((used() - before) / (time.monotonic() - begin))
"""


def node_memory(node: Node) -> int:
  """Bytes that a node has, or may use if it is in a group with a limit."""
  meminfo = node.run("cat", "/proc/meminfo")
  total = keyed(meminfo.replace(":", ""), "MemTotal") * 1024
  found = trees(node)
  is_v1 = found.version("memory") == _V1
  file = "memory.stat" if is_v1 else "memory.max"
  # The first group of the whole machine has no limit, and v2's no file.
  text = _read(node, {file: f"{found.top('memory')}/{file}"}).get(file, "max")
  if is_v1:
    text = str(keyed(text, "hierarchical_memory_limit"))
  limit = _number(text)
  return total if limit is None else min(total, limit)


def keyed(text: str, key: str) -> int:
  """A figure of a text with a key on each line.

  @raise LookupError: when the key is not there

  """
  for line in text.splitlines():
    words = line.split()
    if words[:1] == [key]:
      return int(words[1])
  raise LookupError(f"{key} is not in {text!r}")


def _read(node: Node, files: Mapping[str, str]) -> dict[str, str]:
  """The texts of those files that are there; one command for all."""
  done = node.try_run("grep", "-sH", "", *files.values())
  # 2: some are not there.
  if done.status not in (0, 2):
    raise CommandError(f"{node.name}: grep in control groups: {done.output}")
  found: dict[str, list[str]] = {}
  names = {path: name for name, path in files.items()}
  for line in done.output.splitlines():
    path, _, text = line.partition(":")
    found.setdefault(names[path], []).append(text)
  return {name: "\n".join(lines) for name, lines in found.items()}


def _number(text: str) -> int | None:
  """A limit; None for none, which is "max", -1 or a huge number."""
  if text == "max":
    return None
  number = int(text)
  return None if number < 0 or number >= _NO_LIMIT else number
