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

"""Partition maps of device-mapper, made and removed by kpartx(8).

Formats: kpartx/kpartx.c of multipath-tools 0.9.4 and 0.11.1.

"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ganeti import errors

from . import device_users
from .disk_mapping import Mapping
from .waiting import wait_until

RunFn = Callable[[list[str]], Any]

# Between a disk's name and the partition's number, so that udev rules (see
# 57-ganeti-kpartx.rules) know these maps from others
DELIMITER = ".ganeti"

_CONTROL = "/dev/mapper/control"
_MISC = pathlib.Path("/proc/misc")
_SYS_DEVICES = pathlib.Path("/sys/dev/block")
_POLL_INTERVAL = 0.2
_SECTOR = 512
_ADDED = re.compile(r"^add map (\S+) \((\d+:\d+)\): 0 (\d+) linear \S+ (\d+)$")


class PartitionMap(NamedTuple):
  """A map of one partition; start and size in bytes."""

  name: str
  devno: str
  start: int
  size: int

  @property
  def number(self) -> int:
    """The partition's number."""
    return int(self.name.rpartition(DELIMITER)[2])

  @property
  def device(self) -> str:
    """The path of the map's node."""
    return "/dev/mapper/" + self.name


def _registered() -> bool:
  lines = _MISC.read_text(encoding="ascii").splitlines()
  return any(line.split()[1:] == ["device-mapper"] for line in lines)


def is_available() -> bool:
  """Does the kernel have device-mapper?

  The node is no evidence: it exists without the driver, so that opening it
  loads the module.

  """
  if not _registered():
    try:
      os.close(os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
      return False
  return _registered()


def add_argv(source: str, *, read_only: bool) -> list[str]:
  """Returns the command that maps the partitions and waits for udev."""
  options = ["-r"] if read_only else []
  return ["kpartx", "-a", "-v", "-s", "-p", DELIMITER, *options, source]


def update_argv(source: str) -> list[str]:
  """Returns the command that lets maps follow a changed table."""
  return ["kpartx", "-u", "-v", "-s", "-p", DELIMITER, source]


def delete_argv(source: str) -> list[str]:
  """Returns the command that removes the maps of all partitions."""
  return ["kpartx", "-d", "-v", "-s", "-p", DELIMITER, source]


def parse_added(output: str) -> list[PartitionMap]:
  """Reads which maps L{add_argv} made."""
  maps = []
  for line in output.splitlines():
    match = _ADDED.match(line)
    if match and DELIMITER in match[1]:
      maps.append(
        PartitionMap(
          name=match[1],
          devno=match[2],
          start=int(match[4]) * _SECTOR,
          size=int(match[3]) * _SECTOR,
        )
      )
  return maps


def completed(plan: Mapping, output: str) -> Mapping:
  """Fills in the maps after comparing them with what was asked for.

  @param output: of L{add_argv}
  @raise errors.BlockDeviceError: kpartx read the table in another way

  """
  added = {m.number: m for m in parse_added(output)}
  partitions = []
  for wanted in plan.partitions:
    found = added.get(wanted.number)
    expected = (wanted.start, wanted.size)
    if found is None or (found.start, found.size) != expected:
      message = (
        f"kpartx read the partition table otherwise: partition"
        f" {wanted.number} is {found}, expected start and size {expected}"
      )
      raise errors.BlockDeviceError(message)
    partitions.append(
      dataclasses.replace(wanted, device=found.device, devno=found.devno)
    )
  return dataclasses.replace(plan, partitions=tuple(partitions))


def remove_maps(source: str, devno: str, timeout: float, run: RunFn) -> None:
  """Removes all maps of a disk and waits until they are gone.

  @param devno: of the disk, "MAJ:MIN"
  @param timeout: in seconds
  @raise errors.BlockDeviceError: they are still in use, by whom

  """

  def no_map_is_left() -> bool:
    if partition_maps(devno):
      run(delete_argv(source))
    return not partition_maps(devno)

  if not wait_until(no_map_is_left, timeout, _POLL_INTERVAL):
    left = partition_maps(devno)
    users = device_users.describe(left.items())
    message = (
      f"{', '.join(left)} still in use after {timeout:g} seconds:"
      f" {users or 'no user was found'}"
    )
    raise errors.BlockDeviceError(message)


def remove_idle(source: str, devno: str, run: RunFn) -> None:
  """Removes the maps of a disk of which nobody noted that they are there.

  Whoever made them was killed, or lost its notes.  What is in use stays: the
  kernel does not remove it.

  @param devno: of the disk, "MAJ:MIN"

  """
  if partition_maps(devno):
    run(delete_argv(source))


def _name_of(directory: pathlib.Path) -> str:
  try:
    text = (directory / "dm" / "name").read_bytes()
  except FileNotFoundError:
    return ""
  return text.decode("ascii", "replace").strip()


def partition_maps(devno: str) -> dict[str, str]:
  """Returns the maps which kpartx made on a device.

  @param devno: of the disk, "MAJ:MIN"
  @return: "MAJ:MIN" of each by its path

  """
  found = {}
  try:
    for holder in (_SYS_DEVICES / devno / "holders").iterdir():
      name = _name_of(holder)
      if DELIMITER in name:
        number = (holder / "dev").read_text(encoding="ascii").strip()
        found[f"/dev/mapper/{name}"] = number
  except FileNotFoundError:
    # A map went away while it was looked at
    return found
  return found


def stable_path(path: str, devno: str) -> str:
  """Returns the path of a device by its name rather than its number.

  /dev/dm-3 may be another volume after a reboot.

  """
  name = _name_of(_SYS_DEVICES / devno)
  return f"/dev/mapper/{name}" if name else path
