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

"""A world of two nodes that move by the transition table: values and acts.

What it assumes of the machinery outside the table, which the driver has to
see to:

- steps on one node exclude each other (the journal's lock);
- a write of the journal happens wholly or not, and survives a power cut;
- CRIU dying while it dumps lets the tasks go on, unless they are frozen;
- CRIU's action script, when the worker is dead, goes by the journal: yes in
  DUMPED, RESUMING and RESUMED, no otherwise;
- a node that is up answers when another one is about to boot the instance;
- a node is marked offline only when it is off.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ganeti.hypervisor.hv_lxc.migration.protocol import (
  HELD_ELSEWHERE,
  TABLE,
  classify,
  has_run,
)
from ganeti.hypervisor.hv_lxc.migration.states import (
  Act,
  Event,
  State,
  Step,
)

A = Act
E = Event
S = State


class Node(NamedTuple):
  """One node's part; ids are small numbers, 0 is none.

  worker: "" (none), "dump", "sent" (has dumped, once), "back" (settles on
    the source) or "recv"
  criu: "" (none), "dump", "restore" or "resuming" (let go)
  tasks: "" (none), "run", "held" (by CRIU) or "frozen"
  images: "", "ok" (they are the guest) or "stale" (it has run since)
  """

  state: State = S.IDLE
  mid: int = 0
  over: frozenset[int] = frozenset()
  never_ran: frozenset[int] = frozenset()
  worker: str = ""
  criu: str = ""
  tasks: str = ""
  mounted: bool = False
  images: str = ""
  up: bool = True
  old: bool = False


class World(NamedTuple):
  """Two nodes, what is between them, and Ganeti.

  job: the migration job: (step, source, id) or None
  net: messages (what, id, to) that can arrive any number of times
  pending: calls (event, node, id) that timed out but still go on
  primary: as configured; 2 is a third node
  excused: the memory was lost by a power cut or given up by the user
  """

  nodes: tuple[Node, Node]
  net: frozenset[tuple[str, int, int]] = frozenset()
  pending: frozenset[tuple[Event, int, int]] = frozenset()
  job: tuple[str, int, int] | None = None
  primary: int = 0
  third: bool = False
  offline: int = -1
  faults: int = 0
  commands: int = 0
  ids: int = 0
  excused: bool = False
  bad: str = ""


MESSAGES = {
  A.SEND_READY: "READY",
  A.SEND_GRANT: "GRANT",
  A.SEND_OWNER: "OWNER",
  A.SEND_RESUMED: "RESUMED",
  A.SEND_CLOSED: "CLOSED",
  A.SEND_RELEASED: "RELEASED",
  A.SEND_FORGOT: "FORGOT",
}
ANSWERS = {
  "OWNER": E.PEER_BUSY,
  "RESUMED": E.PEER_RUNS,
  "CLOSED": E.PEER_CLOSED,
  "RELEASED": E.PEER_RELEASED,
  "FORGOT": E.PEER_FORGOT,
}
# Who has lost the memory when it loses power.
HOLDERS = {
  S.OFFERED,
  S.DUMPING,
  S.DUMPED,
  S.HANDING,
  S.HANDING_COLD,
  S.RESUMING,
  S.OWNER,
  S.RESUMED,
  S.RETRYING,
}


def put(world: World, i: int, **changes: object) -> World:
  """The world with some of node i's fields changed."""
  nodes = list(world.nodes)
  nodes[i] = nodes[i]._replace(**changes)
  return world._replace(nodes=tuple(nodes))


def let_run(world: World, i: int) -> World:
  """Tasks run on node i: whatever was dumped before is not the guest now."""
  nodes = [
    n._replace(images="stale") if n.images == "ok" else n for n in world.nodes
  ]
  nodes[i] = nodes[i]._replace(tasks="run")
  net = frozenset(
    ("OLD IMAGES", *m[1:]) if m[0] == "IMAGES" else m for m in world.net
  )
  return world._replace(nodes=tuple(nodes), net=net)


def kill_criu(world: World, i: int) -> World:
  """CRIU is killed, whatever it was doing."""
  node = world.nodes[i]
  world = put(world, i, criu="")
  if node.criu == "dump" and node.tasks == "held":
    return let_run(world, i)
  if node.criu == "restore":
    return put(world, i, tasks="")
  if node.criu == "resuming":
    return let_run(world, i)
  return world


def cut_power(world: World, i: int) -> World:
  """Node i loses power."""
  node = world.nodes[i]
  lost = bool(node.tasks) or node.state in HOLDERS
  world = put(
    world, i, worker="", criu="", tasks="", mounted=False, images="",
    up=False, old=True,
  )  # fmt: skip
  return world._replace(excused=world.excused or lost)


class Fired(NamedTuple):
  """One way in which an event went."""

  world: World
  result: str
  answer: str = ""


class Rules:
  """The table under examination, and how ids and facts become events."""

  def __init__(
    self,
    table: Mapping[tuple[State, Event], Step] = TABLE,
    *,
    ignored: frozenset[str] = frozenset(),
  ) -> None:
    self.table = table
    self.ignored = ignored

  def without(self, fact: str) -> "Rules":
    """Rules in which a fact that guards a step is not looked at."""
    return Rules(self.table, ignored=self.ignored | {fact})

  def changed(self, *pairs: tuple[State, Event], **changes: object) -> "Rules":
    """Rules with some steps changed."""
    table = dict(self.table)
    for pair in pairs:
      assert dataclasses.replace(table[pair], **changes) != table[pair]
      table[pair] = dataclasses.replace(table[pair], **changes)
    return Rules(table, ignored=self.ignored)

  def seen(self, node: Node, event: Event, of: int) -> Event | None:
    """The event as the table has it."""
    return classify(
      event,
      node.state,
      is_current=of in (0, node.mid),
      is_over=of in node.over and "is_over" not in self.ignored,
      has_never_run=of in node.never_ran
      and "has_never_run" not in self.ignored,
      lives=bool(node.tasks) and "lives" not in self.ignored,
    )


def _stop_worker(world: World, i: int, actor: str) -> World:
  world = kill_criu(world, i)
  return world if actor == "worker" else put(world, i, worker="")


def _resume_guest(world: World, i: int) -> World:
  world = put(world, i, criu="")
  return let_run(world, i) if world.nodes[i].tasks else world


def _finish(world: World, i: int) -> World:
  is_at_work = world.nodes[i].criu in ("restore", "resuming")
  return let_run(put(world, i, criu=""), i) if is_at_work else world


def _restore(world: World, i: int, worker: str) -> World:
  node = world.nodes[i]
  if not node.images:
    return world
  if node.images == "stale":
    world = world._replace(bad="restored from images of an older guest")
  if node.tasks:
    world = world._replace(bad="restored beside tasks that are left")
  return put(
    world, i, worker=worker, criu="restore", tasks="held", mounted=True
  )


def _plain_start(world: World, i: int) -> World:
  if world.nodes[i].tasks:
    return world
  return let_run(put(world, i, mounted=True), i)


SETTINGS: dict[Act, dict[str, object]] = {
  A.START_WORKER: {"worker": "dump"},
  A.KILL_TASKS: {"tasks": ""},
  A.RELEASE_DISKS: {"mounted": False},
  A.KILL_AND_UNMOUNT: {"tasks": "", "mounted": False, "criu": ""},
  A.TAKE_AWAY: {"mounted": False},
  A.ORDINARY_STOP: {"tasks": "", "mounted": False, "criu": ""},
  A.ALLOW_RESUME: {"criu": "resuming"},
  A.DISCARD_IMAGES: {"images": ""},
}
CHANGES: dict[Act, Callable[[World, int], World]] = {
  A.START_RECEIVER: lambda world, i: (
    world if world.nodes[i].worker else put(world, i, worker="recv")
  ),
  A.FREEZE: lambda world, i: (
    put(world, i, tasks="frozen") if world.nodes[i].tasks else world
  ),
  A.RESUME_GUEST: _resume_guest,
  A.FINISH: _finish,
  A.MOUNT_AND_RESTORE: lambda world, i: _restore(world, i, "recv"),
  A.RESTORE_LOCALLY: lambda world, i: _restore(world, i, "back"),
  A.PLAIN_START: _plain_start,
}


def perform(world: World, i: int, act: Act, actor: str) -> World:
  """One act on node i; a worker does not stop itself."""
  if act == A.STOP_WORKER:
    return _stop_worker(world, i, actor)
  if act in SETTINGS:
    return put(world, i, **SETTINGS[act])
  return CHANGES[act](world, i)


def write(world: World, i: int, step: Step, of: int) -> World:
  """The journal of node i is replaced."""
  node = world.nodes[i]
  over, never_ran = node.over, node.never_ran
  if step.note:
    over |= {of}
  if step.to is None:
    return put(world, i, over=over)
  if step.fresh or step.to == S.IDLE:
    if node.mid not in over and not has_run(node.state):
      never_ran |= {node.mid}
    over |= {node.mid} - {0}
  mid = of if step.fresh else 0 if step.to == S.IDLE else node.mid
  return put(world, i, state=step.to, mid=mid, over=over, never_ran=never_ran)


def execute(
  world: World, i: int, step: Step, of: int, actor: str, *, quiet: bool
) -> Iterator[Fired]:
  """A step, and what a kill or a power cut between two acts makes of it."""
  answer = ""
  operations = [*step.before, None, *step.after]
  if step.to is None and not step.note:
    operations.remove(None)
  if step.work:
    operations.append(step.work)
  for number, operation in enumerate(operations):
    if number and world.faults:
      killed = world._replace(faults=world.faults - 1)
      if actor == "worker":
        yield Fired(put(killed, i, worker=""), "killed")
      else:
        yield Fired(killed, "killed")
      yield Fired(cut_power(killed, i), "killed")
    if operation is None:
      world = write(world, i, step, of)
    elif operation in MESSAGES:
      what = MESSAGES[operation]
      answer = what
      if not quiet:
        message = (what, of or world.nodes[i].mid, 1 - i)
        world = world._replace(net=world.net | {message})
    else:
      world = perform(world, i, operation, actor)
  yield Fired(world, "ok", answer)


def wake(rules: Rules, world: World, i: int) -> World:
  """What the journal of another boot means now."""
  node = world.nodes[i]
  if not node.old:
    return world
  step = rules.table[node.state, E.BOOT]
  world = put(world, i, old=False)._replace(faults=0)
  (fired,) = execute(world, i, step, 0, "", quiet=True)
  return fired.world


def awake(rules: Rules, world: World, i: int) -> World:
  """As wake, with the faults still to come."""
  return wake(rules, world, i)._replace(faults=world.faults)


def ask(rules: Rules, world: World, i: int) -> Iterator[tuple[World, Event]]:
  """Node i asks the other for the token; anything can get lost."""
  yield world, E.PEER_SILENT
  other = 1 - i
  if not world.nodes[other].up:
    if world.offline == other:
      yield world._replace(excused=True), E.PEER_OFFLINE
    return
  of = world.nodes[i].mid
  world = awake(rules, world, other)
  node = world.nodes[other]
  if not node.worker and node.state in (S.EXPECTING, S.READY, S.OWNER):
    return
  for fired in fire(rules, world, other, E.ASKED, of=of, quiet=True):
    if fired.result == "ok" and fired.answer:
      yield fired.world, ANSWERS[fired.answer]
    yield fired.world, E.PEER_SILENT


def ask_about(rules: Rules, world: World, i: int) -> tuple[World, str]:
  """Another node, about to boot the instance, asks node i."""
  calm = world._replace(faults=0)
  (fired,) = fire(rules, calm, i, E.ASKED_ALL, quiet=True)
  return fired.world._replace(faults=world.faults), fired.answer


def fire(
  rules: Rules,
  world: World,
  i: int,
  event: Event,
  *,
  of: int = 0,
  actor: str = "",
  quiet: bool = False,
  may_ask: bool = True,
) -> Iterator[Fired]:
  """Every way in which an event can go on node i."""
  world = awake(rules, world, i)
  node = world.nodes[i]
  seen = rules.seen(node, event, of)
  step = rules.table[node.state, seen] if seen else Step()
  if step.refuse is not None or (step.ask and not may_ask):
    yield Fired(world, "refused")
    return
  if step.ask_all and not node.tasks and world.nodes[1 - i].up:
    world, answer = ask_about(rules, world, 1 - i)
    if ANSWERS[answer] in HELD_ELSEWHERE:
      yield Fired(world, "refused")
      return
  if not step.ask:
    yield from execute(world, i, step, of, actor, quiet=quiet)
    return
  for act in step.before:
    world = perform(world, i, act, actor)
  for asked, answer in ask(rules, world, i):
    for told in fire(rules, asked, i, answer, of=node.mid, actor=actor):
      if told.result == "killed":
        yield told
        continue
      yield from fire(
        rules, told.world, i, event, of=of, actor=actor, may_ask=False
      )
