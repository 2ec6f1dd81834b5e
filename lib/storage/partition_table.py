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

"""Partition tables as values, and what must be true of them."""

import dataclasses
import enum
from collections.abc import Iterable
from typing import NoReturn

from ganeti import errors

# Linux refuses larger numbers: DISK_MAX_PARTS in include/linux/blkdev.h
MAX_PARTITION_NUMBER = 255


class Scheme(enum.StrEnum):
  """Kind of partition table."""

  NONE = "none"
  DOS = "dos"
  GPT = "gpt"


class Role(enum.StrEnum):
  """What a partition is for, by the type its table gives it."""

  ROOT = "root"
  LINUX = "linux"
  OTHER = "other"
  BOOT = "boot"
  SWAP = "swap"
  EFI_SYSTEM = "efi-system"
  BIOS_BOOT = "bios-boot"
  EXTENDED = "extended"


# UAPI group, Discoverable Partitions Specification; UEFI 5.3.3
_ROLES = {
  "5": Role.EXTENDED,
  "f": Role.EXTENDED,
  "85": Role.EXTENDED,
  "82": Role.SWAP,
  "83": Role.LINUX,
  "ef": Role.EFI_SYSTEM,
  "ea": Role.BOOT,
  "0FC63DAF-8483-4772-8E79-3D69D8477DE4": Role.LINUX,
  "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": Role.ROOT,
  "B921B045-1DF0-41C3-AF44-4C6F280D3FAE": Role.ROOT,
  "44479540-F297-41B2-9AF7-D131D5F0458A": Role.ROOT,
  "BC13C2FF-59E6-4262-A352-B275FD6F7172": Role.BOOT,
  "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": Role.SWAP,
  "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": Role.EFI_SYSTEM,
  "21686148-6449-6E6F-744E-656564454649": Role.BIOS_BOOT,
}


def role_of(partition_type: str) -> Role:
  """Returns what a partition is for.

  @param partition_type: DOS type as sfdisk prints it ("83") or a type GUID

  """
  return _ROLES.get(partition_type, Role.OTHER)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
  """One entry of a table; start and size in bytes.

  @ivar type: see L{role_of}

  """

  number: int
  start: int
  size: int
  type: str

  @property
  def end(self) -> int:
    """First byte behind the partition."""
    return self.start + self.size

  @property
  def role(self) -> Role:
    """What the partition is for."""
    return role_of(self.type)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartitionTable:
  """A checked table: nothing overlaps, nothing lies outside of the disk.

  @ivar sector_size: bytes; the unit of the numbers on the disk
  @ivar partitions: in on-disk order; an extended one precedes its logical ones

  """

  scheme: Scheme
  sector_size: int
  partitions: tuple[Partition, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Sectors:
  """The sectors [low, high) of a disk, where partitions may lie.

  @ivar size: of a sector, in bytes

  """

  size: int
  low: int
  high: int

  def partition(
    self, number: int, start: int, count: int, partition_type: str
  ) -> Partition:
    """Makes a partition of numbers in sectors.

    @raise errors.BlockDeviceError: it is empty or does not lie here

    """
    what = f"entry {number} (type {partition_type})"
    if number > MAX_PARTITION_NUMBER:
      corrupt(f"{what} is used, Linux knows only {MAX_PARTITION_NUMBER}")
    if count <= 0:
      corrupt(f"{what} starts at sector {start} and has the size zero")
    if start < self.low or start + count > self.high:
      corrupt(
        f"{what} has the sectors {start} to {start + count - 1}, but only"
        f" {self.low} to {self.high - 1} are allowed there; the table is"
        " damaged or the disk was made smaller"
      )
    return Partition(
      number=number,
      start=start * self.size,
      size=count * self.size,
      type=partition_type,
    )

  def check_overlap(self, partitions: Iterable[Partition]) -> None:
    """Refuses partitions of which two share a sector.

    @raise errors.BlockDeviceError: two do

    """
    previous: Partition | None = None
    for current in sorted(partitions, key=lambda p: p.start):
      if previous is not None and current.start < previous.end:
        corrupt(f"{self._name(current)} overlaps {self._name(previous)}")
      previous = current

  def _name(self, partition: Partition) -> str:
    first = partition.start // self.size
    last = partition.end // self.size - 1
    return f"entry {partition.number} (sectors {first} to {last})"


def corrupt(text: str) -> NoReturn:
  """Raises the error for a table that is not used.

  @raise errors.BlockDeviceError: always

  """
  raise errors.BlockDeviceError(f"Corrupt partition table: {text}")


def ordered_table(
  scheme: Scheme, sector_size: int, partitions: Iterable[Partition]
) -> PartitionTable:
  """Puts partitions in on-disk order."""
  ordered = sorted(partitions, key=lambda p: (p.start, p.number))
  return PartitionTable(
    scheme=scheme, sector_size=sector_size, partitions=tuple(ordered)
  )
