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

"""The disks that tests use, declared once, and how to make them.

The layouts are made by sfdisk and mkfs and are read back with sfdisk, so that
they check our own reading of partition tables.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
  """A disk image.

  Attributes:
    size_mib: length of the image, most of which is a hole
    sector_size: bytes
    table: script for sfdisk, None for no table
    filesystems: type by partition number; 0 is the whole disk
    root: number of the partition an instance would start from
  """

  name: str
  size_mib: int = 64
  sector_size: int = 512
  table: str | None = None
  filesystems: dict[int, str] = dataclasses.field(default_factory=dict)
  root: int | None = None


_GPT_MANY = "label: gpt\n" + "size=1M\n" * 40
_DOS_MANY = "label: dos\n,4M,83\n,,5\n" + ",1M,83\n" * 20

DISKS = (
  Disk(name="bare-ext4", filesystems={0: "ext4"}, root=0),
  Disk(name="bare-xfs", size_mib=512, filesystems={0: "xfs"}, root=0),
  Disk(name="bare-btrfs", size_mib=256, filesystems={0: "btrfs"}, root=0),
  Disk(name="bare-ext4-4k", filesystems={0: "ext4"}, sector_size=4096, root=0),
  Disk(name="empty"),
  Disk(name="dos-empty", table="label: dos\n"),
  Disk(name="gpt-empty", table="label: gpt\n"),
  Disk(
    name="dos-one",
    table="label: dos\n,,83,*\n",
    filesystems={1: "ext4"},
    root=1,
  ),
  Disk(
    name="dos-logical",
    table="label: dos\n1 : size=8M, type=82\n2 : size=40M, type=5\n"
    "5 : size=4M, type=83\n6 : size=16M, type=83\n7 : size=4M, type=83\n"
    "3 : type=83\n",
    filesystems={6: "ext4"},
    root=6,
  ),
  Disk(name="dos-extended-empty", table="label: dos\n,8M,83\n,16M,5\n"),
  Disk(name="dos-many", table=_DOS_MANY, filesystems={5: "ext4"}, root=5),
  Disk(
    name="dos-4k",
    table="label: dos\n,8M,82\n,,83\n",
    sector_size=4096,
    filesystems={2: "ext4"},
    root=2,
  ),
  Disk(
    name="gpt-one",
    table="label: gpt\nsize=48M\n",
    filesystems={1: "ext4"},
    root=1,
  ),
  Disk(
    name="gpt-cloud",
    table="label: gpt\n"
    "14 : size=3M, type=21686148-6449-6E6F-744E-656564454649\n"
    "15 : size=8M, type=U\n"
    "16 : size=8M, type=BC13C2FF-59E6-4262-A352-B275FD6F7172\n"
    "1 : type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n",
    filesystems={16: "ext4", 1: "ext4"},
    root=1,
  ),
  Disk(
    name="gpt-4k",
    table="label: gpt\nsize=8M, type=S\n,\n",
    sector_size=4096,
    filesystems={2: "ext4"},
    root=2,
  ),
  Disk(
    name="gpt-xfs",
    size_mib=512,
    table="label: gpt\nsize=4M\n,\n",
    filesystems={2: "xfs"},
    root=2,
  ),
  Disk(name="gpt-many", table=_GPT_MANY, filesystems={40: "ext4"}, root=40),
)

BY_NAME = {disk.name: disk for disk in DISKS}

_MKFS = {
  "ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096"],
  "xfs": ["mkfs.xfs", "-q", "-f"],
  "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


def run(*argv: str, stdin: str | None = None) -> str:
  """Runs a program and returns what it printed; fails if it does."""
  done = subprocess.run(
    argv, input=stdin, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, (argv, done.returncode, done.stderr)
  return done.stdout


def attach(path: pathlib.Path, *options: str) -> str:
  """Attaches a file to a loop device by losetup; returns its path."""
  return run("losetup", "--find", "--show", *options, str(path)).strip()


def sfdisk_table(path: pathlib.Path, sector_size: int) -> dict[str, Any]:
  """Returns a table as sfdisk reads it."""
  device = attach(path, "--sector-size", str(sector_size))
  try:
    table = json.loads(run("sfdisk", "--json", device))["partitiontable"]
    assert isinstance(table, dict)
    for partition in table.get("partitions", []):
      tail = partition["node"].removeprefix(device)
      partition["number"] = int(tail.removeprefix("p"))
    return table
  finally:
    run("losetup", "--detach", device)


def _write_table(path: pathlib.Path, disk: Disk) -> None:
  assert disk.table is not None
  device = attach(path, "--sector-size", str(disk.sector_size))
  try:
    options = ["--quiet", "--no-reread", "--no-tell-kernel"]
    run("sfdisk", *options, device, stdin=disk.table)
  finally:
    run("losetup", "--detach", device)


def _write_filesystem(
  path: pathlib.Path, kind: str, start: int, size: int
) -> None:
  part = path.with_suffix(".part")
  with part.open("wb") as handle:
    handle.truncate(size)
  run(*_MKFS[kind], str(part))
  flags = ["conv=notrunc,sparse", "oflag=seek_bytes", "status=none", "bs=64K"]
  run("dd", f"if={part}", f"of={path}", f"seek={start}", *flags)
  part.unlink()


def make(disk: Disk, directory: pathlib.Path) -> pathlib.Path:
  """Makes the image of a disk."""
  path = directory / f"{disk.name}.img"
  with path.open("wb") as handle:
    handle.truncate(disk.size_mib * MIB)
  places = {0: (0, disk.size_mib * MIB)}
  if disk.table is not None:
    _write_table(path, disk)
    unit = disk.sector_size
    table = sfdisk_table(path, unit)
    for entry in table.get("partitions", []):
      places[entry["number"]] = (entry["start"] * unit, entry["size"] * unit)
  for number, kind in disk.filesystems.items():
    _write_filesystem(path, kind, *places[number])
  return path


def copy(path: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
  """Copies an image, holes included."""
  target = directory / path.name
  shutil.copyfile(path, target)
  return target


@contextlib.contextmanager
def frozen(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """A mounted file system: whoever writes there waits, in state D.

  See fsfreeze(8); no signal ends that wait (sb_start_write in the kernel's
  include/linux/fs.h).
  """
  image, point = directory / "frozen.img", directory / "frozen"
  with image.open("wb") as stream:
    stream.truncate(16 * MIB)
  point.mkdir()
  run(*_MKFS["ext4"], str(image))
  run("mount", "-o", "loop", str(image), str(point))
  try:
    run("fsfreeze", "--freeze", str(point))
    yield point
  finally:
    subprocess.run(["fsfreeze", "--unfreeze", str(point)], check=False)
    run("umount", str(point))
