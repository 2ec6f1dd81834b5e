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
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import Failed, LxcError, one_line
from ..host import Host, wait_until
from ..partitions import Partitions
from . import daemons, dump, peer, task
from .acts import NodeActs
from .channel import Channel
from .journal import Journal
from .machine import Machine, Refusal
from .messages import Message, Owner, Ready, Resumed
from .progress import Reporter
from .states import HANDED, Event, State
from .stream import Sender
from .task import Task

_log = logging.getLogger(__name__)

# The target verifies digests that it computed on the way.
_READY_S = 120.0
# While the target restores nothing is heard of it.
_RESTORE_S = 3600.0
_ASK_AGAIN_S = 1.0
# A connection that takes nothing for so long is given up.
_LAST_SEND_S = 5.0
# A node that is being booted again answers within this time, or a person
# has to look at it; Ganeti's job has given up by then.
_KEEP_ASKING_S = 1800.0
# Ganeti's job then asks the target's node daemon to end what goes on there.
_SILENT_S = 30.0


def migrate(host: Host, storage: Partitions, name: str) -> None:
  """Everything from the connection to the target's last word.

  @raise LxcError: the guest was not moved; it runs on here, or the journal
      says what is to be done

  """
  paths = host.layout.migration(name)
  reporter = Reporter(paths)
  acts = NodeActs(host=host, storage=storage, name=name)
  try:
    _Source(host, acts, reporter, task.load(paths)).run()
  except LxcError as err:
    reporter.failed(one_line(str(err)))
    raise
  reporter.phase("done")


def settle(host: Host, storage: Partitions, name: str) -> None:
  """Finds out what became of a migration whose process has died.

  @raise LxcError: it could not be found out

  """
  acts = NodeActs(host=host, storage=storage, name=name)
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
    try:
      channel = peer.open_channel(self.journal, self.host.layout.certificate)
    except LxcError:
      self.machine.fire(Event.DUMP_FAILED)
      raise
    with channel:
      self.acts.send = channel.send
      self._leave(channel)
      self._hear_out(channel)
    if self.machine.current().state in HANDED:
      self._ask()
    self._conclude()

  def _leave(self, channel: Channel) -> None:
    """The guest becomes files here and there; its disks are let go."""
    try:
      with self._sending(channel) as sending:
        self.reporter.phase("dump")
        dump.dump(self.host, self.acts.name, hold=sending.complete)
    except BaseException as err:
      # Whatever it was; a guest that is stopped must go on.
      self.machine.fire(Event.DUMP_FAILED)
      with contextlib.suppress(LxcError):
        channel.give_up(one_line(str(err)))
      raise
    self.reporter.phase("hand over")
    self.machine.fire(Event.TASKS_GONE)

  @contextlib.contextmanager
  def _sending(self, channel: Channel) -> Iterator["_Sending"]:
    sending = _Sending(self, channel)
    sending.start()
    try:
      yield sending
    finally:
      sending.end()

  def _hear_out(self, channel: Channel) -> None:
    """Waits for the target's word on the guest."""
    self.reporter.phase("restore")
    try:
      message: Message = channel.receive(_RESTORE_S)
      while isinstance(message, Owner):
        message = channel.receive(_RESTORE_S)
    except LxcError as err:
      _log.warning("Migration of %s: %s", self.acts.name, err)
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


class _Sending:
  """Sends images while CRIU writes them, in a thread of its own."""

  def __init__(self, source: _Source, channel: Channel):
    self._source = source
    self._channel = channel
    self._complete = threading.Event()
    self._error: Exception | None = None
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._sender = Sender(
      channel,
      bandwidth_mib=source.part.bandwidth_mib,
      progress=source.reporter.sent,
    )

  def complete(self) -> None:
    """All is written; returns when the target has it, and nothing runs."""
    source = self._source
    source.reporter.phase("send")
    self._complete.set()
    self._thread.join()
    if self._error is not None:
      raise self._error
    self._sender.send_directory(
      "files", source.host.layout.migration(source.acts.name).files
    )
    self._sender.finish()
    source.reporter.phase("verify")
    answer = self._channel.receive(_READY_S)
    if not isinstance(answer, Ready):
      raise Failed(
        f"Node {self._channel.peer} did not take the images",
        evidence=f"{answer!r:.200}",
      )
    source.machine.fire(Event.VERIFIED)
    source.reporter.phase("end")

  def start(self) -> None:
    """Begins to look for images."""
    self._thread.start()

  def end(self) -> None:
    """Nothing is to be sent any more."""
    self._complete.set()
    self._thread.join(_LAST_SEND_S)
    if self._thread.is_alive():
      self._channel.cancel()
      self._thread.join()

  def _run(self) -> None:
    source = self._source
    images = source.host.layout.migration(source.acts.name).images
    try:
      wait_until(lambda: images.is_dir() or self._complete.is_set(), _READY_S)
      self._sender.follow("images", images, self._complete)
    except (LxcError, OSError) as err:
      self._error = err
