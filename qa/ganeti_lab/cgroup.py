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

"""The control groups a lab lives in, on every hierarchy of the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
from collections.abc import Iterator

from . import lock, wait
from .errors import LabError
from .plan import CGROUP_ROOT

# Options of a v1 mount that are not names of its controllers: cgroups(7)
# and the generic ones of mount(8).
_NOT_CONTROLLERS = {
  "rw",
  "ro",
  "nosuid",
  "nodev",
  "noexec",
  "relatime",
  "noatime",
  "xattr",
  "clone_children",
  "noprefix",
  "cpuset_v2_mode",
}
_LEAF = "init.scope"
_V2 = 2
_DEADLINE = 60.0


@dataclasses.dataclass(frozen=True)
class Hierarchy:
  """One mounted hierarchy.

  @ivar options: of a v1 mount, what names the hierarchy, such as "memory"
    or "name=systemd"

  """

  mount_point: str
  version: int
  options: str = ""

  @property
  def unified(self) -> bool:
    """Whether it is cgroup v2."""
    return self.version == _V2


@dataclasses.dataclass(frozen=True)
class Group:
  """One group of the lab's, present on all hierarchies.

  @ivar path: relative to a hierarchy's root, such as ganeti-lab/lab/node1

  """

  path: str
  hierarchies: tuple[Hierarchy, ...]

  def directory(self, hierarchy: Hierarchy) -> pathlib.Path:
    """Where it is on one hierarchy."""
    return pathlib.Path(hierarchy.mount_point) / self.path

  @property
  def directories(self) -> list[pathlib.Path]:
    """Where it is on each."""
    return [self.directory(h) for h in self.hierarchies]

  @property
  def procs_files(self) -> list[str]:
    """Where a process writes its number to enter the group.

    On v2 that is a leaf, as systemd has it: a group that hands controllers
    to its children may not hold processes itself (cgroups(7)).

    """
    return [
      str(self.directory(h) / (_LEAF if h.unified else "") / "cgroup.procs")
      for h in self.hierarchies
    ]

  @property
  def top_procs_files(self) -> list[str]:
    """The same for the group itself, to make it a namespace's root."""
    return [str(path / "cgroup.procs") for path in self.directories]


def parse_mounts(text: str) -> tuple[Hierarchy, ...]:
  """The cgroup hierarchies of a /proc/mounts, each once."""
  found: dict[tuple[int, str], Hierarchy] = {}
  for line in text.splitlines():
    _, target, fstype, options, *_ = line.split()
    if fstype not in ("cgroup", "cgroup2"):
      continue
    names = "" if fstype == "cgroup2" else _controllers(options)
    version = _V2 if fstype == "cgroup2" else 1
    found.setdefault((version, names), Hierarchy(target, version, names))
  return tuple(found.values())


def _controllers(options: str) -> str:
  return ",".join(
    option
    for option in options.split(",")
    if option not in _NOT_CONTROLLERS
    and not option.startswith("release_agent=")
  )


def group(*parts: str) -> Group:
  """The group of a lab, or of one of its nodes, made or not."""
  mounts = pathlib.Path("/proc/self/mounts").read_text()
  return Group("/".join((CGROUP_ROOT, *parts)), parse_mounts(mounts))


def create(target: Group) -> None:
  """Make the group on every hierarchy, ready to hold processes.

  @raise LabError: when no hierarchy is mounted

  """
  if not target.hierarchies:
    raise LabError(
      "No cgroup hierarchy is mounted on this machine; on"
      " Debian, systemd mounts it at /sys/fs/cgroup"
    )
  with lock.held("cgroup"):
    for hierarchy in target.hierarchies:
      _create_on(hierarchy, target.path)


def _create_on(hierarchy: Hierarchy, path: str) -> None:
  directory = pathlib.Path(hierarchy.mount_point)
  for part in path.split("/"):
    if hierarchy.unified:
      _delegate(directory)
    directory /= part
    directory.mkdir(exist_ok=True)
    if "cpuset" in hierarchy.options.split(","):
      _inherit_cpuset(directory)
  if hierarchy.unified:
    (directory / _LEAF).mkdir(exist_ok=True)


def delegate(target: Group) -> None:
  """Let the group's children have controllers, once its root is empty.

  Not where v1 has the controllers that matter: a group that hands down even
  one takes no process any more, unlike the root of a machine, and CRIU,
  which LXC lets go there (cgfsng_criu_escape), would find the way barred.

  """
  if not all(hierarchy.unified for hierarchy in target.hierarchies):
    return
  for hierarchy in target.hierarchies:
    _delegate(target.directory(hierarchy))


def _delegate(directory: pathlib.Path) -> None:
  """Hand every controller to the children that lets itself be handed."""
  for name in (directory / "cgroup.controllers").read_text().split():
    with contextlib.suppress(OSError):
      (directory / "cgroup.subtree_control").write_text(f"+{name}")


def _inherit_cpuset(directory: pathlib.Path) -> None:
  """A new v1 cpuset is empty and refuses processes (cpuset(7))."""
  for name in ("cpuset.cpus", "cpuset.mems"):
    if not (directory / name).read_text().strip():
      value = (directory.parent / name).read_text()
      (directory / name).write_text(value)


def favour(target: Group, times: int) -> None:
  """Give the group so many times an ordinary share of the processors.

  All labs together get it too: they are in one group beside the machine's
  other processes.

  """
  for directory in target.directories:
    for name, ordinary in (("cpu.shares", 1024), ("cpu.weight", 100)):
      for path in (directory.parent / name, directory / name):
        if path.exists():
          path.write_text(str(times * ordinary))


def limit_memory(target: Group, mebibytes: int) -> None:
  """Limit what all processes of the group take together.

  @raise LabError: when the memory controller is not to be had

  """
  for directory in target.directories:
    for name in ("memory.limit_in_bytes", "memory.max"):
      if (directory / name).exists():
        (directory / name).write_text(str(mebibytes << 20))
        return
  raise LabError(
    "The kernel's memory controller is off; boot the machine"
    " with cgroup_enable=memory on the kernel command line"
  )


def processes(target: Group, *, recursive: bool = True) -> set[int]:
  """Numbers of the processes in the group, seen on any hierarchy."""
  found: set[int] = set()
  for directory in target.directories:
    for place in (
      _below(directory) if recursive else [directory, directory / _LEAF]
    ):
      with contextlib.suppress(OSError):
        text = (place / "cgroup.procs").read_text()
        found.update(int(number) for number in text.split())
  return found - {0}


def _below(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """The directory and all below it, parents first."""
  for path, _, _ in os.walk(directory):
    yield pathlib.Path(path)


def kill(target: Group) -> None:
  """Kill all processes of the group and wait until they are gone.

  @raise LabError: naming those that would not die

  """

  def gone() -> bool:
    _thaw(target)
    for pid in processes(target):
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return not processes(target)

  wait.until(
    f"the processes of cgroup {target.path} to end",
    gone,
    _DEADLINE,
    lambda: _describe(processes(target)),
  )


def _thaw(target: Group) -> None:
  """A frozen process dies only when it is thawed."""
  for top in target.directories:
    for directory in _below(top):
      for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        with contextlib.suppress(OSError):
          if (directory / name).read_text().strip() != value:
            (directory / name).write_text(value)


def _describe(pids: set[int]) -> str:
  parts = []
  for pid in sorted(pids):
    with contextlib.suppress(OSError):
      words = pathlib.Path(f"/proc/{pid}/stat").read_text()
      name, _, rest = words.rpartition(")")
      parts.append(f"{name}) state {rest.split()[0]}")
  return "; ".join(parts)


def remove(target: Group) -> None:
  """Remove the empty group, and the lab command's own when it is the last.

  @raise LabError: when a directory stays busy

  """
  with lock.held("cgroup"):
    for top in target.directories:
      for directory in reversed(list(_below(top))):
        wait.until(
          f"cgroup {directory} to be removable",
          lambda d=directory: _removed(d),  # type: ignore[misc]
          _DEADLINE,
        )
      with contextlib.suppress(OSError):
        top.parent.rmdir()


def _removed(directory: pathlib.Path) -> bool:
  try:
    directory.rmdir()
  except FileNotFoundError:
    return True
  except OSError:
    return False
  return True
