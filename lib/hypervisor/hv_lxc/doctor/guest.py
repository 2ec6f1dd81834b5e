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

"""A guest as live migration sees it: values, no I/O.

L{reading} fills them from /proc; C{blockers} looks at them.

"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..mountinfo import MountEntry


class Why(NamedTuple):
  """Why something cannot be moved, and what can be done about it."""

  reason: str
  remedy: str


class StraySocket(NamedTuple):
  """A UNIX socket that cannot be bound again, and why."""

  thing: str
  reason: str


class Device(NamedTuple):
  """What a device node stands for; C{kind} is "c" or "b"."""

  kind: str
  major: int
  minor: int

  def __str__(self) -> str:
    return f"{self.kind} {self.major}:{self.minor}"


class Watch(NamedTuple):
  """What an inotify descriptor watches (proc_pid_fdinfo(5)).

  @ivar device: of the file system, as "MAJOR:MINOR"

  """

  device: str
  inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
  """One file descriptor.

  @ivar target: the text of the link in /proc/PID/fd
  @ivar writable: opened for writing
  @ivar mount: number of its mount, -1 if that is unknown
  @ivar super_block: of a terminal that was opened through a mount which the
      process does not see, as "MAJOR:MINOR"
  @ivar device: what it is, if it is a device node
  @ivar protocol: of a socket, as the kernel calls it; "" if unknown
  @ivar unlinked_bytes: what a file without a name holds on its disk
  @ivar is_removed: a file or directory on a disk or in a tmpfs without a name
  @ivar watches: of an inotify descriptor

  """

  fd: int
  target: str
  writable: bool = False
  mount: int = -1
  super_block: str = ""
  device: Device | None = None
  protocol: str = ""
  unlinked_bytes: int = 0
  is_removed: bool = False
  watches: tuple[Watch, ...] = ()

  @property
  def inode(self) -> int | None:
    """The number in "socket:[123]", "net:[123]", ...; None without one."""
    _, separator, rest = self.target.partition(":[")
    number = rest.removesuffix("]")
    return int(number) if separator and number.isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
  """One process of a guest.

  @ivar pid: as the node numbers it
  @ivar parent: likewise
  @ivar uids: real, effective, saved, of the file system
  @ivar tracer: who traces it, 0 if nobody does
  @ivar stopped: by SIGSTOP or from a terminal (Ctrl-Z)
  @ivar number: as the guest numbers it; 0 if that is unknown
  @ivar session: its session as the guest numbers it; 0 for one whose
      leader is outside of the guest
  @ivar namespaces: "uts": "uts:[4026531838]", ...
  @ivar program: the text of the link /proc/PID/exe
  @ivar is_program_barred: nobody may run that file any more
  @ivar wakes_main_thread: a timer of its own signals its first thread alone
      (timer_create(2), SIGEV_THREAD_ID)
  @ivar taken: what it holds that was removed, and whose name another has by
      now: "working directory /srv/app"
  @ivar stray_sockets: UNIX sockets that cannot be bound again as they are
  @ivar sealed_maps: shared mappings of files in memory that nobody may write
      to any more (memfd_create(2), F_SEAL_WRITE)
  @ivar foreground_gone: no process is left of its terminal's foreground group
  @ivar device_maps: paths of devices that are mapped into its memory
  @ivar unseen: the caller may not look at its files

  """

  pid: int
  command: str
  parent: int = 0
  uids: tuple[int, ...] = (0, 0, 0, 0)
  tracer: int = 0
  stopped: bool = False
  number: int = 0
  session: int = 1
  namespaces: Mapping[str, str] = field(default_factory=dict)
  files: tuple[OpenFile, ...] = ()
  program: str = ""
  is_program_barred: bool = False
  wakes_main_thread: bool = False
  taken: tuple[str, ...] = ()
  stray_sockets: tuple[StraySocket, ...] = ()
  sealed_maps: tuple[str, ...] = ()
  foreground_gone: bool = False
  device_maps: tuple[str, ...] = ()
  unseen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
  """A running guest.

  @ivar init: its process 1, as the node numbers it
  @ivar mounts: of each mount namespace ("mnt:[4026532345]")
  @ivar unix: inodes of the UNIX sockets of each network namespace
  @ivar node_devices: super blocks that the node has mounted too
  @ivar groups: inodes of the guest's control groups and their files, by
      the super block they are in; None where nobody asked

  """

  name: str
  init: int
  processes: tuple[Process, ...] = ()
  mounts: Mapping[str, tuple[MountEntry, ...]] = field(default_factory=dict)
  unix: Mapping[str, frozenset[int]] = field(default_factory=dict)
  node_devices: frozenset[str] = frozenset()
  groups: Mapping[str, frozenset[int]] = field(default_factory=dict)

  @property
  def unseen(self) -> int:
    """How many processes the caller may not look into."""
    return sum(process.unseen for process in self.processes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
  """What CRIU can do on this node, and how it will be called.

  @ivar sys_resource: CAP_SYS_RESOURCE can be had on the node
  @ivar inet_sockets: options of TCP and UDP sockets can be read (CRIU
      before 4.2 asks for SO_PASSCRED, which Linux 6.16 has for UNIX only)
  @ivar raw_sockets: there is raw_diag
  @ivar packet_sockets: there is af_packet_diag
  @ivar bpf_maps: CRIU was built with libbpf
  @ivar pidfds: CRIU is 4.1 or later
  @ivar stopped_tasks: what is stopped can be attached to while it is frozen;
      under the v1 freezer it cannot
  @ivar nested_mounts: mounts of nested namespaces can be made again
      (criu check --feature move_mount_set_group)
  @ivar ghost_limit: bytes of a file without a name that are kept; the
      driver tells CRIU (migration/criu.py)
  @ivar file_systems: types that CRIU is told to just mount again
      (enable-fs); LXC adds hugetlbfs and tracefs
  @ivar external_points: mount points that CRIU is told are external

  """

  sys_resource: bool = True
  inet_sockets: bool = True
  raw_sockets: bool = True
  packet_sockets: bool = True
  bpf_maps: bool = False
  pidfds: bool = True
  stopped_tasks: bool = True
  nested_mounts: bool = True
  ghost_limit: int = 64 << 20
  file_systems: frozenset[str] = frozenset({"hugetlbfs", "tracefs"})
  external_points: frozenset[str] = frozenset()
