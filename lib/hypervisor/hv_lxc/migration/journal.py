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

"""The journal: what a node durably knows about an instance's migration.

There is one for each instance that ever had a part in a migration on this
node, until the instance is removed from the cluster.  It survives a power
cut: every state of the protocol rests on that.  What it describes is in
states.py, who may change it in machine.py.

"""

import contextlib
import enum
import fcntl
import json
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .. import pidfd
from ..errors import Incomplete, Refused
from ..host import (
  Host,
  make_directory,
  open_to_lock,
  read_optional,
  sync_directory,
  wait_until,
)
from ..layout import MigrationPaths
from . import reserve
from .states import State

VERSION = 1
# A call or message that was under way while so many further migrations of
# the same instance came and went cannot still arrive.
MAX_CLOSED = 64
# Only the last source of each of a few earlier migrations can have kept a
# tombstone that it asks us about.
MAX_SECRETS = 8
LOCK_TIMEOUT_S = 60.0
_WORKER_LOCK_TIMEOUT_S = 2.0
_KILL_TIMEOUT_S = 20.0


class Role(enum.StrEnum):
  """This node's part in the migration that the journal is about."""

  NONE = "none"
  SOURCE = "source"
  TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
  """What is known about an instance's last migration on this node.

  @ivar name: the instance's; uuid likewise
  @ivar id: the migration's, made by the source; "" when there is none
  @ivar boot_id: the boot of this node in which the state was written
  @ivar peer_node: name of the other node, as in ssconf; "" if not known
  @ivar peer_address: where it listens or comes from, an IP address
  @ivar port: TCP port on which the target listens
  @ivar secret: of this migration, 64 hexadecimal digits; "" when it is over
  @ivar live: Ganeti asked for a live migration
  @ivar started: when it began, seconds since the epoch
  @ivar finalized: Ganeti said that the migration has succeeded
  @ivar agreed: the source is known to know that the guest came here
  @ivar failure: one line for the administrator, "" if nothing failed
  @ivar closed: ids of migrations that are over on this node, newest last
  @ivar never_ran: those of them by which the guest never ran here
  @ivar secrets: (id, secret) of those by which the instance came here and
      whose source may still ask

  """

  name: str
  state: State = State.IDLE
  role: Role = Role.NONE
  uuid: str = ""
  id: str = ""
  boot_id: str = ""
  peer_node: str = ""
  peer_address: str = ""
  port: int = 0
  secret: str = ""
  live: bool = True
  started: float = 0.0
  finalized: bool = False
  agreed: bool = False
  failure: str = ""
  closed: tuple[str, ...] = ()
  never_ran: tuple[str, ...] = ()
  secrets: tuple[tuple[str, str], ...] = ()
  version: int = VERSION

  def __repr__(self) -> str:
    """Without the secret, which must not get into a log."""
    return f"Journal({self.name}, {self.state}, {self.id or 'no migration'})"

  def with_closed(self, migration: str, *, has_run: bool = True) -> "Journal":
    """The journal that remembers this id as one that is over here.

    @param has_run: the guest may have run here by that migration

    """
    if not migration:
      return self
    secrets = self.secrets
    # Of the two nodes it is the source that asks.
    if migration == self.id and self.secret and self.role is Role.TARGET:
      secrets = (*secrets, (migration, self.secret))[-MAX_SECRETS:]
    closed, never_ran = self.closed, self.never_ran
    if migration not in closed:
      closed = (*closed, migration)[-MAX_CLOSED:]
      if not has_run:
        never_ran = (*never_ran, migration)[-MAX_CLOSED:]
    return replace(self, closed=closed, never_ran=never_ran, secrets=secrets)

  def secret_of(self, migration: str) -> str:
    """The secret of this migration or of one that is over; or ""."""
    if migration == self.id:
      return self.secret
    return dict(self.secrets).get(migration, "")

  def is_over(self, migration: str) -> bool:
    """Whether a migration is noted as over on this node."""
    return migration in self.closed

  def to_text(self) -> str:
    """As written to the disk."""
    return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def from_text(text: str, name: str) -> Journal:
  """The journal of this instance that was written as this text.

  Unknown keys, which a later release may have added, are passed over; an
  unknown state is an error, since nothing can be concluded from it.

  @raise ValueError: this is no journal

  """
  try:
    data = json.loads(text)
    names = {field.name for field in fields(Journal)}
    known: dict[str, Any] = {k: v for k, v in data.items() if k in names}
    known.update(
      state=State(data["state"]),
      role=Role(data["role"]),
      closed=tuple(map(str, data["closed"])),
      never_ran=tuple(map(str, data["never_ran"])),
      secrets=tuple((str(k), str(v)) for k, v in data.get("secrets", ())),
    )
    journal = Journal(**known)
  except (KeyError, TypeError, AttributeError) as err:
    raise ValueError(f"not a migration journal: {err!r}") from err
  if journal.name != name:
    raise ValueError(f"it is that of {journal.name}")
  wrong = [
    field.name
    for field in fields(Journal)
    if field.type in _PLAIN_TYPES
    and not isinstance(getattr(journal, field.name), _PLAIN_TYPES[field.type])
  ]
  if wrong:
    raise ValueError(f"not a migration journal: type of {', '.join(wrong)}")
  return journal


_PLAIN_TYPES: dict[object, Any] = {
  str: str,
  bool: bool,
  int: int,
  float: (int, float),
}


def load(host: Host, name: str) -> Journal:
  """The journal of an instance on this node; an idle one if there is none.

  @raise Incomplete: there is one, but it cannot be read

  """
  path = host.layout.migration(name).journal
  try:
    text = read_optional(path)
    if text is None:
      return Journal(name=name)
    return from_text(text, name)
  except (OSError, ValueError) as err:
    raise Incomplete(
      f"The migration journal of instance {name}, {path}, is damaged",
      evidence=str(err),
      remedy="nobody can tell from this node where the instance runs; when"
      " it certainly runs on no other node, remove the file",
    ) from err


def save(host: Host, journal: Journal) -> Journal:
  """Writes a journal so that it survives a power cut.

  @return: as it was written, with this boot's identity
  @raise OSError: it could not be written; the old one is still there

  """
  paths = host.layout.migration(journal.name)
  make_home(paths)
  stamped = replace(journal, boot_id=host.boot_id())
  reserve.write(paths.journal, paths.reserve, stamped.to_text())
  return stamped


def make_home(paths: MigrationPaths) -> None:
  """Makes the directory of an instance's migrations, durably."""
  if not paths.home.is_dir():
    make_directory(paths.home)
    sync_directory(paths.home.parent)
    sync_directory(paths.home.parent.parent)


def names(host: Host) -> list[str]:
  """The instances that have a directory for migrations on this node."""
  try:
    entries = os.listdir(host.layout.migrations)  # noqa: PTH208
  except FileNotFoundError:
    return []
  return sorted(e for e in entries if not e.startswith("."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
  """One journal in a list.

  @ivar journal: None if it is damaged
  @ivar problem: why, or ""

  """

  name: str
  journal: Journal | None
  problem: str = ""


def look(host: Host, name: str) -> Listed:
  """One journal, for a list; it being damaged is no error."""
  try:
    return Listed(name=name, journal=load(host, name))
  except Incomplete as err:
    return Listed(name=name, journal=None, problem=str(err))


def load_all(host: Host) -> list[Listed]:
  """All journals of this node; a damaged one does not hide the others."""
  return [look(host, name) for name in names(host)]


@contextlib.contextmanager
def exclusive(host: Host, name: str) -> Iterator[None]:
  """Holds the journal: nobody else reads it to change it meanwhile.

  @raise Refused: somebody held it all the time

  """
  paths = host.layout.migration(name)
  make_home(paths)
  fd = open_to_lock(paths.journal_lock)
  try:
    if not wait_until(lambda: _flock(fd, fcntl.LOCK_EX), LOCK_TIMEOUT_S):
      raise Refused(
        f"Another step of the migration of instance {name} is under way",
        evidence=f"{paths.journal_lock} was locked for {LOCK_TIMEOUT_S:.0f} s",
        remedy="wait for it to end and try again",
      )
    yield
  finally:
    os.close(fd)


def _flock(fd: int, how: int) -> bool:
  try:
    fcntl.flock(fd, how | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


def hold_worker_lock(host: Host, name: str) -> int | None:
  """Makes this process the one that works for a migration.

  @return: a descriptor to be kept open for the life of the process (closed
    on exec, so that no program it starts holds the lock), or None if
    another process has the lock

  """
  paths = host.layout.migration(name)
  make_home(paths)
  flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
  fd = os.open(paths.worker_lock, flags, 0o600)
  # Somebody who looks for the holder has it, shared, for an instant.
  if not wait_until(lambda: _flock(fd, fcntl.LOCK_EX), _WORKER_LOCK_TIMEOUT_S):
    os.close(fd)
    return None
  os.ftruncate(fd, 0)
  os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
  return fd


def worker(host: Host, name: str) -> int | None:
  """The process that works for a migration, or None when there is none.

  0 stands for one that has just begun and not said its number yet.

  """
  path = host.layout.migration(name).worker_lock
  try:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
  except FileNotFoundError:
    return None
  try:
    if _flock(fd, fcntl.LOCK_SH):
      return None
    text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
  finally:
    os.close(fd)


def kill_worker(host: Host, name: str) -> None:
  """Kills the process that works for a migration, and waits for its end.

  Nothing is done if this is the process itself.

  @raise Incomplete: it does not die

  """

  def is_gone() -> bool:
    pid = worker(host, name)
    if pid in (None, os.getpid()):
      return True
    if pid:
      _kill(host, name, pid)
    return False

  if not wait_until(is_gone, _KILL_TIMEOUT_S):
    raise Incomplete(
      f"The migration process of instance {name} does not end",
      evidence=f"process {worker(host, name)}",
      remedy="repeat this",
    )


def _kill(host: Host, name: str, pid: int) -> None:
  with contextlib.suppress(ProcessLookupError), pidfd.held(pid) as process:
    # The number is this process's if it still has the lock now.
    if worker(host, name) == pid:
      signal.pidfd_send_signal(process, signal.SIGKILL)
      select.select([process], [], [], 1.0)
