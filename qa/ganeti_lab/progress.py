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

"""Steps with their elapsed time, on stderr."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

_NOTE_INTERVAL = 10.0


class Progress:
  """Prints each step when it begins and its time when it ends."""

  def __init__(self, stream: TextIO = sys.stderr) -> None:
    self._stream = stream
    self._start = time.monotonic()
    self._last_note = 0.0
    self._lock = threading.Lock()

  def say(self, text: str) -> None:
    """Show a line."""
    elapsed = time.monotonic() - self._start
    with self._lock:
      print(f"[{elapsed:6.1f} s] {text}", file=self._stream, flush=True)
      self._last_note = time.monotonic()

  def note(self, line: str) -> None:
    """Show one line of a long command's output, now and then."""
    if time.monotonic() - self._last_note >= _NOTE_INTERVAL:
      self.say(f"  ... {line.strip()[:100]}")

  @contextlib.contextmanager
  def step(self, title: str) -> Iterator[None]:
    """Show that a step begins, and how long it took."""
    begin = time.monotonic()
    self.say(f"{title} ...")
    try:
      yield
    except BaseException:
      self.say(f"{title}: FAILED after {time.monotonic() - begin:.1f} s")
      raise
    self.say(f"{title}: {time.monotonic() - begin:.1f} s")
