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

"""All versions of Ganeti on a node."""

import pathlib

from . import tree
from .errors import ToolError
from .tree import Tree

Path = pathlib.Path

SUPPORTED = ("3.0", "3.1")


def trees(share: Path) -> list[Tree]:
  """Every version directory; "default" is a link to one of them."""
  found = sorted(share.iterdir()) if share.is_dir() else []
  return [
    Tree(path / "ganeti")
    for path in found
    if not path.is_symlink() and (path / "ganeti").is_dir()
  ]


def _wanted(share: Path, versions: list[str]) -> list[Tree]:
  return [Tree(share / version / "ganeti") for version in versions] or [
    t for t in trees(share) if t.version in SUPPORTED and t.has_ganeti
  ]


def would_change(source: Path, share: Path) -> bool:
  """Whether L{place} would exchange the driver of the version in use.

  One that has none yet is not kept waiting for it.

  @raise ToolError: see L{tree.driver_files}

  """
  names = tree.driver_files(source)
  stale = [
    one
    for one in _wanted(share, [])
    if one.package.exists() and not tree.is_installed(source, one, names)
  ]
  return _is_in_use(share, stale)


def place(source: Path, share: Path, versions: list[str], root: str) -> bool:
  """Brings every version into order.

  One that cannot be does not keep the others from it.

  @param versions: those to place the driver in, though Ganeti may not be
    there; every supported one that is there if empty
  @return: whether the version in use was changed
  @raise ToolError: see L{tree.install}

  """
  wanted = _wanted(share, versions)
  changed = []
  problems = []
  for one in wanted:
    try:
      if tree.install(source, one, root):
        print(f"Ganeti {one.version}: the driver is in {one.package}")
        changed.append(one)
    except (ToolError, OSError) as err:
      problems.append(str(err))
  for one in trees(share):
    if not versions and not one.has_ganeti and tree.remove(one):
      print(f"Ganeti {one.version} is gone: the driver was removed there")
  if not wanted:
    print(
      f"No Ganeti ({', '.join(SUPPORTED)}) below {share}; once it is"
      " installed, ganeti-lxc-place puts the driver into it"
    )
  if problems:
    raise ToolError("\n".join(problems))
  return _is_in_use(share, changed)


def take_out(share: Path) -> bool:
  """Removes the driver everywhere; whether the version in use had it."""
  changed = []
  for one in trees(share):
    if tree.remove(one):
      print(f"Ganeti {one.version}: the driver was taken out")
      changed.append(one)
  return _is_in_use(share, changed)


def _is_in_use(share: Path, changed: list[Tree]) -> bool:
  default = share / "default"
  used = default.resolve() if default.exists() else None
  return any(used in (None, one.top.parent.resolve()) for one in changed)
