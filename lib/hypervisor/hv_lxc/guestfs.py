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

"""A look into a guest's file system, which is hostile.

Paths are resolved by the kernel with openat2(2) and RESOLVE_IN_ROOT: an
absolute link or a ".." of the guest ends inside the guest's root, as it
would for the guest itself.  Nothing is ever run or written here.

"""

import contextlib
import ctypes
import errno
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .errors import Refused
from .guests import kind_of
from .model import InitKind

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10
_MAX_READ = 4096
_MAX_TRIES = 1000

# What LXC 5 to 7 execute when lxc.init.cmd is not set (lxc.container.conf,
# "INIT COMMAND").
INIT = "sbin/init"
# Where LXC or our configuration mount something.  A link there would be
# refused by LXC too, but with an error that says less.
MOUNT_TARGETS = ("dev", "proc", "sys", "run", "tmp")


class _OpenHow(ctypes.Structure):
  _fields_ = (
    ("flags", ctypes.c_uint64),
    ("mode", ctypes.c_uint64),
    ("resolve", ctypes.c_uint64),
  )


@functools.cache
def _libc() -> ctypes.CDLL:
  return ctypes.CDLL(None, use_errno=True)


def open_in_root(
  root: int, path: str, flags: int, *, follow: bool = True
) -> int:
  """Opens a path as the guest would see it.

  @param root: descriptor of the guest's root directory
  @param path: relative to it
  @param follow: False refuses every symbolic link on the way
  @raise OSError: as openat2(2); ELOOP for a refused link

  """
  resolve = _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS
  if not follow:
    resolve |= _RESOLVE_NO_SYMLINKS
  how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
  code = 0
  # A ".." in a link cannot be resolved safely while anything on the machine
  # is renamed or mounted; the kernel leaves it to us to try again
  # (openat2(2), EAGAIN).
  for _ in range(_MAX_TRIES):
    fd: int = _libc().syscall(
      ctypes.c_long(_SYS_OPENAT2),
      ctypes.c_int(root),
      os.fsencode(path),
      ctypes.byref(how),
      ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if fd >= 0:
      return fd
    code = ctypes.get_errno()
    if code != errno.EAGAIN:
      break
  raise OSError(code, os.strerror(code), path)


@contextlib.contextmanager
def opened_root(path: Path) -> Iterator[int]:
  """The descriptor of a mounted root directory."""
  fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  try:
    yield fd
  finally:
    os.close(fd)


def check_mount_targets(name: str, root: int) -> None:
  """Refuses a guest that has something else than a directory there.

  @raise Refused: naming the path

  """
  for target in MOUNT_TARGETS:
    try:
      fd = open_in_root(root, target, os.O_PATH | os.O_NOFOLLOW, follow=False)
    except FileNotFoundError:
      make_directories(name, root, target)
      continue
    except OSError as err:
      raise _bad_target(name, target, str(err.strerror)) from err
    try:
      mode = os.fstat(fd).st_mode
    finally:
      os.close(fd)
    if not stat.S_ISDIR(mode):
      raise _bad_target(name, target, stat.filemode(mode))


def make_directories(name: str, root: int, path: str) -> None:
  """Makes a directory for a mount in the guest, following no link.

  @raise Refused: something else is in the way, or it cannot be made

  """
  parent = os.dup(root)
  try:
    for part in path.split("/"):
      child = _made_directory(parent, part)
      os.close(parent)
      parent = child
  except OSError as err:
    raise _bad_target(name, path, str(err.strerror)) from err
  finally:
    os.close(parent)


def _made_directory(parent: int, name: str) -> int:
  """Opens a directory, making it if it is not there."""
  made = False
  with contextlib.suppress(FileExistsError):
    os.mkdir(name, dir_fd=parent)
    made = True
  flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
  child = os.open(name, flags, dir_fd=parent)
  if made:
    # noded runs with umask 077, and the guest's users are to pass.
    os.fchmod(child, 0o755)
  return child


def _bad_target(name: str, target: str, evidence: str) -> Refused:
  return Refused(
    f"Instance {name}: /{target} in its root file system is not a directory",
    evidence=evidence,
    remedy="put a directory there; a container needs it as a mount point",
  )


def find_init(name: str, root: int, path: str = INIT) -> InitKind:
  """Which init the guest has.

  @param path: the init program, relative to the root
  @raise Refused: there is none, or it is not an executable file

  """
  program = path.lstrip("/")
  try:
    fd = open_in_root(root, program, os.O_PATH)
  except OSError as err:
    raise Refused(
      f"Instance {name} has no init program: /{program} cannot be opened",
      evidence=err.strerror or "",
      remedy="install an init system in the instance, for instance"
      " systemd-sysv, or reinstall it with gnt-instance reinstall",
    ) from err
  try:
    mode = os.fstat(fd).st_mode
    target = Path(f"/proc/self/fd/{fd}").readlink().name
  finally:
    os.close(fd)
  if not stat.S_ISREG(mode) or not mode & 0o111:
    raise Refused(
      f"Instance {name}: its init program /{program} cannot be executed",
      evidence=stat.filemode(mode),
      remedy="it has to be an executable file",
    )
  return kind_of(target)


def wants_tmp_mount(root: int) -> bool:
  """Whether the guest's systemd would mount a tmpfs on /tmp."""
  return any(
    exists(root, f"{place}/systemd/system/local-fs.target.wants/tmp.mount")
    for place in ("usr/lib", "etc")
  )


def exists(root: int, path: str) -> bool:
  """Whether the guest has something at this path."""
  try:
    os.close(open_in_root(root, path, os.O_PATH))
  except OSError as err:
    if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
      return False
    raise
  return True


def read_small(root: int, path: str, limit: int = _MAX_READ) -> str | None:
  """The start of a regular file of the guest, or None."""
  try:
    fd = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
  except OSError:
    return None
  try:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
      return None
    return os.pread(fd, limit, 0).decode("utf-8", "replace")
  finally:
    os.close(fd)
