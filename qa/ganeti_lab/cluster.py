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

"""Ganeti on the nodes: unmodified, through its own commands."""

from __future__ import annotations

from collections.abc import Sequence

from . import plan
from .node import Node
from .plan import LabPlan
from .progress import Progress

# Small enough for test guests; Ganeti's own bounds begin at 128 MiB and
# 1 GiB.
_SMALL = (
  "cpu-count=1,disk-count=1,disk-size=1,memory-size=8,nic-count=0,spindle-use=1"
)
_LARGE = (
  "cpu-count=64,disk-count=16,disk-size=1048576,memory-size=65536,"
  "nic-count=8,spindle-use=64"
)


# What does not need block devices that all nodes' kernels lack.
FILES = ("--enabled-disk-templates=sharedfile,file,diskless",)


def init_argv(storage: Sequence[str] = FILES) -> list[str]:
  """The command that makes node1 the master of a new cluster.

  @param storage: options that tell where instances' disks may be

  """
  return [
    "gnt-cluster",
    "init",
    # The nodes share keys and /etc/hosts already.
    "--no-ssh-init",
    "--no-etc-hosts",
    "--enabled-hypervisors=lxc",
    *storage,
    f"--file-storage-dir={plan.FILE_STORAGE}",
    f"--shared-file-storage-dir={plan.SHARED_FILE_STORAGE}",
    f"--master-netdev={plan.BRIDGE}",
    f"--nic-parameters=mode=bridged,link={plan.BRIDGE}",
    f"--ipolicy-bounds-specs=min:{_SMALL}/max:{_LARGE}",
    # Hundreds of idle guests on a machine with few processors.
    "--ipolicy-vcpu-ratio=256",
    "--ipolicy-spindle-ratio=1024",
    plan.CLUSTER,
  ]


def init(
  lab: LabPlan,
  progress: Progress,
  master: Node | None = None,
  storage: Sequence[str] = FILES,
) -> None:
  """Make the cluster and add the other nodes.

  @param master: the first node, when it is no namespaced one
  @raise LabError: with Ganeti's own last lines

  """
  master = master or Node(lab.name, lab.nodes[0])
  with progress.step("gnt-cluster init"):
    master.run("cluster init", init_argv(storage), note=progress.note)
  for name in lab.nodes[1:]:
    with progress.step(f"gnt-node add {name}"):
      master.run(
        f"add {name}",
        ["gnt-node", "add", "--no-ssh-key-check", f"{name}.{plan.DOMAIN}"],
        note=progress.note,
      )


def restart_noded(node: Node) -> None:
  """Let noded load the driver again, where noded runs."""
  daemon_util = "/usr/lib/ganeti/daemon-util"
  script = (
    f"if {daemon_util} check ganeti-noded; then"
    f" {daemon_util} stop ganeti-noded && {daemon_util} start ganeti-noded; fi"
  )
  node.run("restart noded", ["sh", "-c", script])
