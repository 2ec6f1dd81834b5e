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

"""Growing a disk, its partition and its file system while it is mounted."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

import pytest
from ganeti import errors
from ganeti.storage import kpartx
from integration import disks

ImageFn = Callable[[str], pathlib.Path]


@contextlib.contextmanager
def mounted_root(
  mapping: kpartx.Mapping, point: pathlib.Path
) -> Iterator[kpartx.MappedPartition]:
  root = kpartx.FirstPartition(mapping)
  point.mkdir()
  disks.run("mount", root.device, str(point))
  try:
    yield root
  finally:
    disks.run("umount", str(point))


def device_size(path: str) -> int:
  return int(disks.run("blockdev", "--getsize64", path))


@pytest.mark.parametrize("name", ["gpt-one", "gpt-cloud", "dos-one", "gpt-4k"])
def test_a_mounted_partition_grows(
  image: ImageFn, tmp_path: pathlib.Path, name: str
) -> None:
  path = image(name)
  with kpartx.Mapped(str(path)) as mapping:
    with mounted_root(mapping, tmp_path / "root") as root:
      os.truncate(path, 192 * disks.MIB)
      grown = kpartx.GrowDisk(mapping, root.number)
      size = device_size(root.device)
      assert size > root.size + 100 * disks.MIB
      assert size in {p.size for p in grown.partitions}
      (tmp_path / "root" / "file").write_text("still works")
      assert kpartx.GrowDisk(grown, root.number) == grown
    # After an orderly unmount the file system is sound
    disks.run("e2fsck", "-fn", root.device)
  unit = disks.BY_NAME[name].sector_size
  entries = disks.sfdisk_table(path, unit)["partitions"]
  assert max(entry["size"] * unit for entry in entries) == size
  if name.startswith("gpt"):
    # The backup has moved to the new end and says the same as the primary
    with path.open("r+b") as handle:
      handle.seek(unit)
      handle.write(bytes(unit))
    partitions = kpartx.ReadTable(str(path)).partitions
    assert max(p.size for p in partitions) == size


def test_the_file_system_can_follow(
  image: ImageFn, tmp_path: pathlib.Path
) -> None:
  path = image("gpt-xfs")
  with (
    kpartx.Mapped(str(path)) as mapping,
    mounted_root(mapping, tmp_path / "root") as root,
  ):
    before = os.statvfs(tmp_path / "root").f_blocks
    os.truncate(path, 1024 * disks.MIB)
    kpartx.GrowDisk(mapping, root.number)
    disks.run("xfs_growfs", str(tmp_path / "root"))
    assert os.statvfs(tmp_path / "root").f_blocks > 1.8 * before


@pytest.mark.vm  # ext4 asks for CAP_SYS_RESOURCE, which this machine withholds
def test_ext4_can_follow(image: ImageFn, tmp_path: pathlib.Path) -> None:
  path = image("gpt-one")
  with (
    kpartx.Mapped(str(path)) as mapping,
    mounted_root(mapping, tmp_path / "root") as root,
  ):
    before = os.statvfs(tmp_path / "root").f_blocks
    os.truncate(path, 192 * disks.MIB)
    kpartx.GrowDisk(mapping, root.number)
    disks.run("resize2fs", root.device)
    assert os.statvfs(tmp_path / "root").f_blocks > 2 * before


@pytest.mark.parametrize("name", ["bare-ext4", "dos-logical"])
def test_the_disk_alone_grows(image: ImageFn, name: str) -> None:
  path = image(name)
  with kpartx.Mapped(str(path)) as mapping:
    os.truncate(path, 128 * disks.MIB)
    assert kpartx.GrowDisk(mapping) == mapping
    size = int(disks.run("blockdev", "--getsize64", mapping.device))
    assert size == 128 * disks.MIB


@pytest.mark.parametrize(
  ("name", "number", "why"),
  [
    ("gpt-cloud", 16, "not the last"),
    ("dos-logical", 7, "not the last"),
    ("dos-many", 24, "logical"),
    ("bare-ext4", 1, "not the last"),
  ],
)
def test_what_is_not_grown(
  image: ImageFn, name: str, number: int, why: str
) -> None:
  path = image(name)
  with kpartx.Mapped(str(path)) as mapping:
    os.truncate(path, 128 * disks.MIB)
    with pytest.raises(errors.BlockDeviceError, match=why):
      kpartx.GrowDisk(mapping, number)


def test_a_table_changed_since_is_refused(image: ImageFn) -> None:
  path = image("dos-one")
  with kpartx.Mapped(str(path)) as mapping:
    script = "label: dos\n,8M,83\n,,83\n"
    options = ["--quiet", "--no-reread", "--no-tell-kernel", "--force"]
    disks.run("sfdisk", *options, mapping.device, stdin=script)
    with pytest.raises(errors.BlockDeviceError, match="no longer the one"):
      kpartx.GrowDisk(mapping, 1)


def test_a_loop_device_of_others_is_left_alone(image: ImageFn) -> None:
  mapping = kpartx.MapDisk(str(image("dos-one")))
  kpartx.UnmapDisk(mapping)
  with pytest.raises(errors.BlockDeviceError, match="no longer attached"):
    kpartx.GrowDisk(mapping, 1)
