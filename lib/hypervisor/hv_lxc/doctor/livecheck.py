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

"""Whether a node can take part in live migrations, and how well.

Each question is for "criu check", which tries the thing itself; see
C{abilities} for the few that it does not answer.

"""

import os
from collections.abc import Iterator
from functools import partial

from ..errors import one_line
from ..model import Problem
from ..node import Check, Node
from . import abilities
from .abilities import Criu

# (feature of "criu check", what is worse without it, the remedy)
_FEATURES = (
  (
    "mem_dirty_track",
    "all memory is copied while the guest stands still",
    "boot a kernel built with CONFIG_MEM_SOFT_DIRTY",
  ),
  (
    "get_rseq_conf",
    "guests with glibc 2.35 or later cannot be saved",
    "boot Linux 5.13 or later and install CRIU 3.17 or later",
  ),
  (
    "move_mount_set_group",
    "services in mount namespaces of their own cannot be brought back",
    "boot Linux 5.15 or later",
  ),
)


def wishes() -> Iterator[Check]:
  """What some instances cannot do without."""
  yield Check("CRIU", _installed)
  yield Check("CRIU", _works, privileged=True)
  yield Check("CAP_SYS_RESOURCE", _sys_resource)
  yield Check("CRIU and TCP", _sockets, privileged=True)
  yield Check("CRIU network lock", _network_lock, privileged=True)
  yield Check("firewalls of guests", _firewalls)
  for name, loss, remedy in _FEATURES:
    question = partial(_feature, name, loss, remedy)
    yield Check(f"CRIU {name}", question, privileged=True)


def hindrance(node: Node) -> Problem | None:
  """Why no guest at all can be migrated, if that is so."""
  return _installed(node) or _works(node)


def _installed(node: Node) -> Problem | None:
  if Criu(node).installed:
    return None
  return Problem(
    "CRIU is not installed, so instances cannot be migrated live",
    "run apt-get install criu, where the distribution has it",
  )


def _usable(node: Node) -> bool:
  """Whether there is a CRIU that this caller can ask."""
  return Criu(node).installed and os.geteuid() == 0


def _works(node: Node) -> Problem | None:
  if not _usable(node):
    return None
  result = Criu(node).ask("check")
  if not result.failed:
    return None
  return Problem(
    one_line(f"CRIU does not work here: {result.evidence()}"),
    "install a CRIU that is as new as the kernel",
  )


def _sys_resource(node: Node) -> Problem | None:
  """criu/cr-dump.c, dump_task_rlimits: prlimit(2) of another user's."""
  if abilities.has_capability(node, abilities.CAP_SYS_RESOURCE):
    return None
  return Problem(
    "The node has no CAP_SYS_RESOURCE, so guests with processes of other"
    " users than root cannot be migrated live, and disks cannot grow while"
    " mounted",
    "where the node is itself a container or a VM's guest, have its host"
    " grant it",
  )


def _sockets(node: Node) -> Problem | None:
  if not _usable(node) or abilities.reads_inet_sockets(node):
    return None
  return Problem(
    f"CRIU cannot read TCP and UDP sockets on Linux {node.release}, so hardly"
    " any guest can be migrated live",
    "install CRIU 4.2 or later, or boot Linux before 6.16",
  )


def _network_lock(node: Node) -> Problem | None:
  """CRIU closes the guest's network while it saves connections."""
  if not _usable(node) or node.has_program("iptables"):
    return None
  if node.has_program("nft") and Criu(node).has("network_lock_nftables"):
    return None
  return Problem(
    "CRIU cannot close a guest's network while its connections are saved:"
    " neither iptables nor nftables is there",
    "run apt-get install iptables",
  )


def _firewalls(node: Node) -> Problem | None:
  """See L{firewall}: what CRIU saves of them is not enough."""
  if not Criu(node).installed:
    return None
  if not node.has_program("nft"):
    return Problem(
      "nft is not installed, so instances cannot be migrated live",
      "run apt-get install nftables",
    )
  if not node.has_program("iptables-nft-restore"):
    return Problem(
      "iptables is not installed, so instances with rules of iptables cannot"
      " be migrated live",
      "run apt-get install iptables",
    )
  return None


def _feature(name: str, loss: str, remedy: str, node: Node) -> Problem | None:
  if not _usable(node) or Criu(node).has(name):
    return None
  return Problem(f"Live migration: {loss} (no {name})", remedy)
