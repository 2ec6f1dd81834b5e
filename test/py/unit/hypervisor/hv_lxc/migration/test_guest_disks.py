#
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

"""Disks that were changed in Ganeti while the guest ran."""

from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import record
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import guest_disks
from ganeti.hypervisor.hv_lxc.model import DiskSpec
from ganeti.hypervisor.hv_lxc.record import DiskRecord, Phase, Record
from unit.hypervisor.hv_lxc.fakes import NAME, UUID, FakeLxc

TOLD = ((0, "root"), (1, "data"))


@pytest.fixture
def node(tmp_path: Path) -> FakeLxc:
  """Where the guest was started with two disks."""
  node = FakeLxc(tmp_path)
  disks = tuple(
    DiskRecord(
      index=index, uuid=uuid, source=f"/srv/{uuid}", mount_point=f"/m/{index}"
    )
    for index, uuid in TOLD
  )
  paths = node.paths()
  paths.home.mkdir(parents=True)
  made = Record(
    name=NAME,
    uuid=UUID,
    boot_id=node.host.boot_id(),
    phase=Phase.RUNNING,
    disks=disks,
  )
  record.save(paths, made)
  return node


def spec(index: int, uuid: str) -> DiskSpec:
  """As Ganeti's link with that number has it, which can be another disk."""
  return DiskSpec(index=index, uuid=uuid, path=Path(f"/links/{index}"))


def shown(specs: tuple[DiskSpec, ...]) -> list[tuple[int, str, str]]:
  return [(disk.index, disk.uuid, str(disk.path)) for disk in specs]


def test_a_disk_that_was_detached_is_told_before_the_guest_stops(
  node: FakeLxc,
) -> None:
  """Neither node could restore it: one of its mounts was not there."""
  guest_disks.check(node.host, NAME, ["root", "data"])
  with pytest.raises(Refused) as refusal:
    guest_disks.check(node.host, NAME, ["root"])
  assert "disk 1 of its last start, data" in str(refusal.value)
  assert "gnt-instance reboot --type=hard" in str(refusal.value)


def test_a_disk_in_front_of_the_others_changes_no_number_in_the_guest() -> None:
  now = [spec(0, "root"), spec(1, "new"), spec(2, "data")]
  assert shown(guest_disks.chosen(now, TOLD)) == [
    (0, "root", "/links/0"),
    (1, "data", "/links/2"),
  ]


def test_where_the_guest_runs_its_disks_are_where_they_were(
  node: FakeLxc,
) -> None:
  now = [spec(0, "root"), spec(1, "new"), spec(2, "data")]
  assert shown(guest_disks.as_started(node.host, NAME, now)) == [
    (0, "root", "/srv/root"),
    (1, "data", "/srv/data"),
  ]


def test_a_source_of_an_earlier_release_does_not_tell() -> None:
  now = [spec(0, "root"), spec(1, "data")]
  assert guest_disks.chosen(now, ()) == tuple(now)


def test_without_a_record_nothing_is_moved(tmp_path: Path) -> None:
  node = FakeLxc(tmp_path)
  with pytest.raises(Refused, match="no runtime record"):
    guest_disks.check(node.host, NAME, ["root"])
