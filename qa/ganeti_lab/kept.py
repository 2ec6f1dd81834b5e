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

"""What is built once and then kept, each by the recipe it was made by."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass

from . import command, lock, plan, state
from .errors import LabError
from .progress import Progress

# Shared by all that build; a purge has it alone.
_ALL = "cache"


@dataclass(frozen=True)
class Kept:
  """A directory below CACHE_ROOT.

  @ivar label: names it and what was made by older recipes, a part of a
    file's name
  @ivar recipe: for json; changes when it has to be built anew

  """

  label: str
  recipe: object

  @property
  def key(self) -> str:
    """Changes whenever the recipe does."""
    recipe = json.dumps(self.recipe)
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]

  @property
  def directory(self) -> pathlib.Path:
    """Where it is when it has been built."""
    return plan.CACHE_ROOT / f"{self.label}-{self.key}"

  def ensure(
    self, what: str, build: Callable[[pathlib.Path], None], progress: Progress
  ) -> pathlib.Path:
    """The directory, built unless it is there.

    It is built under another name and renamed when complete; then go those
    of older recipes on which no lab stands.

    @param what: for the progress, as "image, built once"
    @param build: is given an empty directory
    @raise LabError: when it cannot be built

    """
    target = self.directory
    with (
      lock.held(_ALL, progress.say, shared=True),
      lock.held(f"{_ALL}-{self.label}", progress.say),
    ):
      if target.is_dir():
        return target
      for stale in plan.CACHE_ROOT.glob(f"building-{self.label}-*"):
        remove_tree(stale)
      building = plan.CACHE_ROOT / f"building-{target.name}"
      building.mkdir(mode=0o755, parents=True)
      with progress.step(what):
        build(building)
      building.rename(target)
      self._drop_outdated()
    return target

  def _drop_outdated(self) -> None:
    used = state.images_in_use()
    for path in plan.CACHE_ROOT.glob(f"{self.label}-*"):
      if path != self.directory and os.fspath(path) not in used:
        remove_tree(path)


def purge(progress: Progress) -> None:
  """Remove all that is kept, unless a lab stands on it."""
  with lock.held(_ALL, progress.say):
    others = state.labs()
    if others:
      progress.say(
        f"{plan.CACHE_ROOT} stays: it is used by {', '.join(others)}"
      )
    else:
      remove_tree(plan.CACHE_ROOT)


def remove_tree(root: pathlib.Path) -> None:
  """Remove a directory tree, on its own file system alone."""
  if not root.exists():
    return
  if os.path.ismount(root):
    raise LabError(f"{root} is a mount point; unmount it first")
  command.run("clean-up", ["rm", "-rf", "--one-file-system", str(root)])
