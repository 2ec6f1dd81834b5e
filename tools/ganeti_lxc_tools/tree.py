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

"""One version of Ganeti, and the driver in it.

What was put there is listed in hypervisor/hv_lxc/MANIFEST, and nothing else
is ever replaced or removed.  The list is written before the first file that
is on it, so that whatever was interrupted anywhere can be done again, or
undone.  It has the form that ganeti-lxc's "make install" has always written.

"""

import contextlib
import dataclasses
import fcntl
import filecmp
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator

from . import files
from .errors import ToolError

Path = pathlib.Path

PACKAGE = "hypervisor/hv_lxc"
MANIFEST = "MANIFEST"
# In the staged package, until the moment of the switch.
_STORAGE = ".storage"


@dataclasses.dataclass(frozen=True)
class Tree:
  """One version's "ganeti" directory of Python modules."""

  top: Path

  @property
  def version(self) -> str:
    """Such as "3.1"."""
    return self.top.parent.name

  @property
  def package(self) -> Path:
    """The driver, where Python finds it."""
    return self.top / PACKAGE

  @property
  def staged(self) -> Path:
    """The driver before it takes its place; afterwards the old one."""
    return files.beside(self.package)

  @property
  def has_ganeti(self) -> bool:
    """Whether this is more than what a removed version has left."""
    return (self.top / "hypervisor/__init__.py").is_file()

  def placed(self) -> list[str]:
    """What the package in place lists."""
    return _listed(self.package)

  def owned(self) -> set[str]:
    """All that may have been put here by us."""
    return {*_listed(self.package), *_listed(self.staged)}

  def stage_of(self, name: str) -> Path:
    """Where a file of the driver is written first."""
    if is_in_package(name):
      return self.staged / name[len(PACKAGE) + 1 :]
    return self.staged / _STORAGE / Path(name).name

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """One at a time."""
    fd = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
      fcntl.flock(fd, fcntl.LOCK_EX)
      yield
    finally:
      os.close(fd)


def is_in_package(name: str) -> bool:
  """Whether a file is below hypervisor/hv_lxc; others are in storage."""
  return name.startswith(PACKAGE + "/")


def _listed(package: Path) -> list[str]:
  try:
    return (package / MANIFEST).read_text().splitlines()
  except (FileNotFoundError, NotADirectoryError):
    return []


def _list(package: Path, names: Iterable[str]) -> None:
  text = "".join(f"{name}\n" for name in sorted(names))
  files.write(package / MANIFEST, text)


def driver_files(source: Path) -> list[str]:
  """The driver's files, relative to the source and to a tree alike.

  @raise ToolError: there are none

  """
  found = [
    path
    for path in (source / PACKAGE).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
  ]
  if not found:
    raise ToolError(f"{source} has no driver; install ganeti-lxc again")
  found += (source / "storage").glob("*.py")
  return sorted(str(path.relative_to(source)) for path in found)


def is_installed(source: Path, tree: Tree, names: list[str]) -> bool:
  """Whether nothing is to be done."""
  if tree.staged.exists() or tree.placed() != names:
    return False
  for name in names:
    ours, placed = source / name, tree.top / name
    if not placed.is_file() or not filecmp.cmp(ours, placed, shallow=False):
      return False
    if placed.stat().st_mode & 0o777 != files.mode_of(ours):
      return False
    if name.endswith(".py") and not files.cache_of(placed).exists():
      return False
  return True


def _refuse_foreign(source: Path, tree: Tree, names: list[str]) -> None:
  """Nothing that somebody else put there is overwritten.

  A list may have been lost with the package; what equals ours is ours.

  @raise ToolError: names the file

  """
  ours = tree.owned()
  foreign = [
    name
    for name in names
    if name not in ours
    and (tree.top / name).exists()
    and not filecmp.cmp(source / name, tree.top / name, shallow=False)
  ]
  if tree.package.is_symlink() or (tree.package.exists() and not ours):
    foreign.insert(0, PACKAGE)
  for name in foreign:
    raise ToolError(
      f"{tree.top / name} exists but was not installed by ganeti-lxc;"
      " move it away first"
    )


def install(source: Path, tree: Tree, root: str = "") -> bool:
  """Puts the driver into one version of Ganeti.

  @param root: is not part of the path that Python will see (DESTDIR)
  @return: whether anything was changed
  @raise ToolError: a file in the way, or one that Python cannot read

  """
  names = driver_files(source)
  for name in ("hypervisor", "storage/__pycache__"):
    (tree.top / name).mkdir(mode=0o755, parents=True, exist_ok=True)
  with tree.locked():
    files.recover(tree.staged, tree.package)
    _refuse_foreign(source, tree, names)
    if is_installed(source, tree, names):
      return False
    owned = tree.owned()
    if tree.package.exists():
      _list(tree.package, {*owned, *names})
    _stage(source, tree, names, root)
    _switch(tree, names)
    _keep_foreign(tree, owned)
    for name in owned.difference(names):
      if not is_in_package(name):
        files.remove_file(tree.top / name)
    shutil.rmtree(tree.staged, ignore_errors=True)
  return True


def _stage(source: Path, tree: Tree, names: list[str], root: str) -> None:
  """Writes everything beside its place, down to the disk."""
  tree.staged.mkdir(mode=0o755, exist_ok=True)
  _list(tree.staged, {*tree.owned(), *names})
  files.clear(tree.staged, but=tree.staged / MANIFEST)
  for name in names:
    module = tree.stage_of(name)
    files.copy(source / name, module)
    if name.endswith(".py"):
      files.compile_module(module, seen_as=str(tree.top / name)[len(root) :])
  _list(tree.staged, names)
  for directory in [tree.staged, *tree.staged.rglob("*/")]:
    files.sync(directory)


def _switch(tree: Tree, names: list[str]) -> None:
  """From one release to the other.

  The modules in storage come first: where the power fails between them and
  the package, they are of the new release and the driver is of the old one.
  Everything is on the disk by now, so that moment is as short as it can be.

  """
  for name in names:
    if not is_in_package(name):
      module, target = tree.stage_of(name), tree.top / name
      module.replace(target)
      files.cache_of(module).replace(files.cache_of(target))
  shutil.rmtree(tree.staged / _STORAGE, ignore_errors=True)
  if tree.package.exists():
    files.exchange(tree.staged, tree.package)
  else:
    tree.staged.rename(tree.package)
  files.sync(tree.top / "storage")
  files.sync(tree.package.parent)


def _keep_foreign(tree: Tree, owned: set[str]) -> None:
  """What somebody put into the old package moves to the one in place."""
  known = {tree.stage_of(name) for name in owned}
  manifest = tree.staged / MANIFEST
  known |= {manifest, files.beside(manifest)}
  for path in sorted(tree.staged.rglob("*")):
    if path.is_dir() or path in known or "__pycache__" in path.parts:
      continue
    target = tree.package / path.relative_to(tree.staged)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
      path.rename(target)


def remove(tree: Tree) -> bool:
  """Takes the driver out of one version; Ganeti's own is back at once.

  @return: whether anything was there

  """
  if not tree.owned() and not tree.staged.exists():
    return False
  with tree.locked():
    files.recover(tree.staged, tree.package)
    owned = tree.owned()
    if tree.placed():
      _list(tree.package, owned)
      shutil.rmtree(tree.staged, ignore_errors=True)
      tree.package.rename(tree.staged)
      files.sync(tree.package.parent)
    for name in owned:
      if not is_in_package(name):
        files.remove_file(tree.top / name)
    _keep_foreign(tree, owned)
    shutil.rmtree(tree.staged)
    _remove_empty(tree)
  if tree.package.exists():
    print(f"left in place, since not installed by ganeti-lxc: {tree.package}")
  return True


def _remove_empty(tree: Tree) -> None:
  """Directories that are ours, or that dpkg left because of ours."""
  directories = [tree.top / "storage/__pycache__"]
  if not tree.has_ganeti:
    directories += [tree.top / "hypervisor/__pycache__"]
    directories += [tree.top / "hypervisor", tree.top / "storage"]
    directories += [tree.top, tree.top.parent]
  for directory in directories:
    with contextlib.suppress(OSError):
      directory.rmdir()
