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

"""A lab as any other cluster that ssh reaches: the file for qa/run."""

from __future__ import annotations

from typing import Any

from . import cgroup, criu, keys, network, plan
from . import lab as whole_lab
from .errors import LabError
from .state import State

_INSTANCES = 20
_TEMPLATES = {
  "namespace": ("sharedfile", "file", "diskless"),
  "vm": (
    "plain",
    "drbd",
    "sharedfile",
    "file",
    "blockdev",
    "ext",
    "diskless",
  ),
}


def lab(name: str) -> dict[str, Any]:
  """The configuration, good for as long as the lab is up.

  The network of a lab begins in namespaces that only this machine can enter,
  which is what ssh is started by.

  @raise LabError: when there is no such lab, or it does not run

  """
  record = whole_lab.existing(name)
  nodes = record.plan.nodes
  known = record.plan.node_dir(nodes[0]) / "upper/etc/ssh/ssh_known_hosts"
  return {
    "name": plan.CLUSTER,
    "nodes": [
      {"primary": f"{n}.{plan.DOMAIN}", "address": record.plan.address(n)}
      for n in nodes
    ],
    "instances": [
      {"name": f"inst{i + 1}.{plan.DOMAIN}"} for i in range(_INSTANCES)
    ],
    "enabled-disk-templates": list(_TEMPLATES[record.backend]),
    "default-file-storage-dir": plan.FILE_STORAGE,
    "default-shared-file-storage-dir": plan.SHARED_FILE_STORAGE,
    "default-nicparams": {"mode": "bridged", "link": plan.BRIDGE},
    "options": {
      "ssh-user": "root",
      "ssh-enter": ["nsenter", f"--net=/proc/{_insider(record)}/ns/net", "--"],
      "ssh-options": [
        f"IdentityFile={keys.key_dir(record.plan) / 'id_ed25519'}",
        "IdentitiesOnly=yes",
        f"UserKnownHostsFile={known}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
      ],
      "lxc-kernel-tests": record.backend == "vm",
      "lxc-live-migration": not criu.reason_against(
        record.release, record.backend
      ),
    },
    "tests": {"default": True},
  }


def _insider(record: State) -> int:
  """A process in the lab's network, with an address there.

  @raise LabError: when there is none

  """
  if record.backend == "vm":
    pids = cgroup.processes(cgroup.group(record.name, network.SWITCH))
    found = min(pids, default=None)
  else:
    found = whole_lab.nodes_of(record)[0].pid
  if found is None:
    raise LabError(
      f"Lab {record.name!r} is not running; run: qa/lab --name {record.name} up"
    )
  return found
