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


"""What one run found: figures, courses of events, and what could not be done.

Plain values throughout, so that a run can be kept as JSON and a page be made
from it at any time.

"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from .figures import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
  """Whether a peer can do something, and how that was tried.

  @ivar command: the one that failed, or that does it
  @ivar last_line: what it printed last, "" if it succeeded

  """

  peer: str
  what: str
  able: bool
  command: str
  last_line: str = ""


@dataclass(slots=True)
class Findings:
  """Everything that a run found.

  @ivar courses: what happened over time, by name
  @ivar attempts: what was asked of peers
  @ivar loads: load averages of the machine around each part

  """

  figures: list[Figure] = field(default_factory=list)
  courses: dict[str, Any] = field(default_factory=dict)
  attempts: list[Attempt] = field(default_factory=list)
  loads: list[dict[str, Any]] = field(default_factory=list)

  @contextmanager
  def part(self, name: str) -> Iterator[None]:
    """Notes how busy the machine was while this lasted."""
    before = os.getloadavg()[0]
    yield
    after = os.getloadavg()[0]
    self.loads.append({"part": name, "before": before, "after": after})

  def to_dict(self) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
      "figures": [figure.to_dict() for figure in self.figures],
      "courses": self.courses,
      "attempts": [asdict(attempt) for attempt in self.attempts],
      "loads": self.loads,
    }
