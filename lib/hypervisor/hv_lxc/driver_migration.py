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

"""The part of LXCHypervisor that moves running instances.

In the order in which Ganeti calls it; what each does is in migration/.

"""

from typing import TYPE_CHECKING, Any

from ganeti import constants, objects, pathutils

from . import late
from .driver_errors import as_hypervisor_error
from .host import Host

if TYPE_CHECKING:
  from . import model, params, partitions, translate, versions
  from .migration import before_start, calls, guest_disks
  from .migration.task import Task
else:
  params = late.Late("params")
  translate = late.Late("translate")
  versions = late.Late("versions")
  before_start = late.Late("migration.before_start")
  calls = late.Late("migration.calls")
  guest_disks = late.Late("migration.guest_disks")


class MigrationFace:
  """What Ganeti calls for a live migration."""

  _host: Host

  @property
  def _storage(self) -> "partitions.Partitions":
    raise NotImplementedError

  @staticmethod
  def VersionsSafeForMigration(src: Any, target: Any) -> Any:
    """Whether nodes with these hv_versions can move a guest."""
    return versions.safe_for_migration(list(src or ()), list(target or ()))

  @as_hypervisor_error
  def MigrationInfo(self, instance: Any) -> Any:
    """Refuses what cannot be migrated; what the target is to be told."""
    return calls.offer(
      self._host,
      self._storage,
      instance.name,
      instance=instance.uuid,
      disks=[disk.uuid for disk in instance.disks_info],
    )

  @as_hypervisor_error
  def AcceptInstance(self, instance: Any, info: Any, target: Any) -> Any:
    """Listens for the source from now on.

    @param target: secondary IP address of this node

    """
    told = calls.Info.from_text(info)
    disks = guest_disks.chosen(_disks(instance), told.disks)
    part = self._part(instance, target, disks, live=True)
    calls.accept(self._host, self._storage, told, part=part)

  @as_hypervisor_error
  def MigrateInstance(
    self, cluster_name: Any, instance: Any, target: Any, live: Any
  ) -> Any:
    """Starts to migrate, and returns.

    @param target: secondary IP address of the other node

    """
    name = instance.name
    disks = guest_disks.as_started(self._host, name, _disks(instance))
    part = self._part(instance, target, disks, live=bool(live))
    calls.migrate(self._host, self._storage, name, part)

  @as_hypervisor_error
  def GetMigrationStatus(self, instance: Any) -> Any:
    """Active, or completed: then the guest runs on the other node.

    A failure is raised: of a status Ganeti's user sees no reason.

    """
    status = calls.status(self._host, self._storage, instance.name)
    return objects.MigrationStatus(
      status=constants.HV_MIGRATION_COMPLETED
      if status.done
      else constants.HV_MIGRATION_ACTIVE,
      transferred_ram=status.sent,
      total_ram=status.known,
    )

  @as_hypervisor_error
  def FinalizeMigrationSource(
    self, instance: Any, success: Any, live: Any
  ) -> Any:
    """Forgets the guest, or has it back if it is not on the other node."""
    calls.finalize_source(
      self._host, self._storage, instance.name, success=bool(success)
    )

  @as_hypervisor_error
  def FinalizeMigrationDst(self, instance: Any, info: Any, success: Any) -> Any:
    """Keeps the guest, or gives it up unless it runs here."""
    calls.finalize_target(
      self._host,
      self._storage,
      calls.Info.from_text(info),
      success=bool(success),
    )

  @as_hypervisor_error
  def CheckStart(self, name: str, disk: str, primary: str) -> None:
    """Asked by our hook before Ganeti makes an instance's disks ready.

    @param disk: UUID of the first disk
    @param primary: name of the node where Ganeti wants the instance to run

    """
    before_start.check(
      self._host, self._storage, name, disk=disk, primary=primary
    )

  def _part(
    self,
    instance: Any,
    target: str,
    disks: "tuple[model.DiskSpec, ...]",
    *,
    live: bool,
  ) -> "Task":
    wanted = params.parse_migration(instance.hvparams)
    return calls.part(
      self._host,
      instance.name,
      instance=instance.uuid,
      disks=disks,
      address=target,
      port=wanted.port,
      bandwidth_mib=wanted.bandwidth_mib,
      downtime_ms=wanted.downtime_ms,
      live=live,
    )


def _disks(instance: Any) -> "tuple[model.DiskSpec, ...]":
  """All that Ganeti has now, at its links on this node."""
  links = [
    (disk, f"{pathutils.DISK_LINKS_DIR}/{instance.name}:{index}", None)
    for index, disk in enumerate(instance.disks_info)
  ]
  return translate.disk_specs(instance.name, links)
