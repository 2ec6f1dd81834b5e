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
"""The OS scripts on real disks, checked by the file systems' own tools."""

import json
import os
import pathlib
import subprocess
from collections.abc import Callable

import pytest
from integration import disks

OS_DIR = pathlib.Path(__file__).resolve().parents[4] / "qa" / "os"
MIB = 1 << 20
ROOT_UUID = "6a6e7469-0000-4c58-8c00-000000000001"

MakeFn = Callable[..., pathlib.Path]


def script(
  name: str, disk: pathlib.Path, **env: str
) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [OS_DIR / "busybox" / name],
    env={
      "PATH": os.environ["PATH"],
      "OS_NAME": "busybox",
      "INSTANCE_NAME": "web.example.com",
      "DISK_COUNT": "1",
      "DISK_0_PATH": str(disk),
      **env,
    },
    capture_output=True,
    text=True,
  )


@pytest.fixture
def installed(tmp_path: pathlib.Path) -> MakeFn:
  def make(*, size_mib: int = 1024, **env: str) -> pathlib.Path:
    disk = tmp_path / "disk"
    if not disk.exists():
      disk.touch()
      os.truncate(disk, size_mib * MIB)
    result = script("create", disk, **env)
    assert (result.returncode, result.stderr) == (0, "")
    assert disk.stat().st_size == size_mib * MIB
    return disk

  return make


def offset_of(disk: pathlib.Path, label: str | None) -> int:
  if label is None:
    return 0
  table = json.loads(disks.run("sfdisk", "--json", str(disk)))
  assert table["partitiontable"]["label"] == label
  (partition,) = table["partitiontable"]["partitions"]
  assert (partition["start"] + partition["size"]) * 512 <= disk.stat().st_size
  return int(partition["start"]) * 512


def in_ext4(disk: pathlib.Path, command: str, offset: int = MIB) -> str:
  where = f"{disk}?offset={offset}" if offset else str(disk)
  return disks.run("debugfs", "-R", command, where)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize(
  ("layout", "label"), [("partitioned", "dos"), ("gpt", "gpt"), ("bare", None)]
)
def test_every_layout_with_every_file_system(
  installed: MakeFn, layout: str, label: str | None, kind: str
) -> None:
  disk = installed(OSP_LAYOUT=layout, OSP_FS=kind)
  offset = offset_of(disk, label)
  found = disks.run(
    "blkid", "--probe", "--offset", str(offset), "--output", "export", str(disk)
  )
  assert f"TYPE={kind}" in found.splitlines()
  # clones have the same on purpose
  assert f"UUID={ROOT_UUID}" in found.splitlines()
  if kind == "ext4":
    where = f"{disk}?offset={offset}" if offset else str(disk)
    disks.run("e2fsck", "-f", "-n", where)


def test_installing_again_leaves_nothing_of_the_first(
  installed: MakeFn,
) -> None:
  installed(OSP_LAYOUT="gpt", OSP_FS="btrfs")
  disk = installed(OSP_LAYOUT="bare", OSP_FS="ext4")
  found = disks.run("blkid", "--probe", "--output", "export", str(disk))
  assert "TYPE=ext4" in found.splitlines()
  assert "PTTYPE" not in found


def test_names_address_and_owner(installed: MakeFn) -> None:
  disk = installed(
    NIC_COUNT="1", NIC_0_IP="10.1.2.3", NIC_0_NETWORK_SUBNET="10.1.0.0/16"
  )
  assert in_ext4(disk, "cat /etc/hostname") == "web\n"
  assert "netmask 255.255.0.0" in in_ext4(disk, "cat /etc/network/interfaces")
  status = in_ext4(disk, "stat /etc/hostname")
  assert "Mode:  0644" in status
  assert "User:     0   Group:     0" in status


def test_rename_and_a_copy_through_export_and_import(
  installed: MakeFn, tmp_path: pathlib.Path
) -> None:
  disk = installed()
  result = script("rename", disk, INSTANCE_NAME="db.example.com")
  assert result.returncode == 0
  copy = tmp_path / "copy"
  copy.touch()
  os.truncate(copy, disk.stat().st_size)
  environment = {"PATH": os.environ["PATH"]}
  with subprocess.Popen(
    [OS_DIR / "busybox/export"],
    env={**environment, "EXPORT_DEVICE": str(disk)},
    stdout=subprocess.PIPE,
  ) as export:
    subprocess.run(
      [OS_DIR / "busybox/import"],
      env={**environment, "IMPORT_DEVICE": str(copy)},
      stdin=export.stdout,
      check=True,
    )
  assert export.returncode == 0
  disks.run("cmp", str(disk), str(copy))
  assert in_ext4(copy, "cat /etc/hostname") == "db\n"


def test_hostile_links_lie_in_the_image(installed: MakeFn) -> None:
  disk = installed(OSP_HOSTILE="all")
  for name in ("dev", "proc", "sys", "etc", "run", "tmp", "sbin/init"):
    status = in_ext4(disk, f"stat /{name}")
    assert f'Fast link dest: "/var/tmp/ganeti-lxc-hostile/{name}"' in status


def test_disk_too_small_is_said_and_nothing_mounted(
  tmp_path: pathlib.Path,
) -> None:
  disk = tmp_path / "disk"
  disk.touch()
  os.truncate(disk, 16 * MIB)
  result = script("create", disk)
  assert result.returncode == 1
  assert "the guest needs 128 MiB, the disk has room for 15" in result.stderr
  assert str(disk) not in pathlib.Path("/proc/self/mounts").read_text()


def test_second_disk_with_a_file_system(
  installed: MakeFn, tmp_path: pathlib.Path
) -> None:
  data = tmp_path / "data"
  data.touch()
  os.truncate(data, 64 * MIB)
  installed(DISK_COUNT="2", DISK_1_PATH=str(data), OSP_DATA="ext4")
  assert "TYPE=ext4" in disks.run("blkid", "-p", "-o", "export", str(data))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_beside_a_clone_that_is_attached(
  installed: MakeFn, tmp_path: pathlib.Path, kind: str
) -> None:
  first = installed(OSP_LAYOUT="bare", OSP_FS=kind)
  first = first.rename(tmp_path / "first")
  device = disks.attach(first)
  try:
    disks.run("blkid", "--probe", device)
    second = installed(OSP_LAYOUT="bare", OSP_FS=kind)
  finally:
    disks.run("losetup", "--detach", device)
  assert ROOT_UUID in disks.run("blkid", "--probe", str(second))
