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

"""The record of the last run, and the least number of tests."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from . import verdict
from .verdict import Verdict

DIRECTORY = pathlib.Path(__file__).resolve().parents[1] / "results"
_MINIMUM = DIRECTORY / "minimum.json"


@dataclasses.dataclass(frozen=True)
class Run:
  """What was run where.

  @ivar kind: "suite-namespace", "core", "burnin" and so on
  @ivar facts: name -> value, for whoever reads the record

  """

  kind: str
  facts: dict[str, str]


def below_minimum(run: Run, outcome: Verdict) -> str | None:
  """What to complain of when fewer tests ran than ever since."""
  least = _minima().get(run.kind, 0)
  if outcome.executed >= least:
    return None
  return (
    f"{outcome.executed} tests were executed, and {least} is the least there"
    f" may be of {run.kind} ({_MINIMUM.name})"
  )


def _minima() -> dict[str, int]:
  try:
    found: dict[str, int] = json.loads(_MINIMUM.read_text())
  except FileNotFoundError:
    return {}
  return found


def record(run: Run, outcome: Verdict) -> pathlib.Path:
  """Write the run down; the least number of tests only ever grows."""
  DIRECTORY.mkdir(exist_ok=True)
  path = DIRECTORY / f"{run.kind}.txt"
  head = [f"{name}: {value}" for name, value in run.facts.items()]
  head.append(f"tests executed: {outcome.executed}")
  path.write_text(
    "\n".join([*head, "", verdict.table(outcome), "", verdict.summary(outcome)])
    + "\n"
  )
  if not outcome.failed:
    minima = _minima()
    minima[run.kind] = max(minima.get(run.kind, 0), outcome.executed)
    _MINIMUM.write_text(json.dumps(minima, indent=2, sort_keys=True) + "\n")
  return path
