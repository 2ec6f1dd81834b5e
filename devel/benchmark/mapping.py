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

"""Mapping and unmapping a disk with a partition, against the bare commands.

A file everywhere; a logical volume, whose partition device-mapper maps, where
the node has the volume group that Ganeti's labs of virtual machines have.

"""

import contextlib
import functools
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ganeti.storage import kpartx

from .figures import Figure

_GROUP = "xenvg"
_VOLUME = "ganeti-lxc-bench"
_SIZE = "64M"


@dataclass(frozen=True, slots=True)
class _Disk:
  """A kind of disk, and the bare commands that map and free one.

  @ivar script: of a shell; the disk is its first argument

  """

  what: str
  script: str
  against: str


_FILE = _Disk(
  "a file",
  """
  loop=$(losetup -f --show "$1")
  partx -a $loop
  partx -d $loop
  losetup -d $loop
  """,
  "losetup, partx",
)
# No tool asks udev to wait for what it makes: kpartx is told to, by "-s".
_LOGICAL_VOLUME = _Disk(
  "a volume",
  """
  kpartx -a -s "$1"
  kpartx -d "$1"
  """,
  "kpartx -a -s, kpartx -d",
)


def measure(
  scratch: Path, rounds: int, progress: Callable[[str], None]
) -> list[Figure]:
  """Milliseconds until the disk is mapped and free again."""
  path = scratch / "partitioned"
  subprocess.run(["truncate", "-s", _SIZE, str(path)], check=True)
  _partition(str(path))
  found = [_compare(_FILE, str(path), rounds, progress)]
  if _has_group():
    with _volume() as device:
      found.append(_compare(_LOGICAL_VOLUME, device, rounds, progress))
  return found


def _partition(path: str) -> None:
  subprocess.run(
    ["sfdisk", "-q", "--no-reread", "--no-tell-kernel", path],
    input=b"label: dos\n,\n",
    check=True,
  )


def _has_group() -> bool:
  asked = ["vgs", "--noheadings", "-o", "vg_name", _GROUP]
  try:
    return subprocess.run(asked, capture_output=True).returncode == 0
  except FileNotFoundError:
    return False


@contextlib.contextmanager
def _volume() -> Iterator[str]:
  name = f"{_GROUP}/{_VOLUME}"
  make = ["lvcreate", "-qq", "-y", "-Wn", "-L", _SIZE, "-n", _VOLUME, _GROUP]
  subprocess.run(make, check=True)
  try:
    _partition(f"/dev/{name}")
    yield f"/dev/{name}"
  finally:
    subprocess.run(["lvremove", "-qq", "-y", name], check=True)


def _compare(
  disk: _Disk, path: str, rounds: int, progress: Callable[[str], None]
) -> Figure:
  sides = {
    "ours": functools.partial(_ours, path),
    "bare": functools.partial(_bare, path, disk.script),
  }
  samples: dict[str, list[float]] = {"ours": [], "bare": []}
  for number in range(rounds):
    progress(f"mapping {disk.what} {number + 1}/{rounds}")
    for kind in ("ours", "bare") if number % 2 else ("bare", "ours"):
      begun = time.perf_counter()
      sides[kind]()
      samples[kind].append((time.perf_counter() - begun) * 1e3)
  return Figure(
    name=f"mapping and unmapping a partition, {disk.what}",
    unit="ms",
    ours=tuple(samples["ours"]),
    other=tuple(samples["bare"]),
    against=disk.against,
    aim="ratio at most 1",
  )


def _ours(path: str) -> None:
  kpartx.UnmapDisk(kpartx.MapDisk(path))


def _bare(path: str, script: str) -> None:
  subprocess.run(["sh", "-euc", script, "bare", path], check=True)
