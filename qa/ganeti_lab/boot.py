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

"""From a root file system to a running node: runs as the node's pid 1."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import socket
from collections.abc import Sequence
from typing import NoReturn

from . import kernel
from .cgroup import Hierarchy
from .command import environment

NAMESPACES = (
  kernel.CLONE_NEWNS
  | kernel.CLONE_NEWPID
  | kernel.CLONE_NEWUTS
  | kernel.CLONE_NEWIPC
  | kernel.CLONE_NEWNET
  | kernel.CLONE_NEWCGROUP
)
_CGROUP_DIR = "/sys/fs/cgroup"
_QUIET = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


@dataclasses.dataclass(frozen=True)
class Bind:
  """A directory of the host's that the node sees."""

  source: pathlib.Path
  target: str
  read_only: bool = False


@dataclasses.dataclass(frozen=True)
class BootSpec:
  """All that one node needs to boot.

  @ivar lower: the cached root file system, never written to
  @ivar node_dir: holds upper, work and root

  """

  hostname: str
  lower: str
  node_dir: pathlib.Path
  binds: tuple[Bind, ...]
  hierarchies: tuple[Hierarchy, ...]


def prepare(spec: BootSpec) -> None:
  """Make the directories that the mounts need."""
  for name in ("upper", "work", "root"):
    (spec.node_dir / name).mkdir(mode=0o755, parents=True, exist_ok=True)
  for bind in spec.binds:
    bind.source.mkdir(mode=0o755, parents=True, exist_ok=True)
    target = spec.node_dir / "upper" / bind.target.lstrip("/")
    if not (pathlib.Path(spec.lower) / bind.target.lstrip("/")).is_dir():
      target.mkdir(mode=0o755, parents=True, exist_ok=True)


def boot(spec: BootSpec) -> NoReturn:
  """Mount everything, change the root, become init."""
  kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
  root = str(spec.node_dir / "root")
  kernel.mount(
    "overlay",
    root,
    "overlay",
    0,
    f"lowerdir={spec.lower},upperdir={spec.node_dir}/upper,"
    f"workdir={spec.node_dir}/work",
  )
  kernel.mount("proc", f"{root}/proc", "proc", _QUIET)
  kernel.mount("sysfs", f"{root}/sys", "sysfs", _QUIET)
  _hide_apparmor(spec.node_dir)
  _mount_cgroups(root, spec.hierarchies)
  _mount_dev(root)
  kernel.mount(
    "tmpfs",
    f"{root}/run",
    "tmpfs",
    kernel.MS_NOSUID | kernel.MS_NODEV,
    "mode=755",
  )
  for name in ("lock", "sshd", "netns"):
    pathlib.Path(f"{root}/run/{name}").mkdir(mode=0o755)
  for bind in spec.binds:
    _bind(bind, root)
  socket.sethostname(spec.hostname)
  kernel.change_root(root)
  # As systemd leaves it on a real node.
  kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
  os.execve("/usr/bin/tini", ["tini", "--", "sleep", "infinity"], environment())


def _hide_apparmor(node_dir: pathlib.Path) -> None:
  """The node is not to load profiles into the machine's kernel.

  It has no securityfs, and LXC then refuses to start anything ("incomplete
  AppArmor support") where the kernel says that AppArmor is on.

  """
  switch = node_dir / "root/sys/module/apparmor/parameters/enabled"
  if switch.exists():
    off = node_dir / "apparmor-enabled"
    off.write_text("N\n")
    kernel.mount(str(off), str(switch), flags=kernel.MS_BIND)


def _mount_cgroups(root: str, hierarchies: Sequence[Hierarchy]) -> None:
  """The machine's hierarchies at the same places, seen from our group.

  A new sysfs hides those that were mounted below the old one.

  """
  if not any(h.mount_point == _CGROUP_DIR for h in hierarchies):
    kernel.mount("tmpfs", root + _CGROUP_DIR, "tmpfs", _QUIET, "mode=755")
  for hierarchy in hierarchies:
    if not f"{hierarchy.mount_point}/".startswith(f"{_CGROUP_DIR}/"):
      continue
    target = root + hierarchy.mount_point
    pathlib.Path(target).mkdir(parents=True, exist_ok=True)
    if hierarchy.unified:
      kernel.mount("cgroup2", target, "cgroup2", _QUIET)
    else:
      kernel.mount("cgroup", target, "cgroup", _QUIET, hierarchy.options)


def _mount_dev(root: str) -> None:
  """The kernel's own /dev, so that new loop partitions appear in it."""
  kernel.mount("devtmpfs", f"{root}/dev", "devtmpfs", kernel.MS_NOSUID)
  for name in ("pts", "shm"):
    pathlib.Path(f"{root}/dev/{name}").mkdir(exist_ok=True)
  kernel.mount(
    "devpts",
    f"{root}/dev/pts",
    "devpts",
    kernel.MS_NOSUID | kernel.MS_NOEXEC,
    "newinstance,gid=5,mode=620,ptmxmode=666",
  )
  kernel.mount(
    "tmpfs",
    f"{root}/dev/shm",
    "tmpfs",
    kernel.MS_NOSUID | kernel.MS_NODEV,
    "mode=1777",
  )


def _bind(bind: Bind, root: str) -> None:
  target = root + bind.target
  kernel.mount(str(bind.source), target, flags=kernel.MS_BIND)
  if bind.read_only:
    kernel.mount(
      "none",
      target,
      flags=(kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY),
    )
