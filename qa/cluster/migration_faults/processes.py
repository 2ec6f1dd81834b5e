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


"""Who takes part in a migration, seen from the host."""

import contextlib
import os
import pathlib
import signal
from collections.abc import Callable, Iterator

from cluster.cluster import Node

PROC = pathlib.Path("/proc")


def _namespace(pid: int) -> str:
  try:
    return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - no file
  except OSError:
    return ""


def words(pid: int) -> list[str]:
  """The command line of a process."""
  try:
    text = (PROC / str(pid) / "cmdline").read_bytes()
  except OSError:
    return []
  return text.decode("utf-8", "replace").split("\0")


def name(pid: int) -> str:
  """What the kernel calls it."""
  try:
    return (PROC / str(pid) / "comm").read_text().strip()
  except OSError:
    return ""


def parent(pid: int) -> int:
  """The number of its parent, 0 when it is gone."""
  try:
    stat = (PROC / str(pid) / "stat").read_text()
  except OSError:
    return 0
  return int(stat.rpartition(")")[2].split()[1])


def below(top: int) -> Iterator[int]:
  """A process and all that descend from it.

  Everything that a node started does, since what is orphaned there becomes
  a child of the node's first process.

  """
  yield top
  for task in pathlib.Path(f"/proc/{top}/task").glob("*/children"):
    try:
      children = task.read_text().split()
    except OSError:
      continue
    for child in children:
      yield from below(int(child))


def of_node(node: Node) -> list[int]:
  """All processes in a node's own namespace, without those of guests."""
  init = node.seen.pid
  if init is None:
    return []
  home = _namespace(init)
  return [pid for pid in below(init) if _namespace(pid) == home]


def _matching(node: Node, fits: Callable[[int], bool]) -> list[int]:
  return [pid for pid in of_node(node) if fits(pid)]


def workers(node: Node, instance: str) -> list[int]:
  """The source's process."""
  return _matching(
    node,
    lambda p: (
      any(w.endswith("/source_main.py") for w in words(p)[:3])
      and instance in words(p)
    ),
  )


def receivers(node: Node) -> list[int]:
  """The target's process."""
  return _matching(
    node, lambda p: any(w.endswith("/target_main.py") for w in words(p)[:3])
  )


def criu(node: Node) -> list[int]:
  """CRIU itself."""
  return _matching(node, lambda p: name(p) == "criu")


def lxc_checkpoint(node: Node) -> list[int]:
  """What LXC restores with, until it becomes the monitor."""
  return _matching(
    node, lambda p: any("lxc-checkpoint" in w for w in words(p)[:2])
  )


def scripts(node: Node, instance: str) -> list[int]:
  """CRIU's action script."""
  tail = f"{instance}/criu-action"
  return _matching(node, lambda p: any(w.endswith(tail) for w in words(p)[:3]))


def monitors(node: Node, instance: str) -> list[int]:
  """LXC's process for the guest: the parent of the guest's first process."""
  found = {parent(pid) for pid in inits(node, instance)}
  return sorted(found & set(of_node(node)))


def inits(node: Node, instance: str) -> list[int]:
  """The guest's first process, by the children of the node's processes."""
  node_side = set(of_node(node))
  guests = set(below(node.seen.pid or 0)) - node_side
  return [
    pid
    for pid in guests
    if parent(pid) in node_side
    and any(instance in w for w in words(parent(pid)))
  ]


def noded_main(node: Node) -> list[int]:
  """The node daemon, without its children."""
  all_of_them = noded_all(node)
  return [pid for pid in all_of_them if parent(pid) not in all_of_them]


def noded_children(node: Node) -> list[int]:
  """The node daemon's processes for single calls."""
  all_of_them = noded_all(node)
  return [pid for pid in all_of_them if parent(pid) in all_of_them]


def noded_all(node: Node) -> list[int]:
  """The node daemon and its children."""
  return _matching(
    node, lambda p: any(w.endswith("/ganeti-noded") for w in words(p)[:3])
  )


def jobs(node: Node) -> list[int]:
  """The processes of Ganeti's jobs."""
  return _matching(
    node, lambda p: any(w.endswith("/jqueue/exec.py") for w in words(p)[:3])
  )


def kill(pids: list[int], number: int = signal.SIGKILL) -> int:
  """Sends a signal; returns how many were there."""
  hit = 0
  for pid in pids:
    with contextlib.suppress(ProcessLookupError):
      os.kill(pid, number)
      hit += 1
  return hit
