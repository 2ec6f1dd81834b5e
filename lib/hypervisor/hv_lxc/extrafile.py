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

"""Files with LXC keys that root put on the node, for extra_config.

One C{KEY = VALUE} a line; empty lines and lines that begin with "#" do not
count; quotes around a value are taken off as LXC does.  Every instance of
the cluster may name every file, so put there what every instance may have.

Whoever sets instance parameters must not read files of the node by it:
links are not followed, only files of root are read, and an error has the
number of a line but nothing that is on it.

"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from . import extrakeys
from .errors import Refused

Setting = tuple[str, str]

MAX_BYTES = 64 << 10
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its other end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read(
  directory: Path, name: str, *, owner: int | None = None
) -> tuple[Setting, ...]:
  """The settings in a file.

  @param directory: absolute; none of its parts may be a link
  @param name: a plain file name
  @param owner: the user ID that directory and file must have; None for
    the one this process has, which on a node is root's
  @raise Refused: there is no such file, or it or a line is not acceptable

  """
  uid = os.geteuid() if owner is None else owner
  path = directory / name
  try:
    text = _contents(directory, name, uid).decode("utf-8")
  except UnicodeDecodeError:
    raise _refused(path, "it is not UTF-8") from None
  except OSError as err:
    raise _refused(path, _reason(err)) from err
  return tuple(
    _setting(path, number, line)
    # Not splitlines(): it knows line breaks that LXC does not.
    for number, line in enumerate(text.split("\n"), 1)
    if line.strip() and not line.strip().startswith("#")
  )


def _reason(err: OSError) -> str:
  # ELOOP and ENOTDIR are what O_NOFOLLOW says to a link: open(2).
  return os.strerror(err.errno) if err.errno else "it cannot be read"


def _contents(directory: Path, name: str, uid: int) -> bytes:
  with contextlib.ExitStack() as stack:
    parent = stack.enter_context(_opened_directory(directory))
    if not _is_safe(os.fstat(parent), uid):
      raise _refused(directory, "others may write in it or own it")
    fd = os.open(name, _FILE, dir_fd=parent)
    stack.callback(os.close, fd)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
      raise _refused(directory / name, "it is no regular file")
    if not _is_safe(status, uid):
      raise _refused(directory / name, "others may write to it or own it")
    if status.st_nlink != 1:
      raise _refused(directory / name, "it has more than one name")
    # A regular file is read in full by one call: read(2).
    data = os.read(fd, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
      raise _refused(directory / name, f"it has more than {MAX_BYTES} bytes")
    return data


def _is_safe(status: os.stat_result, uid: int) -> bool:
  return status.st_uid == uid and not status.st_mode & _OTHERS_WRITE


@contextlib.contextmanager
def _opened_directory(directory: Path) -> Iterator[int]:
  """Opens a directory without following a link on the way.

  @raise OSError: as open(2)

  """
  fd = os.open("/", _DIRECTORY)
  try:
    for part in directory.relative_to("/").parts:
      inner = os.open(part, _DIRECTORY, dir_fd=fd)
      os.close(fd)
      fd = inner
    yield fd
  finally:
    os.close(fd)


def _setting(path: Path, number: int, line: str) -> Setting:
  text = line.replace("\t", " ").strip(" ")
  if not text.isprintable():
    raise _refused(path, f"line {number} has characters that are not printable")
  key, equals, value = text.partition("=")
  if not equals:
    raise _refused(path, f"line {number} is not of the form KEY = VALUE")
  key, value = key.strip(), _unquoted(value.strip())
  try:
    return (key, extrakeys.check(key, value, extrakeys.IN_FILE))
  except Refused:
    # Neither the message nor the exception, which has the line, goes on.
    raise _refused(
      path, f"line {number} has a key or a value that is not allowed"
    ) from None


def _unquoted(value: str) -> str:
  """Without quotes around it, as parse_line in LXC's confile.c."""
  if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
    return value[1:-1].strip()
  return value


def _refused(path: Path, why: str) -> Refused:
  return Refused(
    f"{path}, which extra_config names, cannot be used",
    evidence=why,
    remedy="it has to be a file with LXC keys on every node, of root, not"
    " writable by others, and no link",
  )
