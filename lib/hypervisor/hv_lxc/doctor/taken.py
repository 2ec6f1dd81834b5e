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

"""What a process holds that was removed, and whose name is another's by now.

CRIU makes a removed directory again under its own name, and removes it when
everybody has it: what is there by then is in the way, and is removed instead
if it is an empty directory.  A removed file is made next to its name (criu/
files-reg.c, open_remap_ghost, clean_one_remap).

"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import guestfs
from .guest import OpenFile

_DELETED = " (deleted)"
_MAX_NAME = 255
# What CRIU appends, with a number that it counts up: ".cr.1f.ghost".
_SUFFIX = len(".cr..ghost") + 4


def found(
  proc: Path, pid: int, init: int, files: Sequence[OpenFile]
) -> Iterator[str]:
  """Names them, as "working directory /srv/app".

  Only names are looked up, as the guest sees them; a file that was opened
  through a mount of its own is told of by others.

  """
  home = proc / str(pid)
  held = [("working directory", _removed(home / "cwd"), True)]
  held.append(("root directory", _removed(home / "root"), True))
  held += [
    (f"fd {file.fd}", name, _is_directory(home / f"fd/{file.fd}"))
    for file in files
    if file.is_removed and (name := file.target.removesuffix(_DELETED))
  ]
  held = [entry for entry in held if entry[1]]
  if not held:
    return
  own = _same(home / "ns/mnt", proc / f"{init}/ns/mnt")
  try:
    root = os.open(
      proc / f"{init if own else pid}/root", os.O_PATH | os.O_CLOEXEC
    )
  except OSError:
    return
  try:
    for what, name, is_directory in held:
      if _is_taken(root, name, is_directory=is_directory):
        yield f"{what} {name}"
  finally:
    os.close(root)


def _removed(link: Path) -> str:
  """Where a directory was; "" if it was not removed."""
  try:
    text = str(link.readlink())
  except OSError:
    return ""
  return text.removesuffix(_DELETED) if text.endswith(_DELETED) else ""


def _is_directory(path: Path) -> bool:
  try:
    return stat.S_ISDIR(path.stat().st_mode)
  except OSError:
    return False


def _same(first: Path, second: Path) -> bool:
  try:
    return first.readlink() == second.readlink()
  except OSError:
    return False


def _is_taken(root: int, name: str, *, is_directory: bool) -> bool:
  """Whether CRIU cannot make it under that name, or next to it."""
  parent, _, last = name.rpartition("/")
  if not is_directory and len(os.fsencode(last)) + _SUFFIX > _MAX_NAME:
    return True
  where = name if is_directory else f"{parent or '/'}/."
  flags = os.O_PATH | os.O_NOFOLLOW
  try:
    fd = guestfs.open_in_root(root, where.lstrip("/") or ".", flags)
  except NotADirectoryError:
    return True
  except OSError:
    return False
  os.close(fd)
  return is_directory
