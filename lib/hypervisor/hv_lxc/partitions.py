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

"""The edge to ganeti.storage.kpartx: a disk's partitions as devices."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import Failed

Claim = Callable[[dict[str, Any]], None]

# Types of partitions (ganeti.storage.partition_table.Role) that are never a
# guest's root or data.
_NOT_DATA = frozenset(("boot", "swap", "efi-system", "bios-boot", "extended"))
_ROOT = "root"


@dataclass(frozen=True, slots=True)
class FoundFilesystem:
  """A file system on a disk.

  @ivar number: of the partition, 0 for the whole disk

  """

  device: str
  number: int
  fs_type: str


@dataclass(frozen=True, slots=True)
class AttachedDisk:
  """A disk as block devices.

  @ivar device: of the whole disk
  @ivar mapping: ganeti.storage.kpartx's own note of what it attached
  @ivar candidates: devices that may hold a file system, with the numbers
      of their partitions, the most likely root first

  """

  device: str
  mapping: dict[str, Any]
  candidates: tuple[tuple[str, int], ...] = ()


class Partitions(Protocol):
  """What is asked of partition mapping; a test gives another one."""

  def attach(
    self, path: str, claim: Claim, *, owner: str, read_only: bool
  ) -> AttachedDisk: ...

  def detach(self, mapping: dict[str, Any]) -> None: ...

  def detach_lost(self, owner: str, devices: list[str]) -> None: ...

  def grow(
    self, mapping: dict[str, Any], number: int | None
  ) -> dict[str, Any]: ...

  def filesystem(self, device: str) -> str | None: ...

  def used_by(self, path: str) -> str | None: ...


class Kpartx:
  """Partition mapping by ganeti.storage.kpartx.

  It is imported when it is first needed, so that queries and jobs on the
  master do not pay for it.

  """

  def attach(
    self, path: str, claim: Claim, *, owner: str, read_only: bool
  ) -> AttachedDisk:
    """Makes block devices of a disk and its partitions.

    @param claim: is told what is about to be attached, before it is
    @param owner: see L{detach_lost}
    @raise Failed: nothing is attached

    """
    with _translated():
      mapping = _kpartx().MapDisk(
        path, read_only=read_only, claim=claim, owner=owner
      )
    parts = [p for p in mapping.partitions if p.role not in _NOT_DATA]
    parts.sort(key=lambda p: p.role != _ROOT)
    if str(mapping.scheme) == "none":
      parts = [mapping.whole]
    return AttachedDisk(
      device=mapping.device,
      mapping=mapping.ToDict(),
      candidates=tuple((p.device, p.number) for p in parts),
    )

  def detach(self, mapping: dict[str, Any]) -> None:
    """Takes away what was attached; that it is gone already is success.

    @raise Failed: it is still in use

    """
    with _translated():
      _kpartx().UnmapDisk(mapping)

  def detach_lost(self, owner: str, devices: list[str]) -> None:
    """Takes away what was attached for an owner and is noted nowhere now.

    @param devices: paths of the owner's disks that are block devices
    @raise Failed: it is still in use, or was not all written

    """
    with _translated():
      _kpartx().UnmapLost(owner, devices)

  def grow(self, mapping: dict[str, Any], number: int | None) -> dict[str, Any]:
    """Lets devices follow a disk that has grown.

    @param number: of the partition to enlarge, None for none

    """
    with _translated():
      module = _kpartx()
      known = module.Mapping.FromDict(mapping)
      grown: dict[str, Any] = module.GrowDisk(known, number).ToDict()
      return grown

  def filesystem(self, device: str) -> str | None:
    """The type of the file system on a device, None if there is none."""
    with _translated():
      found: str | None = _kpartx().ProbeFilesystem(device)
      return found

  def used_by(self, path: str) -> str | None:
    """Who uses a disk, as text; None if nobody does."""
    with _translated():
      user: str | None = _kpartx().InUse(path)
      return user


def preload() -> None:
  """Imports what is otherwise imported when a disk is first needed.

  Where that fails it will fail again then, with an error that is shown.

  """
  try:
    _kpartx()
  except Exception:
    logging.exception("Disks of LXC instances cannot be used")


def _kpartx() -> Any:
  from ganeti.storage import kpartx  # noqa: PLC0415

  return kpartx


@contextlib.contextmanager
def _translated() -> Iterator[None]:
  from ganeti.errors import GenericError  # noqa: PLC0415

  try:
    yield
  except GenericError as err:
    raise Failed(str(err)) from err


def find_filesystem(
  storage: Partitions, disk: AttachedDisk, supported: tuple[str, ...]
) -> FoundFilesystem | None:
  """The first file system on a disk that is of a supported type."""
  for device, number in disk.candidates:
    fs_type = storage.filesystem(device)
    if fs_type in supported:
      return FoundFilesystem(device, number, fs_type)
  return None
