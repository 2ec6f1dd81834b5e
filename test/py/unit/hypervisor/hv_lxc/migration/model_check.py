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

"""Explores the world of model.py breadth first and says what is wrong."""

import collections
import dataclasses
from collections.abc import Iterator

from ganeti.hypervisor.hv_lxc.migration.states import Event, State
from unit.hypervisor.hv_lxc.migration.model import Node, Rules, World
from unit.hypervisor.hv_lxc.migration.model_commands import (
  cleanup,
  commands,
  is_usable,
  start,
  stop,
)
from unit.hypervisor.hv_lxc.migration.model_moves import (
  Move,
  by_itself,
  deliveries,
  lists,
  moves,
)

E = Event
S = State
RUNNING = Node(tasks="run", mounted=True)


def wrong(world: World) -> str:
  """What must never be, or ""."""
  if world.bad:
    return world.bad
  if sum(n.mounted for n in world.nodes) + world.third > 1:
    return "mounted twice"
  if sum(bool(n.tasks) for n in world.nodes) + world.third > 1:
    return "two copies"
  if any(n.tasks and not n.mounted for n in world.nodes):
    return "tasks without their file system"
  if world.excused or world.third:
    return ""
  if not any(n.tasks or n.images == "ok" for n in world.nodes):
    return "no copy runs and none can be restored"
  return ""


@dataclasses.dataclass
class Result:
  """What was found: the number of worlds, a violation and how it came."""

  worlds: int
  problem: str
  trace: list[str]
  seen: dict[World, tuple[World, str] | None]
  is_complete: bool

  def __str__(self) -> str:
    lines = [self.problem or "no violation", *self.trace]
    return "\n  ".join(lines) + f"\n({self.worlds} worlds)"


def explore(
  rules: Rules,
  *,
  faults: int,
  commands_after: int,
  most_ids: int = 1,
  limit: int = 10**9,
) -> Result:
  """Everything that can come of one migration and further commands.

  @param faults: how many kills, power cuts and timeouts there may be
  @param commands_after: how many commands beyond the first migration
  @param most_ids: how many migrations may begin
  @param limit: how many worlds to look at, at the most
  """
  first = World(
    nodes=(RUNNING, Node()), faults=faults, commands=commands_after + 1
  )
  seen: dict[World, tuple[World, str] | None] = {first: None}
  queue = collections.deque([first])
  while queue:
    world = queue.popleft()
    for label, after in all_moves(rules, world, most_ids):
      if after in seen:
        continue
      seen[after] = (world, label)
      problem = wrong(after)
      if problem:
        return Result(len(seen), problem, trace(seen, after), seen, False)
      if len(seen) >= limit:
        return Result(len(seen), "", [], seen, False)
      queue.append(after)
  return Result(len(seen), "", [], seen, True)


def all_moves(rules: Rules, world: World, most_ids: int) -> Iterator[Move]:
  """What can happen next, commands included."""
  yield from moves(rules, world)
  yield from commands(rules, world, most_ids=most_ids)


def trace(
  seen: dict[World, tuple[World, str] | None], world: World
) -> list[str]:
  """How the world came about."""
  lines = []
  while (previous := seen[world]) is not None:
    world, label = previous[0], f"{previous[1]:50} {shown(world)}"
    lines.append(label)
  return lines[::-1]


def shown(world: World) -> str:
  """A world in a few words."""
  return " | ".join(_shown(n) for n in world.nodes) + (
    f" primary={world.primary}" + (" third" if world.third else "")
  )


def _shown(node: Node) -> str:
  words = [
    node.state.value + (f"({node.mid})" if node.mid else ""),
    node.worker and f"worker={node.worker}",
    node.criu and f"criu={node.criu}",
    node.tasks and f"tasks={node.tasks}",
    "mounted" if node.mounted else "",
    node.images and f"images={node.images}",
    "" if node.up else "OFF",
  ]
  return " ".join(w for w in words if w)


def calm(rules: Rules, world: World) -> World:
  """What becomes of a world when nothing disturbs it any more."""
  world = world._replace(faults=0, job=None, pending=frozenset())
  seen = set()
  while world not in seen:
    seen.add(world)
    world = next((w for w in _calm_moves(rules, world) if w not in seen), world)
  return world


def _calm_moves(rules: Rules, world: World) -> Iterator[World]:
  for i in (0, 1):
    for label, after in by_itself(rules, world, i):
      if "fails" not in label and after.bad == "":
        yield after
  for _, after in deliveries(rules, world, once=True):
    yield after


def is_settled(rules: Rules, world: World) -> bool:
  """One copy, where Ganeti believes it to be; nobody holds up anything."""
  i, other = world.primary, 1 - world.primary
  here, there = world.nodes[i], world.nodes[other]
  return (
    here.tasks == "run"
    and not there.tasks
    and not there.mounted
    and lists(rules, world, i)
    and not (there.up and lists(rules, world, other))
  )


def is_stopped(world: World) -> bool:
  """No copy anywhere, and nothing of one."""
  return not any(n.tasks or n.mounted for n in world.nodes)


def way_out(rules: Rules, world: World) -> str | None:
  """The one ordinary command that resolves this, None if there is none."""
  world = calm(rules, world._replace(net=frozenset(), commands=9))
  if is_settled(rules, world):
    return "none"
  for name, command in (
    ("cleanup", cleanup),
    ("start", start),
    ("stop", stop),
  ):
    for _, commanded in command(rules, world):
      after = calm(rules, commanded)
      if after.bad:
        continue
      if is_settled(rules, after):
        return name
      if name == "stop" and _starts(rules, after):
        return name
  return None


def _starts(rules: Rules, world: World) -> bool:
  if not is_stopped(world):
    return False
  return any(
    is_settled(rules, calm(rules, after)) for _, after in start(rules, world)
  )


def situations(result: Result) -> dict[World, World]:
  """The reachable worlds without what does not matter to a way out."""
  found: dict[World, World] = {}
  for world in result.seen:
    plain = world._replace(
      net=frozenset(), pending=frozenset(), job=None, faults=0, commands=0,
      ids=0, excused=False, bad="",
    )  # fmt: skip
    found.setdefault(plain, world)
  return found


def repaired(world: World) -> Iterator[tuple[str, World]]:
  """A situation with every node that is down booted, or marked offline."""
  if world.third:
    return
  down = [i for i, n in enumerate(world.nodes) if not n.up]
  booted = world._replace(
    nodes=tuple(n._replace(up=True) for n in world.nodes), offline=-1
  )
  yield "all nodes up", booted
  if len(down) == 1 and is_usable(world, world.primary):
    yield "the dead one offline", world._replace(offline=down[0])


def no_way_out(rules: Rules, result: Result) -> list[str]:
  """Situations which no single ordinary command resolves."""
  stuck = []
  for plain, example in situations(result).items():
    for how, world in repaired(plain):
      if way_out(rules, world) is None:
        stuck.append(
          "\n  ".join([how, shown(world), *trace(result.seen, example)])
        )
  return stuck
