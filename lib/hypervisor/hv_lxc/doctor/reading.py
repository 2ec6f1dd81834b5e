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

"""A guest, read from /proc without disturbing it.

Links are read, not followed, and a descriptor is looked at (stat) only
where its file system is a local one: a guest that serves FUSE could keep
whoever asks waiting for ever.  A process that ends meanwhile is left out.

"""

import errno
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from .. import cgroup, cgtree, hierarchies, mountinfo, procfs
from ..errors import Refused
from ..host import Host, read_optional
from ..mountinfo import MountEntry
from . import stray, taken
from .guest import Device, Guest, OpenFile, Process, Watch

_LOCAL = frozenset(
  {"btrfs", "devpts", "devtmpfs", "ext2", "ext3", "ext4", "ramfs", "tmpfs"}
  | {"xfs"}
)
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.ENODEV})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_WATCH = re.compile(r"^inotify wd:\S+ ino:(\S+) sdev:(\S+)", re.MULTILINE)
_DEVICE_MAP = re.compile(r"^(?:\S+ +){5}(/dev/(?!zero|shm/).*)$", re.MULTILINE)
_SHARED_MEMFD = re.compile(
  r"^(\S+) ..?.s (?:\S+ +){3}(/memfd:.*)$", re.MULTILINE
)
_SOCKET_NAME = "system.sockprotoname"
_INODE_COLUMN = 6
_MINOR_BITS = 20
_PTYS = "/dev/pts/"
_GROUP, _TERMINAL, _FOREGROUND = 2, 4, 5
_ANYBODY_RUNS = 0o111
_F_GET_SEALS, _F_SEAL_WRITE = 1034, 8
_BLOCK = 512


def read_guest(host: Host, name: str) -> Guest:
  """What a running instance consists of, as far as the caller may see.

  @raise Refused: it does not run on this node
  @raise OSError: /proc is not readable

  """
  trees = hierarchies.find(host)
  init = cgroup.init_pid(host, trees, name)
  if init is None or trees.reference is None:
    raise Refused(
      f"Instance {name} does not run on this node",
      remedy="run it on the instance's primary node (gnt-instance list -o"
      " name,pnode,status)",
    )
  pids = cgtree.all_pids(trees.reference.payload(name))
  return read_processes(host, name, init, sorted({init, *pids}), trees)


def read_processes(
  host: Host,
  name: str,
  init: int,
  pids: Iterable[int],
  trees: hierarchies.Hierarchies | None = None,
) -> Guest:
  """The same, with the processes named by the caller."""
  mounts: dict[str, tuple[MountEntry, ...]] = {}
  unix: dict[str, dict[int, bool]] = {}
  processes: list[Process] = []
  numbers = tuple(pids)
  backgrounds = _without_foreground(host, numbers)
  for pid in numbers:
    process = _process(host, pid, mounts, init=init)
    if process is None:
      continue
    processes.append(replace(process, foreground_gone=pid in backgrounds))
    network = process.namespaces.get("net")
    if network and network not in unix:
      unix[network] = _unix_sockets(host, pid)
  own = mountinfo.parse(read_optional(host.proc / "self/mountinfo") or "")
  node_devices = frozenset(mount.devno for mount in own)
  if not _serves_files(mounts, node_devices):
    named = (inode for of in unix.values() for inode in of if of[inode])
    found = stray.find(host, processes, mounts, frozenset(named))
    processes = [
      replace(process, stray_sockets=found.get(process.pid, ()))
      for process in processes
    ]
  return Guest(
    name=name,
    init=init,
    processes=tuple(processes),
    mounts=mounts,
    unix={network: frozenset(inodes) for network, inodes in unix.items()},
    node_devices=node_devices,
    groups=_groups(trees, name, processes) if trees else {},
  )


def _serves_files(
  mounts: Mapping[str, tuple[MountEntry, ...]], node_devices: frozenset[str]
) -> bool:
  """Whether a program in the guest is asked when a name is looked up."""
  return any(
    mount.fs_type.startswith("fuse")
    and mount.fs_type != "fusectl"
    and mount.devno not in node_devices
    for space in mounts.values()
    for mount in space
  )


def _without_foreground(host: Host, pids: Iterable[int]) -> frozenset[int]:
  """Those whose terminal has a foreground group of which none is left."""
  read = {pid: procfs.stat_fields(host.proc, pid) for pid in pids}
  stats = {pid: s for pid, s in read.items() if len(s) > _FOREGROUND}
  groups = {int(stat[_GROUP]) for stat in stats.values()}
  return frozenset(
    pid
    for pid, stat in stats.items()
    if int(stat[_TERMINAL])
    and int(stat[_FOREGROUND]) > 0
    and int(stat[_FOREGROUND]) not in groups
  )


def _process(
  host: Host,
  pid: int,
  mounts: dict[str, tuple[MountEntry, ...]],
  *,
  init: int,
) -> Process | None:
  """A process; None if it is gone or a zombie."""
  home = host.proc / str(pid)
  status = cgtree.read(f"{home}/status") or ""
  fields = dict(
    line.split(":\t", 1) for line in status.splitlines() if ":\t" in line
  )
  if not fields or fields.get("State", "Z").startswith(("Z", "X")):
    return None
  spaces = {
    kind: text for kind in _NAMESPACES if (text := _link(home / "ns" / kind))
  }
  space = spaces.get("mnt", "")
  if space and space not in mounts:
    text = read_optional(home / "mountinfo") or ""
    mounts[space] = tuple(mountinfo.parse(text))
  kinds = {mount.number: mount.fs_type for mount in mounts.get(space, ())}
  try:
    files = tuple(_files(home, kinds))
    text = read_optional(home / "maps") or ""
    maps = tuple(dict.fromkeys(_DEVICE_MAP.findall(text)))
    gone = tuple(taken.found(host.proc, pid, init, files))
    sealed = tuple(_sealed_maps(home, text))
  except PermissionError:
    files, maps, gone, sealed = (), (), (), ()
  process = Process(
    pid=pid,
    command=fields.get("Name", "").strip(),
    parent=int(fields.get("PPid", "0")),
    uids=tuple(map(int, fields.get("Uid", "0").split())),
    tracer=int(fields.get("TracerPid", "0")),
    stopped=fields.get("State", "").startswith("T"),
    number=int(fields.get("NSpid", "0").split()[-1]),
    session=int(fields.get("NSsid", "1").split()[-1]),
    namespaces=spaces,
    files=files,
    taken=gone,
    sealed_maps=sealed,
    device_maps=maps,
    unseen=not space or not os.access(home / "fd", os.R_OK),
  )
  return _with_program(process, home)


def _link(path: Path) -> str:
  """The text of a link; "" if it is gone or not for the caller.

  Bytes that are no UTF-8 are escaped, as in all that C{host.read_text} reads.

  """
  try:
    target = os.fsencode(path.readlink())
    return target.decode("utf-8", "backslashreplace")
  except OSError as err:
    if err.errno in _GONE | _DENIED:
      return ""
    raise


def _files(home: Path, kinds: dict[int, str]) -> Iterator[OpenFile]:
  """Two reads for each descriptor, and one look where that is safe."""
  try:
    names = os.listdir(home / "fd")  # noqa: PTH208 - names are numbers
  except (FileNotFoundError, ProcessLookupError):
    return
  for fd in sorted(map(int, names)):
    target = _link(home / "fd" / str(fd))
    if target:
      yield _file(home, fd, target, kinds)


def _file(home: Path, fd: int, target: str, kinds: dict[int, str]) -> OpenFile:
  path = home / "fd" / str(fd)
  info = cgtree.read(f"{home}/fdinfo/{fd}") or ""
  values = dict(
    line.split(":\t", 1) for line in info.splitlines() if ":\t" in line
  )
  mount = int(values.get("mnt_id", "-1"))
  device, held, is_removed, super_block = None, 0, False, ""
  if target.startswith(_PTYS) and mount not in kinds:
    super_block = _super_block(path)
  elif target.startswith("/") and kinds.get(mount) in _LOCAL:
    device, held, is_removed = _look(path)
  return OpenFile(
    fd=fd,
    target=target,
    writable=bool(int(values.get("flags", "0"), 8) & os.O_ACCMODE),
    mount=mount,
    super_block=super_block,
    device=device,
    protocol=_protocol(path) if target.startswith("socket:") else "",
    unlinked_bytes=held,
    is_removed=is_removed,
    watches=tuple(_watches(info)) if "inotify" in target else (),
  )


def _look(path: Path) -> tuple[Device | None, int, bool]:
  """What a device node is; what a file without a name holds, and if it is."""
  try:
    seen = path.stat()
  except OSError as err:
    if err.errno in _GONE | _DENIED:
      return None, 0, False
    raise
  kind = {0o020000: "c", 0o060000: "b"}.get(seen.st_mode & 0o170000)
  if kind:
    number = os.major(seen.st_rdev), os.minor(seen.st_rdev)
    return Device(kind, *number), 0, False
  held = 0 if seen.st_nlink else seen.st_blocks * _BLOCK
  return None, held, not seen.st_nlink


def _super_block(path: Path) -> str:
  """What a terminal is in; a stat(2) of one never waits for anybody."""
  try:
    number = path.stat().st_dev
  except OSError:
    return ""
  return f"{os.major(number)}:{os.minor(number)}"


def _protocol(path: Path) -> str:
  """The kernel's name of a socket's protocol (sockfs, net/socket.c)."""
  try:
    name = os.getxattr(path, _SOCKET_NAME)
  except OSError:
    return ""
  return name.rstrip(b"\0").decode("ascii", "replace")


def _watches(info: str) -> Iterator[Watch]:
  """Numbers are hexadecimal; the device is as the kernel keeps it."""
  for inode, device in _WATCH.findall(info):
    number = int(device, 16)
    major, minor = number >> _MINOR_BITS, number & ((1 << _MINOR_BITS) - 1)
    yield Watch(f"{major}:{minor}", int(inode, 16))


def _with_program(process: Process, home: Path) -> Process:
  """With what it runs, and whom its timers tell."""
  try:
    timers = read_optional(home / "timers") or ""
  except PermissionError:
    timers = ""
  return replace(
    process,
    program=_link(home / "exe"),
    is_program_barred=_is_barred(home / "exe"),
    wakes_main_thread=f"/tid.{process.pid}\n" in timers,
  )


def _is_barred(program: Path) -> bool:
  try:
    return not program.stat().st_mode & _ANYBODY_RUNS
  except OSError:
    return False


def _sealed_maps(home: Path, maps: str) -> Iterator[str]:
  """Names of files in memory that are sealed against writing and shared."""
  for where, name in _SHARED_MEMFD.findall(maps):
    try:
      fd = os.open(home / "map_files" / where, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
      continue
    try:
      if fcntl.fcntl(fd, _F_GET_SEALS) & _F_SEAL_WRITE:
        yield name
    except OSError:  # One of huge pages has none.
      continue
    finally:
      os.close(fd)


def _unix_sockets(host: Host, pid: int) -> dict[int, bool]:
  """Those of a process's network namespace, and whether they have names."""
  text = read_optional(host.proc / str(pid) / "net/unix") or ""
  # Not splitlines(), as in mountinfo.py; a name comes last.
  rows = (line.split() for line in text.split("\n")[1:])
  # A name may have line ends, and then what looks like a line.
  return {
    int(row[_INODE_COLUMN]): len(row) > _INODE_COLUMN + 1
    for row in rows
    if len(row) > _INODE_COLUMN and row[_INODE_COLUMN].isdecimal()
  }


def _groups(
  trees: hierarchies.Hierarchies, name: str, processes: list[Process]
) -> dict[str, frozenset[int]]:
  """The control groups of the guest, where something watches one."""
  watched = {
    watch.device
    for process in processes
    for file in process.files
    for watch in file.watches
  }
  found = {}
  for tree in trees.all:
    number = Path(tree.base).stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    if device in watched:
      found[device] = frozenset(_inodes(tree.group(name)))
  return found


def _inodes(path: str) -> Iterator[int]:
  for fd in cgtree.walk(path):
    yield os.fstat(fd).st_ino
    with os.scandir(fd) as entries:
      yield from [entry.inode() for entry in entries]
