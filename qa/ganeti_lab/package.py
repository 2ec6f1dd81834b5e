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

"""The Debian package of the checkout: built once for each state of it."""

from __future__ import annotations

import hashlib
import pathlib

from . import command, kept, lock, plan
from .progress import Progress

# What a build takes anything from.
_INPUTS = (
  "Makefile.am",
  "NEWS",
  "README.md",
  "autogen.sh",
  "configure.ac",
  "debian/",
  "devel/build-package",
  "doc/",
  "lib/",
  "tools/",
)
_KEPT = 16
CACHE = plan.CACHE_ROOT / "packages"


def key(checkout: pathlib.Path, names: list[str], version: str = "") -> str:
  """Changes whenever the package could.

  @param names: the files of the checkout
  @param version: of the package, if it is not to have its own

  """
  digest = hashlib.sha256(version.encode())
  for name in names:
    path = checkout / name
    if name.startswith(_INPUTS) and path.is_file():
      digest.update(f"\0{name}\0{path.stat().st_mode & 0o111}\0".encode())
      digest.update(path.read_bytes())
  return digest.hexdigest()[:12]


def ensure(
  checkout: pathlib.Path,
  names: list[str],
  progress: Progress,
  version: str = "",
) -> pathlib.Path:
  """The package, built unless that has been done.

  @raise LabError: with the last lines of the build

  """
  target = CACHE / key(checkout, names, version)
  with lock.held("packages", progress.say):
    if not _in(target):
      target.mkdir(mode=0o755, parents=True, exist_ok=True)
      options = ["--version", version] if version else []
      program = checkout / "devel/build-package"
      with progress.step("building the package"):
        command.run("build the package", [str(program), *options, str(target)])
      _drop_oldest(target)
  return _in(target)[0]


def _in(directory: pathlib.Path) -> list[pathlib.Path]:
  return sorted(directory.glob("ganeti-lxc_*.deb"))


def _drop_oldest(current: pathlib.Path) -> None:
  others = sorted(
    (path for path in CACHE.iterdir() if path != current),
    key=lambda path: path.stat().st_mtime,
  )
  for path in others[: -_KEPT or None]:
    kept.remove_tree(path)
