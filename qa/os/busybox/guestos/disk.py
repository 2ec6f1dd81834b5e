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
"""Writing a guest to an instance's disk.

The root file system is made in a sparse scratch file and its data copied to
where it goes on the disk: resize2fs(8) on an ext4 that begins in the middle
of a file would cut that file's end off, and neither loop device nor mount is
needed.  Only xfs has to be mounted to be filled.
"""

import dataclasses
import errno
import os
import pathlib
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from . import edits as edit_module
from .edits import Edit

_MIB = 1 << 20
_SCRATCH = "/var/tmp"
#: GPT keeps a copy of itself in the disk's last sectors
_GPT_TAIL = _MIB
_GPT = "label: gpt\nlabel-id: 6A6E7469-0000-4C58-8C00-0000000000FF\n"
#: As in Debian's genericcloud images: the root is the first partition of the
#: table and the last on the disk, behind BIOS boot and the EFI system's
_CLOUD_ROOT = 128 * _MIB
_EFI_SYSTEM = 4 * _MIB
_SFDISK_HEADS = {
  "partitioned": "label: dos\nlabel-id: 0x6a6e7469\n",
  "gpt": _GPT,
  "cloud": f"""{_GPT}
14: start=1MiB, size=3MiB, type=21686148-6449-6E6F-744E-656564454649
15: start=4MiB, size=124MiB, type=U
1: """,
}
_TYPES = {
  "partitioned": "83",
  "gpt": "L",
  "cloud": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
}


class DiskError(Exception):
  """A disk could not be written; the text stands alone."""


def run(argv: Sequence[str], text: str = "") -> str:
  """Runs a program with C{text} as its input; returns its output.

  @raise DiskError: it failed; holds the last line it wrote

  """
  try:
    result = subprocess.run(
      argv,
      input=text,
      capture_output=True,
      text=True,
      check=False,
      errors="replace",
    )
  except FileNotFoundError:
    raise DiskError(f"{argv[0]} is not installed") from None
  if result.returncode != 0:
    evidence = (
      result.stderr.strip() or result.stdout.strip() or "no output"
    ).splitlines()[-1]
    raise DiskError(
      f"'{' '.join(argv)}' exited with status {result.returncode}: {evidence}"
    )
  return result.stdout


@dataclasses.dataclass(frozen=True)
class Area:
  """Where on a disk a file system lies; C{offset} and C{size} in bytes."""

  disk: pathlib.Path
  offset: int
  size: int

  def for_e2fsprogs(self) -> str:
    """The device as debugfs(8) and resize2fs(8) take it."""
    return (
      f"{self.disk}?offset={self.offset}" if self.offset else str(self.disk)
    )


@dataclasses.dataclass(frozen=True)
class Plan:
  """The root file system wanted.

  @ivar kind: ext4, xfs or btrfs
  @ivar errors: what ext4's superblock says to do about them

  """

  kind: str
  uuid: str
  errors: str
  edits: tuple[Edit, ...]


def size_of(disk: pathlib.Path) -> int:
  """Size in bytes of a regular file or block device."""
  with disk.open("rb") as handle:
    return handle.seek(0, os.SEEK_END)


def is_regular(disk: pathlib.Path) -> bool:
  """Whether the disk is a file, holes and all."""
  return stat.S_ISREG(disk.stat().st_mode)


def forget_contents(disk: pathlib.Path) -> None:
  """Fills the disk with zeros, as holes where it can have them."""
  if is_regular(disk):
    run(
      [
        "fallocate",
        "--punch-hole",
        "--offset",
        "0",
        "--length",
        str(size_of(disk)),
        str(disk),
      ]
    )
  else:
    run(["blkdiscard", "--zeroout", "--force", str(disk)])


def partition(disk: pathlib.Path, layout: str) -> Area:
  """Writes the partition table; returns where the root file system goes."""
  size = size_of(disk)
  if layout == "bare":
    return Area(disk, 0, size)
  start = _CLOUD_ROOT if layout == "cloud" else _MIB
  tail = 0 if layout == "partitioned" else _GPT_TAIL
  length = (size - start - tail) // _MIB * _MIB
  if length <= 0:
    raise DiskError(f"{disk} has {size} bytes, too few for a partition")
  run(
    [
      "sfdisk",
      "--quiet",
      "--no-reread",
      "--no-tell-kernel",
      "--wipe",
      "always",
      "--lock=no",
      str(disk),
    ],
    _SFDISK_HEADS[layout]
    + f"start={start // _MIB}MiB, size={length // 1024}KiB,"
    f" type={_TYPES[layout]}\n",
  )
  return Area(disk, start, length)


def _data_extents(source: int) -> Iterator[tuple[int, int]]:
  """Start and length in bytes of what a sparse file really holds."""
  end = 0
  while True:
    try:
      start = os.lseek(source, end, os.SEEK_DATA)
    except OSError as err:
      if err.errno == errno.ENXIO:  # lseek(2): no data up to the end
        return
      raise
    end = os.lseek(source, start, os.SEEK_HOLE)
    yield start, end - start


def copy_data(source: pathlib.Path, target: pathlib.Path, offset: int) -> None:
  """Copies a sparse file's data into zeros at C{offset} of the target."""
  with source.open("rb") as reader, target.open("r+b") as writer:
    for start, length in _data_extents(reader.fileno()):
      writer.seek(offset + start)
      done = 0
      while done < length:
        sent = os.sendfile(
          writer.fileno(), reader.fileno(), start + done, length - done
        )
        if sent == 0:
          raise DiskError(f"{source} became shorter while it was copied")
        done += sent


def _debugfs(area: Area, *arguments: str) -> None:
  """Runs debugfs(8), whose exit status tells nothing.

  @raise DiskError: a command failed, other than the removal of a file that
    was not there

  """
  argv = ["debugfs", "-w", *arguments, area.for_e2fsprogs()]
  result = subprocess.run(
    argv, capture_output=True, text=True, check=False, errors="replace"
  )
  complaints = [
    line
    for line in result.stderr.splitlines()
    if not line.startswith(("debugfs ", "rm: File not found"))
  ]
  if result.returncode != 0 or complaints:
    raise DiskError(
      f"'{' '.join(argv)}' exited with status"
      f" {result.returncode}: {' | '.join(complaints)}"
    )


def edit_ext4(area: Area, edits: Sequence[Edit]) -> None:
  """Changes files of an ext4 file system that is not mounted."""
  with tempfile.TemporaryDirectory() as stage:
    commands = pathlib.Path(stage) / "commands"
    commands.write_text(
      edit_module.debugfs_script(edits, pathlib.Path(stage)), encoding="utf-8"
    )
    _debugfs(area, "-f", str(commands))


def _fill_ext4(image: pathlib.Path, scratch: pathlib.Path, plan: Plan) -> None:
  """Grows a copy of the cached image, which is faster than mkfs."""
  cached = image / "root.ext4"
  size = scratch.stat().st_size
  if cached.stat().st_size > size:
    raise DiskError(
      f"the guest needs {cached.stat().st_size // _MIB} MiB,"
      f" the disk has room for {size // _MIB}"
    )
  copy_data(cached, scratch, 0)
  run(["resize2fs", "-f", str(scratch)])
  os.truncate(scratch, size)
  edit_ext4(Area(scratch, 0, size), plan.edits)
  number = {"continue": 1, "remount-ro": 2, "panic": 3}[plan.errors]
  _debugfs(Area(scratch, 0, size), "-R", f"set_super_value errors {number}")


def _unpack(
  image: pathlib.Path, tree: pathlib.Path, edits: Sequence[Edit]
) -> None:
  run(
    [
      "tar",
      "-x",
      "--numeric-owner",
      "--xattrs",
      "--xattrs-include=*",
      "-f",
      str(image / "root.tar"),
      "-C",
      str(tree),
    ]
  )
  tree.chmod(0o755)
  edit_module.apply_to_tree(edits, tree)


def _fill_btrfs(image: pathlib.Path, scratch: pathlib.Path, plan: Plan) -> None:
  """Runs mkfs.btrfs(8) where it sees no device.

  It refuses a UUID that any device of the machine has, and a clone has one.
  """
  alone = 'mount -t tmpfs none /dev && exec "$@"'
  make = ["mkfs.btrfs", "--quiet", "-U", plan.uuid, "--rootdir"]
  with tempfile.TemporaryDirectory(dir=_SCRATCH) as tree:
    _unpack(image, pathlib.Path(tree), plan.edits)
    unshared = ["unshare", "--mount", "sh", "-c", alone, "sh"]
    run([*unshared, *make, tree, str(scratch)])


def _fill_xfs(image: pathlib.Path, scratch: pathlib.Path, plan: Plan) -> None:
  """Needs a mount namespace of its own: xfs is only filled mounted."""
  run(["mkfs.xfs", "-q", "-m", f"uuid={plan.uuid}", str(scratch)])
  with tempfile.TemporaryDirectory(dir=_SCRATCH) as tree:
    # nouuid: a running clone has the same
    run(["mount", "-t", "xfs", "-o", "loop,nouuid", str(scratch), tree])
    try:
      _unpack(image, pathlib.Path(tree), plan.edits)
    finally:
      run(["umount", tree])


_FILL = {"btrfs": _fill_btrfs, "ext4": _fill_ext4, "xfs": _fill_xfs}


def install(image: pathlib.Path, area: Area, plan: Plan) -> None:
  """Makes the root file system and copies it to its place on the disk."""
  with tempfile.NamedTemporaryFile(dir=_SCRATCH) as handle:
    scratch = pathlib.Path(handle.name)
    os.truncate(scratch, area.size // 4096 * 4096)
    _FILL[plan.kind](image, scratch, plan)
    copy_data(scratch, area.disk, area.offset)


def make_data(disk: pathlib.Path, number: int) -> None:
  """An empty ext4 file system on the whole of a further disk."""
  run(["mkfs.ext4", "-q", "-F", "-L", f"data{number}", str(disk)])


def root_area(disk: pathlib.Path) -> Area:
  """Where L{partition} put the root file system of an existing disk.

  Only the places this module uses are looked at; the guest's partition
  table is not read.

  @raise DiskError: there is no ext4 file system at any

  """
  size = size_of(disk)
  with disk.open("rb") as handle:
    for offset in (_CLOUD_ROOT, _MIB, 0):
      handle.seek(offset + 0x438)
      if handle.read(2) == b"\x53\xef":
        return Area(disk, offset, size - offset)
  raise DiskError(f"{disk} holds no ext4 file system where this OS puts it")
