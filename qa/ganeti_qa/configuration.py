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

"""What the QA suite is told of the lab: its configuration, as a value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from ganeti_lab import plan
from ganeti_lab.plan import LabPlan

RENAMED_CLUSTER = f"renamed.{plan.DOMAIN}"
OS = "busybox"
_RENAMED_HOST = 6
# Room for the tests that make several at a time.
_INSTANCES = 8
_FIRST_NODE_HOST = 11
# A network of the nodes' own beside that of the instances.
_SECONDARY_NETWORK = "172.29.0"
# What an instance with the busybox guest fits in, twice.
_DISKS = (
  {"size": "256M", "name": "disk0", "growth": "128M"},
  {"size": "160M", "name": "disk1", "growth": "96M"},
)
# Everything that a change to the driver may break in a few minutes: the story
# of one instance on shared storage.
CORE = (
  "cluster-verify",
  "create-cluster",
  "cluster-destroy",
  "default-instance-tests",
  "instance-add-shared-file",
  "instance-automatic-restart",
  "instance-console",
  "instance-failover",
  "instance-grow-disk",
  "instance-info",
  "instance-migrate",
  "instance-modify",
  "instance-reboot",
  "instance-reinstall",
  "instance-rename",
  "instance-shutdown",
)
# The suite makes an instance of each and starts it, for which a container
# needs a disk: none is without (TestInstanceCreationRestrictedByDiskTemplates).
TEMPLATES = {
  "namespace": ("sharedfile", "file"),
  "vm": ("plain", "drbd", "sharedfile", "file"),
}


@dataclasses.dataclass(frozen=True)
class Site:
  """What the suite is run on, and which tests.

  @ivar backend: kind of the lab's nodes
  @ivar tests: the suite's own names of tests; None: all
  @ivar off: names of tests that are switched off
  @ivar check: the program that looks whether an instance runs

  """

  lab: LabPlan
  backend: str
  check: str
  off: frozenset[str] = frozenset()
  tests: tuple[str, ...] | None = None


def node_names(lab: LabPlan) -> list[str]:
  """The nodes as the suite calls them, the master first."""
  return [f"{name}.{plan.DOMAIN}" for name in lab.nodes]


def secondary_address(lab: LabPlan, node: str) -> str:
  """The second address of a node, given its short name."""
  return f"{_SECONDARY_NETWORK}.{_FIRST_NODE_HOST + lab.nodes.index(node)}"


def renamed_address(lab: LabPlan) -> str:
  """What the cluster's second name resolves to: nobody has it."""
  return f"{lab.network}.{_RENAMED_HOST}"


def of(site: Site) -> dict[str, Any]:
  """The suite's configuration."""
  return {
    **_cluster(site),
    **_instances(site),
    "tests": _tests(site),
    "options": {
      "burnin-instances": 2,
      "burnin-disk-template": "sharedfile",
      "burnin-in-parallel": False,
      "burnin-check-instances": False,
      "burnin-rename": f"inst{_INSTANCES + 1}.{plan.DOMAIN}",
      "burnin-reboot": True,
      "reboot-types": ["soft", "hard", "full"],
      # Where an instance goes is told, not left to hail's opinion of nodes
      # that share one machine's memory.
      "use-iallocators": False,
    },
  }


def _cluster(site: Site) -> dict[str, Any]:
  return {
    "name": plan.CLUSTER,
    "rename": RENAMED_CLUSTER,
    "enabled-hypervisors": "lxc",
    # What is to be moved live has no terminals of LXC's, and a file system on
    # each disk.
    "hypervisor-parameters": {"lxc": "num_ttys=0"},
    "os-parameters": {OS: "data=ext4"},
    "primary_ip_version": 4,
    "exclusive-storage": None,
    "modify_ssh_setup": True,
    "enabled-disk-templates": list(TEMPLATES[site.backend]),
    "convert-disk-templates": list(TEMPLATES[site.backend]),
    "default-file-storage-dir": plan.FILE_STORAGE,
    "default-shared-file-storage-dir": plan.SHARED_FILE_STORAGE,
    "master-netdev": plan.BRIDGE,
    "default-nicparams": {"mode": "bridged", "link": plan.BRIDGE},
    "nodes": [
      {
        "primary": f"{name}.{plan.DOMAIN}",
        "secondary": secondary_address(site.lab, name),
      }
      for name in site.lab.nodes
    ],
    "groups": {
      "group-with-nodes": "default",
      "inexistent-groups": ["group1", "group2", "group3"],
    },
    "networks": {
      "inexistent-networks": ["network1", "network2", "network3"],
    },
  }


def _instances(site: Site) -> dict[str, Any]:
  return {
    "os": OS,
    "maxmem": "256M",
    "minmem": "128M",
    "ispec_disk_size_min": 128,
    "ispec_mem_size_max": 1024,
    "instance-check": site.check,
    "disks": [{**disk, "spindles": 1, "spindles-growth": 0} for disk in _DISKS],
    "instances": [
      {"name": f"inst{i + 1}.{plan.DOMAIN}"} for i in range(_INSTANCES)
    ],
  }


def _tests(site: Site) -> dict[str, bool]:
  tests = {"default": site.tests is None}
  tests.update(dict.fromkeys(site.tests or (), True))
  tests.update(dict.fromkeys(_of_configuration(site.off), False))
  return tests


def _of_configuration(names: Iterable[str]) -> list[str]:
  """Without the functions, which the suite's configuration cannot name."""
  return [name for name in names if "." not in name]
