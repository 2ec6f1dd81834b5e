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

"""What L{ganeti.storage.kpartx} attached for a disk, as a value.

Written as JSON before and after attaching, so that whoever finds the record
after a crash knows what to take away.

"""

import dataclasses
import enum
from typing import Any, Self, TypeVar

from ganeti import errors

from .partition_table import Role, Scheme, role_of

_VERSION = 1

_T = TypeVar("_T")


class Mechanism(enum.StrEnum):
  """How the partitions became block devices."""

  NONE = "none"
  KERNEL = "kernel"
  DEVICE_MAPPER = "device-mapper"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MappedPartition:
  """A partition, or a whole disk (number 0), as a block device.

  @ivar device: path; empty in a claim while it is not known
  @ivar devno: "MAJ:MIN"; empty in a claim while it is not known
  @ivar start: in bytes
  @ivar size: in bytes
  @ivar type: see L{role_of}

  """

  number: int
  device: str
  devno: str
  start: int
  size: int
  type: str

  @property
  def role(self) -> Role:
    """What the partition is for."""
    return role_of(self.type)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
  """A disk with its partitions as block devices.

  @ivar source: path of the file or block device, links resolved
  @ivar device: path of the block device for the whole disk
  @ivar devno: its number, "MAJ:MIN"
  @ivar loop: path of the loop device, if there is one
  @ivar tag: name in the loop device by which it is known as this mapping's
  @ivar boot_id: the node's boot in which the mapping was made
  @ivar sector_size: in bytes
  @ivar partitions: in on-disk order; extended partitions are left out

  """

  source: str
  mechanism: Mechanism
  device: str
  devno: str
  loop: str | None
  tag: str
  boot_id: str
  scheme: Scheme
  sector_size: int
  read_only: bool
  partitions: tuple[MappedPartition, ...] = ()

  @property
  def whole(self) -> MappedPartition:
    """The whole disk as if it were a partition with the number 0; no size."""
    return MappedPartition(
      number=0, device=self.device, devno=self.devno, start=0, size=0, type=""
    )

  def ToDict(self) -> dict[str, Any]:
    """Returns the mapping in types which JSON has."""
    record = dataclasses.asdict(self)
    record["mechanism"] = self.mechanism.value
    record["scheme"] = self.scheme.value
    record["partitions"] = [dataclasses.asdict(p) for p in self.partitions]
    return {"version": _VERSION, **record}

  @classmethod
  def FromDict(cls, record: dict[str, Any]) -> Self:
    """Reads what L{ToDict} wrote.

    Fields of a later version are ignored: a node with an older driver must
    still be able to take the mapping away.

    @raise errors.BlockDeviceError: this is no such record

    """
    try:
      return cls(
        source=_typed(record, "source", str),
        mechanism=Mechanism(record["mechanism"]),
        device=_typed(record, "device", str),
        devno=_typed(record, "devno", str),
        loop=(None if record["loop"] is None else _typed(record, "loop", str)),
        tag=_typed(record, "tag", str),
        boot_id=_typed(record, "boot_id", str),
        scheme=Scheme(record["scheme"]),
        sector_size=_typed(record, "sector_size", int),
        read_only=_typed(record, "read_only", bool),
        partitions=tuple(
          _partition_from_dict(p) for p in _typed(record, "partitions", list)
        ),
      )
    except (KeyError, TypeError, ValueError) as err:
      message = (
        f"The record of a disk's mapping is damaged ({type(err).__name__}:"
        f" {err}); look at losetup --list and detach by hand what is unused"
      )
      raise errors.BlockDeviceError(message) from err


def _typed(record: dict[str, Any], key: str, kind: type[_T]) -> _T:
  value = record[key]
  if not isinstance(value, kind):
    raise TypeError(f"{key} is {value!r}")
  return value


def _partition_from_dict(record: dict[str, Any]) -> MappedPartition:
  return MappedPartition(
    number=_typed(record, "number", int),
    device=_typed(record, "device", str),
    devno=_typed(record, "devno", str),
    start=_typed(record, "start", int),
    size=_typed(record, "size", int),
    type=_typed(record, "type", str),
  )
