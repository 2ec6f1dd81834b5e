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

"""UNIX sockets whose names CRIU would not bind as they are now.

It binds what getsockname(2) tells, after the dump as it was told the first
time: a file that was renamed since is left behind, dead, under the name that
clients know.  Of a relative name it makes a directory, from where the file is,
and goes there (criu/sk-unix.c, unix_resolve_name, bind_unix_sk).

"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import guestfs
from ..host import Host, read_optional
from ..migration import sockets
from ..mountinfo import MountEntry
from .guest import Process, StraySocket

# ioctl_unix: SIOCPROTOPRIVATE, from Linux 4.10; opens the file with O_PATH.
_SIOCUNIXFILE = 0x89E0
_DELETED = b" (deleted)"
# sizeof(sun_path); CRIU counts the byte 0 that ends the name.
_MAX_NAME = 108
_MOVED = (
  "its file is elsewhere than its name says (renamed, below a chroot, hidden)"
  " or has a second name: clients would not find it (CRIU: Can't bind)"
)
_NO_PLACE = (
  "the directory in which it was made is gone, or has become something else"
  " (CRIU: Can't change working dir, Can't bind)"
)
_NO_MOUNT = (
  "its file is in a mount that no process of the guest has any more (CRIU:"
  " Unable to find the mount)"
)
_READ_ONLY = (
  "its file is in a mount that is read-only by now (CRIU: Can't bind: Read-only"
  " file system)"
)
_LONG = "its name is too long (CRIU: Bad unix name len, Too long name)"
_OTHER_PATH = (
  "its file is not found by its relative name any more (CRIU: Unable too cut)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
  """A socket with a file.

  @ivar name: as it was bound
  @ivar path: where the file is now, or was
  @ivar file: what it is
  @ivar is_read_only: its mount is
  @ivar again: CRIU will bind it; the ends of connections it does not

  """

  name: bytes
  path: bytes
  file: os.stat_result
  is_read_only: bool = False
  again: bool = True

  @property
  def place(self) -> bytes | None:
    """The directory that CRIU goes to first; None if there is none."""
    if self.name.startswith(b"/"):
      return b"/"
    ending = b"/" + self.name.removeprefix(b"./")
    path = self.path.removesuffix(_DELETED)
    return path.removesuffix(ending) or b"/" if path.endswith(ending) else None


@dataclass(slots=True)
class Spaces:
  """The mount namespaces of a guest, and a descriptor of the root of each."""

  host: Host
  processes: Iterable[Process]
  mounts: Mapping[str, tuple[MountEntry, ...]]
  _of: dict[int, str] = field(default_factory=dict)
  _roots: dict[str, int | None] = field(default_factory=dict)

  def __post_init__(self) -> None:
    for space, entries in self.mounts.items():
      self._of.update((entry.number, space) for entry in entries)

  def close(self) -> None:
    """Closes the descriptors."""
    for root in self._roots.values():
      if root is not None:
        os.close(root)

  def has(self, mount: int) -> bool:
    """Whether a mount is in any of them."""
    return mount in self._of

  def root(self, mount: int) -> int | None:
    """Of the one with this mount, as CRIU has it: no chroot of a process."""
    space = self._of[mount]
    if space not in self._roots:
      self._roots[space] = self._open(space)
    return self._roots[space]

  def _open(self, space: str) -> int | None:
    for process in self.processes:
      if process.namespaces.get("mnt") == space:
        path = self.host.proc / f"{process.pid}/root"
        with contextlib.suppress(OSError):
          if str(path.readlink()) == "/":
            return os.open(path, os.O_PATH | os.O_CLOEXEC)
    return None


def find(
  host: Host,
  processes: Iterable[Process],
  mounts: Mapping[str, tuple[MountEntry, ...]],
  named: frozenset[int],
) -> dict[int, tuple[StraySocket, ...]]:
  """Those of each process; a socket that several have is told of once.

  @param mounts: of each mount namespace; none may be served by the guest
  @param named: inodes of sockets with a name; others are not looked at

  """
  found: dict[int, tuple[StraySocket, ...]] = {}
  seen: set[int] = set()
  spaces = Spaces(host, processes, mounts)
  with contextlib.closing(spaces):
    for process in processes:
      wanted = {
        file.inode: file.fd
        for file in process.files
        if file.target.startswith("socket:")
        and file.inode is not None
        and file.inode in named
        and file.inode not in seen
      }
      seen.update(wanted)
      if wanted:
        with contextlib.suppress(OSError):
          found[process.pid] = tuple(_of_process(spaces, process.pid, wanted))
  return found


def _of_process(
  spaces: Spaces, pid: int, wanted: Mapping[int, int]
) -> Iterator[StraySocket]:
  with sockets.of(spaces.host, pid) as duplicates:
    for inode, fd in wanted.items():
      # Closed meanwhile, not for the caller, or without a file.
      with contextlib.suppress(OSError), duplicates.duplicate(fd) as end:
        if end.family == socket.AF_UNIX and _inode(end) == inode:
          name = os.fsencode(end.getsockname())
          if name and not name.startswith(b"\0"):
            reason = _judge(spaces, end, name)
            if reason:
              text = name.decode("utf-8", "backslashreplace")
              yield StraySocket(f"fd {fd} socket {text}", reason)


def _inode(end: socket.socket) -> int:
  return os.fstat(end.fileno()).st_ino


def _judge(spaces: Spaces, end: socket.socket, name: bytes) -> str:
  held = fcntl.ioctl(end.fileno(), _SIOCUNIXFILE)
  try:
    mount = _mount(held)
    again = end.type == socket.SOCK_DGRAM or not _is_connected(end)
    if not spaces.has(mount):
      return _NO_MOUNT if again else ""
    bound = Bound(
      name=name,
      path=os.readlink(f"/proc/self/fd/{held}".encode()),  # noqa: PTH115
      file=os.fstat(held),
      is_read_only=bool(os.fstatvfs(held).f_flag & os.ST_RDONLY),
      again=again,
    )
  finally:
    os.close(held)
  return why_not(bound, spaces.root(mount))


def _mount(held: int) -> int:
  info = read_optional(Path(f"/proc/self/fdinfo/{held}")) or ""
  _, _, rest = info.partition("mnt_id:")
  return int(rest.split()[0]) if rest else -1


def _is_connected(end: socket.socket) -> bool:
  try:
    end.getpeername()
  except OSError:
    return False
  return True


def why_not(bound: Bound, root: int | None) -> str:
  """Why it cannot be bound again; "" if it can.

  @param root: of the guest, as a descriptor; None if that is unknown

  """
  is_removed = bound.path.endswith(_DELETED)
  length = len(bound.name) + 1
  if bound.place is None:
    return _OTHER_PATH
  if length > _MAX_NAME or (is_removed and length == _MAX_NAME):
    return _LONG
  if not bound.again:
    return ""
  if bound.is_read_only:
    return _READ_ONLY
  # A second name of the file would lead nowhere.
  if bound.file.st_nlink != (0 if is_removed else 1):
    return _MOVED
  return _misplaced(bound, bound.place, root) if root is not None else ""


def _misplaced(bound: Bound, place: bytes, root: int) -> str:
  where = os.path.join(place, bound.name)  # noqa: PTH118 - bytes
  if not bound.path.endswith(_DELETED):
    return "" if _is_there(root, where, bound.file) else _MOVED
  if _exists(root, place, os.O_DIRECTORY) and _can_hold(root, where):
    return ""
  return _NO_PLACE


def _is_there(root: int, name: bytes, file: os.stat_result) -> bool:
  try:
    fd = _open(root, name, os.O_NOFOLLOW)
  except OSError:
    return False
  try:
    return os.path.samestat(os.fstat(fd), file)
  finally:
    os.close(fd)


def _can_hold(root: int, name: bytes) -> bool:
  """Whether its directory is there, or can be made."""
  directory = name.rpartition(b"/")[0] or b"/"
  try:
    os.close(_open(root, directory, os.O_DIRECTORY))
  except FileNotFoundError:
    is_link = _exists(root, directory, os.O_NOFOLLOW)
    return not is_link and _can_hold(root, directory)
  except OSError:
    return False
  return True


def _exists(root: int, name: bytes, flags: int) -> bool:
  try:
    os.close(_open(root, name, flags))
  except OSError:
    return False
  return True


def _open(root: int, name: bytes, flags: int) -> int:
  path = os.fsdecode(name).lstrip("/") or "."
  return guestfs.open_in_root(root, path, os.O_PATH | flags)
