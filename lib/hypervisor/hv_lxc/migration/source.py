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

"""The source's process: dumps, sends, hands over, and knows what became of it.

The guest's memory is on this node's disk until the target says that the
guest runs there; until the token is handed over, whatever goes wrong ends
with the guest running on here.

"""

import contextlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from .. import mounts, report
from ..doctor import counters
from ..errors import Failed, LxcError, one_line
from ..host import Host
from ..partitions import Partitions
from . import criu, daemons, dump, guest_disks, peer, precopy, preflight, task
from .acts import NodeActs
from .channel import Channel, PeerTrouble
from .journal import Journal
from .machine import Machine, Refusal
from .messages import Message, Owner, Resumed
from .pace import MIB
from .policy import Wish
from .progress import Progress, Reporter
from .sending import Sending
from .states import HANDED, Event, State
from .task import Task

_log = logging.getLogger(__name__)

_US_PER_S = 1_000_000

# While the target restores nothing is heard of it.
_RESTORE_S = 3600.0
_ASK_AGAIN_S = 1.0
# A node that is being booted again answers within this time, or a person
# has to look at it; Ganeti's job has given up by then.
_KEEP_ASKING_S = 1800.0
# So often it is tried to dump a guest where what stands in the way passes.
_ATTEMPTS = 3
# Ganeti's job then asks the target's node daemon to end what goes on there.
_SILENT_S = 30.0


def migrate(host: Host, storage: Partitions, name: str) -> None:
  """Everything from the connection to the target's last word.

  @raise LxcError: the guest was not moved; it runs on here, or the journal
      says what is to be done

  """
  paths = host.layout.migration(name)
  reporter = Reporter(paths)
  acts = NodeActs(host=host, storage=storage, name=name, works=True)
  try:
    _Source(host, acts, reporter, task.load(paths)).run()
  except LxcError as err:
    reporter.failed(one_line(str(err)))
    raise
  finally:
    _count(host, reporter.so_far())
  reporter.phase("done")


def _count(host: Host, told: Progress) -> None:
  """What came of it is counted where that is decided (machine.py)."""
  sums = {
    counters.SENT_BYTES: told.sent,
    counters.MICROSECONDS: round(told.seconds * _US_PER_S),
    counters.FROZEN_MICROSECONDS: round(told.frozen_seconds * _US_PER_S),
  }
  counters.add(host, counters.SUMS, sums)


def settle(host: Host, storage: Partitions, name: str) -> None:
  """Finds out what became of a migration whose process has died.

  @raise LxcError: it could not be found out

  """
  acts = NodeActs(host=host, storage=storage, name=name, works=True)
  machine = acts.machine()

  def settled() -> bool:
    try:
      after = machine.fire(Event.SETTLE).journal
    except Refusal as refusal:
      _log.info("%s", refusal)
      return False
    return after.state not in (*HANDED, State.DUMPED)

  daemons.patiently(settled, _KEEP_ASKING_S, _ASK_AGAIN_S)


@dataclass(slots=True)
class _Source:
  host: Host
  acts: NodeActs
  reporter: Reporter
  part: Task
  machine: Machine = field(init=False)
  journal: Journal = field(init=False)

  def __post_init__(self) -> None:
    self.machine = self.acts.machine()
    self.journal = self.machine.current()

  def run(self) -> None:
    for number in range(_ATTEMPTS):
      with self._connected() as channel:
        self.acts.send = channel.send
        if self._leave(channel, is_last=number + 1 == _ATTEMPTS):
          self._hear_out(channel)
          break
    if self.machine.current().state in HANDED:
      self._ask()
    self._conclude()

  def _connected(self) -> Channel:
    try:
      return peer.open_channel(self.journal, self.host.layout.certificate)
    except LxcError:
      self.machine.fire(Event.DUMP_FAILED)
      raise

  def _leave(self, channel: Channel, *, is_last: bool) -> bool:
    """The guest becomes files here and there; its disks are let go.

    @return: False if that is to be tried again, on another connection: what
        came on this one is void then

    """
    try:
      self._send(channel)
    except BaseException as err:
      again = isinstance(err, criu.PassingError) and not is_last
      if again:
        _log.info("Migration of %s: once more, since %s", self.acts.name, err)
      else:
        # Whatever it was; a guest that is stopped must go on.
        self.machine.fire(Event.DUMP_FAILED)
      with contextlib.suppress(LxcError):
        channel.give_up(one_line(str(err)))
      if again:
        return False
      raise
    self.reporter.phase("hand over")
    self.machine.fire(Event.TASKS_GONE)
    return True

  def _send(self, channel: Channel) -> None:
    """All that can be sent while the guest runs is sent before it stops."""
    name = self.acts.name
    paths = self.host.layout.migration(name)
    sending = Sending(
      channel,
      bandwidth_mib=self.part.bandwidth_mib,
      progress=self.reporter.sent,
    )
    self.reporter.phase("files")
    self.reporter.expect(report.memory_used(self.host, name))
    run = dump.current_run(self.host, name)
    dump.save_files(self.host, name)
    room = sending.begin(paths.files)
    parent = self._copy_running(sending, run, room)
    if self.part.live:
      self._write_back()
    # Once more: what is there since the migration was begun may be something
    # that CRIU saves and cannot bring back.  The dump looks at the network.
    preflight.check_processes(self.host, preflight.node_of(self.host), name)
    self.reporter.phase("dump")
    with sending.following("images", paths.images) as complete:

      def hold() -> None:
        self.reporter.phase("send")
        complete()
        self._verify(sending)

      times = dump.dump(self.host, name, hold=hold, run=run, parent=parent)
    _log.info("Instance %s is dumped, in ms: %s", name, times)

  def _write_back(self) -> None:
    """Has little left to be written when the disks are unmounted.

    The guest stands still then: a gigabyte that it has just written took
    longer than Ganeti waits for an answer.

    """
    self.reporter.phase("write disks")
    for disk in guest_disks.of_record(self.host, self.acts.name):
      mounts.sync(self.host, Path(disk.mount_point))

  def _copy_running(
    self, sending: Sending, run: dump.Run, room: int
  ) -> Path | None:
    """Rounds, where they are wanted and possible; the images of the last."""
    if not self.part.live or not precopy.is_possible(self.host):
      return None
    rounds = precopy.Precopy(
      host=self.host,
      name=self.acts.name,
      run=run,
      sending=sending,
      reporter=self.reporter,
      wish=Wish(
        downtime_s=self.part.downtime_ms / 1000,
        bandwidth=self.part.bandwidth_mib * MIB,
      ),
      room=room,
    )
    return rounds.copy()

  def _verify(self, sending: Sending) -> None:
    """Has the target check what it got; then nothing of the guest runs."""
    self.reporter.phase("verify")
    sending.finish()
    self.machine.fire(Event.VERIFIED)
    self.reporter.phase("end")

  def _hear_out(self, channel: Channel) -> None:
    """Waits for the target's word on the guest."""
    self.reporter.phase("restore")
    try:
      message: Message = channel.receive(_RESTORE_S)
      while isinstance(message, Owner):
        message = channel.receive(_RESTORE_S)
    except LxcError as err:
      _log.warning("Migration of %s: %s", self.acts.name, err)
      if isinstance(err, PeerTrouble):
        self.acts.failure = err.evidence
      return
    event = peer.meaning(message)
    self.acts.failure = str(getattr(message, "reason", ""))
    self.machine.fire(event)
    if isinstance(message, Resumed):
      peer.forget(self.journal, self.host.layout.certificate)

  def _ask(self) -> None:
    """Asks until the other node has answered."""
    self.reporter.phase("ask the target")

    heard = time.monotonic()

    def answered() -> bool:
      nonlocal heard
      event = self.acts.ask_peer(self.machine.current())
      if event is not Event.PEER_SILENT:
        heard = time.monotonic()
      elif time.monotonic() - heard > _SILENT_S:
        return True
      return self.machine.fire(event).journal.state not in HANDED

    daemons.patiently(answered, _KEEP_ASKING_S, _ASK_AGAIN_S)

  def _conclude(self) -> None:
    """The guest is there, or comes back here."""
    state = self.machine.current().state
    if state is State.GONE:
      return
    why = self.acts.failure or "it did not come to run there"
    if state is State.DUMPED:
      self.reporter.phase("restore here")
      self.machine.fire(Event.SETTLE)
    raise Failed(
      f"Instance {self.acts.name} could not be migrated; it"
      f" {self._where(state)}",
      evidence=f"node {self.journal.peer_address}: {why}",
    )

  def _where(self, before: State) -> str:
    if before is State.DUMPED:
      return "runs on where it was"
    if before in HANDED:
      return "waits until that node answers"
    return "has ended"
