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

"""What a node needs to know to play its part in a migration.

Written before the journal says that there is a part, and read by whoever
goes on after a crash.  After a power cut the images are worthless, but a
target has to listen where it did: the other node asks whether it may have
the guest back.

"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import Failed
from ..host import read_optional, write_durably
from ..layout import MigrationPaths
from ..model import DiskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
  """One node's part.

  @ivar uuid: the instance's
  @ivar disks: as this node finds them
  @ivar address: where the target listens, and the source connects to
  @ivar port: TCP port there
  @ivar memory_mib: the guest's limit, which Ganeti is told meanwhile
  @ivar vcpus: likewise
  @ivar bandwidth_mib: in MiB/s, 0 for no limit
  @ivar downtime_ms: how long the guest may stand still, if that is possible
  @ivar live: copy memory while the guest runs, where the kernel can

  """

  uuid: str
  disks: tuple[DiskSpec, ...]
  address: str = ""
  port: int = 0
  memory_mib: int = 0
  vcpus: int = 1
  bandwidth_mib: int = 0
  downtime_ms: int = 0
  live: bool = True


def save(paths: MigrationPaths, task: Task) -> None:
  """Writes it; the directory must exist."""
  write_durably(paths.task, json.dumps(asdict(task), default=str) + "\n")


def load(paths: MigrationPaths) -> Task:
  """What was written last.

  @raise Failed: nothing was, or it is damaged

  """
  try:
    data = json.loads(read_optional(paths.task) or "")
    disks = tuple(_disk(entry) for entry in data["disks"])
    names = {field.name for field in fields(Task)}
    known = {key: value for key, value in data.items() if key in names}
    return Task(**{**known, "disks": disks})
  except (OSError, ValueError, KeyError, TypeError) as err:
    raise Failed(
      f"What belongs to the migration of {paths.home.name} cannot be read",
      evidence=f"{paths.task}: {err}",
    ) from err


def _disk(entry: dict[str, Any]) -> DiskSpec:
  return DiskSpec(**{**entry, "path": Path(entry["path"])})
