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

"""Whether disks can be mapped, mounted and enlarged on a node.

What ganeti.storage.kpartx needs: loop devices for disks that are files,
kernel partitions (BLKPG) for those, and device-mapper with kpartx for the
partitions of block devices where there is device-mapper.

"""

import re
from collections.abc import Iterator
from functools import partial

from .model import Problem
from .node import Check, Node, missing_program

# BLKPG on a loop device that does not scan for partitions; attaching one
# to find out would change the node.
_FIRST_LINUX = (6, 0)
# (program, the package that has it, what cannot be done without it)
_GROWERS = (
  ("sfdisk", "fdisk", "Disks with partitions cannot grow"),
  ("resize2fs", "e2fsprogs", "Disks with ext4 cannot grow while in use"),
  ("xfs_growfs", "xfsprogs", "Disks with xfs cannot grow while in use"),
  ("btrfs", "btrfs-progs", "Disks with btrfs cannot grow while in use"),
)


def checks() -> Iterator[Check]:
  """What an instance cannot do without."""
  yield Check("loop devices", _loop_devices)
  yield Check("partitions", _partitions)
  yield Check("partitions of files", _file_partitions)
  yield Check("kpartx", _kpartx)
  yield Check("blkid", _blkid)


def wishes() -> Iterator[Check]:
  """What some instances cannot do without."""
  yield Check("/dev", _loop_nodes)
  for program, package, purpose in _GROWERS:
    yield Check(program, partial(missing_program, program, package, purpose))


def _blkid(node: Node) -> Problem | None:
  purpose = "File systems on disks cannot be recognized"
  return missing_program("blkid", "util-linux", purpose, node)


def _loop_devices(node: Node) -> Problem | None:
  control = node.host.dev / "loop-control"
  if control.exists():
    return None
  return Problem(
    f"There are no loop devices: {control} does not exist",
    "run modprobe loop, and name loop in /etc/modules-load.d/loop.conf; or"
    " boot a kernel built with CONFIG_BLK_DEV_LOOP",
  )


def _has_device_mapper(node: Node) -> bool:
  """/dev/mapper/control may exist without it; /proc/misc does not lie."""
  lines = node.proc("misc").splitlines()
  return any(line.split()[1:] == ["device-mapper"] for line in lines)


def _partitions(node: Node) -> Problem | None:
  """Partitions beyond a disk's own minor numbers are "blkext" devices."""
  _, _, blocks = node.proc("devices").partition("Block devices:")
  if re.search(r"^\s*\d+ blkext$", blocks, re.MULTILINE):
    return None
  if _has_device_mapper(node):
    return None
  return Problem(
    "Partitions of disks cannot be mapped: the kernel has neither extended"
    " block devices nor device-mapper",
    "run modprobe dm_mod, or boot a kernel built with CONFIG_BLK_DEV_DM",
  )


def _file_partitions(node: Node) -> Problem | None:
  version = node.linux
  if version is None or version >= _FIRST_LINUX:
    return None
  wanted = ".".join(map(str, _FIRST_LINUX))
  return Problem(
    f"Linux {node.release} cannot map the partitions of a disk in a file",
    f"boot Linux {wanted} or later, as in Debian 12",
  )


def _kpartx(node: Node) -> Problem | None:
  if not _has_device_mapper(node):
    return None
  return missing_program(
    "kpartx", "kpartx", "Partitions of block devices cannot be mapped", node
  )


def _loop_nodes(node: Node) -> Problem | None:
  """max_loop only tells how many there are at boot; devtmpfs adds more."""
  place = str(node.host.dev)
  kinds = [
    fields[2]
    for fields in map(str.split, node.proc("self/mounts").splitlines())
    if fields[1] == place
  ]
  if not kinds or kinds[-1] == "devtmpfs":
    return None
  count = sum(1 for _ in node.host.dev.glob("loop[0-9]*"))
  return Problem(
    f"{place} is no devtmpfs, so its {count} loop devices are all there"
    " will be, and partitions do not appear",
    f"mount a devtmpfs at {place}",
  )
