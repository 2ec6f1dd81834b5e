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

"""The runtime record: what was attached for an instance, and how far.

It is written before each act, so that whatever a killed process left can
be found and released by the next ordinary command.  It need not survive a
power cut: loop devices, mounts and cgroups do not either.  A record of
another boot therefore describes nothing that still exists, but for ports of
Open vSwitch, which keeps them in a file; one that has such is on the disk.

"""

import contextlib
import enum
import json
import logging
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .errors import Incomplete
from .host import Host, read_optional, write_durably, write_file
from .layout import InstancePaths
from .model import NicMode

_log = logging.getLogger(__name__)

VERSION = 1


class Phase(enum.StrEnum):
  """How far an operation went; written by lifecycle.py only."""

  STARTING = "starting"
  RUNNING = "running"
  STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRecord:
  """One disk.

  @ivar source: file or block device as Ganeti handed it over
  @ivar mapping: ganeti.storage.kpartx's own note of what it attached
  @ivar device: node that is mounted or handed over, "" before it is known
  @ivar filesystem: its type, "" when the disk is not mounted
  @ivar mount_point: on the host, "" when the disk is not mounted

  """

  index: int
  uuid: str
  source: str
  mapping: dict[str, Any] = field(default_factory=dict)
  device: str = ""
  partition: int = 0
  filesystem: str = ""
  mount_point: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
  """What was done for an instance on this node, in this boot.

  @ivar nics: nics.NicRecord as dictionaries

  """

  name: str
  uuid: str
  boot_id: str
  phase: Phase
  disks: tuple[DiskRecord, ...] = ()
  nics: tuple[dict[str, Any], ...] = ()
  version: int = VERSION

  def with_disk(self, disk: DiskRecord) -> "Record":
    """The record with this disk's note added or replaced."""
    others = tuple(d for d in self.disks if d.index != disk.index)
    disks = sorted((*others, disk), key=lambda d: d.index)
    return replace(self, disks=tuple(disks))

  def in_phase(self, phase: Phase) -> "Record":
    return replace(self, phase=phase)

  def to_text(self) -> str:
    return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def from_text(text: str) -> Record:
  """The record that was written as this text.

  Unknown keys, which a later release may have added, are passed over.

  @raise ValueError: this is no record

  """
  try:
    data = json.loads(text)
    disks = tuple(
      DiskRecord(**_known(DiskRecord, disk)) for disk in data["disks"]
    )
    known = _known(Record, data)
    nics = tuple({**nic} for nic in data["nics"])
    known.update(phase=Phase(data["phase"]), disks=disks, nics=nics)
    return Record(**known)
  except (KeyError, TypeError, AttributeError) as err:
    raise ValueError(f"not a runtime record: {err!r}") from err


def _known(cls: type[Any], data: dict[str, Any]) -> dict[str, Any]:
  names = {field.name for field in fields(cls)}
  return {key: value for key, value in data.items() if key in names}


def save(paths: InstancePaths, record: Record) -> None:
  """Writes the record; the instance's directory must exist."""
  outlives_boot = any(nic.get("mode") == NicMode.OVS for nic in record.nics)
  write = write_durably if outlives_boot else write_file
  write(paths.record, record.to_text())


def note_phase(host: Host, paths: InstancePaths, phase: Phase) -> None:
  """Notes in a running instance's record how far it is now, if it can.

  All that goes by it is what an end is taken for (L{ended.by_itself}): not to
  be able to write it must not keep an instance from being stopped.

  """
  noted = load_or_none(host, paths)
  if noted is None:
    return
  try:
    save(paths, noted.in_phase(phase))
  except OSError as err:
    _log.warning("%s keeps the phase %s: %s", paths.record, noted.phase, err)


def load(host: Host, paths: InstancePaths) -> Record | None:
  """The record of this boot, or None.

  @raise Incomplete: there is one, but it cannot be read

  """
  record = of_any_boot(paths)
  return record if record and record.boot_id == host.boot_id() else None


def of_any_boot(paths: InstancePaths) -> Record | None:
  """The record, also one of another boot; None if there is none.

  @raise Incomplete: there is one, but it cannot be read

  """
  try:
    text = read_optional(paths.record)
    return None if text is None else from_text(text)
  except (OSError, ValueError) as err:
    what = "damaged" if isinstance(err, ValueError) else "not readable"
    raise Incomplete(
      f"The runtime record {paths.record} is {what}",
      evidence=str(err),
      remedy="stop the instance: what the record described is then looked"
      " for in the kernel's own lists and taken away",
    ) from err


def is_lost(paths: InstancePaths) -> bool:
  """Whether the instance has files here, but no record that can be read."""
  try:
    return of_any_boot(paths) is None and paths.home.is_dir()
  except Incomplete:
    return True


def load_or_none(host: Host, paths: InstancePaths) -> Record | None:
  """As L{load}, with a damaged record taken for none."""
  with contextlib.suppress(Incomplete):
    return load(host, paths)
  return None
