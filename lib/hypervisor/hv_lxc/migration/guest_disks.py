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

"""The disks that a running guest has; Ganeti's list can be another by now.

gnt-instance modify adds, detaches and reorders disks of a running instance
for its next start.  A guest is restored with those that it was started with.

"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from .. import record
from ..errors import Refused
from ..host import Host
from ..model import DiskSpec
from ..record import DiskRecord, Record


def of_record(host: Host, name: str) -> tuple[DiskRecord, ...]:
  """The disks that an instance was started with on this node."""
  noted = record.load_or_none(host, host.layout.instance(name))
  return noted.disks if noted else ()


def check(host: Host, name: str, known: Collection[str]) -> Record:
  """Whether the disks are such that another node can have them.

  @param known: UUIDs of the instance's disks, as Ganeti has them
  @return: the record that says what they are
  @raise Refused: with what stands in the way

  """
  noted = record.load_or_none(host, host.layout.instance(name))
  if noted is None or not noted.disks:
    raise Refused(
      f"Instance {name} cannot be migrated: it has no runtime record",
      remedy="restart it with gnt-instance reboot --type=hard",
    )
  for disk in noted.disks:
    if not disk.mount_point:
      raise Refused(
        f"Instance {name} cannot be migrated live: its disk {disk.index} is"
        " a block device in the guest, whose number differs between nodes",
        remedy="give the disk a file system, or use gnt-instance failover",
      )
    if disk.uuid not in known:
      raise Refused(
        f"Instance {name} cannot be migrated live: the guest still uses a"
        " disk that is the instance's no more",
        evidence=f"disk {disk.index} of its last start, {disk.uuid}, which"
        f" is mounted at {disk.mount_point}",
        remedy="restart it with gnt-instance reboot --type=hard",
      )
  return noted


def chosen(
  specs: Sequence[DiskSpec], told: Iterable[tuple[int, str]]
) -> tuple[DiskSpec, ...]:
  """Of all disks those that the guest has, numbered as it has them.

  @param told: index and UUID of the guest's; a source of an earlier release
    tells none, and then they are all

  """
  wanted = {uuid: index for index, uuid in told}
  if not wanted:
    return tuple(specs)
  found = (s for s in specs if s.uuid in wanted)
  return tuple(replace(s, index=wanted[s.uuid]) for s in found)


def as_started(
  host: Host, name: str, specs: Sequence[DiskSpec]
) -> tuple[DiskSpec, ...]:
  """The same on the node where the guest runs, which knows where they are.

  Ganeti's links there are those of the numbers at the start.

  """
  noted = {disk.uuid: disk for disk in of_record(host, name)}
  told = [(disk.index, uuid) for uuid, disk in noted.items()]
  return tuple(
    replace(spec, path=Path(noted[spec.uuid].source))
    if spec.uuid in noted
    else spec
    for spec in chosen(specs, told)
  )
