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

"""Whether the control groups of a node can hold instances.

A controller may be on v1 or on v2, wherever LXC finds it; none is mounted
here, since a v1 mount takes the controller away from v2 for the whole
machine.

"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from . import hierarchies
from .hierarchies import BOUNDARY, Hierarchy
from .model import Problem
from .node import Check, Node

# (controller, what it is built by, what it is for)
_CONTROLLERS = (
  ("memory", "CONFIG_MEMCG", "memory limits and ballooning"),
  ("cpuset", "CONFIG_CPUSETS", "cpu_mask"),
  ("cpu", "CONFIG_CGROUP_SCHED", "vcpus"),
  ("devices", "CONFIG_CGROUP_DEVICE", "the list of allowed devices"),
  ("freezer", "CONFIG_CGROUP_FREEZER", "pausing"),
  ("pids", "CONFIG_CGROUP_PIDS", "limits of processes"),
)
# Controllers that are on v1 only (cgroups(7)).
_NOT_ON_V2 = ("net_cls", "net_prio")
_AT_BOOT = (
  "add {} to GRUB_CMDLINE_LINUX in /etc/default/grub, run update-grub, boot"
)
_ONLY_V2 = "use cgroup v2 only: " + _AT_BOOT.format(
  "systemd.unified_cgroup_hierarchy=1"
)
_LXC_LOOKS = "/sys/fs/cgroup"
_SUBJECT_BOUNDARY = "the boundary of control groups"
# 6.0 was the last with cgroup v1 (the NEWS of LXC 7.0).
_LAST_LXC_WITH_V1 = 6


def checks() -> Iterator[Check]:
  """What an instance cannot do without."""
  yield Check("control groups", _mounted)
  for name, option, purpose in _CONTROLLERS:
    yield Check(f"cgroup {name}", partial(_needed, name, option, purpose))
    yield Check(f"cgroup {name}", partial(_usable, name), privileged=True)
  yield Check("cgroup cpuacct", _cpu_accounting)
  yield Check("CPU bandwidth", _bandwidth)
  yield Check("device programs", _device_programs)
  yield Check("the root cpuset", _root_cpuset)
  yield Check(_SUBJECT_BOUNDARY, _boundary)


def wishes() -> Iterator[Check]:
  """What some instances cannot do without."""
  yield Check("swap accounting", _swap_accounting)
  yield Check("systemd's hierarchy", _systemd_hierarchy)
  yield Check(_SUBJECT_BOUNDARY, _no_boundary_on_v1)


def extra_checks(names: Iterable[str]) -> Iterator[Check]:
  """The hypervisor parameter extra_cgroups.

  On v1 each name is a controller whose hierarchy has to be mounted
  ("name=X" for one without a controller), on v2 one that is offered to
  instances; v1 names are understood there.  LXC then puts every instance
  into a group with it.

  """
  for name in names:
    yield Check(f"cgroup {name}", partial(_extra, name))


def v1_with_lxc_7(node: Node, lxc_major: int) -> Problem | None:
  """LXC 7 starts nothing while one v1 hierarchy is mounted."""
  if lxc_major <= _LAST_LXC_WITH_V1 or not node.trees.v1:
    return None
  return Problem(
    f"LXC {lxc_major} knows no cgroup v1, but this node has it mounted at"
    f" {node.trees.v1[0].base}",
    f"{_ONLY_V2}, or install LXC {_LAST_LXC_WITH_V1}",
  )


def _mounted(node: Node) -> Problem | None:
  if node.trees.all:
    return None
  return Problem(
    f"No control groups are mounted below {_LXC_LOOKS}",
    f"run mount -t cgroup2 cgroup2 {_LXC_LOOKS}; systemd does it at boot",
  )


def _boundary(node: Node) -> Problem | None:
  """CRIU takes it away when somebody runs it by hand (delegation.py)."""
  tree = node.trees.unified
  if not node.trees.pure_v2 or tree is None:
    return None
  if hierarchies.has_boundary(node.host):
    return None
  return Problem(
    f"Instances can raise their own limits: {tree.base} is mounted without"
    f" {BOUNDARY}",
    f"run mount -o remount,{BOUNDARY},memory_recursiveprot {tree.base};"
    " systemd does it at boot",
  )


def _no_boundary_on_v1(node: Node) -> Problem | None:
  """In v1 a group is its owner's, cgroup namespace or not.

  LXC mounts the guest's own groups for it (cgroup:mixed), and the limits are
  in the topmost of them.  No error: the node was booted so, and guests that
  are trusted run well.

  """
  trees = map(node.trees.controller, ("memory", "cpu", "cpuset", "pids"))
  for tree in trees:
    if tree and tree.version == 1:
      return Problem(
        "A guest's root can raise the instance's limits of memory and CPUs:"
        f" {tree.base} is of cgroup v1, where {BOUNDARY} is not known",
        _ONLY_V2,
      )
  return None


def _needed(name: str, option: str, purpose: str, node: Node) -> Problem | None:
  tree = node.trees.controller(name)
  if not node.trees.all or tree:
    return _ignored(name, purpose, tree, node)
  return Problem(
    f"The cgroup controller {name} ({purpose}) is not available",
    _remedy(name, option, node),
  )


def _ignored(
  name: str, purpose: str, tree: Hierarchy | None, node: Node
) -> Problem | None:
  """cgfsng_setup_limits: no lxc.cgroup2 key counts while v1 is mounted."""
  if tree is None or not node.trees.v1 or tree.version == 1:
    return None
  if name not in tree.controllers:
    return None
  return Problem(
    f"The cgroup controller {name} ({purpose}) is on v2 and"
    f" {node.trees.v1[0].base} on v1, and then LXC limits nothing on v2",
    _ONLY_V2,
  )


def _extra(name: str, node: Node) -> Problem | None:
  if not node.trees.all or node.trees.by_any_name(name):
    return None
  return Problem(
    f"The cgroup controller {name}, named in the hypervisor parameter"
    " extra_cgroups, is not available",
    f"take it out of extra_cgroups, or {_remedy(name, name, node)}",
  )


def _remedy(name: str, option: str, node: Node) -> str:
  """Where the way to a controller is blocked."""
  for argument in node.command_line:
    key, _, value = argument.partition("=")
    if key == "cgroup_disable" and name in value.split(","):
      return f"take {name} out of {argument} on the kernel command line"
  enabled = _in_kernel(name, node)
  if enabled is False:
    # Some distributions' kernels start with memory switched off, as
    # Debian's once did.
    return _AT_BOOT.format(f"cgroup_enable={name}")
  if enabled is None:
    return f"boot a kernel built with {option}"
  if not node.trees.v1:
    return (
      f"unmount its v1 hierarchy, or write +{name} to cgroup.subtree_control"
      " of the group above"
    )
  mount = f"mount its v1 hierarchy at {_LXC_LOOKS}/{name} at boot"
  return mount if name in _NOT_ON_V2 else f"{mount}, or {_ONLY_V2}"


def _in_kernel(name: str, node: Node) -> bool | None:
  """As in /proc/cgroups (cgroups(7)): on, off, or not built in."""
  for line in node.proc("cgroups").splitlines():
    fields = line.split()
    if fields and fields[0] == name:
      return fields[-1] == "1"
  return None


def _usable(name: str, node: Node) -> Problem | None:
  tree = node.trees.controller(name)
  if tree is None:
    return None
  return _misplaced(name, tree, node) or _closed(name, tree)


def _misplaced(name: str, tree: Hierarchy, node: Node) -> Problem | None:
  """cgfsng.c, __initialize_cgroups: LXC looks in one directory only."""
  place = str(node.host.sys / "fs/cgroup")
  if f"{tree.base}/".startswith(f"{place}/"):
    return None
  return Problem(
    f"The cgroup controller {name} is mounted at {tree.base}, where LXC"
    " does not look",
    f"mount it below {_LXC_LOOKS}",
  )


def _closed(name: str, tree: Hierarchy) -> Problem | None:
  """Whether groups with this controller can be made."""
  if not os.access(tree.base, os.W_OK):
    return Problem(
      f"The cgroup controller {name} at {tree.base} is mounted read-only",
      f"run mount -o remount,rw {tree.base}",
    )
  if tree.version == 1 or name not in tree.controllers:
    return None
  # cgroups(7), "no internal processes": a group other than the real root
  # hands out controllers only while it has no processes itself.
  base = Path(tree.base)
  if name in (base / "cgroup.subtree_control").read_text().split():
    return None
  if not (base / "cgroup.type").exists():
    return None
  if not (base / "cgroup.procs").read_text().strip():
    return None
  return Problem(
    f"The cgroup controller {name} cannot be handed to instances:"
    f" {tree.base} has processes of its own",
    f"move them to a group below, then write +{name} to"
    f" {tree.base}/cgroup.subtree_control",
  )


def _cpu_accounting(node: Node) -> Problem | None:
  """v2 counts CPU time without a controller (cgroup-v2.rst, cpu.stat)."""
  if not node.trees.v1 or node.trees.controller("cpuacct"):
    return None
  if node.trees.version("cpu") != 1:
    return None
  return Problem(
    "The cgroup controller cpuacct (CPU time used) is not available",
    _remedy("cpuacct", "CONFIG_CGROUP_CPUACCT", node),
  )


def _bandwidth(node: Node) -> Problem | None:
  tree = node.trees.controller("cpu")
  if tree is None:
    return None
  if tree.version == 1:
    lacking = not (Path(tree.base) / "cpu.cfs_quota_us").exists()
  else:
    # The root of v2 has no cpu.max to look for.
    lacking = node.has_option("CONFIG_CFS_BANDWIDTH") is False
  if not lacking:
    return None
  return Problem(
    "The cgroup controller cpu cannot limit CPU time (vcpus)",
    "boot a kernel built with CONFIG_CFS_BANDWIDTH",
  )


def _device_programs(node: Node) -> Problem | None:
  """v2 decides on devices by eBPF (cgroup-v2.rst, Device controller)."""
  tree = node.trees.controller("devices")
  if tree is None or tree.version == 1:
    return None
  # bpf(2): the file is there if the system call is.
  syscall = node.host.proc / "sys/kernel/unprivileged_bpf_disabled"
  if syscall.exists() and node.has_option("CONFIG_CGROUP_BPF") is not False:
    return None
  return Problem(
    "The kernel has no eBPF programs for control groups, so guests could"
    " open any device",
    "boot a kernel built with CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF",
  )


def _root_cpuset(node: Node) -> Problem | None:
  tree = node.trees.controller("cpuset")
  if tree is None:
    return None
  suffix = "" if tree.version == 1 else ".effective"
  for kind in ("cpus", "mems"):
    path = Path(tree.base) / f"cpuset.{kind}{suffix}"
    if path.exists() and not path.read_text().strip():
      return Problem(
        f"The cpuset of {tree.base} is empty, so no process can enter a"
        f" group below it: {path.name} names nothing",
        f"copy cpuset.{kind} of the group above into it",
      )
  return None


def _swap_accounting(node: Node) -> Problem | None:
  """proc_swaps(5); only v1 has had it as an option of its own."""
  tree = node.trees.controller("memory")
  if tree is None or tree.version != 1:
    return None
  has_swap = len(node.proc("swaps").splitlines()) > 1
  if not has_swap or (Path(tree.base) / "memory.memsw.limit_in_bytes").exists():
    return None
  return Problem(
    "Swap used by instances is not limited: there is no swap accounting",
    _AT_BOOT.format("swapaccount=1"),
  )


def _systemd_hierarchy(node: Node) -> Problem | None:
  """On v1 systemd keeps its groups in a hierarchy without controllers."""
  if not node.trees.v1 or node.trees.controller("name=systemd"):
    return None
  return Problem(
    "There is no cgroup v1 hierarchy name=systemd, which guests with"
    " systemd look for",
    f"run mkdir {_LXC_LOOKS}/systemd and mount -t cgroup -o"
    f" none,name=systemd cgroup {_LXC_LOOKS}/systemd at boot",
  )
