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


"""What may not be there when a migration is over, however it ended."""

import time

from cluster import groups
from cluster.cluster import Cluster, Instance, Node
from cluster.migration_faults import eyes
from cluster.migration_faults.injecting import home
from cluster.migration_faults.looking import Who

_WAIT_S = 20.0
_FILES = ("images", "files", "ask", "answer")
_PASSING = (Who.WORKER, Who.CRIU, Who.SCRIPT)


def own_interfaces(cluster: Cluster) -> set[str]:
  """Those of every node, so no guest's; only one guest may run."""
  found = [set(eyes.look(node).interfaces()) for node in cluster.nodes]
  return set[str].intersection(*found)


def _images(node: Node, instance: Instance) -> list[str]:
  paths = [f"{home(instance)}/{name}" for name in _FILES]
  return eyes.look(node).existing(paths)


def _processes(node: Node, name: str) -> list[str]:
  look = eyes.look(node)
  found = {str(who): look.find(who, name) for who in _PASSING}
  monitors = look.find(Who.MONITOR, name)
  found[Who.LXC_CHECKPOINT] = [
    pid for pid in look.find(Who.LXC_CHECKPOINT) if pid not in monitors
  ]
  return [f"{what} {pids}" for what, pids in found.items() if pids]


_RULES = """
iptables-save; ip6tables-save; nft list ruleset 2>/dev/null
"""


def _rules(node: Node, init: int) -> list[str]:
  inner = eyes.look(node).own_number(init)
  if not inner:
    return []
  out = node.try_run(
    "nsenter", "-t", str(inner), "-n", "sh", "-c", _RULES.strip()
  ).output
  return [line for line in out.splitlines() if "CRIU" in line.upper()]


class Leftovers:
  """What a guest's migrations may leave.

  @ivar disk: as the scanner is told of it

  """

  def __init__(self, instance: Instance, disk: str, own: set[str]):
    """Nothing is looked at yet.

    @param own: see L{own_interfaces}

    """
    self._instance = instance
    self._disk = disk
    self._own = own

  def find(self, owner: Node) -> list[str]:
    """All that is left after a while, when the guest runs on a node."""
    deadline = time.monotonic() + _WAIT_S
    while True:
      found = self._look(owner)
      if not found or time.monotonic() > deadline:
        break
      time.sleep(0.5)
    for init in eyes.look(owner).find(Who.INIT, self._instance.name)[:1]:
      found += [f"{owner.name}: rule {rule}" for rule in _rules(owner, init)]
    return found

  def _look(self, owner: Node) -> list[str]:
    instance = self._instance
    found = []
    for node in instance.cluster.nodes:
      here = [*_processes(node, instance.name), *_images(node, instance)]
      more = set(eyes.look(node).interfaces()) - self._own
      if len(more) != (node == owner):
        here.append(f"interfaces {sorted(more)}")
      if node != owner:
        below = f"{groups.PARENT}/{instance.name}"
        here += eyes.look(node).groups(below)
      found += [f"{node.name}: {item}" for item in here]
    return [*found, *self._maps(owner)]

  def _maps(self, owner: Node) -> list[str]:
    """A node that shares the kernel sees the loop devices of all."""
    nodes, wanted = [owner], 1
    if eyes.is_machine(owner):
      nodes = [n for n in self._instance.cluster.nodes if n != owner]
      wanted = 0
    maps = {node.name: eyes.look(node).maps(self._disk) for node in nodes}
    return [
      f"{name}: devices of the disk: {there}"
      for name, there in maps.items()
      if len(there) != wanted
    ]
