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

"""Find and detach the loop devices that a lab's nodes attached.

Loop devices belong to the whole machine. Which are the lab's is told by the
device and inode of the backing file: its name means something else in every
mount namespace.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import struct
import subprocess
from collections.abc import Iterable, Iterator

from . import wait
from .command import environment
from .errors import LabError

_LOOP_CLR_FD = 0x4C01
_LOOP_GET_STATUS64 = 0x4C05
_STATUS = struct.Struct("=QQ216x")
_DEADLINE = 20.0


@dataclasses.dataclass(frozen=True)
class Owned:
  """What tells the lab's files.

  @ivar devices: numbers of file systems only the lab has
  @ivar inodes: (device number, inode) of its files on the host's

  """

  devices: frozenset[int]
  inodes: frozenset[tuple[int, int]]

  def holds(self, device: int, inode: int) -> bool:
    """Whether that file is the lab's."""
    return device in self.devices or (device, inode) in self.inodes


def parse_mountinfo(text: str) -> set[str]:
  """The MAJOR:MINOR of each mount in a /proc/PID/mountinfo."""
  return {line.split()[2] for line in text.splitlines()}


def mounted_devices(pids: Iterable[int | str]) -> set[str]:
  """The MAJOR:MINOR of all that these processes see mounted."""
  found: set[str] = set()
  for pid in pids:
    with contextlib.suppress(OSError):
      text = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
      found |= parse_mountinfo(text)
  return found


def device_number(text: str) -> int:
  """MAJOR:MINOR as one number, as stat(2) gives it."""
  major, minor = text.split(":")
  return os.makedev(int(major), int(minor))


def inodes_below(directory: pathlib.Path) -> frozenset[tuple[int, int]]:
  """(device, inode) of each regular file below the directory."""
  found = set()
  for path, _, files in os.walk(directory):
    for name in files:
      with contextlib.suppress(OSError):
        status = (pathlib.Path(path) / name).lstat()
        found.add((status.st_dev, status.st_ino))
  return frozenset(found)


def detach(owned: Owned) -> list[str]:
  """Detach the lab's loop devices and take their partitions away.

  @return: the devices detached
  @raise LabError: when one stays attached

  """
  found = []
  for path in _devices():
    with contextlib.suppress(FileNotFoundError), _opened(path) as handle:
      if _is_owned(handle, owned):
        found.append(path)
        # Fails on a device without partitions, which is as good.
        subprocess.run(
          ["partx", "--delete", path],
          env=environment(),
          stderr=subprocess.DEVNULL,
          check=False,
        )
        fcntl.ioctl(handle, _LOOP_CLR_FD)
  for path in found:
    wait.until(
      f"{path} to be detached (is it still mounted somewhere?)",
      lambda p=path: not _attached(p, owned),  # type: ignore[misc]
      _DEADLINE,
    )
  return found


def _devices() -> Iterator[str]:
  for path in sorted(pathlib.Path("/sys/block").glob("loop*")):
    if (path / "loop/backing_file").exists():
      yield f"/dev/{path.name}"


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
  """While it is open here, a loop device keeps the file it has."""
  handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
  try:
    yield handle
  finally:
    os.close(handle)


def _attached(path: str, owned: Owned) -> bool:
  with contextlib.suppress(FileNotFoundError), _opened(path) as handle:
    return _is_owned(handle, owned)
  return False


def _is_owned(handle: int, owned: Owned) -> bool:
  try:
    answer = fcntl.ioctl(handle, _LOOP_GET_STATUS64, bytes(_STATUS.size))
  except OSError:
    # Not attached (any more): ENXIO.
    return False
  device, inode = _STATUS.unpack(answer)
  return owned.holds(_decode(device), inode)


def _decode(device: int) -> int:
  """The kernel's huge_encode_dev is the low 32 bits of stat(2)'s form."""
  return os.makedev(
    (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
  )


def check_none(owned: Owned) -> None:
  """Make sure that nothing is left.

  @raise LabError: naming the lab's devices that are still attached

  """
  left = [path for path in _devices() if _attached(path, owned)]
  if left:
    raise LabError(f"Still attached: {' '.join(left)}")
