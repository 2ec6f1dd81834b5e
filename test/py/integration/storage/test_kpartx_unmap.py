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

"""A disk is free when UnmapDisk returns, or the error says who has it."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from ganeti import errors
from ganeti.storage import kpartx, loop_device, loop_mapping
from integration import disks

ImageFn = Callable[[str], pathlib.Path]


def test_twice_is_fine(image: ImageFn) -> None:
  mapping = kpartx.MapDisk(str(image("gpt-one")))
  kpartx.UnmapDisk(mapping)
  kpartx.UnmapDisk(mapping)
  kpartx.UnmapDisk(mapping.ToDict())


@pytest.mark.parametrize("name", ["gpt-one", "bare-ext4", "bare-btrfs"])
def test_a_mounted_disk_stays_whole(
  image: ImageFn, tmp_path: pathlib.Path, name: str
) -> None:
  path = image(name)
  mapping = kpartx.MapDisk(str(path))
  point = tmp_path / "mounted here"
  point.mkdir()
  disks.run("mount", kpartx.FirstPartition(mapping).device, str(point))
  try:
    with pytest.raises(errors.BlockDeviceError) as caught:
      kpartx.UnmapDisk(mapping, timeout=0.1)
    assert "mounted here" in str(caught.value).replace(r"\040", " ")
    assert "mounted on" in (kpartx.InUse(str(path)) or "")
    (point / "file").write_text("still works")
    flags = pathlib.Path(f"/sys/block/{mapping.device[5:]}/loop/autoclear")
    assert flags.read_text().strip() == "0"
    found = {p.number for p in mapping.partitions}
    assert set(loop_device.partition_numbers(mapping.device)) == found
  finally:
    disks.run("umount", str(point))
  kpartx.UnmapDisk(mapping)
  assert kpartx.InUse(str(path)) is None


@pytest.mark.parametrize("whole", [True, False])
def test_it_waits_for_the_last_user(image: ImageFn, whole: bool) -> None:
  mapping = kpartx.MapDisk(str(image("gpt-one")))
  device = mapping.device if whole else mapping.partitions[0].device
  fd = os.open(device, os.O_RDONLY)
  timer = threading.Timer(0.3, os.close, [fd])
  started = time.monotonic()
  timer.start()
  kpartx.UnmapDisk(mapping)
  took = time.monotonic() - started
  timer.join()
  assert 0.25 < took < 2
  assert not loop_mapping.is_attached(mapping)


def test_the_process_that_has_it_open_is_named(image: ImageFn) -> None:
  mapping = kpartx.MapDisk(str(image("gpt-one")))
  script = "import sys, time; print('open', flush=True); time.sleep(60)"
  with pathlib.Path(mapping.partitions[0].device).open("rb") as handle:
    process = subprocess.Popen(
      [sys.executable, "-c", script], stdin=handle, stdout=subprocess.PIPE
    )
  assert process.stdout is not None
  assert process.stdout.readline() == b"open\n"
  try:
    with pytest.raises(errors.BlockDeviceError) as caught:
      kpartx.UnmapDisk(mapping, timeout=0.1)
    assert f"open in process {process.pid} (python" in str(caught.value)
  finally:
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
  kpartx.UnmapDisk(mapping)


def test_a_number_that_others_use_now_is_not_touched(
  image: ImageFn, private_loop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(loop_device, "next_free", lambda _: private_loop)
  path = image("gpt-one")
  mapping = kpartx.MapDisk(str(path))
  kpartx.UnmapDisk(mapping)
  # The same file on the same number, by somebody else: the hardest case
  disks.run("losetup", mapping.device, str(path))
  kpartx.UnmapDisk(mapping)
  status = loop_device.status_of(mapping.device)
  disks.run("losetup", "--detach", mapping.device)
  assert status is not None
  # The kernel keeps 63 bytes of it
  assert str(path).startswith(status.tag)
