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

"""The files that a running instance's monitor and hooks live from.

They are the same on every node of a cluster, paths included, so the
directory is copied and put in place again as it is.

"""

import contextlib
import os
import shutil
import stat
from pathlib import Path

from .. import lxcfiles
from ..errors import Failed, Refused
from ..host import make_directory, read_text
from ..layout import InstancePaths

Line = tuple[str, str]

# What describes one run on one node only.
_NOT_MOVED = frozenset({"ended", "hold", "held", "hold.err", "moving"})
_MAX_BYTES = 4 << 20


def save(paths: InstancePaths, files: Path) -> None:
  """Copies an instance's files; mounts and directories are left out.

  @raise OSError: as open(2), read(2), write(2)

  """
  empty(files)
  for entry in sorted(paths.home.iterdir()):
    if _is_moved(entry):
      _copy(entry, files / entry.name)


def put(files: Path, paths: InstancePaths) -> None:
  """Puts saved files in place; the instance must not be there.

  The scripts are those of this node's release, as at a start.

  @raise Refused: something is missing in what was saved
  @raise OSError: as open(2), read(2), write(2)

  """
  for needed in (paths.config, paths.record):
    if not (files / needed.name).is_file():
      raise Refused(
        f"The files of instance {paths.home.name} are not complete",
        evidence=f"{files / needed.name} is missing",
      )
  make_directory(paths.home)
  for entry in sorted(files.iterdir()):
    if _is_moved(entry):
      _copy(entry, paths.home / entry.name)
  lxcfiles.copy_scripts(paths)


def config(path: Path) -> list[Line]:
  """The lines of a configuration that lxcconf.render wrote.

  @raise Failed: it is not one

  """
  lines = []
  for line in read_text(path).splitlines():
    key, separator, value = line.partition(" = ")
    if not separator:
      raise Failed(f"{path} is damaged", evidence=line)
    lines.append((key, value))
  return lines


def _is_moved(entry: Path) -> bool:
  info = entry.lstat()
  return (
    stat.S_ISREG(info.st_mode)
    and info.st_size <= _MAX_BYTES
    and entry.name not in _NOT_MOVED
    and not entry.name.startswith(".")
  )


def _copy(source: Path, target: Path) -> None:
  flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
  fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
  with os.fdopen(fd, "rb") as old:
    mode = stat.S_IMODE(os.fstat(old.fileno()).st_mode)
    with os.fdopen(os.open(target, flags, mode), "wb") as new:
      os.fchmod(new.fileno(), mode)
      shutil.copyfileobj(old, new)


def empty(directory: Path) -> None:
  """Makes a directory, or removes the files in it."""
  make_directory(directory)
  for entry in directory.iterdir():
    with contextlib.suppress(IsADirectoryError):
      entry.unlink()
