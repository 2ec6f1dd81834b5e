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

"""Which open files CRIU cannot save, and why.

Sources: criu/files.c, criu/tty.c, criu/sockets.c, criu/sk-*.c of CRIU 3.17
to 4.2, and what it said when it was tried.

"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import mountrules
from .guest import Abilities, Guest, OpenFile, Process, Why

# Of criu/files.c, dump_one_file.
_ANON = "anon_inode:"
_ANON_KNOWN = frozenset(
  {
    "[eventfd]",
    "[eventpoll]",
    "[fanotify]",
    "[pidfd]",
    "[signalfd]",
    "[timerfd]",
    "inotify",
    "[inotify]",
  }
)
_ANON_REMEDY = {
  "[io_uring]": "have the program work without io_uring (nginx: no aio"
  " io_uring; a database: its setting for asynchronous I/O), restart it",
  "[perf_event]": "end the profiler",
  "bpf-prog": "drop the capabilities bpf and sys_admin (drop_capabilities),"
  " restart the instance",
  "bpf-map": "drop the capabilities bpf and sys_admin (drop_capabilities),"
  " restart the instance",
  "[userfaultfd]": "end the program",
}
_NAMESPACE_FILES = frozenset(
  {"mnt", "net", "pid", "ipc", "uts", "user", "time", "cgroup"}
)
_INET = ("TCP", "UDP", "RAW", "PING", "PACKET")
_PROTOCOLS = (*_INET, "UNIX", "NETLINK")
# Character devices (criu/files.c dump_chrdev, criu/tty.c get_tty_driver).
_MEM, _TTY, _TTYAUX, _MISC = 1, 4, 5, 10
_PTYS = range(128, 144)
_SERIAL = frozenset({188, 204})
_CONSOLES = range(1, 64)
_MISC_KNOWN = frozenset({200, 235})
_FUSE = (_MISC, 229)
_MIB = 1 << 20
# Threads and descriptors exist later than files are opened.
_PROC_LATE = re.compile(r"/proc/(\d+)/(?:task/(?!\1(?:/|$))\d+|fdinfo/\d)")
_SO_PASSCRED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
  """What a descriptor is judged against.

  @ivar namespaces: those that processes of the guest are in
  @ivar mounts: numbers of the mounts that processes of the guest see; empty
      if the process's own are unknown

  """

  guest: Guest
  node: Abilities
  process: Process
  namespaces: frozenset[str]
  mounts: frozenset[int]


def why_not(file: OpenFile, around: Around) -> Iterator[Why]:
  """What speaks against saving a descriptor; nothing if it can be."""
  target = file.target
  if target.startswith("socket:"):
    yield from _socket(file, around)
  elif target.startswith((_ANON, "pidfd:")):
    yield from _anonymous(file, around)
  elif target.startswith("/"):
    yield from _path(file, around)
  elif (
    target.partition(":")[0] in _NAMESPACE_FILES
    and target not in around.namespaces
    and file.inode is not None
  ):
    yield Why(
      "it holds a namespace that no process of the guest is in (CRIU: No NS"
      " ID with kid)",
      "restart the program",
    )


def _anonymous(file: OpenFile, around: Around) -> Iterator[Why]:
  kind = file.target.removeprefix(_ANON)
  if kind == "[pidfd]" or kind.startswith("pidfd:"):
    if not around.node.pidfds:
      yield Why(
        "CRIU knows no pidfd before version 4.1",
        "install CRIU 4.1 or later on both nodes",
      )
  elif kind == "bpf-map" and around.node.bpf_maps:
    return
  elif kind not in _ANON_KNOWN:
    yield Why(
      f"CRIU cannot save {kind.strip('[]')} (CRIU: Can't dump file of that"
      " type)",
      _ANON_REMEDY.get(kind, "end the program"),
    )
  for watch in file.watches:
    known = around.guest.groups.get(watch.device)
    if known is not None and watch.inode not in known:
      yield Why(
        "it watches a control group that is gone (CRIU: Can't dump that"
        " handle)",
        "have the program begin anew: systemctl daemon-reexec in the guest"
        " if it is systemd",
      )
      return


def _path(file: OpenFile, around: Around) -> Iterator[Why]:
  if file.target.startswith("/proc/pressure/") and file.writable:
    yield Why(
      "it waits for pressure of the whole node (PSI), which CRIU does not"
      " bring back, so the program would spin",
      "end the program",
    )
  elif _PROC_LATE.match(file.target):
    # criu/cr-restore.c: files first, threads last.
    yield Why(
      "it is about a thread or a descriptor, which is not there yet when files"
      " are opened again (CRIU: Can't open file proc/... on restore)",
      "end the program, or have it close the file",
    )
  elif file.device and not _is_known_device(file):
    yield _device(file)
  elif file.mount >= 0 and around.mounts and file.mount not in around.mounts:
    if not file.target.startswith(
      ("/memfd:", "/SYSV", "/dev/zero")
    ) and not _is_console(file, around):
      yield Why(
        "it was opened outside of the guest (CRIU: Can't lookup mount)",
        "restart the program from inside the guest",
      )
  elif file.unlinked_bytes > around.node.ghost_limit:
    held, limit = file.unlinked_bytes // _MIB, around.node.ghost_limit // _MIB
    yield Why(
      f"the file was removed and still holds {held} MiB, more than the"
      f" {limit} MiB that are carried over (CRIU: Can't dump ghost file)",
      "have the program close the file: restart it, or rotate its log",
    )


def _is_console(file: OpenFile, around: Around) -> bool:
  """Whether it is the console that the node gave to the guest.

  CRIU hands it over to a restored guest as it got it from LXC: opened on
  the node (--inherit-fd).

  """
  space = around.process.namespaces.get("mnt", "")
  return any(
    mount.mount_point == mountrules.CONSOLE
    and mount.devno == file.super_block
    and f"/dev/pts{mount.root}" == file.target
    for mount in around.guest.mounts.get(space, ())
  )


def _is_known_device(file: OpenFile) -> bool:
  device = file.device
  if device is None or device.kind == "b":
    return device is None
  major, minor = device.major, device.minor
  if major == _TTY:
    return minor in _CONSOLES
  if major == _MISC:
    return minor in _MISC_KNOWN
  if major == _TTYAUX:
    return minor in range(3)
  return major == _MEM or major in _PTYS or major in _SERIAL


def _device(file: OpenFile) -> Why:
  device = file.device
  if device and device.kind == "c" and device[1:] == _FUSE:
    return Why(
      "it serves a FUSE file system, which cannot be saved",
      "unmount that file system in the guest",
    )
  return Why(
    f"the state of a device ({device}) cannot be saved (CRIU: Can't dump"
    " file of that type)",
    "end the program",
  )


def _socket(file: OpenFile, around: Around) -> Iterator[Why]:
  protocol = file.protocol
  if not protocol:
    return
  plain = protocol.removesuffix("v6").partition("-")[0]
  if plain == "UDPLITE":
    plain = "UDP"
  if plain not in _PROTOCOLS:
    yield Why(
      f"CRIU cannot save {protocol} sockets",
      "set GODEBUG=multipathtcp=0 for the program, restart it"
      if plain == "MPTCP"
      else "end the program",
    )
  elif plain == "RAW" and not around.node.raw_sockets:
    yield Why("raw sockets need raw_diag on the node", "run modprobe raw_diag")
  elif plain == "PACKET" and not around.node.packet_sockets:
    yield Why(
      "packet sockets need af_packet_diag on the node",
      "run modprobe af_packet_diag",
    )
  elif plain in _INET and not around.node.inet_sockets:
    yield Why(
      f"this CRIU cannot read a {protocol} socket on this kernel (CRIU:"
      f" Can't get 1:{_SO_PASSCRED} opt)",
      "install CRIU 4.2 or later, or boot Linux before 6.16",
    )
  elif plain == "UNIX":
    known = around.guest.unix.get(around.process.namespaces.get("net", ""))
    if known is not None and file.inode not in known:
      yield Why(
        "the socket belongs to the outside of the guest (CRIU: External"
        " socket is used)",
        "restart the program from inside the guest",
      )
