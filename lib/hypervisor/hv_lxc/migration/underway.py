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

"""Migrations for which Ganeti may call this node at any moment.

Whoever is about to stop the node daemon asks first: Ganeti's job gives a
migration up when one of its calls is not answered, and there are some to
both nodes from MigrationInfo until the disks are as they were, each second
while the guest is on its way (cmdlib/instance_migration.py, _ExecMigration).

No job is seen from here, so a record counts as long as it shows signs of
life.  One that was abandoned, or whose process is stuck, soon does not.

"""

import contextlib
import stat
from dataclasses import dataclass
from pathlib import Path

from ..host import Host
from . import journal
from .journal import Journal, Role
from .rows import OVER
from .states import State

# A process that sends or receives writes all the time.  The longest that it
# is silent is while the other node restores a large guest.
_STUCK_S = 1800.0
# Between two calls of Ganeti's no process lives; it connects disks then.
_BETWEEN_S = 120.0
# When the guest's place is decided, calls to finalize follow, and those
# which bring the disks back to one node.
_AFTER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
  """A migration in which this node has a part.

  @ivar peer: name or address of the other node, "" if not known yet
  @ivar is_over: the guest's place is decided

  """

  name: str
  role: Role
  peer: str
  is_over: bool

  def __str__(self) -> str:
    if self.is_over:
      return f"a migration of instance {self.name} has just ended"
    way = {Role.SOURCE: f" to {self.peer}", Role.TARGET: f" from {self.peer}"}
    where = way.get(self.role, "") if self.peer else ""
    return f"instance {self.name} is being migrated{where}"


def under_way(host: Host, now: float) -> list[UnderWay]:
  """Those for which calls may come, by name.

  One whose journal cannot be read is passed over: nothing can be done for
  it by waiting.

  @param now: seconds since the epoch

  """
  return [
    _told(host, listed.journal)
    for listed in journal.load_all(host)
    if listed.journal and _is_under_way(host, listed.journal, now)
  ]


def _is_under_way(host: Host, found: Journal, now: float) -> bool:
  if found.boot_id != host.boot_id():
    # So is no job that asked the node daemon of this boot for it.
    return False
  age = now - _last_sign(host.layout.migration(found.name).home)
  # The clock may have been set back, by little or by much.
  return abs(age) <= _patience_s(host, found)


def _patience_s(host: Host, found: Journal) -> float:
  if journal.worker(host, found.name) is not None:
    return _STUCK_S
  return _AFTER_S if _is_decided(found) else _BETWEEN_S


def _is_decided(found: Journal) -> bool:
  return found.state in (*OVER, State.RESUMED)


def _told(host: Host, found: Journal) -> UnderWay:
  works = journal.worker(host, found.name) is not None
  return UnderWay(
    name=found.name,
    role=found.role,
    peer=found.peer_node or found.peer_address,
    is_over=_is_decided(found) and not works,
  )


def _last_sign(home: Path) -> float:
  """When a file was written; a lock is taken also by who only asks."""
  last = 0.0
  for path in home.rglob("*"):
    with contextlib.suppress(FileNotFoundError):
      seen = path.lstat()
      if stat.S_ISREG(seen.st_mode) and path.suffix != ".lock":
        last = max(last, seen.st_mtime)
  return last
