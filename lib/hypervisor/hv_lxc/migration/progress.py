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

"""How far a migration is, for whoever asks; nothing rests on it."""

import json
import threading
import time
from dataclasses import Field, asdict, dataclass, fields, replace
from typing import Any, ClassVar

from ..host import read_optional, write_file
from ..layout import MigrationPaths

# The phases in which the guest stands still.
FROZEN = frozenset(
  {
    "dump",
    "send",
    "verify",
    "end",
    "hand over",
    "restore",
    "ask the target",
    "restore here",
  }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
  """What GetMigrationStatus tells.

  @ivar sent: bytes of the guest's memory and state that have been sent
  @ivar known: bytes that are known to have to be
  @ivar phase: what is being done, for people
  @ivar error: why it failed, on one line; "" if it did not
  @ivar times: seconds spent in each phase, in their order

  """

  phase: str = ""
  sent: int = 0
  known: int = 0
  error: str = ""
  times: tuple[tuple[str, float], ...] = ()

  @property
  def seconds(self) -> float:
    """Spent in all."""
    return sum(spent for _, spent in self.times)

  @property
  def frozen_seconds(self) -> float:
    """Spent while the guest stood still."""
    return sum(spent for phase, spent in self.times if phase in FROZEN)


def save(paths: MigrationPaths, progress: Progress) -> None:
  """Writes it; the directory must exist."""
  write_file(paths.progress, json.dumps(asdict(progress)) + "\n")


def load(paths: MigrationPaths) -> Progress:
  """What was written last; nothing, if it cannot be read."""
  try:
    data = json.loads(read_optional(paths.progress) or "{}")
    names = {field.name for field in fields(Progress)}
    known = {key: value for key, value in data.items() if key in names}
    times = tuple((str(k), float(v)) for k, v in known.pop("times", ()))
    return Progress(**known, times=times)
  except (OSError, ValueError, TypeError, AttributeError):
    return Progress()


class Times:
  """How long the parts of something took: a dataclass of seconds."""

  __slots__ = ()
  __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

  def __str__(self) -> str:
    spans = [(f.name, getattr(self, f.name)) for f in fields(self)]
    return ", ".join(f"{name} {seconds * 1e3:.0f}" for name, seconds in spans)


class Reporter:
  """Keeps a migration's progress; writes it no more often than needed.

  Images are sent by a thread of their own, which tells of its bytes while
  the main thread goes from phase to phase.

  """

  _EVERY_S = 0.5

  def __init__(self, paths: MigrationPaths):
    self._paths = paths
    self._lock = threading.Lock()
    self._now = Progress()
    self._written = 0.0
    self._expected = 0
    self._begun = time.monotonic()
    self.phase("starting")

  def phase(self, name: str) -> None:
    """Another phase begins."""
    with self._lock:
      now = time.monotonic()
      times = self._now.times
      if self._now.phase:
        times = (*times, (self._now.phase, round(now - self._begun, 4)))
      self._begun = now
      self._update(phase=name, times=times)
      self._write()

  def expect(self, known: int) -> None:
    """So many bytes will be sent in all, unless it turns out to be more."""
    self._expected = known

  def sent(self, sent: int, known: int) -> None:
    """Bytes so far, and known of."""
    with self._lock:
      # A second attempt begins with nothing, which people need not see.
      sent = max(sent, self._now.sent)
      self._update(sent=sent, known=max(known, sent, self._expected))
      if time.monotonic() - self._written > self._EVERY_S:
        self._write()

  def failed(self, error: str) -> None:
    """Why it failed."""
    with self._lock:
      self._update(error=error)
      self._write()

  def so_far(self) -> Progress:
    """What it has come to, with the time of the phase that is not over."""
    with self._lock:
      spent = round(time.monotonic() - self._begun, 4)
      times = (*self._now.times, (self._now.phase, spent))
      return replace(self._now, times=times)

  def _update(self, **changes: object) -> None:
    self._now = Progress(**{**asdict(self._now), **changes})

  def _write(self) -> None:
    self._written = time.monotonic()
    save(self._paths, self._now)
