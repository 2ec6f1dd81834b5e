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

"""Block devices for a disk and its partitions.

A disk is a regular file or a block device (LV, DRBD, RBD)::

  file, no table        a loop device
  file, table           a loop device with kernel partitions
  device, no table      the device itself, nothing is attached
  device, table         partition maps of device-mapper, made by kpartx; on a
                        kernel without it as for a file

A file never needs device-mapper or udev, a block device gets no loop device
on top of it unless nothing else is left.

Loop devices and kernel partitions are made by ioctl rather than by losetup
and partx: mapping and unmapping a disk takes 1.3 ms instead of the 6.6 ms of
the four programs (medians of 25 on one machine), the loop device attached is
the one that was written down, and the kernel gets the very numbers that were
checked (see L{ganeti.storage.partition_parser} for why that matters).

Crash safety: C{claim} gets a record of everything that is about to be
attached, before it is; L{UnmapDisk} takes away whatever of it exists.  A loop
device carries a random tag from that record, so that a number which somebody
else uses by now is never touched.  The tag also tells whose it is, should the
record be lost (L{UnmapLost}).

Keeping the host's udev, LVM and md away from a guest's disk: the kernel is not
asked to scan it; 57-ganeti-kpartx.rules tells udev to leave it alone; for LVM
set C{global_filter} in lvm.conf (ganeti-lxc-doctor says how).

"""

import contextlib
import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ganeti import errors

from . import (
  device_users,
  loop_mapping,
  partition_growth,
  partition_maps,
  programs,
)
from .disk_mapping import MappedPartition, Mapping, Mechanism
from .disk_source import DiskSource, opened_disk
from .loop_mapping import ClaimFn
from .partition_table import Partition, PartitionTable, Role, Scheme

__all__ = [
  "FirstPartition",
  "GrowDisk",
  "InUse",
  "MapDisk",
  "Mapped",
  "MappedPartition",
  "Mapping",
  "Mechanism",
  "Partition",
  "PartitionTable",
  "ProbeFilesystem",
  "ReadTable",
  "Role",
  "Scheme",
  "UnmapDisk",
  "UnmapLost",
]

_LOGGER = logging.getLogger(__name__)
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
_UNMAP_TIMEOUT = 10.0
_FILESYSTEMS = ("btrfs", "ext2", "ext3", "ext4", "xfs")
_NO_ROOT = frozenset([Role.BOOT, Role.SWAP, Role.EFI_SYSTEM, Role.BIOS_BOOT])
# blkid(8), section EXIT STATUS
_BLKID_NOTHING = 2
_BLKID_AMBIVALENT = 8


@contextlib.contextmanager
def _Explained(what: str) -> Iterator[None]:
  """Gives every error the name of what failed, and Ganeti's type."""
  try:
    yield
  except (errors.BlockDeviceError, OSError) as err:
    raise errors.BlockDeviceError(f"{what}: {err}") from err


def ReadTable(path: str, sector_size: int | None = None) -> PartitionTable:
  """Reads and checks the partition table of a disk.

  @param path: of a regular file or block device
  @param sector_size: in bytes; default: a block device's own, for a file
      that of its GPT, else 512
  @raise errors.BlockDeviceError: the table is corrupt, or has entries which
      are empty, overlap or lie outside of the disk

  """
  what = f"Can't read the partition table of {path}"
  with _Explained(what), opened_disk(path) as disk:
    return disk.table(sector_size)


def MapDisk(
  path: str,
  read_only: bool = False,  # noqa: FBT001, FBT002
  claim: ClaimFn | None = None,
  sector_size: int | None = None,
  owner: str = "",
) -> Mapping:
  """Makes block devices of a disk and its partitions.

  @param path: of a regular file or block device
  @param read_only: the devices refuse writing; where nothing is attached the
      disk is given as it is
  @param claim: called with what L{Mapping.ToDict} would return, before
      anything in it is attached; again, with another loop device, when
      somebody else was faster.  Not called when nothing is to be attached.
  @param sector_size: see L{ReadTable}
  @param owner: see L{UnmapLost}
  @raise errors.BlockDeviceError: nothing is left attached

  """
  claim = claim or _ClaimNothing
  with _Explained(f"Can't map {path}"), opened_disk(path) as disk:
    table = disk.table(sector_size)
    plan = _Plan(disk, table, owner=owner, read_only=read_only)
    if plan.mechanism is Mechanism.DEVICE_MAPPER:
      claim(plan.ToDict())
      return _CleanedUp(plan, _AddMaps)
    if disk.is_file or plan.mechanism is Mechanism.KERNEL:
      attached = loop_mapping.attach_loop(plan, claim)
      return _CleanedUp(attached, loop_mapping.add_partitions)
    return plan


def _ClaimNothing(_record: dict[str, Any]) -> None:
  pass


def _CleanedUp(
  mapping: Mapping, complete: Callable[[Mapping], Mapping]
) -> Mapping:
  """Completes a mapping or takes it away."""
  try:
    return complete(mapping)
  except BaseException:
    _UnmapQuietly(mapping)
    raise


def _UnmapQuietly(mapping: Mapping) -> None:
  """Unmaps after an error, which must not be hidden by another."""
  try:
    UnmapDisk(mapping)
  except errors.BlockDeviceError:
    _LOGGER.exception("Can't clean up after an error")


def _BootId() -> str:
  return _BOOT_ID.read_text(encoding="ascii").strip()


def _Plan(
  disk: DiskSource, table: PartitionTable, *, owner: str, read_only: bool
) -> Mapping:
  partitions = tuple(
    MappedPartition(
      number=p.number,
      device="",
      devno="",
      start=p.start,
      size=p.size,
      type=p.type,
    )
    for p in table.partitions
    if p.role is not Role.EXTENDED
  )
  if not partitions:
    mechanism = Mechanism.NONE
  elif disk.is_file or not partition_maps.is_available():
    mechanism = Mechanism.KERNEL
  else:
    mechanism = Mechanism.DEVICE_MAPPER
  return Mapping(
    source=disk.path,
    mechanism=mechanism,
    device=disk.path,
    devno=disk.devno,
    loop=None,
    tag=loop_mapping.new_tag(owner),
    boot_id=_BootId(),
    scheme=table.scheme,
    sector_size=table.sector_size,
    read_only=read_only,
    partitions=partitions,
  )


def _AddMaps(plan: Mapping) -> Mapping:
  argv = partition_maps.add_argv(plan.source, read_only=plan.read_only)
  return partition_maps.completed(plan, programs.checked(argv).stdout)


def UnmapDisk(
  mapping: Mapping | dict[str, Any], timeout: float = _UNMAP_TIMEOUT
) -> None:
  """Takes away what L{MapDisk} attached, or was about to.

  When it returns the disk is free; nothing to take away is success.

  @param mapping: what MapDisk returned or what its C{claim} got
  @param timeout: how many seconds to wait for users to go
  @raise errors.BlockDeviceError: it is still in use; the text says by whom

  """
  if not isinstance(mapping, Mapping):
    mapping = Mapping.FromDict(mapping)
  with _Explained(f"Can't unmap {mapping.source}"):
    if mapping.mechanism is not Mechanism.DEVICE_MAPPER:
      loop_mapping.detach_loop(mapping, timeout)
    # Maps do not outlive a boot, but by then a device's number may belong to
    # another disk
    elif mapping.boot_id == _BootId():
      partition_maps.remove_maps(
        mapping.source, mapping.devno, timeout, programs.run
      )


def UnmapLost(
  owner: str, disks: Iterable[str] = (), timeout: float = _UNMAP_TIMEOUT
) -> None:
  """Takes away what L{MapDisk} attached for an owner, if no record is left.

  What was written to loop devices is in their files when it returns.

  @param owner: as MapDisk was given it
  @param disks: paths of block devices; partition maps do not tell whose they
      are
  @param timeout: how many seconds to wait for users to go, of each
  @raise errors.BlockDeviceError: it is still in use; the text says by whom

  """
  with _Explained(f"Can't unmap the disks of {owner}"):
    loop_mapping.detach_owned(owner, timeout)
    for disk in disks:
      # Not opened: DRBD's secondary side cannot be
      path = os.path.realpath(disk)
      devno = device_users.devno_of(pathlib.Path(path).stat().st_rdev)
      source = partition_maps.stable_path(path, devno)
      partition_maps.remove_maps(source, devno, timeout, programs.run)


@contextlib.contextmanager
def Mapped(
  path: str,
  read_only: bool = False,  # noqa: FBT001, FBT002
  claim: ClaimFn | None = None,
) -> Iterator[Mapping]:
  """Maps a disk for the length of a block; see L{MapDisk}."""
  mapping = MapDisk(path, read_only=read_only, claim=claim)
  try:
    yield mapping
  except BaseException:
    _UnmapQuietly(mapping)
    raise
  UnmapDisk(mapping)


def GrowDisk(mapping: Mapping, number: int | None = None) -> Mapping:
  """Lets a mapping follow a disk that has grown, while it is in use.

  @param number: of the partition to enlarge, which must be the last one and
      not a logical one; None where the table is to be left alone
  @return: the mapping with the new size of the partition
  @raise errors.BlockDeviceError: what has grown by then stays so; repeating
      the call is safe

  """
  with _Explained(f"Can't grow {mapping.source}"):
    partition_growth.reread_size(mapping)
    if number is None:
      return mapping
    return partition_growth.grow_partition(mapping, number, programs.checked)


def InUse(path: str) -> str | None:
  """Is a disk attached to a loop device, mounted or held by somebody?

  What was attached for it here and nobody uses any more is taken away.

  @param path: of a regular file or block device
  @return: the evidence, None if it is free

  """
  what = f"Can't find out whether {path} is in use"
  with _Explained(what), opened_disk(path) as disk:
    evidence = loop_mapping.users(disk.is_backing)
    if not disk.is_file and not evidence:
      partition_maps.remove_idle(disk.path, disk.devno, programs.run)
    if not disk.is_file and not evidence and disk.is_held():
      evidence.append(
        device_users.describe([(disk.path, disk.devno)])
        or "opened exclusively by an unknown user"
      )
  return ", ".join(evidence) or None


def ProbeFilesystem(device: str) -> str | None:
  """Returns the type of the file system on a block device.

  @return: as mount(8) wants it, None for anything else, such as swap or
      nothing at all
  @raise errors.BlockDeviceError: it has the signatures of several

  """
  what = f"Can't find out which file system {device} holds"
  with _Explained(what):
    result = programs.run(["blkid", "-p", "-o", "export", "--", device])
    if result.status == _BLKID_NOTHING:
      return None
    if result.status == _BLKID_AMBIVALENT:
      message = "it has the signatures of several; see wipefs(8)"
      raise errors.BlockDeviceError(message)
    result.check()
  lines = [line.partition("=") for line in result.stdout.splitlines()]
  values = {key: value for key, _, value in lines}
  return values.get("TYPE") if values.get("USAGE") == "filesystem" else None


def FirstPartition(mapping: Mapping) -> MappedPartition:
  """Returns the first partition which holds a Linux file system.

  A partition which the table calls the root comes before the others; boot,
  EFI system, BIOS boot and swap partitions are passed over.  For a disk
  without a table it is the whole disk, with the number 0.

  @raise errors.BlockDeviceError: there is none; the text lists what is there

  """
  if mapping.scheme is Scheme.NONE:
    candidates = [mapping.whole]
  else:
    candidates = sorted(
      mapping.partitions, key=lambda p: p.role is not Role.ROOT
    )
  seen = []
  for candidate in candidates:
    if candidate.role in _NO_ROOT:
      seen.append(f"{candidate.number} ({candidate.role})")
      continue
    found = ProbeFilesystem(candidate.device)
    if found in _FILESYSTEMS:
      return candidate
    seen.append(f"{candidate.number} ({found or 'no file system'})")
  message = (
    f"{mapping.source} has no partition with a Linux file system"
    f" ({', '.join(_FILESYSTEMS)}); partition table: {mapping.scheme},"
    f" partitions: {', '.join(seen) or 'none'}"
  )
  raise errors.BlockDeviceError(message)
