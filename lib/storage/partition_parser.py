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

"""Reading DOS and GPT partition tables that a guest wrote.

The guest is hostile, so its table is read by a small parser in a memory-safe
language instead of by C code running as root, and the numbers checked here
are the numbers handed to the kernel: nothing reads the table a second time
with other rules (libblkid, behind partx, also follows BSD, Solaris and Minix
tables nested in a DOS partition).  Every read is bounded: 255 partitions, a
chain that may not revisit a sector, a GPT entry array of at most 1 MiB.

Pure: the caller passes a function that reads the disk.  Formats: UEFI 2.10,
chapter 5; block/partitions/msdos.c and efi.c in Linux.

"""

import struct
import uuid
import zlib
from collections.abc import Callable
from typing import NamedTuple

from .partition_table import (
  MAX_PARTITION_NUMBER,
  Partition,
  PartitionTable,
  Role,
  Scheme,
  Sectors,
  corrupt,
  ordered_table,
)

_MBR_SIZE = 512
_MBR_SIGNATURE = b"\x55\xaa"
_MBR_ENTRY = struct.Struct("<B3xB3xII")
_MBR_ENTRIES_OFFSET = 446
_MBR_FLAGS = frozenset([0, 0x80])
_PROTECTIVE = 0xEE
_EXTENDED = frozenset([0x05, 0x0F, 0x85])
_FIRST_LOGICAL = 5
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_CRC_OFFSET = 16
_GPT_ENTRY = struct.Struct("<16s16sQQ")
_MIN_GPT_ENTRY_SIZE = 128
_MAX_GPT_ARRAY = 1024 * 1024

ReadFn = Callable[[int, int], bytes]


class _Entry(NamedTuple):
  """One of the four entries of a boot record; start and length in sectors."""

  flag: int
  type: int
  start: int
  length: int


_NO_ENTRY = _Entry(0, 0, 0, 0)


def _mbr_entries(sector: bytes) -> list[_Entry]:
  table = sector[_MBR_ENTRIES_OFFSET : -len(_MBR_SIGNATURE)]
  return [_Entry(*fields) for fields in _MBR_ENTRY.iter_unpack(table)]


def _has_bios_parameter_block(sector: bytes) -> bool:
  """Does the sector start like that of a FAT or NTFS file system?"""
  sector_size, cluster = struct.unpack_from("<HB", sector, 11)
  return (
    sector[0] in (0xEB, 0xE9)
    and sector_size in (512, 1024, 2048, 4096)
    and cluster != 0
    and cluster & (cluster - 1) == 0
  )


def _is_bare_fat(sector: bytes, entries: list[_Entry]) -> bool:
  # A FAT boot sector ends with the same signature as a partition table and
  # has text or code where the table's entries would be.
  return _has_bios_parameter_block(sector) and (
    not any(e.type for e in entries)
    or any(e.flag not in _MBR_FLAGS for e in entries)
  )


def parse(
  read: ReadFn, size: int, sector_sizes: tuple[int, ...] = (512, 4096)
) -> PartitionTable:
  """Reads and checks a partition table.

  Where a disk holds both a table and a file system over its whole length the
  table wins, as in the kernel.

  @param read: read(offset, length) returns exactly that many bytes
  @param size: of the disk, in bytes
  @param sector_sizes: those to try, in bytes.  A GPT tells its own by where
      its header lies; nothing in a DOS table does, so that the first counts.
  @raise errors.BlockDeviceError: the table is corrupt, or an entry is empty,
      overlaps another or does not lie on the disk

  """
  nothing = PartitionTable(scheme=Scheme.NONE, sector_size=sector_sizes[0])
  if size < _MBR_SIZE:
    return nothing
  sector = read(0, _MBR_SIZE)
  entries = _mbr_entries(sector)
  if (sector[-2:] != _MBR_SIGNATURE) or _is_bare_fat(sector, entries):
    return nothing
  for number, entry in enumerate(entries, 1):
    if entry.flag not in _MBR_FLAGS:
      corrupt(f"entry {number} has the unknown boot flag {entry.flag:#04x}")
  if any(entry.type == _PROTECTIVE for entry in entries):
    return _parse_gpt(read, size, sector_sizes)
  return _parse_dos(read, size, sector_sizes[0], entries)


def _parse_dos(
  read: ReadFn, size: int, sector_size: int, entries: list[_Entry]
) -> PartitionTable:
  disk = Sectors(sector_size, 1, size // sector_size)
  primary = [
    disk.partition(number, entry.start, entry.length, f"{entry.type:x}")
    for number, entry in enumerate(entries, 1)
    if entry.type
  ]
  disk.check_overlap(primary)
  extended = [p for p in primary if p.role is Role.EXTENDED]
  if len(extended) > 1:
    numbers = " and ".join(str(p.number) for p in extended)
    corrupt(f"entries {numbers} are all extended partitions")
  logical = [
    partition
    for container in extended
    for partition in _logical_partitions(read, container, sector_size)
  ]
  disk.check_overlap(logical)
  return ordered_table(Scheme.DOS, sector_size, primary + logical)


def _read_ebr(
  read: ReadFn, lba: int, sector_size: int, *, is_first: bool
) -> tuple[_Entry, _Entry]:
  """Returns the two entries of a link in the chain: partition and next."""
  sector = read(lba * sector_size, _MBR_SIZE)
  if is_first and not any(sector):
    return (_NO_ENTRY, _NO_ENTRY)
  if sector[-2:] != _MBR_SIGNATURE:
    corrupt(f"the extended boot record in sector {lba} has no signature")
  data, link = _mbr_entries(sector)[:2]
  if data.type in _EXTENDED or (link.type and link.type not in _EXTENDED):
    corrupt(
      f"the extended boot record in sector {lba} has the types"
      f" {data.type:02x} and {link.type:02x}, expected a partition and a link"
    )
  return (data, link)


def _logical_partitions(
  read: ReadFn, extended: Partition, sector_size: int
) -> list[Partition]:
  """Follows the chain of extended boot records.

  Links count from the start of the extended partition, partitions from their
  own boot record.

  """
  first, end = (extended.start // sector_size, extended.end // sector_size)
  found: list[Partition] = []
  seen: set[int] = set()
  lba = first
  while True:
    if lba in seen:
      corrupt(f"the chain of logical partitions comes back to sector {lba}")
    if len(seen) >= MAX_PARTITION_NUMBER:
      corrupt(f"more than {MAX_PARTITION_NUMBER} links to logical partitions")
    seen.add(lba)
    data, link = _read_ebr(read, lba, sector_size, is_first=lba == first)
    if data.type:
      number = _FIRST_LOGICAL + len(found)
      room = Sectors(sector_size, lba + 1, end)
      found.append(
        room.partition(number, lba + data.start, data.length, f"{data.type:x}")
      )
    if not link.type:
      return found
    lba = first + link.start
    if not first <= lba < end:
      corrupt(
        f"a link to a logical partition leads to sector {lba}, outside of the"
        f" extended partition (sectors {first} to {end - 1})"
      )


class _GptHeader(NamedTuple):
  """Units: sectors, but sizes in bytes."""

  signature: bytes
  revision: int
  header_size: int
  crc: int
  reserved: int
  my_lba: int
  alternate_lba: int
  first_usable: int
  last_usable: int
  guid: bytes
  entries_lba: int
  entry_count: int
  entry_size: int
  array_crc: int


def _problem_of(
  header: _GptHeader, sector: bytes, lba: int, size: int
) -> str | None:
  """Returns what is wrong with a header, None if nothing is."""
  if header.signature != b"EFI PART":
    return "no signature"
  if not _GPT_HEADER.size <= header.header_size <= len(sector):
    return f"header size {header.header_size}"
  crc = zlib.crc32(
    sector[:_GPT_CRC_OFFSET]
    + bytes(4)
    + sector[_GPT_CRC_OFFSET + 4 : header.header_size]
  )
  if crc != header.crc:
    return f"checksum {header.crc:#010x} instead of {crc:#010x}"
  if header.my_lba != lba:
    return f"it says that it lies in sector {header.my_lba}"
  if header.entry_size < _MIN_GPT_ENTRY_SIZE or header.entry_size % 8:
    return f"entry size {header.entry_size}"
  length = header.entry_size * header.entry_count
  offset = header.entries_lba * len(sector)
  if length > _MAX_GPT_ARRAY or offset + length > size:
    return f"{header.entry_count} entries in sector {header.entries_lba}"
  return None


def _read_gpt(
  read: ReadFn, size: int, sector_size: int, lba: int
) -> PartitionTable | str:
  """Returns the table of a header, or what is wrong with the header."""
  if not 0 < lba < size // sector_size:
    return "the disk is too small"
  sector = read(lba * sector_size, sector_size)
  header = _GptHeader(*_GPT_HEADER.unpack_from(sector))
  if problem := _problem_of(header, sector, lba, size):
    return problem
  array = read(
    header.entries_lba * sector_size, header.entry_size * header.entry_count
  )
  if zlib.crc32(array) != header.array_crc:
    return "wrong checksum of the entries"
  # Behind the protective boot record and the header, whatever it says
  start = max(header.first_usable, 2)
  end = min(header.last_usable + 1, size // sector_size)
  return _gpt_table(header, array, Sectors(sector_size, start, end))


def _parse_gpt(
  read: ReadFn, size: int, sector_sizes: tuple[int, ...]
) -> PartitionTable:
  problems = []
  for which in ("primary", "backup"):
    for sector_size in sector_sizes:
      lba = 1 if which == "primary" else size // sector_size - 1
      result = _read_gpt(read, size, sector_size, lba)
      if isinstance(result, PartitionTable):
        return result
      problems.append(
        f"{which} GPT header in sector {lba} of {sector_size} bytes: {result}"
      )
  return corrupt("; ".join(problems))


def _gpt_table(
  header: _GptHeader, array: bytes, usable: Sectors
) -> PartitionTable:
  partitions = []
  for index in range(header.entry_count):
    kind, _, first, last = _GPT_ENTRY.unpack_from(
      array, index * header.entry_size
    )
    if any(kind):
      guid = str(uuid.UUID(bytes_le=kind)).upper()
      partitions.append(
        usable.partition(index + 1, first, last - first + 1, guid)
      )
  usable.check_overlap(partitions)
  return ordered_table(Scheme.GPT, usable.size, partitions)
