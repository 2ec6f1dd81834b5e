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

"""From what Ganeti hands over to what the guest gets."""

import dataclasses
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import disks, growth, record
from ganeti.hypervisor.hv_lxc.errors import Failed, Refused
from ganeti.hypervisor.hv_lxc.model import DiskSpec
from ganeti.hypervisor.hv_lxc.record import DiskRecord, Phase, Record
from unit.hypervisor.hv_lxc.fakes import BOOT_ID, NAME, UUID, FakeLxc


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path)
  node.paths().home.mkdir(parents=True)
  return node


def attach(
  node: FakeLxc, disk: DiskSpec, *, as_block: bool = False
) -> tuple[DiskRecord, list[DiskRecord]]:
  notes: list[DiskRecord] = []
  found = disks.attach(
    node.host,
    node.storage,
    node.paths(),
    disk,
    name=NAME,
    note=notes.append,
    as_block=as_block,
  )
  return found, notes


def test_the_root_is_on_the_likeliest_partition(node: FakeLxc) -> None:
  disk = node.disk(0, fs_type=None)
  path = str(disk.path)
  node.storage.partitions[path] = ((f"{path}p1", 1), (f"{path}p3", 3))
  node.storage.filesystems.update({f"{path}p1": "vfat", f"{path}p3": "xfs"})
  found, notes = attach(node, disk)
  assert (found.partition, found.filesystem) == (3, "xfs")
  assert found.device == f"{path}p3"
  assert found.mount_point == str(node.paths().rootfs)
  assert notes[-1] == found


def test_all_is_noted_before_it_is_done(node: FakeLxc) -> None:
  disk = node.disk(1)
  found, notes = attach(node, disk)
  assert [bool(n.mapping) for n in notes] == [True] * len(notes)
  assert notes[0].mapping["complete"] is False
  assert notes[-1].mount_point == found.mount_point


@pytest.mark.parametrize("as_block", [True, False])
def test_a_further_disk_without_a_file_system_is_a_device(
  node: FakeLxc, as_block: bool
) -> None:
  found, _ = attach(node, node.disk(1, fs_type=None), as_block=as_block)
  assert found.mount_point == ""
  assert node.run.calls == []
  assert not node.paths().disk(1).exists()


def test_a_disk_that_is_to_be_a_device_is_not_even_looked_at(
  node: FakeLxc,
) -> None:
  seen: list[str] = []
  node.storage.before = seen.append
  attach(node, node.disk(1), as_block=True)
  assert not any(what.startswith("filesystem") for what in seen)


def test_a_disk_in_use_is_not_touched(node: FakeLxc) -> None:
  disk = node.disk(0)
  node.storage.busy[str(disk.path)] = "mounted at /mnt"
  with pytest.raises(Refused, match="mounted at /mnt"):
    attach(node, disk)
  assert node.storage.attached == []


def test_no_root_says_what_was_looked_for(node: FakeLxc) -> None:
  with pytest.raises(Failed, match=r"ext4.*gnt-instance reinstall"):
    attach(node, node.disk(0, fs_type="swap"))


def test_release_undoes_and_may_be_repeated(node: FakeLxc) -> None:
  found, _ = attach(node, node.disk(0))
  for _ in range(2):
    disks.release(node.host, node.storage, found)
  assert node.mounted() == []
  assert node.storage.attached == []


def test_release_of_every_state_of_completion(node: FakeLxc) -> None:
  _, notes = attach(node, node.disk(0))
  for note in notes:
    disks.release(node.host, node.storage, note)
    assert node.storage.attached == []
    attach(node, node.disk(0))


def test_what_the_guest_finds(node: FakeLxc) -> None:
  noted = DiskRecord(
    index=2, uuid="x", source="/x", device="/dev/null", mount_point="/m"
  )
  mounted = disks.guest_mount(noted, read_only=True)
  assert (mounted.target, mounted.read_only) == ("mnt/disk2", True)
  assert not mounted.target.startswith("/")
  device = disks.guest_device(noted, read_only=False)
  assert (device.node, device.major, device.minor) == ("gnt-disk2", 1, 3)


# Growing


def noted(node: FakeLxc, **changes: object) -> None:
  disk = DiskRecord(
    index=0,
    uuid="disk-0",
    source="/x",
    mapping={"path": "/x"},
    device="/dev/loop3p2",
    partition=2,
    filesystem="ext4",
    mount_point="/m",
  )
  record.save(
    node.paths(),
    Record(
      name=NAME,
      uuid=UUID,
      boot_id=BOOT_ID,
      phase=Phase.RUNNING,
      disks=(dataclasses.replace(disk, **changes),),
    ),
  )


def grow(node: FakeLxc, uuid: str = "disk-0") -> None:
  growth.grow(node.host, node.storage, NAME, uuid)


@pytest.mark.parametrize(
  ("fs_type", "argv"),
  [
    ("ext4", ("resize2fs", "/dev/loop3p2")),
    ("ext2", ("resize2fs", "/dev/loop3p2")),
    ("xfs", ("xfs_growfs", "/m")),
    ("btrfs", ("btrfs", "filesystem", "resize", "max", "/m")),
  ],
)
def test_each_file_system_by_its_own_tool(
  node: FakeLxc, fs_type: str, argv: tuple[str, ...]
) -> None:
  noted(node, filesystem=fs_type)
  node.run.on(argv[0], 0)
  grow(node)
  assert node.run.calls == [argv]
  assert node.storage.grown == [({"path": "/x"}, 2)]
  saved = record.load(node.host, node.paths())
  assert saved is not None
  assert saved.disks[0].mapping["grown"]


def test_a_disk_without_partitions(node: FakeLxc) -> None:
  noted(node, partition=0)
  node.run.on("resize2fs", 0)
  grow(node)
  assert node.storage.grown[0][1] is None


def test_a_device_that_is_the_guests_has_no_file_system_of_ours(
  node: FakeLxc,
) -> None:
  noted(node, mount_point="", filesystem="")
  grow(node)
  assert node.run.calls == []
  assert node.storage.grown


def test_a_disk_that_was_added_since(node: FakeLxc) -> None:
  noted(node)
  with pytest.raises(Refused, match=r"does not use disk disk-7"):
    grow(node, "disk-7")
  assert node.storage.grown == []


def test_an_instance_that_does_not_run(node: FakeLxc) -> None:
  with pytest.raises(Refused, match="does not use disk"):
    grow(node)


def test_a_tool_that_fails(node: FakeLxc) -> None:
  noted(node)
  node.run.on("resize2fs", 1)
  with pytest.raises(Failed, match=r"not enlarged: resize2fs .*status 1"):
    grow(node)
