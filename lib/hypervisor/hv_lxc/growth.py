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

"""A disk has grown: let the running guest have the room.

Loop device, partition and file system are enlarged while mounted, each by
the kernel itself, which only ever adds to what is in use.

"""

from dataclasses import replace

from . import record
from .command import checked
from .errors import Refused
from .host import Host
from .partitions import Partitions
from .record import DiskRecord

_RESIZE_TIMEOUT_S = 600.0


def grow(host: Host, storage: Partitions, name: str, disk_uuid: str) -> None:
  """Enlarges all that lies on a disk of a running instance.

  @raise Refused: this instance has no such disk now
  @raise Failed: a tool failed; what was enlarged before stays enlarged

  """
  paths = host.layout.instance(name)
  noted = record.load(host, paths)
  found = [d for d in (noted.disks if noted else ()) if d.uuid == disk_uuid]
  if noted is None or not found:
    raise Refused(
      f"The running instance {name} does not use disk {disk_uuid}",
      remedy="it will use all of it after gnt-instance reboot",
    )
  disk = found[0]
  mapping = storage.grow(disk.mapping, disk.partition or None)
  record.save(paths, noted.with_disk(replace(disk, mapping=mapping)))
  if disk.mount_point:
    checked(
      host.run(_argv(disk), timeout_s=_RESIZE_TIMEOUT_S),
      f"The file system of disk {disk.index} of instance {name} was not"
      " enlarged",
      remedy="the disk itself was; growing it once more repeats this step",
    )


def _argv(disk: DiskRecord) -> list[str]:
  if disk.filesystem == "xfs":
    return ["xfs_growfs", disk.mount_point]
  if disk.filesystem == "btrfs":
    return ["btrfs", "filesystem", "resize", "max", disk.mount_point]
  return ["resize2fs", disk.device]
