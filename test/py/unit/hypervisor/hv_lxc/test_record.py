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

"""The runtime record: what it says, and when it says nothing."""

import dataclasses
import json
import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import record
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.model import NicMode
from ganeti.hypervisor.hv_lxc.record import DiskRecord, Phase, Record
from unit.hypervisor.hv_lxc.fakes import BOOT_ID, NAME, UUID, FakeLxc

DISK = DiskRecord(
  index=1,
  uuid="disk-1",
  source="/dev/drbd3",
  mapping={"loop": "/dev/loop4", "partitions": [1, 2]},
  device="/dev/loop4p2",
  partition=2,
  filesystem="ext4",
  mount_point="/var/lib/ganeti/lxc/web1/disks/1",
)
RECORD = Record(
  name=NAME,
  uuid=UUID,
  boot_id=BOOT_ID,
  phase=Phase.RUNNING,
  disks=(dataclasses.replace(DISK, index=0, uuid="disk-0"), DISK),
  nics=({"index": 0, "host_name": "tap0"},),
)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path)
  node.paths().home.mkdir(parents=True)
  return node


@pytest.mark.parametrize("phase", Phase)
def test_round_trip(node: FakeLxc, phase: Phase) -> None:
  noted = RECORD.in_phase(phase)
  record.save(node.paths(), noted)
  assert record.load(node.host, node.paths()) == noted


@pytest.mark.parametrize("mode", NicMode)
def test_ports_of_open_vswitch_are_still_known_after_a_power_cut(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch, mode: NicMode
) -> None:
  """The switch keeps them; nothing else of a record is there after a boot."""
  synced: list[int] = []
  monkeypatch.setattr(os, "fsync", synced.append)
  nics = ({"index": 0, "mode": mode.value},)
  record.save(node.paths(), dataclasses.replace(RECORD, nics=nics))
  assert bool(synced) is (mode is NicMode.OVS)


def test_unknown_keys_of_a_later_release_are_passed_over() -> None:
  data = json.loads(RECORD.to_text())
  data["from_the_future"] = {"a": 1}
  data["disks"][0]["from_the_future"] = 2
  assert record.from_text(json.dumps(data)) == RECORD


def test_keys_that_an_earlier_release_did_not_write() -> None:
  data = json.loads(RECORD.to_text())
  del data["disks"][1]["partition"]
  del data["version"]
  assert record.from_text(json.dumps(data)).disks[1].partition == 0


@pytest.mark.parametrize(
  "text",
  [
    "",
    "{",
    "null",
    "[]",
    "3",
    '"x"',
    "{}",
    RECORD.to_text()[:-40],
    RECORD.to_text().replace("running", "dancing"),
    RECORD.to_text().replace('"disks": [', '"disks": 3, "old": ['),
    RECORD.to_text().replace('"disks": [', '"disks": [7,'),
    RECORD.to_text().replace('"disks": [', '"disks": [{},'),
    RECORD.to_text().replace('"nics": [', '"nics": ["x",'),
    RECORD.to_text().replace('"nics": [', '"nics": null, "old": ['),
    RECORD.to_text().replace('"boot_id"', '"boot"'),
  ],
)
def test_a_damaged_record_is_told_and_taken_for_none(
  node: FakeLxc, text: str
) -> None:
  node.paths().record.write_text(text)
  with pytest.raises(Incomplete, match=r"record\.json is damaged") as caught:
    record.load(node.host, node.paths())
  assert str(caught.value).isprintable()
  assert record.load_or_none(node.host, node.paths()) is None


def test_no_record_is_none(node: FakeLxc) -> None:
  assert record.load(node.host, node.paths()) is None


def test_no_directory_is_none(node: FakeLxc) -> None:
  assert record.load(node.host, node.paths("other")) is None


def test_a_record_of_another_boot_is_none(node: FakeLxc) -> None:
  record.save(node.paths(), RECORD)
  node.write("proc/sys/kernel/random/boot_id", "another\n")
  assert record.load(node.host, node.paths()) is None


def test_with_disk_replaces_and_keeps_the_order() -> None:
  changed = dataclasses.replace(DISK, index=0, filesystem="xfs")
  disks = RECORD.with_disk(changed).disks
  assert [(d.index, d.filesystem) for d in disks] == [(0, "xfs"), (1, "ext4")]


def test_an_unfinished_write_leaves_the_old_record(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  record.save(node.paths(), RECORD)

  def interrupted(*_args: object) -> None:
    raise KeyboardInterrupt

  monkeypatch.setattr(pathlib.Path, "replace", interrupted)
  with pytest.raises(KeyboardInterrupt):
    record.save(node.paths(), RECORD.in_phase(Phase.STOPPING))
  assert record.load(node.host, node.paths()) == RECORD
  assert list(node.paths().home.iterdir()) == [node.paths().record]


def test_only_root_reads_it(node: FakeLxc) -> None:
  record.save(node.paths(), RECORD)
  assert node.paths().record.stat().st_mode & 0o777 == 0o600
