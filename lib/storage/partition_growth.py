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

"""Enlarging the last partition of a disk that has grown, while it is used.

Three things have to grow, in this order: the loop device with its file, the
entry in the table (sfdisk also moves a GPT's backup to the new end), the
kernel's idea of the partition.  An interruption between them leaves something
that is too small, which the next attempt completes.

"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from ganeti import errors

from . import loop_device, partition_maps
from .disk_mapping import MappedPartition, Mapping, Mechanism
from .disk_source import opened_disk
from .partition_table import Partition, Role

RunFn = Callable[..., Any]

# sfdisk(8): keep the start, take all the room there is behind it
_SFDISK_SCRIPT = b", +\n"


def sfdisk_argv(device: str, number: int) -> list[str]:
  """Returns the command that enlarges an entry, told by its stdin how.

  The kernel's view is not sfdisk's business: it would remove and add again
  what is in use.

  """
  quiet = ["--quiet", "--no-reread", "--no-tell-kernel"]
  return ["sfdisk", *quiet, "--partno", str(number), device]


def reread_size(mapping: Mapping) -> None:
  """Lets the loop device grow with what it is attached to.

  @raise errors.BlockDeviceError: the loop device is not this mapping's

  """
  if mapping.loop is None:
    return
  with loop_device.opened(mapping.loop, os.O_RDONLY) as fd:
    status = loop_device.status(fd)
    if status is None or status.tag != mapping.tag:
      message = f"{mapping.loop} is no longer attached to it"
      raise errors.BlockDeviceError(message)
    loop_device.reread_size(fd)


def grow_partition(mapping: Mapping, number: int, run: RunFn) -> Mapping:
  """Enlarges the last partition to the end of the disk.

  @param run: runs a command, raises errors.BlockDeviceError if it fails
  @return: the mapping with the partition's new size
  @raise errors.BlockDeviceError: it is not the last one, or a logical one

  """
  _find_growable(mapping, number)
  run(sfdisk_argv(mapping.device, number), stdin=_SFDISK_SCRIPT)
  grown = _find_growable(mapping, number)
  if mapping.mechanism is Mechanism.DEVICE_MAPPER:
    run(partition_maps.update_argv(mapping.source))
  else:
    with loop_device.opened(mapping.device, os.O_RDONLY) as fd:
      loop_device.resize_partition(fd, number, grown.start, grown.size)
  return dataclasses.replace(
    mapping,
    partitions=tuple(
      dataclasses.replace(p, size=grown.size) if p.number == number else p
      for p in mapping.partitions
    ),
  )


def _find_growable(mapping: Mapping, number: int) -> Partition:
  """Returns an entry of the table as it is on the disk now."""
  with opened_disk(mapping.device) as disk:
    partitions = disk.table(mapping.sector_size).partitions
  usable = [p for p in partitions if p.role is not Role.EXTENDED]
  if _fixed(usable) != _fixed(mapping.partitions):
    message = "its partition table is no longer the one that was mapped"
    raise errors.BlockDeviceError(message)
  if not usable or usable[-1].number != number:
    message = f"partition {number} is not the last one on the disk"
    raise errors.BlockDeviceError(message)
  last = max(partitions, key=lambda p: p.end)
  if last.role is Role.EXTENDED:
    message = (
      f"partition {number} is a logical one, or followed by an extended one,"
      " and such are not enlarged; use fdisk(8) while the instance is down"
    )
    raise errors.BlockDeviceError(message)
  return usable[-1]


def _fixed(
  partitions: "list[Partition] | tuple[MappedPartition, ...]",
) -> list[tuple[int, int, str]]:
  return [(p.number, p.start, p.type) for p in partitions]
