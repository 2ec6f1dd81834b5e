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

"""File systems on and off the host, and what is mounted now.

A guest's file system is mounted with options that do not trust its
superblock: C{errors=remount-ro} whatever that says (a superblock with
errors=panic would take the whole node down), C{nodev} (a device node of
the guest is nothing to the host), C{nouuid} for xfs and a check of the
device afterwards, since clones of one image have equal UUIDs.

"""

import logging
import stat
from pathlib import Path

from . import hierarchies, mountinfo, procfs
from .command import checked
from .errors import Failed, Incomplete, Refused, one_line
from .host import Host, end_processes, read_optional, read_text, wait_until
from .mountinfo import MountEntry

# Options by file system type; a type that is not named here is refused.
_OPTIONS = {
  "ext2": "errors=remount-ro",
  "ext3": "errors=remount-ro",
  "ext4": "errors=remount-ro",
  "xfs": "nouuid",
  "btrfs": "",
}
SUPPORTED = tuple(_OPTIONS)
_log = logging.getLogger(__name__)
_UNMOUNT_TIMEOUT_S = 10.0
# Six have been seen, see end_mounting.
_MOUNT_END_S = 30.0
# Of a slow disk and much memory; what is left is written at the unmount.
_SYNC_S = 300.0
_MAX_HOLDERS = 5


def current(host: Host) -> list[MountEntry]:
  """What is mounted in the namespace of this process."""
  return list(mountinfo.parse(read_text(host.proc / "self/mountinfo")))


def below(host: Host, directory: Path) -> list[MountEntry]:
  """What is mounted at or below a directory, innermost last."""
  top = str(directory)
  return [
    entry
    for entry in current(host)
    if entry.mount_point == top or entry.mount_point.startswith(top + "/")
  ]


def mount(
  host: Host, device: str, fs_type: str, target: Path, *, read_only: bool
) -> None:
  """Mounts a guest's file system and checks that it is the one meant.

  @raise Refused: a type that is not supported
  @raise Failed: mount(8) failed, or something else got mounted

  """
  if fs_type not in _OPTIONS:
    raise Refused(
      f"{device} holds a file system of type {fs_type}",
      remedy=f"use one of {', '.join(SUPPORTED)}",
    )
  options = ["ro" if read_only else "rw", "nodev", _OPTIONS[fs_type]]
  argv = ["mount", "-i", "-n", "-t", fs_type]
  argv += ["-o", ",".join(filter(None, options)), device, str(target)]
  checked(
    host.run(argv),
    f"The file system on {device} cannot be mounted",
    remedy="see the last lines of dmesg; check it with fsck while the"
    " instance is stopped",
  )
  _check_device(host, device, target)


def _check_device(host: Host, device: str, target: Path) -> None:
  mounted = [m for m in current(host) if m.mount_point == str(target)]
  wanted = _number(device)
  if mounted and wanted >= 0 and _number(mounted[-1].source) == wanted:
    return
  found = mounted[-1].source if mounted else "nothing"
  unmount_all(host, target)
  raise Failed(
    f"Mounting {device} at {target} gave another device",
    evidence=f"found {found}",
    remedy="another file system with the same UUID is mounted on this node;"
    " for btrfs use a kernel >= 6.7 or change the UUID with btrfstune -u",
  )


def _number(device: str) -> int:
  try:
    status = Path(device).stat()
  except OSError:
    return -1
  return status.st_rdev if stat.S_ISBLK(status.st_mode) else -1


def end_mounting(host: Host, directory: Path) -> None:
  """Has whoever still mounts or unmounts at or below a directory end.

  mount(8) outlives the process that started it.  While it waits for its device
  not even SIGKILL ends it, and what it was to mount is mounted afterwards:
  seen where the worker of a migration was killed when DRBD's peer had lost its
  power.  So nothing can be unmounted for good before.  What umount(8) unmounts
  is not to be seen any more while it still writes to its device.

  @raise Incomplete: one does not end

  """
  left = end_processes(lambda: _mounting(host, directory), _MOUNT_END_S)
  if left:
    raise Incomplete(
      f"Something is still being mounted or unmounted below {directory}",
      evidence=f"process {', '.join(map(str, left))} waits for its device and"
      " cannot be ended",
      remedy="see the last lines of dmesg, then repeat this",
    )


def _mounting(host: Host, directory: Path) -> list[int]:
  return [
    pid
    for pid, words in procfs.programs(host.proc, {"mount", "umount"})
    if any(f"{word}/".startswith(f"{directory}/") for word in words)
    and hierarchies.guest_of(host, pid) is None
  ]


def sync(host: Host, directory: Path) -> None:
  """Has a mounted file system write what it holds; tried only."""
  argv = ["sync", "--file-system", str(directory)]
  result = host.run(argv, timeout_s=_SYNC_S)
  if result.failed:
    _log.warning("%s", result.evidence())


def unmount_all(host: Host, directory: Path) -> None:
  """Unmounts everything at and below a directory.

  @raise Incomplete: something there stays busy

  """
  for entry in reversed(below(host, directory)):
    _unmount(host, entry.mount_point)


def _unmount(host: Host, mount_point: str) -> None:
  result = host.run(["umount", "-i", "-n", mount_point])
  if not result.failed:
    return

  def gone() -> bool:
    again = host.run(["umount", "-i", "-n", mount_point])
    return not again.failed or not below(host, Path(mount_point))

  # The last process of a container can hold its root for a moment after
  # the monitor has ended; holders() tells who if it lasts.
  if not result.stuck and wait_until(gone, _UNMOUNT_TIMEOUT_S):
    return
  remedy = "end these processes"
  if result.stuck:
    remedy = "see the last lines of dmesg, have its device or server answer"
  raise Incomplete(
    f"{mount_point} cannot be unmounted",
    evidence=f"{result.evidence()}; used by {holders(host, mount_point)}",
    remedy=f"{remedy}, then stop the instance once more",
  )


def holders(host: Host, mount_point: str) -> str:
  """The processes that keep a mount busy, as text.

  Those with an open file, a root or a current directory on it.

  """
  found = []
  for entry in host.proc.iterdir():
    if entry.name.isdigit() and _holds(entry, mount_point):
      name = (read_optional(entry / "comm") or "").strip()
      found.append(f"{entry.name} ({one_line(name)})")
  return ", ".join(found[:_MAX_HOLDERS]) or "nobody that can be found"


def _holds(process: Path, mount_point: str) -> bool:
  try:
    links = [process / "root", process / "cwd", *(process / "fd").iterdir()]
    paths = [link.readlink() for link in links]
  except OSError:
    return False
  return any(f"{path}/".startswith(f"{mount_point}/") for path in paths)
