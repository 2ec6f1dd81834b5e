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

"""Show a lab."""

from __future__ import annotations

import json

from . import lab, plan
from .state import State


def collect(name: str) -> dict[str, object]:
  """What `status --json` prints.

  @raise LabError: when there is no such lab

  """
  record = lab.existing(name)
  rows = []
  for short in record.plan.nodes:
    node = lab.node(name, short)
    rows.append(
      {
        "name": short,
        "address": record.plan.address(short),
        "pid": node.pid,
        "state": node.state,
      }
    )
  return {
    "name": name,
    "release": record.release,
    "backend": record.backend,
    "phase": record.phase.value,
    "driver": record.driver,
    "cluster": plan.CLUSTER,
    "master": _master(record),
    "nodes": rows,
  }


def _master(record: State) -> str | None:
  """The short name of the master, as the first running node knows it."""
  for short in record.plan.nodes:
    node = lab.node(record.name, short)
    text = node.read_text("/var/lib/ganeti/ssconf_master_node")
    if text is not None:
      return text.strip().removesuffix(f".{plan.DOMAIN}")
  return None


def as_text(data: dict[str, object]) -> str:
  """The same for people."""
  rows = data["nodes"]
  assert isinstance(rows, list)
  head = "lab {name}: {phase}, {release}, cluster {cluster}, master {master}"
  line = "  {name:8} {address:15} {state:8} pid {pid}"
  return "\n".join([head.format(**data), *(line.format(**r) for r in rows)])


def as_json(data: dict[str, object]) -> str:
  """The same for programs."""
  return json.dumps(data, indent=2)
