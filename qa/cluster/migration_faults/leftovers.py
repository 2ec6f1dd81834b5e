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

import pathlib
import time

from cluster import groups
from cluster.cluster import Instance, Node
from cluster.migration_faults import processes
from cluster.migration_faults.injecting import MIGRATIONS

_WAIT_S = 20.0


def _images(node: Node, name: str) -> list[str]:
  home = pathlib.Path(f"/proc/{node.seen.pid}/root{MIGRATIONS}/{name}")
  names = ("images", "files", "ask", "answer")
  return [f"{MIGRATIONS}/{name}/{n}" for n in names if (home / n).exists()]


def _processes(node: Node, name: str) -> list[str]:
  found = {
    "worker": processes.workers(node, name),
    "CRIU": processes.criu(node),
    "action script": processes.scripts(node, name),
    "lxc-checkpoint": [
      p
      for p in processes.lxc_checkpoint(node)
      if p not in processes.monitors(node, name)
    ],
  }
  return [f"{what} {pids}" for what, pids in found.items() if pids]


def groups_of(top: pathlib.Path, name: str) -> list[str]:
  """An instance's control groups; two of them are enough to tell.

  @param top: where the trees of v1 are, or that of v2 alone

  """
  below = f"{groups.PARENT}/{name}"
  return [str(p) for p in (*top.glob(f"*/{below}"), *top.glob(below))][:2]


def _interfaces(node: Node) -> set[str]:
  text = pathlib.Path(f"/proc/{node.seen.pid}/net/dev").read_text()
  names = {line.split(":")[0].strip() for line in text.splitlines()[2:]}
  return names - {"lo", "br0", "eth0"}


def _loops(disk: str) -> list[str]:
  found = []
  for loop in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
    try:
      if disk in loop.read_text():
        found.append(loop.parts[3])
    except OSError:
      continue
  return found


_RULES = """
iptables-save; ip6tables-save; nft list ruleset 2>/dev/null
"""


def _rules(node: Node, init: int) -> list[str]:
  inner = next(iter(_own_numbers(init)), "")
  if not inner:
    return []
  out = node.try_run(
    "nsenter", "-t", inner, "-n", "sh", "-c", _RULES.strip()
  ).output
  return [line for line in out.splitlines() if "CRIU" in line.upper()]


def _own_numbers(pid: int) -> list[str]:
  """The process as its node numbers it: the second of NSpid from ours."""
  try:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
  except OSError:
    return []
  line = next(e for e in text.splitlines() if e.startswith("NSpid:"))
  return line.split()[2:3]


def _look(instance: Instance, owner: Node, disk: str) -> list[str]:
  name = instance.name
  found = []
  for node in instance.cluster.nodes:
    here = [*_processes(node, name), *_images(node, name)]
    wanted = 1 if node == owner else 0
    if len(_interfaces(node)) != wanted:
      here.append(f"interfaces {sorted(_interfaces(node))}")
    if node != owner:
      trees = pathlib.Path(f"/proc/{node.seen.pid}/root/sys/fs/cgroup")
      here += groups_of(trees, name)
    found += [f"{node.name}: {item}" for item in here]
  loops = _loops(disk)
  if len(loops) != 1:
    found.append(f"loop devices of the disk: {loops}")
  return found


def find(instance: Instance, owner: Node, disk: str) -> list[str]:
  """All that is left after a while."""
  deadline = time.monotonic() + _WAIT_S
  while True:
    found = _look(instance, owner, disk)
    if not found or time.monotonic() > deadline:
      break
    time.sleep(0.5)
  for init in processes.inits(owner, instance.name)[:1]:
    found += [f"{owner.name}: rule {rule}" for rule in _rules(owner, init)]
  return found
