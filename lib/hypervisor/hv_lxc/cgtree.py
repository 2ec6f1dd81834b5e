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


"""Walks over group trees that a hostile guest may have shaped.

A guest that may write to its control groups can nest them deeper than
PATH_MAX and give them any name.  So a walk holds one descriptor, goes down
by name and up by "..", keeps the names in lists instead of on the stack,
and gives up at a bound.  The kernel never moves a group to another parent,
so ".." is always the way back; control group trees have no links.

"""

import contextlib
import errno
import os
from collections.abc import Iterator

_MAX_GROUPS = 100_000
_CHUNK = 1 << 16
_SHORT = 2048
# The group, or the process that a file speaks of, has just gone.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ESRCH})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooManyGroupsError(Exception):
  """A guest has made more groups than a walk is ready to visit."""


def read(path: str, *, dir_fd: int | None = None) -> str | None:
  """The contents of a control file, or None when the group is gone.

  Plain system calls: with 200 instances this is called a thousand times
  for one list of instances.  The kernel hands out at most a page of lines
  at once, however many there are (seq_read_iter in fs/seq_file.c; 682 of
  900 processes were seen), and none of them is half as long; so only a
  short answer is known to be the whole.

  @raise OSError: any other error

  """
  try:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
  except OSError as err:
    if err.errno in _GONE:
      return None
    raise
  try:
    data = os.read(fd, _CHUNK)
    if len(data) >= _SHORT:
      while chunk := os.read(fd, _CHUNK):
        data += chunk
  except OSError as err:
    if err.errno in _GONE:
      return None
    raise
  finally:
    os.close(fd)
  return data.decode("ascii", "replace")


def write(
  path: str, value: str, *, dir_fd: int | None = None, flags: int = 0
) -> None:
  """Writes a control file, in one system call as the kernel wants it.

  @param flags: further ones for open(2)
  @raise OSError: as the kernel answers (EBUSY, EINVAL, ...)

  """
  fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, dir_fd=dir_fd)
  try:
    os.write(fd, value.encode("ascii"))
  finally:
    os.close(fd)


def read_int(path: str) -> int | None:
  """A number; None when the group is gone or the file says "max"."""
  text = read(path)
  if text is None or text.startswith("max"):
    return None
  return int(text)


def keyed(text: str, key: str) -> int | None:
  """A value out of a flat keyed file ("populated 1", ...)."""
  for line in text.splitlines():
    name, _, value = line.partition(" ")
    if name == key:
      return int(value)
  return None


def pids(path: str, *, dir_fd: int | None = None) -> list[int]:
  """The processes of one group, not of those below it.

  Those of another PID namespace, which the kernel shows as 0, are left
  out.  A threaded group (v2) answers EOPNOTSUPP; its processes are
  listed by the group above that is not threaded.

  """
  try:
    text = read(path, dir_fd=dir_fd) or ""
  except OSError as err:
    if err.errno == errno.EOPNOTSUPP:
      return []
    raise
  return [pid for pid in map(int, text.split()) if pid]


def walk(path: str) -> Iterator[int]:
  """Descriptors of a group and of all groups below, each before its own.

  A descriptor is good until the next one is asked for.

  @raise TooManyGroupsError: the bound was reached

  """
  try:
    fd = os.open(path, _DIRECTORY)
  except FileNotFoundError:
    return
  count = 0
  try:
    yield fd
    pending = [_subgroups(fd)]
    while pending:
      if not pending[-1]:
        pending.pop()
        if pending:
          fd = _replace(fd, os.open("..", _DIRECTORY, dir_fd=fd))
        continue
      child = _enter(fd, pending[-1].pop())
      if child is None:
        continue
      fd = _replace(fd, child)
      count += 1
      if count > _MAX_GROUPS:
        raise TooManyGroupsError(path)
      yield fd
      pending.append(_subgroups(fd))
  finally:
    os.close(fd)


def all_pids(path: str) -> list[int]:
  """The processes of a group and of all groups below it."""
  found: list[int] = []
  for fd in walk(path):
    found.extend(pids("cgroup.procs", dir_fd=fd))
  return found


def has_process(path: str) -> bool:
  """Whether a group or one below it has a process."""
  return any(pids("cgroup.procs", dir_fd=fd) for fd in walk(path))


def prune(path: str) -> bool:
  """Removes a group and all below it; False if some still have processes.

  What can be removed is removed, even when something else is busy.

  """
  if _remove(path):
    return True
  try:
    fd = os.open(path, _DIRECTORY)
  except FileNotFoundError:
    return True
  names: list[str] = []
  pending = [_subgroups(fd)]
  try:
    while True:
      if pending[-1]:
        name = pending[-1].pop()
        if _remove(name, dir_fd=fd):
          continue
        child = _enter(fd, name)
        if child is not None:
          fd = _replace(fd, child)
          names.append(name)
          pending.append(_subgroups(fd))
        continue
      pending.pop()
      if not pending:
        break
      fd = _replace(fd, os.open("..", _DIRECTORY, dir_fd=fd))
      _remove(names.pop(), dir_fd=fd)
  finally:
    os.close(fd)
  return _remove(path)


def _replace(fd: int, successor: int) -> int:
  os.close(fd)
  return successor


def _subgroups(fd: int) -> list[str]:
  with contextlib.suppress(FileNotFoundError), os.scandir(fd) as entries:
    return [
      entry.name for entry in entries if entry.is_dir(follow_symlinks=False)
    ]
  return []


def _enter(fd: int, name: str) -> int | None:
  try:
    return os.open(name, _DIRECTORY, dir_fd=fd)
  except OSError as err:
    if err.errno in _GONE:
      return None
    raise


def _remove(path: str, *, dir_fd: int | None = None) -> bool:
  try:
    os.rmdir(path, dir_fd=dir_fd)
  except FileNotFoundError:
    return True
  except OSError as err:
    if err.errno in (errno.EBUSY, errno.ENOTEMPTY):
      return False
    raise
  return True
