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


"""The checkout that the lab is made from."""

from __future__ import annotations

import os
import pathlib
import subprocess

from . import command
from .errors import LabCommandError, LabError

TOP = pathlib.Path(__file__).resolve().parents[2]


def git(*words: str, top: pathlib.Path = TOP) -> bytes:
  """What a git command prints, whoever the files belong to.

  @raise LabError: there is no git, or it fails, as where there is no
    repository

  """
  argv = ["git", "-c", "safe.directory=*", "-C", str(top), *words]
  try:
    done = subprocess.run(
      argv, capture_output=True, check=False, env=command.environment()
    )
  except FileNotFoundError as err:
    raise LabError("git is not there; install it") from err
  if done.returncode != 0:
    said = done.stderr.decode(errors="replace")
    raise LabCommandError("the checkout", argv, done.returncode, said)
  return done.stdout


def commit() -> str:
  """The commit, marked when the driver differs from it; "none" without git."""
  try:
    found = git("rev-parse", "--short", "HEAD").decode().strip()
    changed = git("diff", "--name-only", "HEAD", "--", "lib")
  except LabError:
    return "none"
  return f"{found}, with changes in lib" if changed else found


def has_driver() -> bool:
  """Whether there is a driver to install."""
  return (TOP / "autogen.sh").exists()


def files(top: pathlib.Path = TOP) -> list[str]:
  """Paths of the checkout: what git tracks or would offer to track.

  Without git, all but hidden files of the top level.

  """
  listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
  try:
    listed = git(*listing, top=top).decode().split("\0")
  except LabError:
    return _all_files(top)
  names = {name for name in listed if name}
  return sorted(name for name in names if os.path.lexists(top / name))


def _all_files(top: pathlib.Path) -> list[str]:
  found = []
  for path, directories, names in os.walk(top):
    if path == str(top):
      directories[:] = [d for d in directories if not d.startswith(".")]
    found += [
      str((pathlib.Path(path) / name).relative_to(top)) for name in names
    ]
  return sorted(found)
