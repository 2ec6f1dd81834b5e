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

"""What Ganeti calls for a live migration, in its own order.

  MigrationInfo on the source, AcceptInstance on the target, MigrateInstance
  on the source, GetMigrationStatus there each second, then both Finalize;
  or, when anything fails, FinalizeMigrationDst(False) and then
  FinalizeMigrationSource(False), of which neither proves the other.

What each does in each state stands in table.py.

"""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .. import cgroup, hierarchies, report
from ..doctor import facts
from ..errors import LxcError, Refused
from ..host import Host
from ..model import DiskSpec
from ..partitions import Partitions
from . import guest_disks, journal, listing, peer, preflight, progress, task
from .acts import NodeActs
from .auth import Secret
from .journal import Journal
from .machine import Refusal
from .protocol import HELD_ELSEWHERE
from .states import HANDED, Event, Reason, State
from .task import Task

_INFO_VERSION = 1
_MIB = 1 << 20
_NAMED = 3
_UNDER_WAY = (State.DUMPING, State.DUMPED, *HANDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
  """What the source tells the target by way of Ganeti.

  @ivar id: the migration's
  @ivar node: the source's name
  @ivar facts: of the source node, as doctor.facts writes them
  @ivar room: bytes that the images may take
  @ivar nics: nics.NicRecord as dictionaries; an earlier release sends none
  @ivar disks: index and UUID of the guest's; an earlier release sends none

  """

  id: str
  secret: str
  node: str
  name: str
  uuid: str
  facts: str
  room: int
  nics: tuple[dict[str, Any], ...] = ()
  disks: tuple[tuple[int, str], ...] = ()
  version: int = _INFO_VERSION

  def to_text(self) -> str:
    """As Ganeti carries it."""
    return json.dumps({k: getattr(self, k) for k in self.__slots__})

  @classmethod
  def from_text(cls, text: object) -> "Info":
    """What L{to_text} wrote.

    @raise Refused: it is something else

    """
    try:
      data = {"nics": (), "disks": (), **json.loads(str(text))}
      data["disks"] = tuple((int(n), str(u)) for n, u in data["disks"])
      info = cls(**{key: data[key] for key in cls.__slots__})
      Secret.from_text(info.secret)
    except (ValueError, KeyError, TypeError) as err:
      raise Refused(
        "The source of the migration speaks another language",
        evidence=f"{err!r}",
        remedy="install the same version of the driver on both nodes",
      ) from err
    return info


def offer(
  host: Host,
  storage: Partitions,
  name: str,
  *,
  instance: str,
  disks: Collection[str],
) -> str:
  """MigrationInfo: refuses what can be known before anything is changed.

  @param instance: its UUID
  @param disks: those of its disks
  @raise Refused: the instance cannot be migrated; nothing was changed

  """
  if not cgroup.is_running(hierarchies.find(host), name):
    raise Refused(
      f"Instance {name} does not run on this node",
      remedy=f"use gnt-instance failover {name}",
    )
  node = preflight.node_of(host)
  preflight.check_criu(node)
  noted = guest_disks.check(host, name, disks)
  preflight.check_guest(host, node, name)
  made = Journal(
    name=name,
    uuid=instance,
    id=str(uuid.uuid4()),
    secret=Secret.new().to_text(),
    started=time.time(),
  )
  acts = NodeActs(host=host, storage=storage, name=name)
  acts.machine().fire(Event.OFFER, fresh=made)
  info = Info(
    id=made.id,
    secret=made.secret,
    node=peer.own_name(host),
    name=name,
    uuid=instance,
    facts=facts.to_text(facts.of_node(node)),
    room=preflight.room(host, name),
    nics=noted.nics,
    disks=tuple((d.index, d.uuid) for d in noted.disks),
  )
  preflight.check_room(host, info.room, name)
  return info.to_text()


def accept(host: Host, storage: Partitions, info: Info, part: Task) -> None:
  """AcceptInstance: from now on this node listens for the source.

  @raise Refused: it cannot take the instance; nothing was changed

  """
  name = info.name
  node = preflight.node_of(host)
  preflight.check_criu(node)
  here = facts.of_node(node)
  unlike = facts.differences(facts.from_text(info.facts), here)
  if unlike:
    raise Refused(
      f"Instance {name} cannot be migrated to this node",
      evidence="; ".join(str(problem) for problem in unlike[:_NAMED]),
      remedy="use gnt-instance failover",
    )
  preflight.check_nics(host, info.nics, name)
  preflight.check_room(host, info.room, name)
  paths = host.layout.migration(name)
  journal.make_home(paths)
  task.save(paths, part)
  made = Journal(
    name=name,
    uuid=info.uuid,
    id=info.id,
    secret=info.secret,
    peer_node=info.node,
    port=part.port,
    live=part.live,
    started=time.time(),
  )
  acts = NodeActs(host=host, storage=storage, name=name)
  acts.machine().fire(Event.ACCEPT, of=info.id, fresh=made)


def migrate(host: Host, storage: Partitions, name: str, part: Task) -> None:
  """MigrateInstance: starts the process that does it, and returns.

  @raise Refused: it was not offered, or is under way

  """
  acts = NodeActs(host=host, storage=storage, name=name)
  machine = acts.machine()
  paths = host.layout.migration(name)
  preflight.check_room(host, preflight.room(host, name), name)
  task.save(paths, part)
  progress.save(paths, progress.Progress(phase="starting"))
  machine.amend(
    machine.current().id,
    peer_address=part.address,
    peer_node=peer.node_name(host, part.address),
    port=part.port,
    live=part.live,
  )
  machine.fire(Event.MIGRATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
  """How a migration stands.

  @ivar done: the guest runs on the other node
  @ivar sent: MiB, None before anything was
  @ivar known: MiB, at least 1

  """

  done: bool
  sent: int | None = None
  known: int | None = None


def status(host: Host, storage: Partitions, name: str) -> Status:
  """GetMigrationStatus.

  @raise LxcError: it has failed, and why

  """
  acts = NodeActs(host=host, storage=storage, name=name)
  machine = acts.machine()
  working = journal.worker(host, name) is not None
  # Its process has the journal for as long as it unmounts and flushes disks.
  now = journal.load(host, name) if working else machine.current()
  if now.state in HANDED and not working:
    # Its process was killed: what it would have heard is asked for.
    with contextlib.suppress(LxcError):
      machine.fire(Event.SETTLE)
    now = machine.current()
  if now.state is State.GONE:
    return Status(done=True)
  told = progress.load(host.layout.migration(name))
  if now.state not in _UNDER_WAY or not working:
    raise Refused(
      f"The migration of instance {name} has failed",
      evidence=told.error or f"its process died in the phase {told.phase}",
    )
  if not told.sent:
    return Status(done=False)
  known = max(1, told.known // _MIB, told.sent // _MIB)
  return Status(done=False, sent=told.sent // _MIB, known=known)


def finalize_source(
  host: Host, storage: Partitions, name: str, *, success: bool
) -> None:
  """FinalizeMigrationSource.

  @raise Refused: it runs on the other node, or nobody can tell

  """
  if not known(host, name):
    return
  acts = NodeActs(host=host, storage=storage, name=name)
  acts.machine().fire(Event.SRC_DONE if success else Event.SRC_ABORT)


def finalize_target(
  host: Host, storage: Partitions, info: Info, *, success: bool
) -> None:
  """FinalizeMigrationDst.

  @raise Refused: success was claimed and it does not run here, or failure
      and it does

  """
  if not success and not known(host, info.name):
    # Should its AcceptInstance still come, it is not taken.
    journal.make_home(host.layout.migration(info.name))
  acts = NodeActs(host=host, storage=storage, name=info.name)
  machine = acts.machine()
  machine.fire(Event.DST_DONE if success else Event.DST_ABORT, of=info.id)
  if success:
    machine.amend(info.id, finalized=True)


def start(
  host: Host,
  storage: Partitions,
  name: str,
  plain: Callable[[], None],
  *,
  instance: str = "",
  port: int = 0,
) -> None:
  """StartInstance, of an instance that may be somewhere between two nodes.

  @param instance: its UUID
  @param port: migration_port if its disks can be on any node, else 0
  @raise Refused: it runs, or may run, on another node

  """
  _drop_of_another(host, name, instance)
  if not known(host, name):
    _check_nowhere_else(host, name, port)
    plain()
    return
  acts = NodeActs(
    host=host, storage=storage, name=name, plain_start=plain, port=port
  )
  machine = acts.machine()
  fired = machine.fire(Event.START)
  if fired.journal.state is State.RESUMED:
    # Ganeti takes this node for the instance's.
    machine.amend(fired.journal.id, finalized=True)


def _drop_of_another(host: Host, name: str, instance: str) -> None:
  """Forgets what is told of a removed instance that had this name."""
  if not known(host, name) or journal.worker(host, name) is not None:
    return
  found = journal.load(host, name)
  if found.uuid and instance and found.uuid != instance:
    listing.forget(host, name)


def _check_nowhere_else(host: Host, name: str, port: int) -> None:
  answers = peer.ask_everybody(host, name, port) if port else []
  if any(answer in HELD_ELSEWHERE for answer in answers):
    raise Refusal(Reason.RUNS_ELSEWHERE, Journal(name=name))


def stop(
  host: Host, storage: Partitions, name: str, ordinary: Callable[[], None]
) -> None:
  """StopInstance or CleanupInstance, likewise.

  @raise Refused: as L{start}

  """
  if not known(host, name):
    ordinary()
    return
  acts = NodeActs(host=host, storage=storage, name=name, ordinary_stop=ordinary)
  acts.machine().fire(Event.STOP)


def stopped(host: Host, storage: Partitions, name: str) -> None:
  """CleanupInstance took everything away."""
  if known(host, name):
    acts = NodeActs(host=host, storage=storage, name=name)
    acts.machine().fire(Event.STOPPED)


def known(host: Host, name: str) -> bool:
  """Whether the instance ever had a part in a migration on this node."""
  return host.layout.migration(name).journal.exists()


def part(
  host: Host,
  name: str,
  *,
  instance: str,
  disks: Sequence[DiskSpec],
  address: str,
  port: int,
  bandwidth_mib: int,
  downtime_ms: int,
  live: bool,
) -> Task:
  """What this node's part is."""
  usage = report.usage(host, name)
  return Task(
    uuid=instance,
    disks=tuple(disks),
    address=address,
    port=port,
    memory_mib=usage.memory_mib if usage else 0,
    vcpus=usage.vcpus if usage else 1,
    bandwidth_mib=bandwidth_mib,
    downtime_ms=downtime_ms,
    live=live,
  )
