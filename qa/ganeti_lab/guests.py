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

"""Root file systems of the guests, built by the OS definitions' script."""

from __future__ import annotations

import subprocess

from . import checkout, command, lock, plan
from .errors import LabCommandError
from .progress import Progress

CACHE = plan.CACHE_ROOT / "guests"
_SCRIPT = checkout.TOP / "qa/os/build-guests"
_DEFAULT = ("busybox",)


def build_default(progress: Progress) -> None:
  """Build the guests that every lab has, where they are missing."""
  if _SCRIPT.exists():
    build(_DEFAULT, progress)


def build(names: tuple[str, ...], progress: Progress) -> None:
  """Build these guests' root file systems unless they are there.

  @raise LabCommandError: when the script fails

  """
  with (
    lock.held("guests", progress.say),
    progress.step(f"guest images: {' '.join(names) or 'all'}"),
  ):
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    argv = [str(_SCRIPT), "--cache", str(CACHE), *names]
    done = subprocess.run(
      argv, stdin=subprocess.DEVNULL, check=False, env=command.environment()
    )
    if done.returncode != 0:
      raise LabCommandError("guest images", argv, done.returncode, "")
