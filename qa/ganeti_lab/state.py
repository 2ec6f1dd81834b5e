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

"""What a lab has begun to make, written before it makes it."""

from __future__ import annotations

import dataclasses
import enum
import json
import pathlib
from typing import Any

from . import plan
from .errors import LabError

_FILE = "state.json"


class Phase(enum.StrEnum):
  """How far the lab is."""

  STARTING = "starting"
  UP = "up"
  STOPPING = "stopping"


@dataclasses.dataclass(frozen=True)
class State:
  """The record of one lab.

  @ivar image: directory of the root file system below the nodes' overlays
  @ivar devices: file systems that only the nodes have, as "MAJOR:MINOR";
    a loop device backed by one of them is the lab's
  @ivar cluster: whether `up` makes the nodes a cluster
  @ivar slowness: of the machines' clocks, as vm_clock has it
  @ivar begun: when `up` was, in seconds since the epoch

  """

  name: str
  release: str
  node_count: int
  driver: bool
  image: str = ""
  backend: str = "namespace"
  phase: Phase = Phase.STARTING
  devices: tuple[str, ...] = ()
  cluster: bool = True
  slowness: int = 1
  begun: float = 0.0

  @property
  def plan(self) -> plan.LabPlan:
    """Its names and addresses."""
    network_of = plan.MACHINES if self.backend == "vm" else ""
    return plan.LabPlan(self.name, self.node_count, network_of)

  def save(self) -> State:
    """Write the record durably enough to survive a killed process."""
    directory = plan.STATE_ROOT / self.name
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = directory / f"{_FILE}.new"
    scratch.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
    scratch.replace(directory / _FILE)
    return self

  def but(self, **changes: Any) -> State:
    """A changed record, saved."""
    return dataclasses.replace(self, **changes).save()


def parse(text: str) -> State:
  """Read a record.

  @raise LabError: when the text is not one of this version

  """
  try:
    fields = json.loads(text)
    fields["phase"] = Phase(fields["phase"])
    fields["devices"] = tuple(fields["devices"])
    return State(**fields)
  except (ValueError, KeyError, TypeError) as err:
    raise LabError(
      f"The lab's record cannot be read ({err}); run: qa/lab --name NAME down"
    ) from err


def load(name: str) -> State | None:
  """The record of that lab, or None."""
  plan.check_name(name)
  try:
    return parse((plan.STATE_ROOT / name / _FILE).read_text())
  except FileNotFoundError:
    return None


def labs() -> list[str]:
  """Names of the labs that have a record."""
  return sorted(path.parent.name for path in plan.STATE_ROOT.glob(f"*/{_FILE}"))


def images_in_use(but: str = "") -> set[str]:
  """Directories of images on which labs stand, besides the one named."""
  records = (load(name) for name in labs() if name != but)
  return {record.image for record in records if record is not None}


def forget(name: str) -> None:
  """Remove the record and its directory."""
  directory: pathlib.Path = plan.STATE_ROOT / name
  if directory.is_dir():
    for path in directory.iterdir():
      path.unlink()
    directory.rmdir()
