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

"""An instance's disks: from what Ganeti hands over to what the guest gets.

Disk 0 is the root file system.  A further disk is I{either} mounted for
the guest (it holds a file system) I{or} handed over as a block device (it
does not, or the administrator asked for it), never both: a guest that
writes to the device below a mounted file system can crash the kernel that
all guests share.

Everything is written into the runtime record before it is attached;
L{release} undoes what a record tells, in any state of completion.

"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import mounts
from .errors import Failed, Incomplete, LxcError, Refused
from .host import Host, make_directory
from .layout import InstancePaths
from .model import BlockDisk, DiskSpec, MountedDisk
from .partitions import AttachedDisk, Partitions, find_filesystem
from .record import DiskRecord

Note = Callable[[DiskRecord], None]

# Where a further disk with a file system is found by the guest, and the
# name below /dev of one without.
GUEST_MOUNT = "mnt/disk{index}"
GUEST_NODE = "gnt-disk{index}"
# Of a slow server and much memory.
_FLUSH_S = 300.0


def attach(
  host: Host,
  storage: Partitions,
  paths: InstancePaths,
  disk: DiskSpec,
  *,
  name: str,
  note: Note,
  as_block: bool = False,
) -> DiskRecord:
  """Maps a disk and mounts its file system, or leaves it a block device.

  @param note: is told what is about to be attached, before it is
  @param as_block: do not mount a further disk whatever it holds
  @return: the disk as it was attached
  @raise Refused: it holds nothing that can be used
  @raise Failed: it could not be attached

  """
  _check_free(storage, name, disk)
  record = DiskRecord(index=disk.index, uuid=disk.uuid, source=str(disk.path))
  attached = _map(storage, disk, record, name=name, note=note)
  record = replace(record, mapping=attached.mapping, device=attached.device)
  found = None
  if not as_block:
    found = find_filesystem(storage, attached, mounts.SUPPORTED)
  if found is None:
    if disk.index == 0:
      raise _no_filesystem(name, disk)
    note(record)
    return record
  target = paths.rootfs if disk.index == 0 else paths.disk(disk.index)
  make_directory(target)
  record = replace(
    record,
    device=found.device,
    partition=found.number,
    filesystem=found.fs_type,
    mount_point=str(target),
  )
  note(record)
  mounts.mount(
    host, found.device, found.fs_type, target, read_only=disk.read_only
  )
  return record


def _map(
  storage: Partitions,
  disk: DiskSpec,
  record: DiskRecord,
  *,
  name: str,
  note: Note,
) -> AttachedDisk:
  def claim(mapping: dict[str, Any]) -> None:
    note(replace(record, mapping=mapping))

  try:
    return storage.attach(
      str(disk.path), claim, owner=_owner(name), read_only=disk.read_only
    )
  except LxcError as err:
    raise Failed(
      f"Disk {disk.index} of instance {name} cannot be used",
      evidence=str(err),
      remedy="see the last lines of dmesg on the node, and what"
      " ganeti-lxc-doctor says of it",
    ) from err


def _check_free(storage: Partitions, name: str, disk: DiskSpec) -> None:
  used = storage.used_by(str(disk.path))
  if used:
    raise Refused(
      f"Disk {disk.index} of instance {name} ({disk.path}) is in use",
      evidence=used,
      remedy="unmount or detach it there",
    )


def _no_filesystem(name: str, disk: DiskSpec) -> Failed:
  return Failed(
    f"Disk 0 of instance {name} ({disk.path}) holds no file system that"
    f" can be the root",
    evidence="neither the whole disk nor a partition has one of"
    f" {', '.join(mounts.SUPPORTED)}",
    remedy="install an operating system with gnt-instance reinstall",
  )


def release(host: Host, storage: Partitions, disk: DiskRecord) -> None:
  """Unmounts and unmaps a disk; what is not there any more is passed over.

  @raise Incomplete: it is still in use

  """
  if disk.mount_point:
    mounts.unmount_all(host, Path(disk.mount_point))
  if disk.mapping:
    storage.detach(disk.mapping)


def release_lost(host: Host, storage: Partitions, name: str) -> None:
  """Takes away what is attached for an instance of which no record is left.

  A failover would leave it here, and what the guest wrote to it.

  @raise Failed: it is still in use, or was not all written

  """
  links = host.layout.disk_links(name)
  devices = [str(link) for link in links if link.is_block_device()]
  storage.detach_lost(_owner(name), devices)


def _owner(name: str) -> str:
  """Nodes that are containers have the loop devices of their host."""
  return f"instance {name} on {os.uname().nodename}"


def flush(host: Host, disk: DiskRecord) -> None:
  """Has what was written to a released disk's file reach its server or disk.

  A loop device that is detached does not do that (loop.c, __loop_clr_fd):
  on a network file system another node would read what was there before.  By a
  program, since a server that does not answer keeps whoever waits for it.

  @raise Incomplete: it does not; the kernel says so only once

  """
  if not Path(disk.source).is_file():
    return
  result = host.run(["sync", disk.source], timeout_s=_FLUSH_S)
  if result.failed:
    raise Incomplete(
      f"Not all that was written to disk {disk.index} may have been kept",
      evidence=result.evidence(),
      remedy="see the last lines of dmesg and whether its file server works",
    )


def guest_mount(disk: DiskRecord, *, read_only: bool) -> MountedDisk:
  """How the guest finds a mounted further disk."""
  return MountedDisk(
    index=disk.index,
    source=Path(disk.mount_point),
    target=GUEST_MOUNT.format(index=disk.index),
    read_only=read_only,
  )


def guest_device(disk: DiskRecord, *, read_only: bool) -> BlockDisk:
  """How the guest finds a further disk that is a block device."""
  number = Path(disk.device).stat().st_rdev
  return BlockDisk(
    index=disk.index,
    node=GUEST_NODE.format(index=disk.index),
    major=os.major(number),
    minor=os.minor(number),
    read_only=read_only,
  )
