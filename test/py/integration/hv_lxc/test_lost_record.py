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


"""An instance whose record is damaged, with real loop devices."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import disks, stopping
from ganeti.hypervisor.hv_lxc.errors import Incomplete, Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.model import DiskSpec
from ganeti.hypervisor.hv_lxc.partitions import Kpartx
from ganeti.hypervisor.hv_lxc.record import DiskRecord, Phase, Record, save
from ganeti.storage import loop_device
from integration import disks as images

NAME = "web1.example.com"


@pytest.fixture
def host(tmp_path: Path) -> Host:
  names = ("data", "run", "log", "etc")
  layout = Layout.below(*(str(tmp_path / name) for name in names))
  layout.instance(NAME).home.mkdir(parents=True)
  return Host(layout=layout)


@pytest.fixture
def image(tmp_path: Path) -> Path:
  return images.make(images.BY_NAME["bare-ext4"], tmp_path)


def attach(host: Host, image: Path, *, as_block: bool) -> DiskRecord:
  """As a start does, up to the record."""
  paths = host.layout.instance(NAME)
  noted = Record(
    name=NAME, uuid="u", boot_id=host.boot_id(), phase=Phase.STARTING
  )
  notes: list[DiskRecord] = []

  def note(disk: DiskRecord) -> None:
    notes.append(disk)
    save(paths, dataclasses.replace(noted, disks=(disk,)))

  disk = DiskSpec(index=1, uuid="d", path=image)
  paths.home.mkdir(exist_ok=True)
  return disks.attach(
    host, Kpartx(), paths, disk, name=NAME, note=note, as_block=as_block
  )


def clean_up(host: Host) -> None:
  stopping.clean_up(host, Kpartx(), NAME)


@pytest.fixture(autouse=True)
def nothing_is_left(host: Host, image: Path) -> Iterator[None]:
  yield
  point = host.layout.instance(NAME).disk(1)
  if point.is_mount():
    images.run("umount", str(point))
  for loop in loops_on(image):
    images.run("losetup", "--detach", loop)


def loops_on(image: Path) -> list[str]:
  own = image.stat()
  found = []
  for loop in loop_device.attached():
    status = loop_device.status_of(loop)
    if status and (status.backing_device, status.backing_inode) == (
      own.st_dev, own.st_ino,
    ):  # fmt: skip
      found.append(loop)
  return found


@pytest.mark.parametrize("as_block", [False, True])
@pytest.mark.parametrize("text", ["{", None], ids=["damaged", "gone"])
def test_left_its_loop_device_where_it_was_failed_over_from(
  host: Host, image: Path, as_block: bool, text: str | None
) -> None:
  attach(host, image, as_block=as_block)
  record = host.layout.instance(NAME).record
  record.unlink() if text is None else record.write_text(text)
  clean_up(host)
  assert loops_on(image) == []


@pytest.mark.parametrize("as_block", [False, True])
def test_kept_the_instance_from_being_started(
  host: Host, image: Path, as_block: bool
) -> None:
  """The disk was "in use: attached to /dev/loopN (not mounted)" for ever."""
  attach(host, image, as_block=as_block)
  paths = host.layout.instance(NAME)
  if not as_block:
    images.run("umount", str(paths.disk(1)))
  # What a release did that left loop devices.
  stopping.remove_home(paths)
  attach(host, image, as_block=as_block)
  assert len(loops_on(image)) == 1
  clean_up(host)
  assert loops_on(image) == []


def test_the_disks_of_others_stay_attached(
  host: Host, image: Path, tmp_path: Path
) -> None:
  loop = images.attach(image)
  (tmp_path / "others").mkdir()
  other = images.copy(image, tmp_path / "others")
  mapping = Kpartx().attach(
    str(other), lambda _: None, owner="another", read_only=False
  ).mapping  # fmt: skip
  try:
    host.layout.instance(NAME).record.write_text("{")
    clean_up(host)
    assert loops_on(image) == [loop]
    assert len(loops_on(other)) == 1
  finally:
    Kpartx().detach(mapping)


def test_a_disk_that_is_mounted_elsewhere_stays_so(
  host: Host, image: Path, tmp_path: Path
) -> None:
  point = tmp_path / "elsewhere"
  point.mkdir()
  found = attach(host, image, as_block=False)
  images.run("mount", found.device, str(point))
  try:
    host.layout.instance(NAME).record.write_text("{")
    with pytest.raises(Incomplete, match=f"mounted on {point}"):
      clean_up(host)
    with pytest.raises(Refused, match=f"mounted on {point}"):
      attach(host, image, as_block=False)
  finally:
    images.run("umount", str(point))
  host.layout.instance(NAME).record.write_text("{")
  clean_up(host)
  assert loops_on(image) == []
