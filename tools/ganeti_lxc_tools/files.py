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

"""Copying, compiling and exchanging, safe against a power cut."""

import ctypes
import importlib.util
import os
import pathlib
import py_compile
import shutil

from .errors import ToolError

Path = pathlib.Path

# A name that cannot be imported.
NEW = ".new"
_ASIDE = ".aside"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def beside(path: Path) -> Path:
  """Where a file is written before it takes its place."""
  return path.with_name(path.name + NEW)


def mode_of(path: Path) -> int:
  """0755 or 0644, whatever the umask was where it came from."""
  return 0o755 if path.stat().st_mode & 0o100 else 0o644


def copy(source: Path, target: Path) -> None:
  """A copy down to the disk, in directories that are made."""
  target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
  shutil.copyfile(source, target)
  target.chmod(mode_of(source))
  sync(target)


def write(target: Path, text: str) -> None:
  """A file that is there with all of its content, or as it was."""
  new = beside(target)
  new.write_text(text)
  new.chmod(0o644)
  sync(new)
  new.replace(target)


def sync(path: Path) -> None:
  """fsync(2)."""
  fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
  try:
    os.fsync(fd)
  finally:
    os.close(fd)


def cache_of(module: Path) -> Path:
  """Where this Python keeps a module that it has compiled."""
  return Path(importlib.util.cache_from_source(str(module)))


def compile_module(module: Path, seen_as: str) -> None:
  """Jobs run as a user who could not write the compiled copy.

  @param seen_as: the path that a traceback shows
  @raise ToolError: this Python cannot read it

  """
  cache = cache_of(module)
  try:
    py_compile.compile(str(module), str(cache), dfile=seen_as, doraise=True)
  except py_compile.PyCompileError as err:
    raise ToolError(f"{seen_as} cannot be compiled: {err.msg}") from err
  cache.chmod(0o644)
  sync(cache)


def remove_file(path: Path) -> None:
  """A file, and what any Python has compiled it into."""
  path.unlink(missing_ok=True)
  if path.suffix == ".py":
    cache = path.parent / "__pycache__"
    for compiled in cache.glob(f"{path.stem}.cpython-*.pyc"):
      compiled.unlink(missing_ok=True)


def clear(directory: Path, *, but: Path) -> None:
  """Removes all that is in a directory, except for one file."""
  for path in directory.iterdir():
    if path == but:
      continue
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path)
    else:
      path.unlink()


def exchange(one: Path, other: Path) -> None:
  """Two directories swap their names in a single step.

  On a file system that cannot do so the second one is missing for a
  moment; L{recover} puts it back.

  """
  libc = ctypes.CDLL(None, use_errno=True)
  names = (os.fsencode(one), os.fsencode(other))
  arguments = (_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
  if libc.renameat2(*arguments) != 0:
    aside = other.with_name(other.name + _ASIDE)
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def recover(one: Path, other: Path) -> None:
  """After an L{exchange} in several steps that was interrupted."""
  aside = other.with_name(other.name + _ASIDE)
  if aside.exists():
    aside.rename(one if other.exists() else other)
