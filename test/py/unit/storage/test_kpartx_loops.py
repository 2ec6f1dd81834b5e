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
from ganeti.storage import device_users, kpartx, loop_device, loop_mapping
from ganeti.storage.loop_device import LoopStatus

LOOP = "/dev/loop7"


@dataclasses.dataclass
class Loop:
  """The only loop device of a machine.

  Attributes:
    status: what is attached, None for nothing
    held: a partition is mounted, or the device itself
    opened: by another process
  """

  status: LoopStatus | None
  held: bool = False
  opened: str = ""
  partitions: list[int] = dataclasses.field(default_factory=lambda: [1, 5])
  fd: int = -1

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
    tag="ganeti-0123456789abcdef",
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
