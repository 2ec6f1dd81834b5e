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

"""Which mounts of a guest CRIU cannot make again, and why.

Sources: criu/mount.c (validate_mounts), criu/filesystems.c, criu/tty.c.

"""

from collections.abc import Iterator

from ..mountinfo import MountEntry
from .guest import Abilities, Guest, Why

# criu/filesystems.c; a file system of another type is made by nobody.
_FILE_SYSTEMS = frozenset(
  {
    "autofs",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "mqueue",
    "proc",
    "pstore",
    "securityfs",
    "sysfs",
    "tmpfs",
    "tracefs",
  }
)
CONSOLE = "/dev/console"
_REMOVED = "//deleted"


def why_not(
  mount: MountEntry,
  mounts: tuple[MountEntry, ...],
  guest: Guest,
  node: Abilities,
) -> Iterator[Why]:
  """What speaks against a mount; nothing if it can be made again.

  External mounts come first there: those of super blocks that the node has
  mounted too (--ext-mount-map auto) and those that CRIU is told of.

  """
  if mount.fs_type == "devpts" and mount.root not in ("/", "/ptmx"):
    # criu/tty.c, devpts_check_bindmount.
    if mount.mount_point != CONSOLE:
      yield Why(
        "its other end is held by LXC outside of the guest (CRIU: Unable to"
        " find a master)",
        "set the hypervisor parameter num_ttys to 0, restart the instance",
      )
    return
  if mount.root.endswith(_REMOVED):
    # criu/mount-v2.c: what has the name by now is in the way.
    yield Why(
      f"it shows {mount.root.removesuffix(_REMOVED)}, which was removed or"
      " replaced since (CRIU: Can't re-create deleted file)",
      f"run umount {mount.mount_point} in the guest, and mount it anew",
    )
    return
  if (
    mount.devno in guest.node_devices
    or mount.mount_point in node.external_points
    or mount.mount_point == "/"
  ):
    return
  yield from _cannot_mount(mount, mounts, node)


def _cannot_mount(
  mount: MountEntry, mounts: tuple[MountEntry, ...], node: Abilities
) -> Iterator[Why]:
  if mount.fs_type.startswith("fuse") and mount.fs_type != "fusectl":
    yield Why(
      "a program in the guest serves this file system (CRIU: failed to dump"
      " fs: always fail)",
      f"run umount {mount.mount_point} in the guest",
    )
  elif mount.fs_type == "overlay":
    # criu/mount.c: paths in its options are the node's where it is mounted.
    yield Why(
      "CRIU does not find its layers when it mounts it again (CRIU: Unable to"
      " mount overlay)",
      f"end what uses it, and run umount {mount.mount_point} in the guest",
    )
  elif mount.fs_type not in _FILE_SYSTEMS | node.file_systems:
    yield Why(
      f"CRIU cannot mount {mount.fs_type} again (CRIU: FS mnt ... unsupported)",
      f"run umount {mount.mount_point} in the guest",
    )
  elif mount.root != "/" and not _has_whole(mount, mounts):
    yield Why(
      f"it shows {mount.root} of a file system that is mounted"
      " nowhere else in the guest (CRIU: doesn't have a proper root mount)",
      f"run umount {mount.mount_point} in the guest",
    )


def _has_whole(mount: MountEntry, mounts: tuple[MountEntry, ...]) -> bool:
  """Whether what a bind mount shows can be reached by another mount."""
  return any(
    other.devno == mount.devno
    and other.number != mount.number
    and f"{mount.root}/".startswith(f"{other.root.rstrip('/')}/")
    for other in mounts
  )


def is_group_file(mount: MountEntry) -> bool:
  """Whether it is systemd's mount of memory.pressure for a unit."""
  return mount.fs_type == "cgroup2" and mount.root.endswith(".pressure")
