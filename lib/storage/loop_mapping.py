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

"""The loop device and kernel partitions of a L{disk_mapping.Mapping}.

The order at detaching matters: a loop device detached before its partitions
are deleted leaves their nodes behind, and whoever gets its number next cannot
add his own.

"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
import pathlib
import secrets
import stat
from collections.abc import Callable, Iterator
from typing import Any

from ganeti import errors

from . import device_users, loop_device, programs
from .disk_mapping import Mapping
from .waiting import wait_until

# By which a loop device is known as one of ours
TAG_PREFIX = "ganeti-"

ClaimFn = Callable[[dict[str, Any]], None]

_NODE_TIMEOUT = 10.0
_STALE_TIMEOUT = 1.0
# udev has every new device open for a moment
_IDLE_TIMEOUT = 1.0
# A lost race costs one attempt, and only if another process won it
_MAX_ATTEMPTS = 1000
# Of a slow disk and much memory
_FLUSH_LIMIT = 300.0
_TAKEN = frozenset([errno.EBUSY, errno.EWOULDBLOCK, *loop_device.NOT_ATTACHED])


def new_tag(owner: str) -> str:
  """Returns what no other loop device has, and which tells whose it is.

  @param owner: any text; its digest has the same length, whatever it is

  """
  return f"{TAG_PREFIX}{secrets.token_hex(8)}{_tag_end(owner)}"


def _tag_end(owner: str) -> str:
  return f"-{hashlib.sha256(owner.encode()).hexdigest()[:16]}"


def attach_loop(plan: Mapping, claim: ClaimFn) -> Mapping:
  """Attaches the disk to a loop device that was free and is claimed.

  @return: the plan with its loop device filled in
  @raise OSError: nothing is attached

  """
  tried: set[int] = set()
  mode = os.O_RDONLY if plan.read_only else os.O_RDWR
  with loop_device.opened(plan.source, mode) as source_fd:
    for _ in range(_MAX_ATTEMPTS):
      number = loop_device.next_free(tried)
      tried.add(number)
      mapping = _try_attach(
        plan, loop_device.path_of(number), source_fd, mode, claim
      )
      if mapping is not None and _is_clean(mapping):
        return mapping
  message = f"no free loop device in {_MAX_ATTEMPTS} attempts"
  raise errors.BlockDeviceError(message)


def _try_attach(
  plan: Mapping, loop: str, source_fd: int, mode: int, claim: ClaimFn
) -> Mapping | None:
  """Claims a loop device and attaches the disk, unless others have it.

  The lock is what makes claims, which may be slow, few: of many processes
  which find the same device free, one goes on and the others turn to the next.
  It is also the one by which udev leaves a device alone that somebody is
  setting up (systemd.io/BLOCK_DEVICE_LOCKING).

  """
  try:
    with loop_device.opened(loop, mode) as fd:
      fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
      if loop_device.status(fd) is not None:
        return None
      mapping = _on_loop(plan, loop)
      with _claim_errors():
        claim(mapping.ToDict())
      loop_device.attach(
        fd,
        source_fd,
        sector_size=mapping.sector_size,
        tag=mapping.tag,
        read_only=mapping.read_only,
      )
      return mapping
  except OSError as err:
    if err.errno in _TAKEN:
      return None
    raise


@contextlib.contextmanager
def _claim_errors() -> Iterator[None]:
  """Tells the errors of a caller's function from those of a loop device."""
  try:
    yield
  except OSError as err:
    raise errors.BlockDeviceError(f"its claim failed: {err}") from err


def _on_loop(plan: Mapping, loop: str) -> Mapping:
  partitions = tuple(
    dataclasses.replace(p, device=loop_device.partition_path(loop, p.number))
    for p in plan.partitions
  )
  return dataclasses.replace(
    plan,
    device=loop,
    loop=loop,
    partitions=partitions,
    devno=device_users.devno_of(pathlib.Path(loop).stat().st_rdev),
  )


def _is_clean(mapping: Mapping) -> bool:
  """Removes partitions left by an earlier user, or gives the device up."""
  try:
    if wait_until(lambda: _drop_partitions(mapping.device), _STALE_TIMEOUT):
      return True
  except BaseException:
    _abandon(mapping)
    raise
  _abandon(mapping)
  return False


def _abandon(mapping: Mapping) -> None:
  with loop_device.opened(mapping.device, os.O_RDONLY) as fd:
    loop_device.detach(fd)


def _drop_partitions(disk: str) -> bool:
  """Deletes the kernel's partitions of a disk; False if one is in use."""
  numbers = loop_device.partition_numbers(disk)
  if not numbers:
    return True
  try:
    with loop_device.opened(disk, os.O_RDONLY) as fd:
      for number in numbers:
        loop_device.delete_partition(fd, number)
  except OSError as err:
    if err.errno == errno.EBUSY:
      return False
    raise
  return True


def add_partitions(mapping: Mapping) -> Mapping:
  """Gives the kernel the partitions of an attached disk.

  @return: the mapping with the partitions' device numbers

  """
  if not mapping.partitions:
    return mapping
  with loop_device.opened(mapping.device, os.O_RDONLY) as fd:
    for partition in mapping.partitions:
      loop_device.add_partition(
        fd, partition.number, partition.start, partition.size
      )
  return dataclasses.replace(
    mapping,
    partitions=tuple(
      dataclasses.replace(p, devno=_wait_for_node(p.device))
      for p in mapping.partitions
    ),
  )


def _wait_for_node(path: str) -> str:
  """Waits until the node of a kernel device is there; returns its number."""
  devno = loop_device.devno_of_partition(path)

  def node_is_there() -> bool:
    try:
      status = pathlib.Path(path).stat()
    except FileNotFoundError:
      return False
    return (
      stat.S_ISBLK(status.st_mode)
      and device_users.devno_of(status.st_rdev) == devno
    )

  if not wait_until(node_is_there, _NODE_TIMEOUT):
    message = (
      f"the kernel has {path} as device {devno}, but the node did not appear"
      f" within {_NODE_TIMEOUT:g} seconds; is /dev a devtmpfs?"
    )
    raise errors.BlockDeviceError(message)
  return devno


def is_attached(mapping: Mapping) -> bool:
  """Is the mapping's loop device attached, and by this mapping?"""
  return mapping.loop is not None and _has_tag(mapping.loop, mapping.tag)


def _has_tag(loop: str, tag: str) -> bool:
  status = loop_device.status_of(loop)
  return status is not None and status.tag == tag


def detach_loop(mapping: Mapping, timeout: float) -> None:
  """Takes the partitions and the loop device away and waits for it.

  @param timeout: in seconds
  @raise errors.BlockDeviceError: they are still in use, by whom

  """
  if mapping.loop is not None:
    _detach(mapping.loop, mapping.tag, timeout)


def detach_owned(owner: str, timeout: float) -> None:
  """Takes away all loop devices of an owner, of whom no record is left.

  What was written to them is in their files by then: a loop device that is
  detached does not see to that (loop.c, __loop_clr_fd), and nobody else knows
  of which files it has to be done.

  @param owner: as in L{new_tag}
  @param timeout: in seconds, for each
  @raise errors.BlockDeviceError: one is still in use, by whom

  """
  for loop in loop_device.attached():
    status = loop_device.status_of(loop)
    tag = status.tag if status else ""
    if tag.startswith(TAG_PREFIX) and tag.endswith(_tag_end(owner)):
      # fsync(2): the loop device has that done to its file (lo_req_flush)
      programs.checked(["sync", loop], limit=_FLUSH_LIMIT)
      _detach(loop, tag, timeout)


def _detach(loop: str, tag: str, timeout: float) -> None:
  if not wait_until(lambda: _try_detach(loop, tag), timeout):
    users = device_users.describe(devices_of(loop))
    message = (
      f"{loop} is still in use after {timeout:g} seconds:"
      f" {users or 'no user was found'}"
    )
    raise errors.BlockDeviceError(message)


def _try_detach(loop: str, tag: str) -> bool:
  """Does what can be done now; returns whether nothing is left.

  Opening exclusively fails while the disk or a partition is mounted, and as
  long as it lasts nobody can mount one.

  """
  if not _has_tag(loop, tag):
    return True
  try:
    with loop_device.opened(loop, os.O_RDONLY | os.O_EXCL) as fd:
      status = loop_device.status(fd)
      if status is None or status.tag != tag:
        return True
      for number in loop_device.partition_numbers(loop):
        loop_device.delete_partition(fd, number)
      loop_device.detach(fd)
  except OSError as err:
    if err.errno == errno.EBUSY:
      return False
    if err.errno not in loop_device.NOT_ATTACHED:
      raise
  return not _has_tag(loop, tag)


def detach_idle(loop: str, is_meant: Callable[[str], bool]) -> bool:
  """Detaches a loop device of L{attach_loop}'s which nobody uses.

  Whoever attached it was killed, or lost its notes: it would be in the way of
  its disk for ever.  What is mounted or open stays as it is.

  @param is_meant: whether the disk is attached to it by now
  @return: whether it is not attached any more

  """
  status = loop_device.status_of(loop)
  tag = status.tag if status else ""
  # In this order: by the time the tag is read, the number may be of use to
  # somebody else.
  if not tag.startswith(TAG_PREFIX) or not is_meant(loop):
    return False
  # Of what is open somewhere the kernel would do it later, at the last close.
  if device_users.describe(devices_of(loop)):
    return False
  return wait_until(lambda: _try_detach(loop, tag), _IDLE_TIMEOUT)


def devices_of(disk: str) -> list[tuple[str, str]]:
  """Returns path and "MAJ:MIN" of a whole disk and of its partitions."""
  known = []
  # What goes away in the meantime is used by nobody
  with contextlib.suppress(FileNotFoundError):
    status = pathlib.Path(disk).stat()
    known.append((disk, device_users.devno_of(status.st_rdev)))
    for number in loop_device.partition_numbers(disk):
      path = loop_device.partition_path(disk, number)
      known.append((path, loop_device.devno_of_partition(path)))
  return known


def users_of(loop: str) -> str:
  """Tells who uses a loop device and its partitions."""
  users = device_users.describe(devices_of(loop))
  return f"attached to {loop} ({users or 'not mounted'})"


def users(is_meant: Callable[[str], bool]) -> list[str]:
  """Tells of the loop devices of a disk who uses them.

  Those of L{attach_loop}'s that nobody uses are detached.

  @param is_meant: whether the disk is attached to a loop device

  """
  loops = [loop for loop in loop_device.attached() if is_meant(loop)]
  return [users_of(loop) for loop in loops if not detach_idle(loop, is_meant)]
