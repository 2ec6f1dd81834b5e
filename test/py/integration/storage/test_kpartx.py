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

"""Mapping and unmapping of real disks."""

import contextlib
import json
import os
import pathlib
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ganeti import errors
from ganeti.storage import device_users, kpartx, loop_device, loop_mapping
from integration import disks

ImageFn = Callable[[str], pathlib.Path]


@contextlib.contextmanager
def mounted(device: str, point: pathlib.Path, *options: str) -> Iterator[None]:
  point.mkdir(exist_ok=True)
  disks.run("mount", "-o", "nodev", *options, device, str(point))
  try:
    yield
  finally:
    disks.run("umount", str(point))


@contextlib.contextmanager
def opened(
  path: pathlib.Path, sector_size: int | None
) -> Iterator[kpartx.Mapping]:
  mapping = kpartx.MapDisk(str(path), sector_size=sector_size)
  try:
    yield mapping
  finally:
    kpartx.UnmapDisk(mapping)


def sectors(name: str) -> int | None:
  """What a caller must say for a disk that does not tell itself."""
  disk = disks.BY_NAME[name]
  no_guess = disk.sector_size != 512 and "gpt" not in name
  return disk.sector_size if no_guess else None


def expected(path: pathlib.Path, disk: disks.Disk) -> dict[int, Any]:
  if disk.table is None:
    return {}
  unit = disk.sector_size
  table = disks.sfdisk_table(path, unit)
  return {
    p["number"]: (p["start"] * unit, p["size"] * unit, p["type"])
    for p in table.get("partitions", [])
    if p["type"] != "5"
  }


@pytest.mark.parametrize("name", sorted(disks.BY_NAME))
def test_every_disk_is_mapped_and_unmapped(image: ImageFn, name: str) -> None:
  disk = disks.BY_NAME[name]
  path = image(name)
  wanted = expected(path, disk)
  with opened(path, sectors(name)) as mapping:
    found = {p.number: (p.start, p.size, p.type) for p in mapping.partitions}
    assert found == wanted
    starts = [p.start for p in mapping.partitions]
    assert starts == sorted(starts)
    assert mapping.loop == mapping.device
    for partition in (*mapping.partitions, mapping.whole):
      status = pathlib.Path(partition.device).stat()
      assert stat.S_ISBLK(status.st_mode)
      assert partition.devno == device_users.devno_of(status.st_rdev)
      size = int(disks.run("blockdev", "--getsize64", partition.device))
      assert size == (partition.size or disk.size_mib * disks.MIB)
      kind = disk.filesystems.get(partition.number)
      assert kpartx.ProbeFilesystem(partition.device) == kind
    sector_size = int(disks.run("blockdev", "--getss", mapping.device))
    assert sector_size == mapping.sector_size
  assert kpartx.InUse(str(path)) is None


@pytest.mark.parametrize(
  "name", sorted(d.name for d in disks.DISKS if d.root is not None)
)
def test_the_root_is_found_and_mounts(
  image: ImageFn, tmp_path: pathlib.Path, name: str
) -> None:
  disk = disks.BY_NAME[name]
  path = image(name)
  with opened(path, sectors(name)) as mapping:
    root = kpartx.FirstPartition(mapping)
    assert root.number == disk.root
    with mounted(root.device, tmp_path / "root"):
      (tmp_path / "root" / "written").write_text("by us")
  with opened(path, sectors(name)) as mapping:
    device = kpartx.FirstPartition(mapping).device
    with mounted(device, tmp_path / "root"):
      assert (tmp_path / "root" / "written").read_text() == "by us"


@pytest.mark.parametrize("name", ["empty", "dos-empty", "gpt-empty"])
def test_a_disk_without_a_file_system_says_so(
  image: ImageFn, name: str
) -> None:
  with (
    kpartx.Mapped(str(image(name))) as mapping,
    pytest.raises(errors.BlockDeviceError, match="no partition with a Linux"),
  ):
    kpartx.FirstPartition(mapping)


def test_read_only(image: ImageFn) -> None:
  with kpartx.Mapped(str(image("gpt-one")), read_only=True) as mapping:
    for device in (mapping.device, mapping.partitions[0].device):
      assert disks.run("blockdev", "--getro", device).strip() == "1"
      fd = os.open(device, os.O_RDONLY)
      os.close(fd)


def test_a_claim_precedes_everything(image: ImageFn) -> None:
  path = image("gpt-cloud")
  seen: list[dict[str, Any]] = []

  def claim(record: dict[str, Any]) -> None:
    assert kpartx.InUse(str(path)) is None
    seen.append(json.loads(json.dumps(record)))

  with kpartx.Mapped(str(path), claim=claim) as mapping:
    claimed = kpartx.Mapping.FromDict(seen[-1])
    assert claimed.loop == mapping.loop
    assert [p.device for p in claimed.partitions] == [
      p.device for p in mapping.partitions
    ]
    assert kpartx.Mapping.FromDict(mapping.ToDict()) == mapping


def test_a_refused_claim_attaches_nothing(image: ImageFn) -> None:
  def claim(record: dict[str, Any]) -> None:
    raise OSError(28, "No space left on device")

  with pytest.raises(errors.BlockDeviceError, match="No space left"):
    kpartx.MapDisk(str(image("dos-one")), claim=claim)


def test_a_failure_half_way_is_undone(
  image: ImageFn, monkeypatch: pytest.MonkeyPatch
) -> None:
  add = loop_device.add_partition

  def fail_at_16(fd: int, number: int, start: int, size: int) -> None:
    if number == 16:
      raise OSError(12, "Cannot allocate memory")
    add(fd, number, start, size)

  monkeypatch.setattr(loop_device, "add_partition", fail_at_16)
  with pytest.raises(errors.BlockDeviceError, match="Cannot allocate memory"):
    kpartx.MapDisk(str(image("gpt-cloud")))


@pytest.mark.parametrize("name", ["dos-logical", "gpt-cloud"])
def test_a_shortened_disk_is_refused(image: ImageFn, name: str) -> None:
  path = image(name)
  os.truncate(path, 48 * disks.MIB)
  with pytest.raises(errors.BlockDeviceError, match="made smaller"):
    kpartx.MapDisk(str(path))


def test_a_lost_primary_gpt_is_read_from_the_backup(image: ImageFn) -> None:
  path = image("gpt-4k")
  with path.open("r+b") as handle:
    handle.seek(4096)
    handle.write(bytes(4096))
  with kpartx.Mapped(str(path)) as mapping:
    assert kpartx.FirstPartition(mapping).number == 2
  with path.open("r+b") as handle:
    handle.seek(-4096, os.SEEK_END)
    handle.write(bytes(4096))
  with pytest.raises(errors.BlockDeviceError, match="backup GPT header"):
    kpartx.MapDisk(str(path))


def test_ambivalent_signatures_name_no_type(image: ImageFn) -> None:
  """Neither of two file systems is taken for the one on the device.

  blkid of util-linux 2.38 says so (status 8), that of 2.41 says that there
  is nothing (status 2).

  """
  path = image("bare-ext4")
  with path.open("r+b") as handle:
    # ext4 leaves its first 1024 bytes alone, XFS begins there.
    handle.write(image("bare-xfs").read_bytes()[:512])
  with kpartx.Mapped(str(path)) as mapping:
    try:
      said = str(kpartx.ProbeFilesystem(mapping.device))
    except errors.BlockDeviceError as err:
      said = str(err)
  assert said == "None" or "signatures of several" in said


def test_two_mappings_of_one_file_are_apart(image: ImageFn) -> None:
  path = str(image("gpt-one"))
  with kpartx.Mapped(path) as first:
    with kpartx.Mapped(path) as second:
      assert first.loop != second.loop
    assert loop_mapping.is_attached(first)
    assert not loop_mapping.is_attached(second)


def test_a_deleted_file_is_unmapped(image: ImageFn) -> None:
  path = image("gpt-one")
  mapping = kpartx.MapDisk(str(path))
  path.unlink()
  kpartx.UnmapDisk(mapping.ToDict())
  assert not loop_mapping.is_attached(mapping)


def test_stale_partitions_of_the_last_user_are_dropped(
  image: ImageFn, private_loop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
  loop = loop_device.path_of(private_loop)
  disks.run("losetup", loop, str(image("gpt-many")))
  disks.run("partx", "--add", loop)
  disks.run("losetup", "--detach", loop)
  assert len(loop_device.partition_numbers(loop)) == 40
  monkeypatch.setattr(loop_device, "next_free", lambda _: private_loop)
  with kpartx.Mapped(str(image("gpt-cloud"))) as mapping:
    assert mapping.loop == loop
    assert loop_device.partition_numbers(loop) == [1, 14, 15, 16]
  assert loop_device.partition_numbers(loop) == []


def test_a_loop_whose_stale_partition_is_in_use_is_passed_over(
  image: ImageFn, private_loop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
  loop = loop_device.path_of(private_loop)
  free = loop_device.next_free
  monkeypatch.setattr(
    loop_device,
    "next_free",
    lambda rejected: free(frozenset()) if rejected else private_loop,
  )
  drop = loop_mapping._drop_partitions
  monkeypatch.setattr(
    loop_mapping, "_drop_partitions", lambda disk: disk != loop and drop(disk)
  )
  monkeypatch.setattr(loop_mapping, "_STALE_TIMEOUT", 0)
  with kpartx.Mapped(str(image("gpt-cloud"))) as mapping:
    assert mapping.loop != loop
    assert loop_device.status_of(loop) is None


def test_a_fifo_is_refused_at_once(tmp_path: pathlib.Path) -> None:
  os.mkfifo(tmp_path / "fifo")
  with pytest.raises(errors.BlockDeviceError, match="neither a regular file"):
    kpartx.MapDisk(str(tmp_path / "fifo"))


def test_no_such_disk(tmp_path: pathlib.Path) -> None:
  with pytest.raises(errors.BlockDeviceError, match="No such file"):
    kpartx.MapDisk(str(tmp_path / "absent"))


@contextlib.contextmanager
def block_device(path: pathlib.Path) -> Iterator[str]:
  """A block device which is no file: a loop device that losetup made."""
  device = disks.attach(path)
  try:
    yield device
  finally:
    disks.run("losetup", "--detach", device)


def test_a_bare_block_device_gets_no_loop(image: ImageFn) -> None:
  with block_device(image("bare-ext4")) as device:
    with kpartx.Mapped(device) as mapping:
      assert (mapping.device, mapping.loop) == (device, None)
      assert mapping.mechanism is kpartx.Mechanism.NONE
      assert kpartx.FirstPartition(mapping).device == device
    assert loop_device.status_of(device) is not None


@pytest.mark.parametrize("name", ["gpt-cloud", "dos-logical"])
def test_a_block_device_without_device_mapper(
  image: ImageFn, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
  monkeypatch.setattr(kpartx.partition_maps, "is_available", lambda: False)
  with block_device(image(name)) as device, kpartx.Mapped(device) as mapping:
    assert mapping.source == device
    assert mapping.loop not in (None, device)
    root = kpartx.FirstPartition(mapping)
    assert root.number == disks.BY_NAME[name].root
    # As a mount has it.
    with loop_device.opened(root.device, os.O_RDONLY | os.O_EXCL):
      assert "attached to" in (kpartx.InUse(device) or "")
