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

"""A disk before anything is attached: a regular file or a block device."""

import contextlib
import dataclasses
import errno
import os
import stat
from collections.abc import Iterator

from ganeti import errors

from . import device_users, loop_device, partition_maps, partition_parser
from .partition_table import PartitionTable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskSource:
  """A file or block device, open for reading.

  @ivar path: with links resolved
  @ivar devno: "MAJ:MIN" of a block device, else empty

  """

  path: str
  fd: int
  is_file: bool
  devno: str

  def read(self, offset: int, length: int) -> bytes:
    """Reads exactly so many bytes.

    @raise errors.BlockDeviceError: there are fewer

    """
    data = os.pread(self.fd, length, offset)
    if len(data) != length:
      end = offset + len(data)
      message = f"{self.path} ends at {end}, expected {offset + length} bytes"
      raise errors.BlockDeviceError(message)
    return data

  def table(self, sector_size: int | None) -> PartitionTable:
    """Reads and checks the partition table.

    @param sector_size: in bytes; default: a block device's own, for a file
        that of its GPT, else 512
    @raise errors.BlockDeviceError: see L{partition_parser.parse}

    """
    size = os.lseek(self.fd, 0, os.SEEK_END)
    if sector_size is not None:
      sizes: tuple[int, ...] = (sector_size,)
    elif self.is_file:
      sizes = (512, 4096)
    else:
      sizes = (loop_device.sector_size_of(self.fd),)
    return partition_parser.parse(self.read, size, sizes)

  def is_backing(self, loop: str) -> bool:
    """Is this disk attached to that loop device?"""
    status = loop_device.status_of(loop)
    if status is None:
      return False
    own = os.fstat(self.fd)
    if not self.is_file:
      return status.backing_rdev == own.st_rdev
    identity = (status.backing_device, status.backing_inode)
    return identity == (own.st_dev, own.st_ino)

  def is_held(self) -> bool:
    """Does a mount, device-mapper, md or swap hold this block device?"""
    try:
      with loop_device.opened(self.path, os.O_RDONLY | os.O_EXCL):
        return False
    except OSError as err:
      if err.errno == errno.EBUSY:
        return True
      raise


@contextlib.contextmanager
def _opened_safely(path: str) -> Iterator[int]:
  """Opens what may be no disk at all, for reading.

  Without O_NONBLOCK a FIFO would wait for a writer.  With it a regular file
  cannot be opened of which an NFS client still has a delegation, on the
  node that serves it (EAGAIN, see open(2)): without it the kernel asks the
  client to give it back, and waits.

  """
  with loop_device.opened(path, os.O_PATH) as found:
    is_file = stat.S_ISREG(os.fstat(found).st_mode)
    flags = os.O_RDONLY if is_file else os.O_RDONLY | os.O_NONBLOCK
    with loop_device.opened(f"/proc/self/fd/{found}", flags) as fd:
      yield fd


@contextlib.contextmanager
def opened_disk(path: str) -> Iterator[DiskSource]:
  """Opens a disk for the length of a block, for reading only.

  Closing a block device that was open for writing makes udev look at it.

  @raise errors.BlockDeviceError: it is something else
  @raise OSError: it cannot be opened

  """
  real = os.path.realpath(path)
  with _opened_safely(real) as fd:
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
      yield DiskSource(path=real, fd=fd, is_file=True, devno="")
    elif stat.S_ISBLK(status.st_mode):
      devno = device_users.devno_of(status.st_rdev)
      stable = partition_maps.stable_path(real, devno)
      yield DiskSource(path=stable, fd=fd, is_file=False, devno=devno)
    else:
      message = "neither a regular file nor a block device"
      raise errors.BlockDeviceError(message)
