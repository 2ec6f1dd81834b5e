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

"""Control groups in a directory: version 1, hybrid, and version 2 alone.

The files are plain, so writes go through L{FakeKernel}.
"""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ganeti.hypervisor.hv_lxc import hierarchies
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchies, Hierarchy
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

V1 = ("cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "name=systemd")
V2 = "cpuset cpu io memory hugetlb pids"
NO_LIMIT = "9223372036854771712"
NAME = "inst1.example.com"
MEMINFO = """\
MemTotal:        8388608 kB
MemFree:         1048576 kB
MemAvailable:    6291456 kB
"""


@dataclass
class FakeGroups:
  """A node; "layout" is "v1", "hybrid" or "v2"."""

  top: Path
  layout: str
  group: str = "/"
  mountinfo: list[str] = field(default_factory=list)
  groups: list[str] = field(default_factory=list)

  @classmethod
  def make(cls, top: Path, layout: str, group: str = "/") -> "FakeGroups":
    node = cls(top, layout, group)
    root = node.root
    if layout != "v2":
      for number, controllers in enumerate(V1, 1):
        point = root / controllers.removeprefix("name=")
        node.mount(point, controllers)
        node.groups.append(f"{number}:{controllers}:{group}")
    if layout != "v1":
      point = root if layout == "v2" else root / "unified"
      node.mount(point, "")
      node.groups.append(f"0::{group}")
      base = point / group.strip("/").removesuffix("init.scope")
      write(base / "cgroup.controllers", V2 if layout == "v2" else "hugetlb")
    node.save()
    write(top / "proc/meminfo", MEMINFO)
    write(top / "sys/devices/system/cpu/online", "0-3\n")
    return node

  @property
  def root(self) -> Path:
    return self.top / "sys/fs/cgroup"

  @property
  def host(self) -> Host:
    layout = Layout.below(
      *(str(self.top / p) for p in ("lib", "run", "l", "e"))
    )
    return Host(
      layout=layout,
      run=lambda argv, **_: Result(tuple(argv), 1),
      proc=self.top / "proc",
      sys=self.top / "sys",
    )

  @property
  def trees(self) -> Hierarchies:
    return hierarchies.find(self.host)

  def mount(self, point: Path, controllers: str, root: str = "/") -> None:
    """Makes a mount point; controllers is "" for version 2."""
    (point / self.group.strip("/")).mkdir(parents=True, exist_ok=True)
    kind = "cgroup" if controllers else "cgroup2"
    options = ",".join(filter(None, ("rw", controllers)))
    where = str(point).replace(" ", "\\040")
    self.mountinfo.append(
      f"31 23 0:28 {root} {where} rw,relatime shared:9 - {kind} {kind}"
      f" {options}"
    )

  def save(self) -> None:
    lines = ["22 1 8:1 / / rw - ext4 /dev/vda rw", *self.mountinfo]
    for file, text in (("self/mountinfo", lines), ("1/cgroup", self.groups)):
      write(self.top / "proc" / file, "".join(f"{line}\n" for line in text))

  def put(self, pid: int, group: str) -> None:
    """Has a process be in a group of each tree."""
    lines = [f"{own.rpartition(':')[0]}:{group}\n" for own in self.groups]
    write(self.top / f"proc/{pid}/cgroup", "".join(lines))

  def instance(
    self,
    name: str = NAME,
    monitor: Iterable[int] = (),
    payload: Iterable[int] = (),
  ) -> None:
    """Makes an instance's groups with processes in them."""
    both = [*monitor, *payload]
    for tree in self.trees.all:
      for part, pids in (("monitor", monitor), ("payload", payload)):
        group = Path(tree.group(name), part)
        write(group / "cgroup.procs", "".join(f"{pid}\n" for pid in pids))
        for file, value in files(tree).items():
          write(group / file, value)
      if tree.version == 2:
        events = f"populated {int(bool(both))}\nfrozen 0\n"
        write(Path(tree.group(name), "cgroup.events"), events)
        write(Path(tree.group(name), "cgroup.freeze"), "0\n")

  def process(
    self, pid: int, chain: str = "", children: str = "", title: str = ""
  ) -> None:
    home = self.top / "proc" / str(pid)
    numbers = "\t".join((chain or str(pid)).split())
    status = (
      f"Name:\tx\nPid:\t{pid}\nNSpid:\t{numbers}\nCapBnd:\t0000000000000001\n"
    )
    write(home / "status", status)
    write(home / "task" / str(pid) / "children", children)
    write(home / "cmdline", title)
    write(home / "stat", f"{pid} (a (b) c) D 1 1")

  def pivot(self, *pids: int) -> None:
    reference = self.trees.reference
    assert reference is not None
    path = Path(reference.base, hierarchies.PIVOT, "lxc.pivot/cgroup.procs")
    write(path, "".join(f"{pid}\n" for pid in pids))


def files(tree: Hierarchy) -> dict[str, str]:
  """The control files that are looked at, as the kernel fills them."""
  if tree.version == 2:
    return {
      "cgroup.freeze": "0\n",
      "memory.max": "max\n",
      "memory.high": "max\n",
      "memory.swap.max": "max\n",
      "memory.current": "0\n",
      "memory.stat": "inactive_file 0\nactive_file 0\n",
      "cpu.max": "max 100000\n",
      "cpu.stat": "usage_usec 0\nuser_usec 0\n",
      "cpuset.cpus": "\n",
    }
  known = {
    "memory": {
      "memory.limit_in_bytes": NO_LIMIT,
      "memory.memsw.limit_in_bytes": NO_LIMIT,
      "memory.usage_in_bytes": "0",
      "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
      "memory.stat": "total_inactive_file 0\ntotal_active_file 0",
    },
    "cpu": {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"},
    "cpuacct": {"cpuacct.usage": "0"},
    "cpuset": {"cpuset.cpus": "0-3"},
    "freezer": {"freezer.state": "THAWED"},
  }
  return {
    name: f"{value}\n"
    for controller in tree.controllers
    for name, value in known.get(controller, {}).items()
  }


def write(path: Path, text: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def error(number: int) -> OSError:
  return OSError(number, os.strerror(number))


@dataclass
class FakeKernel:
  """Takes the place of cgtree.write; keeps a log of (file, value).

  @ivar rules: called with (path, value) before the write; they raise

  """

  rules: list[Callable[[Path, str], None]] = field(default_factory=list)
  log: list[tuple[str, str]] = field(default_factory=list)

  def write(
    self, path: str, value: str, *, dir_fd: int | None = None, flags: int = 0
  ) -> None:
    where = Path(path)
    if not where.exists() and where.name != "memory.reclaim":
      raise error(errno.ENOENT)
    self.log.append((where.name, value))
    for rule in self.rules:
      rule(where, value)
    if where.name != "memory.reclaim":
      where.write_text(value + "\n")
