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

"""Copies a guest's memory to the target in rounds, while the guest runs.

Each round has the pages that were written since the one before.  Nothing of
it is needed to have the guest run on: whatever fails here ends the
migration and leaves the guest as it is.

"""

import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from .. import report
from ..host import Host
from ..layout import MigrationPaths
from . import criu, dump, policy, preflight
from .policy import Round, Wish
from .progress import Reporter
from .sending import Sending

_log = logging.getLogger(__name__)

# criu check's name for a kernel that notes which pages are written.
_FEATURE = "mem_dirty_track"
_MIB = 1 << 20


def is_possible(host: Host) -> bool:
  """Whether the kernel notes which pages a process writes, and CRIU asks."""
  return criu.has_feature(host, _FEATURE)


@dataclass(slots=True, kw_only=True)
class Precopy:
  """The rounds of one migration.

  @ivar run: of the guest; another one ends it
  @ivar room: bytes that the target takes in all

  """

  host: Host
  name: str
  run: dump.Run
  sending: Sending
  reporter: Reporter
  wish: Wish
  room: int
  _rounds: list[Round] = field(default_factory=list)

  def copy(self) -> Path | None:
    """Does as many rounds as pay.

    @return: the images of the last one, None if there was none
    @raise LxcError: a round failed; the guest runs on, or ended by itself

    """
    last: Path | None = None
    while (verdict := policy.decide(self._rounds, self.wish)).goes_on:
      if not self._has_room():
        break
      last = self._round(last)
    self._report(verdict)
    return last

  def _round(self, parent: Path | None) -> Path:
    number = len(self._rounds) + 1
    images = self._paths.images / str(number)
    self.reporter.phase(f"round {number}")
    self._expect()
    before, begun = self.sending.sent, time.monotonic()
    with self.sending.following(f"images/{number}", images) as complete:
      dump.pre_dump(self.host, self.name, images, run=self.run, parent=parent)
      complete()
    done = Round(
      size=self.sending.sent - before, duration_s=time.monotonic() - begun
    )
    self._rounds.append(done)
    _log.info(
      "Migration of %s: round %d, %.1f MiB in %.3f s",
      self.name, number, done.size / _MIB, done.duration_s,
    )  # fmt: skip
    return images

  def _report(self, verdict: policy.Verdict) -> None:
    self._expect()
    why = verdict.value if not verdict.goes_on else "no room for another round"
    _log.info("Migration of %s: frozen, since %s", self.name, why)

  def _expect(self) -> None:
    """Tells how much there will be to send in all, as far as is known."""
    memory = report.memory_used(self.host, self.name)
    left = policy.left(self._rounds)
    self.reporter.expect(max(memory, self.sending.sent + left))

  def _has_room(self) -> bool:
    """Whether all memory fits once more on both nodes, and the last images.

    Without room for that a migration in fewer rounds can still succeed.

    """
    needed = 2 * preflight.room(self.host, self.name)
    space = os.statvfs(self._paths.home)
    free = space.f_bavail * space.f_frsize
    return needed <= min(free, self.room - self.sending.sent)

  @property
  def _paths(self) -> MigrationPaths:
    return self.host.layout.migration(self.name)
