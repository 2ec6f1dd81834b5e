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

"""Device-mapper through kpartx: commands, what they print, what is checked.

The outputs follow kpartx.c; the kernel these tests run on need not have
device-mapper.
"""

import dataclasses
import pathlib
import subprocess
from typing import Any

import pytest
from ganeti import errors
from ganeti.storage import (
  disk_mapping,
  kpartx,
  loop_device,
  partition_maps,
  programs,
)

ADDED = """\
add map vg-disk0.ganeti1 (253:4): 0 20480 linear 253:1 2048
add map vg-disk0.ganeti2 (253:5): 0 2 linear 253:1 22528
add map vg-disk0.ganeti5 (253:6): 0 16384 linear 253:1 24576
"""


def partition(number: int, start: int, size: int) -> kpartx.MappedPartition:
  return kpartx.MappedPartition(
    number=number,
    device="",
    devno="",
    start=start * 512,
    size=size * 512,
    type="83",
  )


PLAN = kpartx.Mapping(
  source="/dev/mapper/vg-disk0",
  mechanism=kpartx.Mechanism.DEVICE_MAPPER,
  device="/dev/mapper/vg-disk0",
  devno="253:1",
  loop=None,
  tag="ganeti-0",
  boot_id="boot",
  scheme=kpartx.Scheme.DOS,
  sector_size=512,
  read_only=False,
  partitions=(partition(1, 2048, 20480), partition(5, 24576, 16384)),
)


@pytest.fixture
def maps(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  """The holders of 253:1 in a /sys/dev/block of our own."""
  monkeypatch.setattr(partition_maps, "_SYS_DEVICES", tmp_path)
  monkeypatch.setattr(partition_maps, "_POLL_INTERVAL", 0.001)
  directory = tmp_path / "253:1" / "holders"
  directory.mkdir(parents=True)
  return directory


def add_map(maps: pathlib.Path, device: str, name: str, devno: str) -> None:
  (maps / device / "dm").mkdir(parents=True)
  (maps / device / "dm" / "name").write_text(f"{name}\n")
  (maps / device / "dev").write_text(f"{devno}\n")


def test_commands() -> None:
  source = "/dev/mapper/x"
  assert partition_maps.add_argv(source, read_only=True) == [
    "kpartx", "-a", "-v", "-s", "-p", ".ganeti", "-r", source,
  ]  # fmt: skip
  assert partition_maps.delete_argv(source) == [
    "kpartx", "-d", "-v", "-s", "-p", ".ganeti", source,
  ]  # fmt: skip


def test_maps_are_taken_from_the_output() -> None:
  mapped = partition_maps.completed(PLAN, ADDED)
  assert [(p.number, p.device, p.devno) for p in mapped.partitions] == [
    (1, "/dev/mapper/vg-disk0.ganeti1", "253:4"),
    (5, "/dev/mapper/vg-disk0.ganeti5", "253:6"),
  ]


@pytest.mark.parametrize(
  "output",
  [
    "",
    ADDED.replace("ganeti5", "ganeti6"),
    ADDED.replace("0 16384", "0 16385"),
    ADDED.replace("24576", "24577"),
  ],
)
def test_another_reading_of_the_table_is_refused(output: str) -> None:
  with pytest.raises(errors.BlockDeviceError, match="read the partition table"):
    partition_maps.completed(PLAN, output)


def test_only_our_maps_are_seen(maps: pathlib.Path) -> None:
  add_map(maps, "dm-4", "vg-disk0.ganeti1", "253:4")
  add_map(maps, "dm-5", "vg-disk0p1", "253:5")
  assert partition_maps.partition_maps("253:1") == {
    "/dev/mapper/vg-disk0.ganeti1": "253:4"
  }
  assert partition_maps.partition_maps("253:9") == {}


def test_removal_is_repeated_until_nothing_is_left(maps: pathlib.Path) -> None:
  add_map(maps, "dm-4", "vg-disk0.ganeti1", "253:4")
  calls: list[list[str]] = []

  def run(argv: list[str]) -> None:
    calls.append(argv)
    if len(calls) == 2:
      (maps / "dm-4" / "dm" / "name").unlink()

  partition_maps.remove_maps(PLAN.source, PLAN.devno, 5.0, run)
  assert calls == [partition_maps.delete_argv(PLAN.source)] * 2


def test_maps_in_use_are_named(
  maps: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  add_map(maps, "dm-4", "vg-disk0.ganeti1", "253:4")
  monkeypatch.setattr(
    partition_maps.device_users, "describe", lambda _: "mounted on /x"
  )
  with pytest.raises(errors.BlockDeviceError) as caught:
    partition_maps.remove_maps(PLAN.source, PLAN.devno, 0.01, lambda argv: None)
  assert "/dev/mapper/vg-disk0.ganeti1 still in use" in str(caught.value)
  assert "mounted on /x" in str(caught.value)


def test_maps_of_a_disk_whose_record_is_lost(
  maps: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A failover could not take the disk from the node."""
  add_map(maps, "dm-4", "vg-disk0.ganeti1", "253:4")
  device = tmp_path / "disk0"
  device.touch()
  calls: list[list[str]] = []

  def run(argv: list[str]) -> None:
    calls.append(argv)
    (maps / "dm-4" / "dm" / "name").unlink()

  monkeypatch.setattr(programs, "run", run)
  monkeypatch.setattr(loop_device, "attached", list)
  monkeypatch.setattr(kpartx.device_users, "devno_of", lambda _: "253:1")
  kpartx.UnmapLost("web1", [str(device)])
  kpartx.UnmapLost("web1", [str(device)])
  assert calls == [partition_maps.delete_argv(str(device))]


def test_maps_of_an_earlier_boot_are_not_looked_for(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(kpartx, "_BootId", lambda: "another boot")
  monkeypatch.setattr(partition_maps, "remove_maps", pytest.fail)
  kpartx.UnmapDisk(PLAN)


@pytest.mark.parametrize(
  ("misc", "available"),
  [("237 loop-control\n", False), ("236 device-mapper\n", True)],
)
def test_the_driver_is_asked_for_not_the_node(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  misc: str,
  available: bool,
) -> None:
  (tmp_path / "misc").write_text(misc)
  (tmp_path / "control").touch()
  monkeypatch.setattr(partition_maps, "_MISC", tmp_path / "misc")
  monkeypatch.setattr(partition_maps, "_CONTROL", str(tmp_path / "control"))
  assert partition_maps.is_available() is available


def test_paths_by_name(tmp_path: pathlib.Path, maps: pathlib.Path) -> None:
  (tmp_path / "253:1" / "dm").mkdir()
  (tmp_path / "253:1" / "dm" / "name").write_text("vg-disk0\n")
  stable = partition_maps.stable_path
  assert stable("/dev/dm-1", "253:1") == "/dev/mapper/vg-disk0"
  assert stable("/dev/drbd0", "147:0") == "/dev/drbd0"


def answers(
  monkeypatch: pytest.MonkeyPatch, exit_code: int, stdout: str
) -> None:
  def run(argv: list[str]) -> programs.Result:
    how = f"exited with exit code {exit_code}"
    return programs.Result(tuple(argv), exit_code, how, stdout)

  monkeypatch.setattr(programs, "run", run)


@pytest.mark.parametrize(
  ("exit_code", "stdout", "kind"),
  [
    (0, "DEVNAME=/dev/x\nUUID=1=2\nTYPE=ext4\nUSAGE=filesystem\n", "ext4"),
    (0, "DEVNAME=/dev/x\nTYPE=swap\nUSAGE=other\n", None),
    (0, "DEVNAME=/dev/x\nTYPE=LVM2_member\nUSAGE=raid\n", None),
    (0, "DEVNAME=/dev/x\nPTTYPE=gpt\n", None),
    (2, "", None),
  ],
)
def test_probing(
  monkeypatch: pytest.MonkeyPatch,
  exit_code: int,
  stdout: str,
  kind: str | None,
) -> None:
  answers(monkeypatch, exit_code, stdout)
  assert kpartx.ProbeFilesystem("/dev/x") == kind


@pytest.mark.parametrize(
  ("exit_code", "words"), [(8, "signatures of several"), (4, "usage: blkid")]
)
def test_probing_fails(
  monkeypatch: pytest.MonkeyPatch, exit_code: int, words: str
) -> None:
  answers(monkeypatch, exit_code, "usage: blkid")
  with pytest.raises(errors.BlockDeviceError, match=words):
    kpartx.ProbeFilesystem("/dev/x")


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
  def missing(*_: Any, **__: Any) -> Any:
    raise FileNotFoundError(2, "No such file or directory")

  monkeypatch.setattr(subprocess, "Popen", missing)
  with pytest.raises(errors.BlockDeviceError, match="Can't run blkid"):
    kpartx.ProbeFilesystem("/dev/x")


def choose(
  monkeypatch: pytest.MonkeyPatch,
  contents: dict[str, str | None],
  *types_: str,
) -> kpartx.MappedPartition:
  monkeypatch.setattr(kpartx, "ProbeFilesystem", contents.__getitem__)
  partitions = tuple(
    dataclasses.replace(partition(i, i, 1), device=f"d{i}", type=kind)
    for i, kind in enumerate(types_, 1)
  )
  return kpartx.FirstPartition(dataclasses.replace(PLAN, partitions=partitions))


def test_the_choice_of_a_root(monkeypatch: pytest.MonkeyPatch) -> None:
  contents: dict[str, str | None] = {"d3": None, "d4": "xfs", "d5": "ext4"}
  kinds = ["ef", "82", "83", "83", "83"]
  assert choose(monkeypatch, contents, *kinds).number == 4
  kinds[4] = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
  assert choose(monkeypatch, contents, *kinds).number == 5
  contents = {"d1": "vfat", "d2": None}
  with pytest.raises(errors.BlockDeviceError) as caught:
    choose(monkeypatch, contents, "c", "83", "82")
  assert "1 (vfat), 2 (no file system), 3 (swap)" in str(caught.value)


def test_a_record_is_read_back() -> None:
  record = PLAN.ToDict()
  assert record["version"] == 1
  assert kpartx.Mapping.FromDict({**record, "of the future": 1}) == PLAN


@pytest.mark.parametrize("key", sorted(PLAN.ToDict().keys() - {"version"}))
@pytest.mark.parametrize("value", [7.5, "absent"])
def test_a_damaged_record(key: str, value: Any) -> None:
  record = {**PLAN.ToDict(), key: value}
  if value == "absent":
    del record[key]
  with pytest.raises(errors.BlockDeviceError, match="record of a disk's"):
    kpartx.Mapping.FromDict(record)


def test_the_record_needs_no_type_of_ours() -> None:
  def check(value: Any) -> None:
    assert type(value) in (dict, list, str, int, bool, type(None)), value
    if isinstance(value, dict):
      value = [*value, *value.values()]
    for part in value if isinstance(value, list) else []:
      check(part)

  check(disk_mapping.Mapping.ToDict(PLAN))
