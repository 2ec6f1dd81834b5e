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

"""Where everything of one lab lives: names, addresses, directories.

Nothing here touches the machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re

from .errors import LabError

STATE_ROOT = pathlib.Path("/run/ganeti-lxc-lab")
DATA_ROOT = pathlib.Path("/var/lib/ganeti-lxc-lab")
CACHE_ROOT = pathlib.Path("/var/cache/ganeti-lxc-lab")
CGROUP_ROOT = "ganeti-lab"
DOMAIN = "lab"
BRIDGE = "br0"
# All labs of virtual machines have the same addresses, each in a network of
# its own: see vm_snapshot.py.
MACHINES = "virtual-machines"
CLUSTER = f"cluster.{DOMAIN}"
INSTANCES = 40
MAX_NODES = 60
FILE_STORAGE = "/srv/ganeti/file-storage"
SHARED_FILE_STORAGE = "/srv/ganeti/shared-file-storage"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_CLUSTER_HOST = 5
_FIRST_NODE_HOST = 11
_FIRST_INSTANCE_HOST = 101


@dataclasses.dataclass(frozen=True)
class LabPlan:
  """The names and addresses of one lab.

  @ivar network_of: what its addresses are chosen by, its name when empty
  @raise LabError: when the name or the number of nodes cannot be used

  """

  name: str
  node_count: int
  network_of: str = ""

  def __post_init__(self) -> None:
    check_name(self.name)
    if not 1 <= self.node_count <= MAX_NODES:
      raise LabError(
        f"A lab of {self.node_count} nodes was asked for;"
        f" choose a number from 1 to {MAX_NODES}"
      )

  @property
  def network(self) -> str:
    """First three octets of a private network."""
    chosen_by = self.network_of or self.name
    digest = hashlib.sha256(chosen_by.encode()).digest()
    return f"10.{64 + digest[0] % 128}.{digest[1]}"

  @property
  def nodes(self) -> list[str]:
    """Short names."""
    return [f"node{i}" for i in range(1, self.node_count + 1)]

  def address(self, node: str) -> str:
    """IPv4 address of a node, given its short name."""
    return f"{self.network}.{_FIRST_NODE_HOST + self.nodes.index(node)}"

  @property
  def cluster_address(self) -> str:
    """IPv4 address that the master has besides its own."""
    return f"{self.network}.{_CLUSTER_HOST}"

  def hosts(self) -> str:
    """The /etc/hosts of every node."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    lines += [f"{self.address(n)} {n}.{DOMAIN} {n}" for n in self.nodes]
    lines.append(f"{self.cluster_address} {CLUSTER} cluster")
    for i in range(INSTANCES):
      name = f"inst{i + 1}"
      address = f"{self.network}.{_FIRST_INSTANCE_HOST + i}"
      lines.append(f"{address} {name}.{DOMAIN} {name}")
    return "\n".join(lines) + "\n"

  @property
  def state_dir(self) -> pathlib.Path:
    """Holds the record; empty after a boot of the machine."""
    return STATE_ROOT / self.name

  @property
  def data_dir(self) -> pathlib.Path:
    """Holds what the nodes write."""
    return DATA_ROOT / self.name

  def node_dir(self, node: str) -> pathlib.Path:
    """Holds what one node writes."""
    return self.data_dir / node


def check_name(name: str) -> None:
  """Refuse a name that cannot be a file and a cgroup.

  @raise LabError: when it is refused

  """
  if not _NAME.match(name):
    raise LabError(
      f"Lab name {name!r} cannot be used: a name is a lower-case"
      " letter, then at most 30 of a-z, 0-9 and -"
    )
