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
"""Changes to a guest's file system, as data.

They are made in an image (debugfs(8), nothing is mounted) or in a directory.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class WriteFile:
  """A regular file with the given text and mode, replacing what is there."""

  path: str
  text: str
  mode: int = 0o644


@dataclasses.dataclass(frozen=True)
class Divert:
  """C{path} becomes a symbolic link; what it was is kept as C{path.real}."""

  path: str
  target: str


@dataclasses.dataclass(frozen=True)
class Remove:
  """A file or a symbolic link goes away."""

  path: str


Edit = WriteFile | Divert | Remove


def debugfs_script(edits: Iterable[Edit], stage: pathlib.Path) -> str:
  """Commands for C{debugfs -w -f}; file contents are put below C{stage}."""
  lines: list[str] = []
  for number, edit in enumerate(edits):
    match edit:
      case WriteFile(path, text, mode):
        source = stage / str(number)
        source.write_text(text, encoding="utf-8")
        lines += [
          f"rm {path}",
          f"write {source} {path}",
          f"sif {path} mode 0{0o100000 | mode:o}",
          f"sif {path} uid 0",
          f"sif {path} gid 0",
        ]
      case Divert(path, target):
        lines += [
          f"ln {path} {path}.real",
          f"unlink {path}",
          f"symlink {path} {target}",
        ]
      case Remove(path):
        lines.append(f"rm {path}")
  return "\n".join(lines) + "\n"


def apply_to_tree(edits: Iterable[Edit], root: pathlib.Path) -> None:
  """Makes the changes below C{root}, a tree this process unpacked itself."""
  for edit in edits:
    path = root / edit.path
    match edit:
      case WriteFile(_, text, mode):
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
      case Divert(_, target):
        shutil.move(path, f"{path}.real")
        path.symlink_to(target)
      case Remove():
        path.unlink(missing_ok=True)
