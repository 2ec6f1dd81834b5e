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

"""A guest's root file system of the node's own busybox."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from ganeti.hypervisor.hv_lxc.command import run

_DIRECTORIES = ("bin", "sbin", "dev", "proc", "sys", "etc", "tmp")


def make_root(
  root: Path,
  *,
  applets: Iterable[str],
  in_sbin: Iterable[str],
  more: Iterable[str],
) -> None:
  """Makes it, with its libraries.

  @param applets: their names in /bin
  @param in_sbin: likewise in /sbin
  @param more: directories that it has besides

  """
  busybox = shutil.which("busybox")
  assert busybox, "busybox is not installed"
  for name in (*_DIRECTORIES, *more):
    (root / name).mkdir(parents=True)
  add(root, busybox)
  for applet in applets:
    (root / "bin" / applet).symlink_to("busybox")
  for applet in in_sbin:
    (root / "sbin" / applet).symlink_to("../bin/busybox")


def add(root: Path, program: str) -> None:
  """Has it a program of the node's, in /bin, with its libraries."""
  shutil.copy(program, root / "bin")
  for word in run(["ldd", program]).stdout.split():
    if word.startswith("/"):
      target = root / word[1:]
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(word, target)
