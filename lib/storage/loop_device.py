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

"""Loop devices and kernel partitions, by ioctl.

Ioctls instead of losetup and partx for two reasons.  Exactness: the number
that was written down is the number that is attached, a loop carries a tag by
which its owner knows it again, and the kernel gets the numbers that were
checked rather than a second reading of the guest's table.  Speed: mapping
and unmapping a disk starts no program (figures: L{ganeti.storage.kpartx}).

Functions raise OSError; what an errno means is the caller's to say.

Interfaces: loop(4); include/uapi/linux/loop.h; include/uapi/linux/blkpg.h.
LOOP_CONFIGURE needs Linux 5.8, BLKPG on a loop without LO_FLAGS_PARTSCAN 6.0.

"""

import contextlib
import ctypes
import dataclasses
import errno
import fcntl
import os
import pathlib
import struct
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress

LOOP_MAJOR = 7
MAX_TAG_LENGTH = 63
SYS_BLOCK = pathlib.Path("/sys/block")

_CONTROL = "/dev/loop-control"

_BLKPG = 0x1269
_BLKPG_ADD, _BLKPG_DELETE, _BLKPG_RESIZE = 1, 2, 3
_BLKSSZGET = 0x1268
_LOOP_CLR_FD = 0x4C01
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_ADD = 0x4C80
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_READ_ONLY = 1

# struct loop_info64: device, inode, rdevice, offset, sizelimit, number,
# encrypt_type, encrypt_key_size, flags, file_name, crypt_name, encrypt_key,
# init
_LOOP_INFO64 = struct.Struct("=QQQQQIIII64s64s32s2Q")
# struct loop_config: fd, block_size, info, reserved
_LOOP_CONFIG = struct.Struct(f"=II{_LOOP_INFO64.size}s64x")

# No such number, or a number that nothing is attached to
NOT_ATTACHED = frozenset([errno.ENXIO, errno.ENODEV, errno.ENOENT])


class _BlkpgPartition(ctypes.Structure):
  _fields_ = (
    ("start", ctypes.c_longlong),
    ("length", ctypes.c_longlong),
    ("pno", ctypes.c_int),
    ("devname", ctypes.c_char * 64),
    ("volname", ctypes.c_char * 64),
  )


class _BlkpgArgument(ctypes.Structure):
  _fields_ = (
    ("op", ctypes.c_int),
    ("flags", ctypes.c_int),
    ("datalen", ctypes.c_int),
    ("data", ctypes.c_void_p),
  )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoopStatus:
  """What is attached to a loop device.

  @ivar backing_device: st_dev of the file
  @ivar backing_inode: st_ino of the file
  @ivar backing_rdev: st_rdev where the file is a device node, else 0
  @ivar tag: the name given by whoever attached it; losetup writes the path

  """

  backing_device: int
  backing_inode: int
  backing_rdev: int
  tag: str


@contextlib.contextmanager
def opened(path: str, flags: int) -> Iterator[int]:
  """Opens a file for the length of a block."""
  fd = os.open(path, flags | os.O_CLOEXEC)
  try:
    yield fd
  finally:
    os.close(fd)


def path_of(number: int) -> str:
  """Returns the path of the loop device with this number."""
  return f"/dev/loop{number}"


def next_free(rejected: AbstractSet[int]) -> int:
  """Returns the number of a loop device to which nothing was attached.

  Another process may attach to it first: L{attach} then says EBUSY.

  @param rejected: numbers not to return again

  """
  with opened(_CONTROL, os.O_RDWR) as fd:
    number = fcntl.ioctl(fd, _LOOP_CTL_GET_FREE)
    if number not in rejected:
      return number
    number = max(rejected) + 1
    with suppress(FileExistsError):
      fcntl.ioctl(fd, _LOOP_CTL_ADD, number)
    return number


def attach(
  loop_fd: int, backing_fd: int, *, sector_size: int, tag: str, read_only: bool
) -> None:
  """Attaches a file to a loop device, completely or not at all.

  The kernel is not asked to look for partitions.

  @raise OSError: EBUSY when something is attached already

  """
  info = _LOOP_INFO64.pack(
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    _LO_FLAGS_READ_ONLY if read_only else 0,
    tag.encode()[:MAX_TAG_LENGTH],
    b"",
    b"",
    0,
    0,
  )
  config = _LOOP_CONFIG.pack(backing_fd, sector_size, info)
  fcntl.ioctl(loop_fd, _LOOP_CONFIGURE, bytearray(config))


def detach(loop_fd: int) -> None:
  """Detaches, at the latest when the last process closes the device."""
  fcntl.ioctl(loop_fd, _LOOP_CLR_FD)


def status(loop_fd: int) -> LoopStatus | None:
  """Returns what is attached, None for nothing."""
  buffer = bytearray(_LOOP_INFO64.size)
  try:
    fcntl.ioctl(loop_fd, _LOOP_GET_STATUS64, buffer)
  except OSError as err:
    if err.errno in NOT_ATTACHED:
      return None
    raise
  fields = _LOOP_INFO64.unpack(buffer)
  return LoopStatus(
    backing_device=fields[0],
    backing_inode=fields[1],
    backing_rdev=fields[2],
    tag=fields[9].split(b"\0")[0].decode("utf-8", "replace"),
  )


def status_of(path: str) -> LoopStatus | None:
  """As L{status}, by path; None also when there is no such device."""
  try:
    with opened(path, os.O_RDONLY) as fd:
      return status(fd)
  except OSError as err:
    if err.errno in NOT_ATTACHED:
      return None
    raise


def reread_size(loop_fd: int) -> None:
  """Lets the loop device grow with its file."""
  fcntl.ioctl(loop_fd, _LOOP_SET_CAPACITY)


def attached() -> list[str]:
  """Returns the paths of all loop devices with something attached."""
  return [
    f"/dev/{directory.parent.name}"
    for directory in SYS_BLOCK.glob("loop*/loop")
  ]


def sector_size_of(fd: int) -> int:
  """Returns the logical sector size of a block device in bytes."""
  buffer = bytearray(4)
  fcntl.ioctl(fd, _BLKSSZGET, buffer)
  return int(struct.unpack("=I", buffer)[0])


def partition_path(disk: str, number: int) -> str:
  """Returns the path of a partition's node.

  @param disk: path of the whole disk

  """
  return f"{disk}p{number}"


def partition_numbers(disk: str) -> list[int]:
  """Returns the numbers of the kernel partitions of a whole disk.

  @param disk: its path

  """
  name = pathlib.PurePath(disk).name
  numbers = []
  for attribute in (SYS_BLOCK / name).glob(f"{name}p*/partition"):
    with contextlib.suppress(FileNotFoundError):
      numbers.append(int(attribute.read_text(encoding="ascii")))
  return sorted(numbers)


def devno_of_partition(path: str) -> str:
  """Returns the number, "MAJ:MIN", which the kernel gave a partition.

  @param path: of the partition's node, which need not exist

  """
  name = pathlib.PurePath(path).name
  attribute = SYS_BLOCK / name.rpartition("p")[0] / name / "dev"
  return attribute.read_text(encoding="ascii").strip()


def _blkpg(fd: int, operation: int, number: int, start: int, size: int) -> None:
  partition = _BlkpgPartition(start=start, length=size, pno=number)
  argument = _BlkpgArgument(
    op=operation,
    datalen=ctypes.sizeof(partition),
    data=ctypes.addressof(partition),
  )
  fcntl.ioctl(fd, _BLKPG, bytearray(argument))


def add_partition(fd: int, number: int, start: int, size: int) -> None:
  """Adds a partition to what the kernel knows of a disk; sizes in bytes."""
  _blkpg(fd, _BLKPG_ADD, number, start, size)


def resize_partition(fd: int, number: int, start: int, size: int) -> None:
  """Changes the size in bytes of a partition, also while it is in use."""
  _blkpg(fd, _BLKPG_RESIZE, number, start, size)


def delete_partition(fd: int, number: int) -> None:
  """Takes a partition away, for the kernel only.

  @raise OSError: EBUSY when it is open, ENXIO when there is none

  """
  _blkpg(fd, _BLKPG_DELETE, number, 0, 0)
