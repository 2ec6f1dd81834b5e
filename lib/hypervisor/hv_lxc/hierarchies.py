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


"""Where the control groups are: mounts, and the group LXC starts from.

Nothing is ever mounted here.  LXC (cgfsng.c, __initialize_cgroups, alike in
5.0, 6.0 and 7.0) takes the groups of process 1 out of /proc/1/cgroup, cuts
off a final "init.scope", and opens that path below the mount; our groups
are below the same one.

In a control group namespace the paths in /proc/1/cgroup are relative to the
namespace's root, and so is the "root" field of a mount made inside it
(cgroup_namespaces(7)): both are "/" there, and mount point plus path is
right again.  A mount that shows another part of the tree (a bind mount of
one group) has a root that the path does not begin with.

"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import mountinfo
from .errors import Refused
from .host import Host, read_optional, read_text
from .mountinfo import MountEntry

PARENT = "ganeti-lxc"
PIVOT = "ganeti-lxc-pivot"

# A v1 hierarchy that tells whether a guest runs must be one that every
# guest is in; the first of these that exists is asked.  systemd as guest
# leaves the freezer alone, and CRIU and lxc-freeze need it anyway.
_V1_REFERENCE = (
  "freezer",
  "memory",
  "devices",
  "pids",
  "cpu",
  "cpuset",
  "cpuacct",
)
_INIT_SCOPE = "/init.scope"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_PAYLOAD = re.compile(rf"/{PARENT}/([^/]+)/payload(?:/|$)")
_V2 = "cgroup2"
_TYPES = {1: "cgroup", 2: _V2}
# v1 controllers that v2 has under another name, or as part of every group.
_V2_NAMES = {"blkio": "io", "cpuacct": "cpu"}
BOUNDARY = "nsdelegate"


@dataclass(frozen=True, slots=True)
class Hierarchy:
  """One control group tree.

  @ivar version: 1 or 2
  @ivar controllers: as in /proc/PID/cgroup (also "name=systemd"); on v2
    those that the base group may hand out
  @ivar base: the directory of the group that LXC starts from

  """

  version: int
  controllers: tuple[str, ...]
  base: str

  @property
  def parent(self) -> str:
    """The directory above all instances."""
    return f"{self.base}/{PARENT}"

  def group(self, name: str) -> str:
    """The directory of all that belongs to an instance."""
    return f"{self.base}/{PARENT}/{checked_name(name)}"

  def payload(self, name: str) -> str:
    """The directory of the guest's processes, where its limits are."""
    return self.group(name) + "/payload"

  def monitor(self, name: str) -> str:
    """The directory of LXC's own process."""
    return self.group(name) + "/monitor"


@dataclass(frozen=True, slots=True)
class Hierarchies:
  """All control group trees of the node.

  @ivar v1: the trees of version 1, empty on a pure v2 node
  @ivar unified: the tree of version 2, if it is mounted
  @ivar proc: where the processes in the groups are found
  @ivar lxcpath: of the containers that are ours

  """

  v1: tuple[Hierarchy, ...] = ()
  unified: Hierarchy | None = None
  proc: str = "/proc"
  lxcpath: str = ""

  @property
  def pure_v2(self) -> bool:
    """LXC applies lxc.cgroup2 keys only here (cgfsng_setup_limits)."""
    return not self.v1 and self.unified is not None

  @property
  def hybrid(self) -> bool:
    """Both versions are mounted; LXC puts its groups into both."""
    return bool(self.v1) and self.unified is not None

  @property
  def all(self) -> tuple[Hierarchy, ...]:
    """Every tree that LXC puts groups into."""
    return (*self.v1, self.unified) if self.unified else self.v1

  def controller(self, name: str) -> Hierarchy | None:
    """The tree that has a controller, by the kernel's name for it.

    "freezer" and "devices" are no controllers of v2, but belong to it.

    """
    for tree in self.v1:
      if name in tree.controllers:
        return tree
    if self.unified is None:
      return None
    if name in self.unified.controllers or name == "freezer":
      return self.unified
    return self.unified if name == "devices" and not self.v1 else None

  def by_any_name(self, name: str) -> Hierarchy | None:
    """As L{controller}, but v2 also answers to the names of v1."""
    alias = _V2_NAMES.get(name)
    if self.unified and alias in self.unified.controllers:
      return self.controller(name) or self.unified
    return self.controller(name)

  def version(self, controller: str) -> int | None:
    """1 or 2, or None where the node does not have the controller."""
    tree = self.controller(controller)
    return tree.version if tree else None

  @property
  def reference(self) -> Hierarchy | None:
    """The v1 tree that tells what runs, or the unified one without v1."""
    for name in _V1_REFERENCE:
      for tree in self.v1:
        if name in tree.controllers:
          return tree
    return self.v1[0] if self.v1 else self.unified


def valid_name(name: str) -> bool:
  """Whether this can be an instance's group (RFC 1123 names are)."""
  return bool(_NAME.fullmatch(name))


@functools.lru_cache(maxsize=1024)
def checked_name(name: str) -> str:
  """The name, if it can be that of a group.

  @raise Refused: it has a slash, is "..", too long, ...

  """
  if not valid_name(name):
    raise Refused(
      f"{name!r} cannot be the name of a control group",
      remedy="name it with letters, digits, dots and dashes"
      " (gnt-instance rename)",
    )
  return name


def payload_dir(name: str) -> str:
  """Where the guest's processes are, relative to LXC's base group."""
  return f"{PARENT}/{checked_name(name)}/payload"


def monitor_dir(name: str) -> str:
  """Where LXC's own process is, relative to LXC's base group."""
  return f"{PARENT}/{checked_name(name)}/monitor"


def guest_of(host: Host, pid: int) -> str | None:
  """The instance whose guest a process is of, None if it is the node's own.

  A guest gives its processes any name and any arguments, but not a group of
  the node's.

  """
  own = groups_of(host, 1)
  for tree, group in groups_of(host, pid).items():
    base = own.get(tree, "/").removesuffix(_INIT_SCOPE).rstrip("/")
    if group.startswith(base) and (found := _PAYLOAD.match(group, len(base))):
      return found[1]
  return None


def groups_of(host: Host, pid: int) -> dict[str, str]:
  """A process's group by tree, as "NUMBER:CONTROLLERS"; {} if it is gone."""
  text = read_optional(host.proc / f"{pid}/cgroup") or ""
  # Not splitlines(), as in mountinfo.py.
  lines = (line.split(":", 2) for line in text.split("\n") if line)
  return {f"{number}:{names}": group for number, names, group in lines}


def config_lines(name: str) -> list[tuple[str, str]]:
  """LXC keys that give an instance its fixed place (lxc.container.conf).

  Without them LXC would add "-1" to a name that is taken.  They work only
  together; the pivot has to be outside both.

  """
  return [
    ("lxc.cgroup.dir.container", payload_dir(name)),
    ("lxc.cgroup.dir.monitor", monitor_dir(name)),
    ("lxc.cgroup.dir.monitor.pivot", PIVOT),
  ]


def find(host: Host) -> Hierarchies:
  """The trees that are mounted and hold the group LXC starts from.

  @raise OSError: /proc is not readable

  """
  found = _bases(
    read_text(host.proc / "self/mountinfo"),
    read_text(host.proc / "1/cgroup"),
    str(host.sys / "fs/cgroup"),
  )
  v1: list[Hierarchy] = []
  unified: Hierarchy | None = None
  for version, names, base in found:
    if version == 1:
      v1.append(Hierarchy(1, names, base))
    else:
      unified = Hierarchy(2, _controllers(base), base)
  return Hierarchies(
    tuple(v1), unified, str(host.proc), str(host.layout.lxcpath)
  )


def has_boundary(host: Host) -> bool:
  """Whether a cgroup namespace is a boundary in the v2 tree.

  If not, a guest's root can write to the limits that it sees.

  """
  text = read_text(host.proc / "self/mountinfo")
  return any(
    BOUNDARY in mount.super_options.split(",")
    for mount in mountinfo.parse(text, _V2)
  )


@functools.lru_cache(maxsize=4)
def _bases(
  mounted: str, groups: str, lxc_root: str
) -> tuple[tuple[int, tuple[str, ...], str], ...]:
  """Version, controllers and base group's directory of each tree.

  A start asks six times, with the same answer unless something was mounted
  in between; the kernel keeps the group of process 1 where it is.

  """
  mounts = list(mountinfo.parse(mounted, "cgroup"))
  found = []
  for line in groups.splitlines():
    number, controllers, path = line.split(":", 2)
    names = tuple(controllers.split(",")) if controllers else ()
    version = 2 if number == "0" and not names else 1
    base = _base(mounts, version, names, path, lxc_root)
    if base is not None:
      found.append((version, names, base))
  return tuple(found)


def _controllers(base: str) -> tuple[str, ...]:
  text = read_optional(Path(base) / "cgroup.controllers")
  return tuple((text or "").split())


def _base(
  mounts: Iterable[MountEntry],
  version: int,
  names: tuple[str, ...],
  path: str,
  lxc_root: str,
) -> str | None:
  """The base group's directory in the best mount of a tree.

  LXC looks below /sys/fs/cgroup only, so a mount there is preferred; of
  several on one mount point the last covers the others.

  """
  if path.endswith(_INIT_SCOPE):
    path = path.removesuffix(_INIT_SCOPE) or "/"
  best: str | None = None
  for mount in mounts:
    if mount.fs_type != _TYPES[version] or not _is_of(mount, names):
      continue
    base = _below(mount, path)
    if base is None or not Path(base).is_dir():
      continue
    if best is None or mount.mount_point.startswith(lxc_root):
      best = base
  return best


def _is_of(mount: MountEntry, names: tuple[str, ...]) -> bool:
  """Whether the super block options name just these controllers."""
  if mount.fs_type == _V2:
    return True
  return frozenset(names) <= frozenset(mount.super_options.split(","))


def _below(mount: MountEntry, path: str) -> str | None:
  """Where a group is in a mount, or None if the mount does not show it."""
  if mount.root == "/" or mount.root.startswith("/.."):
    # "/..": made outside of this namespace.  LXC takes the path as it is.
    relative = path
  elif path == mount.root or path.startswith(mount.root + "/"):
    relative = path[len(mount.root) :]
  else:
    return None
  return (mount.mount_point + "/" + relative.strip("/")).rstrip("/")
