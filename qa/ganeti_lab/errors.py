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

"""The one error the lab reports to whoever runs it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_TAIL_LINES = 15


class LabError(Exception):
  """What happened, the evidence and what to do."""


class LabCommandError(LabError):
  """A program did not end with status 0.

  @param what: the step it was run for
  @param output: what it printed; the last lines are shown

  """

  def __init__(
    self, what: str, argv: Sequence[str], status: int, output: str
  ) -> None:
    tail = "\n".join(
      f"  | {line}" for line in output.rstrip().splitlines()[-_TAIL_LINES:]
    )
    super().__init__(
      f"{what}: command failed with {describe(status)}:"
      f" {shlex.join(argv)}" + (f"\n{tail}" if tail else "")
    )
    self.status = status
    self.output = output


def describe(status: int) -> str:
  """A wait status as subprocess gives it (negative: a signal)."""
  if status < 0:
    return f"signal {-status}"
  return f"exit status {status}"
