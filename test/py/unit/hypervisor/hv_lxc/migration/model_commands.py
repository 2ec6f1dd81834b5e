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

"""The administrator's and the watcher's commands in the world of model.py."""

from collections.abc import Iterator

from ganeti.hypervisor.hv_lxc.migration.protocol import HELD_ELSEWHERE
from ganeti.hypervisor.hv_lxc.migration.states import Event, State
from unit.hypervisor.hv_lxc.migration.model import (
  ANSWERS,
  Fired,
  Rules,
  World,
  ask_about,
  fire,
)
from unit.hypervisor.hv_lxc.migration.model_moves import Move, lists

E = Event
S = State


def commands(rules: Rules, world: World, *, most_ids: int) -> Iterator[Move]:
  """Each command that Ganeti would carry out now."""
  if world.job is not None or not world.commands or world.third:
    return
  less = world._replace(commands=world.commands - 1)
  if world.ids < most_ids:
    yield from migrate(rules, less)
  yield from cleanup(rules, less)
  yield from start(rules, less)
  # Whoever stops a guest has given up its memory.
  given_up = less._replace(excused=True)
  yield from stop(rules, given_up)
  yield from failover(rules, given_up)


def is_usable(world: World, i: int) -> bool:
  """Whether Ganeti talks to a node."""
  return world.nodes[i].up and world.offline != i


def migrate(rules: Rules, world: World) -> Iterator[Move]:
  """gnt-instance migrate, as far as MigrationInfo."""
  i = world.primary
  if not (is_usable(world, 0) and is_usable(world, 1)):
    return
  if not lists(rules, world, i):
    return
  mid = world.ids + 1
  for fired in fire(rules, world, i, E.OFFER, of=mid):
    after = fired.world
    if fired.result == "ok":
      after = after._replace(job=("accept", i, mid), ids=mid)
    yield f"migrate: OFFER [{fired.result}]", after


def cleanup(rules: Rules, world: World) -> Iterator[Move]:
  """gnt-instance migrate --cleanup (TLMigrateInstance._ExecCleanup)."""
  i, other = world.primary, 1 - world.primary
  if not is_usable(world, i):
    return
  if world.offline != other and not world.nodes[other].up:
    return
  here = lists(rules, world, i)
  there = world.offline != other and lists(rules, world, other)
  # When both list it, MigrationInfo is asked first and refuses; when none
  # does, the command fails as well.
  if there and not here:
    yield "cleanup: it runs on the other", world._replace(primary=other)


def start(rules: Rules, world: World) -> Iterator[Move]:
  """gnt-instance startup, or the watcher."""
  i = world.primary
  if is_usable(world, i):
    for fired in fire(rules, world, i, E.START):
      yield f"start [{fired.result}]", fired.world


def stopped(rules: Rules, world: World, i: int) -> Iterator[Fired]:
  """InstanceShutdown on a node, to its end."""
  for fired in fire(rules, world, i, E.STOP):
    if fired.result != "ok":
      yield fired
      continue
    for last in fire(rules, fired.world, i, E.STOPPED):
      if last.result == "ok":
        yield last._replace(world=_checked(last.world))
      else:
        yield last


def _checked(world: World) -> World:
  """After a stop Ganeti believes that the instance runs nowhere."""
  if any(n.tasks or n.mounted for n in world.nodes):
    return world._replace(bad="stopped, says the node, but it still runs")
  return world


def stop(rules: Rules, world: World) -> Iterator[Move]:
  """gnt-instance shutdown."""
  i = world.primary
  if is_usable(world, i):
    for fired in stopped(rules, world, i):
      yield f"stop [{fired.result}]", fired.world


def failover(rules: Rules, world: World) -> Iterator[Move]:
  """gnt-instance failover, to the other node or to a third one."""
  i, other = world.primary, 1 - world.primary
  if world.offline == i:
    found = [Fired(world, "ok")]
  elif world.nodes[i].up:
    found = list(stopped(rules, world, i))
  else:
    return
  for fired in found:
    if fired.result != "ok":
      yield f"failover [stop: {fired.result}]", fired.world
      continue
    yield from start_on_third(rules, fired.world)
    if is_usable(world, other):
      moved = fired.world._replace(primary=other)
      for last in fire(rules, moved, other, E.START):
        yield f"failover [start: {last.result}]", last.world


def start_on_third(rules: Rules, world: World) -> Iterator[Move]:
  """StartInstance on a node that has never heard of the migration."""
  asks = rules.table[S.IDLE, E.START].ask_all
  for i, node in enumerate(world.nodes):
    if not (node.up and asks):
      continue
    world, answer = ask_about(rules, world, i)
    if ANSWERS[answer] in HELD_ELSEWHERE:
      yield "failover to a third node [refused]", world
      return
  yield "failover to a third node", world._replace(third=True)
