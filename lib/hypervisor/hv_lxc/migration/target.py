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

"""The target's process: takes what is sent, and restores what is granted.

One thread for each connection; that which takes images or restores holds
the lock of its migration, so that whoever ends the migration can end it.

"""

import contextlib
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field

from .. import cgroup, hierarchies
from ..errors import LxcError, Refused, one_line
from ..host import Host
from ..partitions import Partitions
from . import answering, daemons, intake, journal
from .acts import NodeActs, working
from .auth import Secret
from .channel import Channel, ConnectionLost, NoAnswer
from .journal import Journal, Listed
from .listener import Listener
from .message_fields import MAX_SIZE
from .messages import TRANSFER, Close, Forget, Grant, Query, Resumed, Room
from .messages import State as Answer
from .states import Event, State
from .turns import Turns

_log = logging.getLogger(__name__)

# How often it looks whether anybody is still to be waited for.
_LOOK_S = 5.0
# How long it waits for those who may ask, once the guest's place is decided.
_LONGEST_S = 900.0
# What is always left free in the file system of the images.
_RESERVE_BYTES = 64 << 20


def serve(
  host: Host, storage: Partitions, listening: socket.socket, lock: int
) -> None:
  """Serves sources until none is to be waited for."""
  threads: list[threading.Thread] = []
  turns = Turns()
  certificate = host.layout.certificate
  with Listener(
    listening,
    certificate=certificate,
    find_secret=lambda migration: find_secret(host, migration),
  ) as listener:
    heard = looked = time.monotonic()
    abandoned: frozenset[str] = frozenset()
    while True:
      if time.monotonic() - looked > _LOOK_S:
        abandoned = take_up(host, abandoned)
        looked = time.monotonic()
      try:
        channel = listener.accept(_LOOK_S)
      except NoAnswer:
        threads = [thread for thread in threads if thread.is_alive()]
        is_late = time.monotonic() - heard > _LONGEST_S
        if not threads and _ends(host, lock, is_late=is_late):
          return
        continue
      heard = time.monotonic()
      served = (host, storage, channel, turns)
      thread = threading.Thread(target=_serve, args=served)
      thread.start()
      threads.append(thread)


def take_up(host: Host, before: frozenset[str]) -> frozenset[str]:
  """Has guests restored that wait for it and are nobody's work any more.

  @param before: those that were so the last time: one whose restore is
      about to begin is left alone
  @return: those that are so now

  """
  found = frozenset(
    listed.name
    for listed in journal.load_all(host)
    if listed.journal
    and listed.journal.state in (State.OWNER, State.RETRYING)
    and journal.worker(host, listed.name) is None
  )
  for name in found & before:
    try:
      daemons.start_worker(host, name, settle=True)
    except (LxcError, OSError) as err:
      _log.warning("Migration of %s: %s", name, err)
  return found


def _ends(host: Host, lock: int, *, is_late: bool) -> bool:
  """Whether this process is to end; it has no lock then."""
  if is_needed(host, is_late=is_late):
    return False
  with daemons.receiver_mutex(host):
    # Whoever wrote a journal since then looks for the lock's holder next.
    if is_needed(host, is_late=is_late):
      return False
    os.close(lock)
    return True


def is_needed(host: Host, *, is_late: bool = False) -> bool:
  """Whether a source may have something to ask this node.

  @param is_late: nobody has asked for long; whoever may, but need not, is
      served by a process that "gnt-cluster verify" starts again

  """
  return any(
    _is_awaited(host, listed, is_late=is_late)
    for listed in journal.load_all(host)
  )


def _is_awaited(host: Host, listed: Listed, *, is_late: bool) -> bool:
  found = listed.journal
  if found is None:
    return False
  lives = cgroup.is_running(hierarchies.find(host), listed.name)
  return answering.is_awaited(found, found.state, lives=lives, is_late=is_late)


def find_secret(host: Host, migration: str) -> Secret | None:
  """The secret of a migration in which this node has a part."""
  found = _find(host, migration)
  secret = found.secret_of(migration) if found else ""
  with contextlib.suppress(ValueError):
    return Secret.from_text(secret) if secret else None
  return None


def _find(host: Host, migration: str) -> Journal | None:
  for listed in journal.load_all(host):
    if listed.journal and listed.journal.secret_of(migration):
      return listed.journal
  return None


def _serve(
  host: Host, storage: Partitions, channel: Channel, turns: Turns
) -> None:
  with channel:
    if channel.booting:
      _answer(host, storage, channel, turns)
      return
    found = _find(host, channel.migration)
    if found is None:
      return
    session = _Session(host, storage, channel, turns, found.name)
    try:
      session.run()
    except ConnectionLost as err:
      _log.info("Migration of %s: %s", found.name, err)
    except LxcError as err:
      _log.warning("Migration of %s: %s", found.name, err)
      channel.give_up(one_line(str(err)))
    except Exception:  # noqa: BLE001 - a thread's last resort
      _log.exception("Migration of %s", found.name)
      channel.give_up("the target's process failed; see its log")


def _answer(
  host: Host, storage: Partitions, channel: Channel, turns: Turns
) -> None:
  """Another node is about to boot an instance."""
  name = channel.booting
  acts = NodeActs(host=host, storage=storage, name=name, send=channel.send)
  try:
    if host.layout.migration(name).journal.exists():
      acts.machine().fire(Event.ASKED_ALL)
      _end_taking(host, name, channel, turns)
    else:
      channel.send(Resumed() if acts.lives(name) else Answer("idle", ""))
  except (LxcError, OSError) as err:
    _log.warning("Instance %s, asked by %s: %s", name, channel.peer, err)
    channel.give_up(one_line(str(err)))


def _end_taking(host: Host, name: str, channel: Channel, turns: Turns) -> None:
  """Has nobody go on to take images of a migration that was closed here.

  They were removed when it was; what has come since is removed now.  Not
  before the journal is let go: who takes them may be waiting for it.

  @param channel: on which it was asked for

  """

  def is_closed() -> bool:
    found = journal.look(host, name).journal
    return found is not None and found.state is State.CLOSED

  if is_closed():
    with turns.taken(name, channel):
      if is_closed():
        intake.clear(host.layout.migration(name).home)


@dataclass(slots=True)
class _Session:
  host: Host
  storage: Partitions
  channel: Channel
  turns: Turns
  name: str
  acts: NodeActs = field(init=False)
  taking: intake.Intake | None = None

  def __post_init__(self) -> None:
    self.acts = NodeActs(
      host=self.host,
      storage=self.storage,
      name=self.name,
      send=self.channel.send,
    )

  def run(self) -> None:
    """Everything that this source says."""
    with contextlib.ExitStack() as stack:
      while True:
        message = self.channel.receive()
        if isinstance(message, TRANSFER):
          taking = self.taking = self.taking or self._take(stack)
          taking.take(message)
          if taking.complete:
            self._fire(Event.IMAGES_IN)
        else:
          self._hear(message)

  def _hear(self, message: object) -> None:
    match message:
      case Grant():
        # If it fails, the source has been told by what the table has for it,
        # or the end of the connection has it ask.
        self._fire(Event.GRANT)
      case Close() | Query():
        self._fire(Event.ASKED)
        if self.acts.works:
          self.taking = None
        else:
          _end_taking(self.host, self.name, self.channel, self.turns)
      case Forget():
        self.acts.machine().amend(self.channel.migration, agreed=True)

  def _fire(self, event: Event) -> None:
    self.acts.machine().fire(event, of=self.channel.migration)

  def _take(self, stack: contextlib.ExitStack) -> intake.Intake:
    """Whatever came before is void."""
    # Not to end one whose images are being restored by now.
    self._check_expected()
    stack.enter_context(self.turns.taken(self.name, self.channel))
    stack.enter_context(working(self.host, self.name))
    self.acts.works = True
    self._check_expected()
    home = self.host.layout.migration(self.name).home
    intake.clear(home)
    space = os.statvfs(home)
    limit = space.f_bavail * space.f_frsize - _RESERVE_BYTES
    limit = min(max(limit, 0), MAX_SIZE)
    taking = intake.Intake(home, limit=limit)
    stack.enter_context(taking)
    self.channel.send(Room(limit))
    return taking

  def _check_expected(self) -> None:
    found = self.acts.machine().current()
    if found.state is not State.EXPECTING or (
      found.id != self.channel.migration
    ):
      raise Refused(
        f"The migration of instance {self.name} is over on this node",
        evidence=f"it is in state {found.state}",
        remedy="start it anew",
      )
