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

"""Take everything of a lab away."""

from __future__ import annotations

import pathlib

from . import cgroup, loops, plan, state
from .errors import LabError
from .state import Phase, State


def take_down(name: str) -> None:
  """Idempotent; the record goes last, so that a killed run can go on."""
  record = _record_or_none(name)
  if record is not None:
    record = record.but(phase=Phase.STOPPING)
  group = cgroup.group(name)
  pids = cgroup.processes(group)
  devices = loops.mounted_devices(pids) | set(record.devices if record else ())
  owned = loops.Owned(
    frozenset(map(loops.device_number, devices - _foreign_devices(pids))),
    loops.inodes_below(plan.DATA_ROOT / name),
  )
  cgroup.kill(group)
  loops.detach(owned)
  loops.check_none(owned)
  cgroup.remove(group)
  state.forget(name)


def _record_or_none(name: str) -> State | None:
  """An unreadable record must not keep a lab from being removed."""
  try:
    return state.load(name)
  except LabError:
    return None


def _foreign_devices(own: set[int]) -> set[str]:
  """File systems that anybody but this lab sees.

  The number of a file system that is gone is given to another one.

  """
  others = {
    entry.name
    for entry in pathlib.Path("/proc").iterdir()
    if entry.name.isdigit()
  }
  return loops.mounted_devices(others - {str(pid) for pid in own})
