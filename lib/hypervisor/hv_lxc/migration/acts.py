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

"""The hands of the protocol: what machine.py has done on a node.

Every act can be repeated, also after it was interrupted anywhere.

"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .. import cgroup, freezer, hierarchies, record, stopping
from ..errors import Failed, Incomplete, LxcError, Refused
from ..host import Host, forget_lock, locked, wait_until
from ..partitions import Partitions
from ..record import Phase
from . import (
  answering,
  criu_processes,
  daemons,
  dump,
  intake,
  journal,
  peer,
  restore,
  taking_life,
  task,
  zombies,
)
from .journal import Journal
from .machine import Machine
from .messages import (
  Closed,
  Grant,
  Message,
  Owner,
  Ready,
  Resumed,
  Returned,
  State,
)
from .states import Act, Event
from .states import State as Journaled

_log = logging.getLogger(__name__)

_CRIU_END_S = 30.0
# After the decision a restore that fails can only be tried again.
_ATTEMPTS = 3

_MESSAGES: dict[Act, Message] = {
  Act.SEND_READY: Ready(),
  Act.SEND_GRANT: Grant(),
  Act.SEND_OWNER: Owner(),
  Act.SEND_RESUMED: Resumed(),
  Act.SEND_RELEASED: State(str(Journaled.RELEASED), ""),
  Act.SEND_FORGOT: State(str(Journaled.IDLE), ""),
}
# What the node says to which the instance comes.
_ANSWERS = (Closed, Returned, Resumed, State)


def _nothing() -> None:
  pass


@dataclass(slots=True, kw_only=True)
class NodeActs:
  """The acts on this node, for one instance.

  @ivar send: to the other node; nothing is sent without it (the other one
      asks again by itself)
  @ivar plain_start: Ganeti's own start; stop likewise
  @ivar port: where other nodes listen that may have the instance; 0 if its
      disks are of a kind that no third node can have
  @ivar works: whoever has these hands has the lock of who works for the
      migration
  @ivar failure: why a restore failed, which the other node is told

  """

  host: Host
  storage: Partitions
  name: str
  send: Callable[[Message], None] | None = None
  plain_start: Callable[[], None] = _nothing
  ordinary_stop: Callable[[], None] = _nothing
  port: int = 0
  works: bool = False
  failure: str = field(default="")
  attempts: int = 0
  released: bool = False

  def machine(self) -> Machine:
    """The protocol, with these hands."""
    return Machine(self.host, self.name, self)

  def perform(self, act: Act, journal: Journal) -> None:
    """Does one act."""
    if act in _MESSAGES:
      self._tell(_MESSAGES[act])
    elif act is Act.SEND_CLOSED:
      self._tell(Returned(self.failure) if self.failure else Closed())
    else:
      _log.debug("Migration %s of %s: %s", journal.id, self.name, act.name)
      self._hand(act)()

  def ask_peer(self, journal: Journal) -> Event:
    """Asks the other node for the token."""
    return peer.ask(self.host, journal, self.host.layout.certificate)

  def ask_everybody(self, name: str) -> list[Event]:
    """What the other nodes say to this one's booting the instance."""
    if not self.port:
      return []
    return peer.ask_everybody(self.host, name, self.port)

  def lives(self, name: str) -> bool:
    """Whether a process of the instance lives on this node."""
    return cgroup.is_running(hierarchies.find(self.host), name)

  def _tell(self, message: Message) -> None:
    if self.send is None:
      if isinstance(message, _ANSWERS):
        # Whoever acts without a connection lets the other node ask: it may
        # be that nobody has listened since a process was killed.
        self._let_ask()
      return
    try:
      self.send(message)
    except LxcError as err:
      # It asks when it wants to know.
      _log.info("Migration of %s: %s", self.name, err)

  def _let_ask(self) -> None:
    try:
      self._start_receiver()
    except LxcError as err:
      _log.warning("Migration of %s: %s", self.name, err)

  def _start_worker(self) -> None:
    daemons.start_worker(self.host, self.name)

  def _start_receiver(self) -> None:
    found = journal.look(self.host, self.name).journal
    lives = self.lives(self.name)
    if found and answering.is_awaited(found, found.state, lives=lives):
      answering.listen(self.host, self.name)

  def _stop_worker(self) -> None:
    journal.kill_worker(self.host, self.name)
    criu_processes.end(self.host, self.name)

  def _freeze(self) -> None:
    freezer.order(hierarchies.find(self.host), self.name)
    if not criu_processes.is_held(self.host, self.name):
      # CRIU has let the guest go: the images are not what it is now.
      raise Failed(
        f"Instance {self.name} was not held until its images had arrived",
        evidence="the process for which CRIU waited has ended",
        remedy="start the migration anew",
      )
    zombies.check(self.host, self.name)

  def _kill_tasks(self) -> None:
    stopping.cut_off(self.host, self.name)
    taking_life.kill_payload(hierarchies.find(self.host), self.name)

  def _resume_guest(self) -> None:
    dump.resume(self.host, self.name)

  def _release_disks(self) -> None:
    with locked(self.host, self.name, stopping.LOCK_TIMEOUT_S):
      stopping.clean_up(self.host, self.storage, self.name)
      forget_lock(self.host, self.name)

  def _kill_and_unmount(self) -> None:
    with locked(self.host, self.name, stopping.LOCK_TIMEOUT_S):
      taking_life.take_down(self.host, self.storage, self.name)
      forget_lock(self.host, self.name)

  def _take_away(self) -> None:
    with locked(self.host, self.name, stopping.LOCK_TIMEOUT_S):
      # A start may have been under way when the question came.
      if self.lives(self.name):
        raise Refused(f"Instance {self.name} runs on this node")
      stopping.clean_up(self.host, self.storage, self.name)
      forget_lock(self.host, self.name)

  def _finish(self) -> None:
    """Completes a restore whose process was killed after the decision."""
    if not wait_until(
      lambda: not criu_processes.working(self.host, self.name), _CRIU_END_S
    ):
      criu_processes.end(self.host, self.name)
    dump.resume(self.host, self.name)
    paths = self.host.layout.instance(self.name)
    noted = record.load_or_none(self.host, paths)
    if noted is not None and noted.phase is Phase.STARTING:
      record.note_phase(self.host, paths, Phase.RUNNING)
    restore.settle(self.host, hierarchies.find(self.host), self.name)

  def _discard_images(self) -> None:
    paths = self.host.layout.migration(self.name)
    intake.clear(paths.home)
    for leftover in (paths.ask, paths.answer):
      leftover.unlink(missing_ok=True)

  def _restore(self) -> None:
    """Maps, mounts, restores; then, or if it fails, what the table says."""
    machine = self.machine()
    self.attempts += 1
    self.released = False
    try:
      with (
        self._working(),
        locked(self.host, self.name, stopping.LOCK_TIMEOUT_S),
      ):
        self._restore_locked(machine)
    except (LxcError, OSError) as err:
      _log.warning("Migration of %s: %s", self.name, err)
      self.failure = str(err)
      if self.released:
        # It may have run and written: the images are not the guest now.
        machine.fire(Event.RESTORE_LOST)
        raise
      if self.attempts >= _ATTEMPTS:
        raise
      fired = machine.fire(Event.RESTORE_FAILED)
      if fired.before is not Journaled.RESUMED:
        raise
      # It was tried again, and that worked.
      return
    machine.fire(Event.RESTORED)

  def _working(self) -> contextlib.AbstractContextManager[None]:
    if self.works:
      return contextlib.nullcontext()
    return working(self.host, self.name)

  def _restore_locked(self, machine: Machine) -> None:
    part = task.load(self.host.layout.migration(self.name))
    request = restore.RestoreRequest(
      name=self.name, uuid=part.uuid, disks=part.disks
    )
    times = restore.restore(
      self.host,
      self.storage,
      request,
      before_release=lambda: self._allow(machine),
    )
    _log.info("Instance %s is restored, in ms: %s", self.name, times)

  def _allow(self, machine: Machine) -> None:
    if not criu_processes.is_waiting(self.host, self.name):
      # Decided now, the guest would be lost; so the source has it.
      raise Failed(
        f"Instance {self.name} could not be restored",
        evidence="CRIU has ended before the guest was let go",
      )
    machine.fire(Event.POST_RESTORE)
    self.released = True

  def _hand(self, act: Act) -> Callable[[], None]:
    return {
      Act.START_WORKER: self._start_worker,
      Act.START_RECEIVER: self._start_receiver,
      Act.STOP_WORKER: self._stop_worker,
      Act.FREEZE: self._freeze,
      Act.KILL_TASKS: self._kill_tasks,
      Act.RESUME_GUEST: self._resume_guest,
      Act.TAKE_AWAY: self._take_away,
      Act.RELEASE_DISKS: self._release_disks,
      Act.KILL_AND_UNMOUNT: self._kill_and_unmount,
      # CRIU goes on when the function that it waits for returns.
      Act.ALLOW_RESUME: _nothing,
      Act.FINISH: self._finish,
      Act.DISCARD_IMAGES: self._discard_images,
      Act.MOUNT_AND_RESTORE: self._restore,
      Act.RESTORE_LOCALLY: self._restore,
      Act.PLAIN_START: self.plain_start,
      Act.ORDINARY_STOP: self.ordinary_stop,
    }[act]


@contextlib.contextmanager
def working(host: Host, name: str) -> Iterator[None]:
  """This process is the one that works for a migration.

  Else somebody who looks would take the migration for abandoned.

  @raise Incomplete: another one is, or another thread of this one

  """
  fd = journal.hold_worker_lock(host, name)
  if fd is None:
    raise Incomplete(
      f"Somebody works for the migration of instance {name} already",
      evidence=f"process {journal.worker(host, name)}",
      remedy="repeat this in a minute",
    )
  try:
    yield
  finally:
    os.close(fd)
