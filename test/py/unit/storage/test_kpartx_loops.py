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


"""Loop devices that are attached and noted nowhere."""

import contextlib
import dataclasses
import errno
import os
import pathlib
from collections.abc import Iterator

import pytest
from ganeti import errors
from ganeti.storage import (
  device_users,
  kpartx,
  loop_device,
  loop_mapping,
  programs,
)
from ganeti.storage.loop_device import LoopStatus

LOOP = "/dev/loop7"
OWNER = "instance web1.example.com on node1"


@dataclasses.dataclass
class Loop:
  """The only loop device of a machine.

  Attributes:
    status: what is attached, None for nothing
    written: what it holds is in its file
    held: a partition is mounted, or the device itself
    opened: by another process
  """

  status: LoopStatus | None
  held: bool = False
  opened: str = ""
  partitions: list[int] = dataclasses.field(default_factory=lambda: [1, 5])
  fd: int = -1
  written: bool = False

  def open(self, path: str, flags: int) -> int:
    assert path == LOOP
    if flags & os.O_EXCL and self.held:
      raise OSError(errno.EBUSY, "Device or resource busy")
    return self.fd

  def detach(self, _: int) -> None:
    assert self.partitions == []
    self.status = None


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
  path = tmp_path / "disk"
  path.write_bytes(bytes(4096))
  return path


@pytest.fixture
def loop(image: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
  found = image.stat()
  loop = Loop(LoopStatus(
    backing_device=found.st_dev, backing_inode=found.st_ino, backing_rdev=0,
    tag=loop_mapping.new_tag(OWNER),
  ))  # fmt: skip
  real = loop_device.opened

  @contextlib.contextmanager
  def opened(path: str, flags: int) -> Iterator[int]:
    if path.startswith("/dev/loop"):
      yield loop.open(path, flags)
    else:
      with real(path, flags) as fd:
        yield fd

  for name, answer in (
    ("opened", opened),
    ("attached", lambda: [LOOP] if loop.status else []),
    ("status", lambda _: loop.status),
    ("status_of", lambda _: loop.status),
    ("partition_numbers", lambda _: list(loop.partitions)),
    ("delete_partition", lambda _, number: loop.partitions.remove(number)),
    ("detach", loop.detach),
  ):
    monkeypatch.setattr(loop_device, name, answer)
  monkeypatch.setattr(loop_mapping, "devices_of", lambda path: [(path, "7:7")])
  monkeypatch.setattr(loop_mapping, "_IDLE_TIMEOUT", 0.01)
  monkeypatch.setattr(device_users, "describe", lambda _: loop.opened)
  return loop


def test_kept_their_disk_from_being_used(
  loop: Loop, image: pathlib.Path
) -> None:
  assert kpartx.InUse(str(image)) is None
  assert loop.status is None
  assert loop.partitions == []


def test_somebody_else_s_are_left_alone(
  loop: Loop, image: pathlib.Path
) -> None:
  assert loop.status is not None
  theirs = dataclasses.replace(loop.status, tag=str(image))
  loop.status = theirs
  assert "attached to /dev/loop7" in (kpartx.InUse(str(image)) or "")
  assert loop.status == theirs


def test_of_another_disk_are_left_alone(
  loop: Loop, tmp_path: pathlib.Path
) -> None:
  other = tmp_path / "other"
  other.write_bytes(bytes(4096))
  assert kpartx.InUse(str(other)) is None
  assert loop.status is not None


@pytest.mark.parametrize("change", [{"held": True}, {"opened": "open in 12"}])
def test_in_use_are_named(
  loop: Loop, image: pathlib.Path, change: dict[str, object]
) -> None:
  for name, value in change.items():
    setattr(loop, name, value)
  assert "attached to /dev/loop7" in (kpartx.InUse(str(image)) or "")
  assert loop.status is not None
  assert loop.partitions == [1, 5]


# As those of an owner whose record is lost


@pytest.fixture
def sync(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> list[int]:
  """The exit status of the program, to be changed."""
  status = [0]

  def run(argv: list[str], *_: object) -> programs.Result:
    assert argv == ["sync", LOOP]
    assert loop.status is not None
    loop.written = not status[0]
    return programs.Result(tuple(argv), status[0], "failed", "", "I/O error")

  monkeypatch.setattr(programs, "run", run)
  return status


@pytest.mark.usefixtures("sync")
def test_had_not_all_that_was_written_to_them_in_their_file(
  loop: Loop,
) -> None:
  kpartx.UnmapLost(OWNER)
  assert loop.status is None
  assert loop.written
  assert loop.partitions == []


def test_that_cannot_be_written_stay(loop: Loop, sync: list[int]) -> None:
  sync[0] = 1
  with pytest.raises(errors.BlockDeviceError) as caught:
    kpartx.UnmapLost(OWNER)
  assert f"Can't unmap the disks of {OWNER}" in str(caught.value)
  assert "I/O error" in str(caught.value)
  assert loop.status is not None


@pytest.mark.usefixtures("sync")
def test_in_use_are_named_as_their_owner_s(loop: Loop) -> None:
  loop.held, loop.opened = True, "mounted on /x"
  with pytest.raises(errors.BlockDeviceError, match="mounted on /x"):
    kpartx.UnmapLost(OWNER, timeout=0.01)
  assert loop.status is not None


@pytest.mark.parametrize("tag", ["", "/images/disk", f"x{'-' * 22}", None])
def test_of_other_owners_are_left_alone(loop: Loop, tag: str | None) -> None:
  assert loop.status is not None
  ours = loop.status.tag
  other = loop_mapping.new_tag("another")
  theirs = dataclasses.replace(loop.status, tag=other if tag is None else tag)
  loop.status = theirs
  kpartx.UnmapLost(OWNER)
  assert loop.status == theirs
  assert len(ours) <= loop_device.MAX_TAG_LENGTH
