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

"""Reading partition tables, hostile ones above all."""

import random
import struct
import uuid
import zlib

import pytest
from ganeti import errors
from ganeti.storage import partition_parser
from ganeti.storage.partition_table import PartitionTable, Role, Scheme
from hypothesis import given, settings
from hypothesis import strategies as st

LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
SECTORS = 4096
Entry = tuple[int, int, int]


def boot_record(*entries: Entry, flag: int = 0) -> bytes:
  """A boot record of entries (type, start, length), in sectors."""
  table = b"".join(
    struct.pack("<B3xB3xII", flag, kind, start, length)
    for kind, start, length in entries
  )
  return bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"


def disk(
  records: dict[int, bytes], sectors: int = SECTORS, sector_size: int = 512
) -> bytes:
  data = bytearray(sectors * sector_size)
  for lba, record in records.items():
    data[lba * sector_size : lba * sector_size + len(record)] = record
  return bytes(data)


def gpt_header(
  array: bytes, my_lba: int, array_lba: int, last_usable: int
) -> bytes:
  def pack(crc: int) -> bytes:
    return struct.pack(
      "<8sIIIIQQQQ16sQIII",
      b"EFI PART",
      0x10000,
      92,
      crc,
      0,
      my_lba,
      0,
      34,
      last_usable,
      bytes(16),
      array_lba,
      len(array) // 128,
      128,
      zlib.crc32(array),
    )

  return pack(zlib.crc32(pack(0)))


def gpt_disk(
  *entries: tuple[str, int, int],
  sector_size: int = 512,
  primary: bool = True,
  backup: bool = True,
) -> bytes:
  """A disk with a GPT of entries (type, first, last), in sectors."""
  array = b"".join(
    struct.pack("<16s16sQQQ72x", uuid.UUID(kind).bytes_le, b"id", *ends, 0)
    for kind, *ends in entries
  ).ljust(128 * 128, b"\0")
  records = {0: boot_record((0xEE, 1, 0xFFFFFFFF)), 2: array}
  records[SECTORS - 33] = array
  usable = SECTORS - 34
  if primary:
    records[1] = gpt_header(array, 1, 2, usable)
  if backup:
    records[SECTORS - 1] = gpt_header(array, SECTORS - 1, SECTORS - 33, usable)
  return disk(records, sector_size=sector_size)


def parse(
  data: bytes, sector_sizes: tuple[int, ...] = (512, 4096)
) -> PartitionTable:
  def read(offset: int, length: int) -> bytes:
    assert 0 <= offset <= offset + length <= len(data)
    return data[offset : offset + length]

  return partition_parser.parse(read, len(data), sector_sizes)


def numbers(table: PartitionTable, unit: int = 512) -> list[Entry]:
  return [(p.number, p.start // unit, p.size // unit) for p in table.partitions]


def refused(data: bytes) -> str:
  with pytest.raises(errors.BlockDeviceError) as caught:
    parse(data)
  text = str(caught.value)
  assert text.startswith("Corrupt partition table: ")
  assert "\n" not in text
  return text


def test_no_table() -> None:
  assert parse(b"").scheme is Scheme.NONE
  assert parse(bytes(511)).scheme is Scheme.NONE
  assert parse(bytes(4096)).scheme is Scheme.NONE


def test_a_bare_fat_has_no_table() -> None:
  sector = bytearray(boot_record())
  sector[:14] = b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HB", 512, 4)
  assert parse(disk({0: bytes(sector)})).scheme is Scheme.NONE
  sector[446:460] = b"Not bootable.."
  assert parse(disk({0: bytes(sector)})).scheme is Scheme.NONE


def test_primary_partitions_in_on_disk_order() -> None:
  table = parse(disk({0: boot_record((0x83, 1000, 10), (0x82, 100, 50))}))
  assert table.scheme is Scheme.DOS
  assert numbers(table) == [(2, 100, 50), (1, 1000, 10)]
  assert [p.role for p in table.partitions] == [Role.SWAP, Role.LINUX]


def test_a_dos_table_counts_in_the_sectors_of_the_disk() -> None:
  data = disk({0: boot_record((0x83, 10, 5))}, sectors=64, sector_size=4096)
  assert numbers(parse(data, (4096,)), 4096) == [(1, 10, 5)]


def logical_disk(*links: tuple[int, Entry, Entry]) -> bytes:
  records = {0: boot_record((0x83, 10, 90), (5, 100, 1000))}
  records.update({lba: boot_record(data, link) for lba, data, link in links})
  return disk(records)


def test_logical_partitions() -> None:
  data = logical_disk(
    (100, (0x83, 8, 100), (5, 400, 300)),
    (500, (0, 0, 0), (5, 700, 300)),
    (800, (0x82, 1, 299), (0, 0, 0)),
  )
  assert numbers(parse(data)) == [
    (1, 10, 90),
    (2, 100, 1000),
    (5, 108, 100),
    (6, 801, 299),
  ]


def test_an_extended_partition_nobody_wrote_to_is_empty() -> None:
  data = disk({0: boot_record((0x0F, 100, 1000))})
  assert numbers(parse(data)) == [(1, 100, 1000)]


@pytest.mark.parametrize(
  ("data", "words"),
  [
    (
      disk({0: boot_record((0x83, 10, 0))}),
      "entry 1 (type 83) starts at sector 10 and has the size zero",
    ),
    (
      disk({0: boot_record((0x83, 10, SECTORS))}),
      "entry 1 (type 83) has the sectors 10 to 4105, but only 1 to 4095",
    ),
    (
      disk({0: boot_record((0x83, 0xFFFFFFFF, 0xFFFFFFFF))}),
      "entry 1 (type 83) has the sectors 4294967295 to 8589934589",
    ),
    (disk({0: boot_record((0x83, 0, 10))}), "has the sectors 0 to 9"),
    (
      disk({0: boot_record((0x83, 10, 10), (0x83, 19, 10))}),
      "entry 2 (sectors 19 to 28) overlaps entry 1 (sectors 10 to 19)",
    ),
    (
      disk({0: boot_record((5, 10, 10), (0x0F, 20, 10))}),
      "entries 1 and 2 are all extended",
    ),
    (disk({0: boot_record((0x83, 10, 10), flag=0x17)}), "boot flag 0x17"),
    (
      logical_disk((100, (0x83, 8, 100), (5, 0, 100))),
      "comes back to sector 100",
    ),
    (
      logical_disk(
        (100, (0x83, 8, 9), (5, 50, 9)), (150, (0x83, 8, 9), (5, 50, 9))
      ),
      "comes back to sector 150",
    ),
    (
      logical_disk((100, (0x83, 8, 9), (5, 2000, 9))),
      "leads to sector 2100, outside of the extended partition",
    ),
    (
      logical_disk((100, (0x83, 8, 9), (5, 300, 9))),
      "boot record in sector 400 has no signature",
    ),
    (
      logical_disk((100, (0x83, 8, 1000), (0, 0, 0))),
      "entry 5 (type 83) has the sectors 108 to 1107",
    ),
    (
      logical_disk(
        (100, (0x83, 8, 500), (5, 200, 9)), (300, (0x83, 8, 9), (0, 0, 0))
      ),
      "entry 6 (sectors 308 to 316) overlaps entry 5",
    ),
    (
      logical_disk((100, (5, 8, 9), (0, 0, 0))),
      "has the types 05 and 00, expected",
    ),
  ],
)
def test_what_is_refused_in_a_dos_table(data: bytes, words: str) -> None:
  assert words in refused(data)


def test_a_long_chain_ends() -> None:
  links = [(100 + i, (0, 0, 0), (5, i + 1, 1)) for i in range(400)]
  assert "more than 255 links" in refused(logical_disk(*links))


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize(
  ("primary", "backup"), [(True, True), (True, False), (False, True)]
)
def test_gpt(sector_size: int, primary: bool, backup: bool) -> None:
  data = gpt_disk(
    (LINUX, 2000, 2999),
    ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 34, 133),
    sector_size=sector_size,
    primary=primary,
    backup=backup,
  )
  table = parse(data)
  assert (table.scheme, table.sector_size) == (Scheme.GPT, sector_size)
  assert numbers(table, sector_size) == [(2, 34, 100), (1, 2000, 1000)]
  assert [p.role for p in table.partitions] == [Role.EFI_SYSTEM, Role.LINUX]


def test_no_gpt_header_at_all() -> None:
  text = refused(gpt_disk((LINUX, 40, 50), primary=False, backup=False))
  assert "primary GPT header in sector 1 of 512 bytes: no signature" in text
  assert "backup GPT header in sector 4095 of 512 bytes" in text


def test_a_damaged_primary_array_falls_back_to_the_backup() -> None:
  data = bytearray(gpt_disk((LINUX, 40, 50)))
  data[2 * 512 + 200] ^= 1
  assert numbers(parse(bytes(data))) == [(1, 40, 11)]
  data[(SECTORS - 33) * 512 + 200] ^= 1
  assert "wrong checksum of the entries" in refused(bytes(data))


@pytest.mark.parametrize(
  ("entries", "words"),
  [
    ([(LINUX, 50, 40)], "starts at sector 50 and has the size zero"),
    ([(LINUX, 40, SECTORS)], "has the sectors 40 to 4096, but only 34 to 4062"),
    ([(LINUX, 2, 40)], "has the sectors 2 to 40, but only 34 to"),
    (
      [(LINUX, 40, 50), (LINUX, 50, 60)],
      "entry 2 (sectors 50 to 60) overlaps entry 1 (sectors 40 to 50)",
    ),
    ([(LINUX, 2**63, 2**64 - 1)], "sectors 9223372036854775808 to"),
  ],
)
def test_what_is_refused_in_a_gpt(
  entries: list[tuple[str, int, int]], words: str
) -> None:
  assert words in refused(gpt_disk(*entries))


def test_a_huge_entry_array_is_not_read() -> None:
  array = bytes(128)
  header = bytearray(gpt_header(array, 1, 2, SECTORS - 34))
  struct.pack_into("<I", header, 80, 0xFFFFFFFF)
  struct.pack_into("<I", header, 16, 0)
  struct.pack_into("<I", header, 16, zlib.crc32(header))
  data = disk({0: boot_record((0xEE, 1, 0xFFFFFFFF)), 1: bytes(header)})
  assert "4294967295 entries in sector 2" in refused(data)


def test_a_gpt_cannot_allow_itself_the_boot_record() -> None:
  data = bytearray(gpt_disk((LINUX, 0, 50)))
  for header in (512, len(data) - 512):
    struct.pack_into("<Q", data, header + 40, 0)
  text = refused(sealed(data))
  assert "has the sectors 0 to 50, but only 2 to 4062" in text


def check_invariants(data: bytes) -> None:
  try:
    table = parse(data)
  except errors.BlockDeviceError:
    return
  end = 0
  for partition in table.partitions:
    assert 1 <= partition.number <= 255
    assert 0 < partition.start < partition.end <= len(data)
    if partition.role is not Role.EXTENDED:
      assert partition.start >= end
      end = partition.end
  found = [p.number for p in table.partitions]
  assert len(found) == len(set(found))


def random_record(rng: random.Random, kinds: list[int]) -> bytes:
  def entry() -> Entry:
    reach = rng.choice([8, 40, 2**32])
    return (rng.choice(kinds), rng.randrange(reach), rng.randrange(reach))

  return boot_record(*[entry() for _ in range(rng.randrange(5))])


@pytest.mark.parametrize("seed", range(8))
def test_any_chain_of_boot_records(seed: int) -> None:
  rng = random.Random(seed)
  for _ in range(300):
    records = {lba: random_record(rng, [0, 5, 0x83]) for lba in range(1, 64)}
    records[0] = boot_record(
      (0x83, 1, rng.randrange(1, 5)),
      (rng.choice([5, 15, 0x83]), rng.randrange(4, 20), rng.randrange(5, 44)),
    )
    check_invariants(disk(records, sectors=64))
    records[0] = random_record(rng, [0, 5, 0x0F, 0x82, 0x83, 0xEE, 0xFF])
    check_invariants(disk(records, sectors=64))


@settings(max_examples=100)
@given(st.binary(min_size=512, max_size=4096))
def test_random_bytes(data: bytes) -> None:
  check_invariants(data[:510] + b"\x55\xaa" + data[512:])


GPT = gpt_disk((LINUX, 40, 50), (LINUX, 100, 2000))
GPT_HEADERS = [(512, 604), (1024, 1324), (len(GPT) - 512, len(GPT) - 420)]


def sealed(data: bytearray) -> bytes:
  """Gives both headers of a GPT the checksums a hostile guest would."""
  for header in (512, len(data) - 512):
    lba, count, size = struct.unpack_from("<QII", data, header + 72)
    if count * size < 2**20 and lba < SECTORS:
      array = bytes(data[lba * 512 : lba * 512 + count * size])
      struct.pack_into("<I", data, header + 88, zlib.crc32(array))
    struct.pack_into("<I", data, header + 16, 0)
    crc = zlib.crc32(data[header : header + 92])
    struct.pack_into("<I", data, header + 16, crc)
  return bytes(data)


@pytest.mark.parametrize("seed", range(8))
def test_a_gpt_changed_anywhere(seed: int) -> None:
  rng = random.Random(seed)
  for _ in range(30):
    data = bytearray(GPT)
    for _ in range(rng.randrange(1, 5)):
      first, end = rng.choice(GPT_HEADERS)
      data[rng.randrange(first, end)] = rng.choice([0, 1, 255])
    check_invariants(bytes(data))
    check_invariants(sealed(data))
