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

"""What can happen next in the world of model.py.

Everything that can go on by itself, every fault, every call of Ganeti's and
every command, each with a label for the trace.
"""

from collections.abc import Iterator

from ganeti.hypervisor.hv_lxc.migration.protocol import lists_as_running
from ganeti.hypervisor.hv_lxc.migration.states import Event, State
from unit.hypervisor.hv_lxc.migration.model import (
  ANSWERS,
  Fired,
  Rules,
  World,
  awake,
  cut_power,
  fire,
  kill_criu,
  let_run,
  put,
)

E = Event
S = State
Move = tuple[str, World]
NODE = "ABC"
IMAGES = {"IMAGES": "ok", "OLD IMAGES": "stale"}


def lists(rules: Rules, world: World, i: int) -> bool:
  """Whether node i lists the instance as running."""
  node = awake(rules, world, i).nodes[i]
  return lists_as_running(node.state, lives=bool(node.tasks))


def by_itself(rules: Rules, world: World, i: int) -> Iterator[Move]:
  """What the processes of node i do when nothing disturbs them."""
  node = world.nodes[i]
  if not node.up:
    return
  if node.worker in ("dump", "sent"):
    yield from _dump(rules, world, i)
  if node.criu == "resuming":
    yield (
      f"{NODE[i]}: CRIU lets the tasks run",
      let_run(put(world, i, criu=""), i),
    )
  if node.worker in ("back", "recv"):
    yield from _restore(rules, world, i)
  if not node.worker and node.criu in ("dump", "restore"):
    yield f"{NODE[i]}: CRIU goes by the journal", _orphan(world, i)
  if not node.worker or (
    node.worker == "back" and node.state == S.DUMPED and not node.criu
  ):
    yield from _settle(rules, world, i)


def _fired(
  label: str, i: int, results: Iterator[Fired], worker: str | None = None
) -> Iterator[Move]:
  for result in results:
    world = result.world
    if worker is not None and result.result != "killed":
      world = put(world, i, worker=worker)
    suffix = "" if result.result == "ok" else f" [{result.result}]"
    yield f"{NODE[i]}: {label}{suffix}", world


def _dump(rules: Rules, world: World, i: int) -> Iterator[Move]:
  node = world.nodes[i]
  if node.state == S.DUMPING and not node.criu:
    if node.tasks == "run" and node.worker == "dump":
      images = world.net | {("IMAGES", node.mid, 1 - i)}
      yield (
        f"{NODE[i]}: CRIU has dumped and sends",
        put(
          world, i, worker="sent", criu="dump", tasks="held", images="ok"
        )._replace(net=images),
      )
    results = fire(rules, world, i, E.DUMP_FAILED, actor="worker")
    yield from _fired("the dump fails", i, results, "")
  if node.state == S.DUMPED and node.criu == "dump":
    results = fire(
      rules, put(world, i, criu=""), i, E.TASKS_GONE, actor="worker"
    )
    yield from _fired("the tasks are gone", i, results)
  if node.state == S.HANDING:
    grant = world.net | {("GRANT", node.mid, 1 - i)}
    yield f"{NODE[i]}: sends GRANT again", world._replace(net=grant)
  if node.state in (S.IDLE, S.GONE, S.HANDING):
    yield f"{NODE[i]}: the worker ends", put(world, i, worker="")


def _restore(rules: Rules, world: World, i: int) -> Iterator[Move]:
  node = world.nodes[i]
  if node.criu == "restore":
    for label, after in _fired(
      "all tasks are there",
      i,
      fire(rules, world, i, E.POST_RESTORE, actor="worker"),
    ):
      is_refused = label.endswith("[refused]")
      yield label, kill_criu(after, i) if is_refused else after
  if node.tasks == "run" and not node.criu and node.images:
    results = fire(rules, world, i, E.RESTORED, actor="worker")
    yield from _fired("restored", i, results)
  if node.state == S.OWNER and not node.criu and not node.images:
    results = fire(rules, world, i, E.RESTORE_FAILED, actor="worker")
    yield from _fired("there are no images", i, results)
  has_failed = node.state in (S.RETRYING, S.DUMPED) and not node.criu
  if has_failed or (node.worker == "back" and node.state == S.IDLE):
    yield f"{NODE[i]}: the worker ends", put(world, i, worker="")


def _orphan(world: World, i: int) -> World:
  """CRIU's action script finds no worker and reads the journal."""
  node = world.nodes[i]
  if node.criu == "dump" and node.state == S.DUMPED:
    return put(world, i, criu="")
  if node.criu == "restore" and node.state in (S.RESUMED, S.RESUMING):
    return put(world, i, criu="resuming")
  return kill_criu(world, i)


def _settle(rules: Rules, world: World, i: int) -> Iterator[Move]:
  actor = "worker" if world.nodes[i].worker else ""
  for result in fire(rules, world, i, E.SETTLE, actor=actor):
    if result.world != world:
      yield f"{NODE[i]}: settles [{result.result}]", result.world


def deliveries(
  rules: Rules, world: World, *, once: bool = False
) -> Iterator[Move]:
  """Messages that arrive; they stay, so that they can arrive again."""
  for message in world.net:
    what, mid, i = message
    node = world.nodes[i]
    if not node.up or not node.worker:
      continue
    left = world._replace(net=world.net - {message}) if once else world
    for label, after in _delivered(rules, left, what, mid, i):
      if after != world:
        yield f"{what}({mid}) -> {label}", after


def _delivered(
  rules: Rules, world: World, what: str, mid: int, i: int
) -> Iterator[Move]:
  node = world.nodes[i]
  if node.worker == "recv" and what in IMAGES:
    if node.state == S.EXPECTING and mid == node.mid:
      world = put(world, i, images=IMAGES[what])
    results = fire(rules, world, i, E.IMAGES_IN, of=mid, actor="worker")
    yield from _fired("images are in", i, results)
  elif node.worker == "recv" and what == "GRANT":
    results = fire(rules, world, i, E.GRANT, of=mid, actor="worker")
    yield from _fired("granted", i, results)
  elif node.worker == "sent" and what == "READY":
    if node.criu == "dump" and node.state == S.DUMPING:
      results = fire(rules, world, i, E.VERIFIED, of=mid, actor="worker")
      yield from _fired("verified", i, results)
  elif node.worker == "sent" and what in ANSWERS:
    results = fire(rules, world, i, ANSWERS[what], of=mid, actor="worker")
    for label, after in _fired("is told", i, results):
      is_back = after.nodes[i].state == S.DUMPED != node.state
      yield label, put(after, i, worker="back") if is_back else after


def faults(rules: Rules, world: World) -> Iterator[Move]:
  """Kills, failures and power cuts; each costs one of those allowed."""
  if not world.faults:
    return
  less = world._replace(faults=world.faults - 1)
  for i, node in enumerate(world.nodes):
    if not node.up:
      continue
    yield f"{NODE[i]}: POWER CUT", cut_power(less, i)
    if node.tasks == "run":
      ended = put(less, i, tasks="")._replace(excused=True)
      yield f"{NODE[i]}: THE GUEST ENDS", ended
    if node.worker:
      yield f"{NODE[i]}: WORKER KILLED", put(less, i, worker="")
    if node.criu:
      yield from _criu_dies(rules, less, i)


def _criu_dies(rules: Rules, world: World, i: int) -> Iterator[Move]:
  node = world.nodes[i]
  label = f"{NODE[i]}: CRIU KILLED"
  if node.criu == "dump":
    yield label, kill_criu(world, i)
    return
  if not node.worker:
    # The second fault within milliseconds, and nobody saw whether a task
    # had run already: like a guest that crashed.
    is_late = node.state in (S.RESUMING, S.RESUMED)
    excused = world.excused or is_late
    yield label, kill_criu(world, i)._replace(excused=excused)
    return
  dead = put(world, i, criu="", tasks="")
  for result in fire(rules, dead, i, E.RESTORE_FAILED, actor="worker"):
    yield f"{label}, worker sees it [{result.result}]", result.world
  if node.criu == "resuming":
    ran = kill_criu(world, i)._replace(excused=True)
    for result in fire(rules, ran, i, E.RESTORE_LOST, actor="worker"):
      yield f"{label}, tasks run [{result.result}]", result.world


def nodes_come_and_go(world: World) -> Iterator[Move]:
  """Booting, and the administrator's offline mark."""
  for i, node in enumerate(world.nodes):
    if node.up:
      if world.offline == i:
        yield f"{NODE[i]}: marked online", world._replace(offline=-1)
      continue
    yield f"{NODE[i]}: boots", put(world, i, up=True)
    if world.offline < 0:
      yield f"{NODE[i]}: marked offline", world._replace(offline=i)


CALLS = {
  "accept": (E.ACCEPT, 1, "migrate", "dstabort"),
  "migrate": (E.MIGRATE, 0, "wait", "dstabort"),
  "srcdone": (E.SRC_DONE, 0, "dstdone", ""),
  "dstdone": (E.DST_DONE, 1, "config", ""),
  "dstabort": (E.DST_ABORT, 1, "srcabort", "srcabort"),
  "srcabort": (E.SRC_ABORT, 0, "", ""),
}
WITH_ID = (E.ACCEPT, E.DST_DONE, E.DST_ABORT)


def ganeti(rules: Rules, world: World) -> Iterator[Move]:
  """The next step of the migration job, and of calls that timed out."""
  for call in world.pending:
    event, i, mid = call
    if world.nodes[i].up:
      left = world._replace(pending=world.pending - {call})
      of = mid if event in WITH_ID else 0
      results = fire(rules, left, i, event, of=of)
      yield from _fired(f"late {event.name}", i, results)
  if world.job is None:
    return
  step, source, mid = world.job
  yield "the job dies", world._replace(job=None)
  if step == "wait":
    yield from _wait(world, source, mid)
  elif step == "config":
    yield (
      "the target is the primary now",
      world._replace(job=None, primary=1 - source),
    )
  else:
    yield from _call(rules, world)


def _wait(world: World, source: int, mid: int) -> Iterator[Move]:
  if world.nodes[source].state == S.GONE:
    yield "job: completed", world._replace(job=("srcdone", source, mid))
  yield "job: failed", world._replace(job=("dstabort", source, mid))


def _call(rules: Rules, world: World) -> Iterator[Move]:
  assert world.job
  step, source, mid = world.job
  event, to_target, good, bad = CALLS[step]
  i = 1 - source if to_target else source
  of = mid if event in WITH_ID else 0

  def go_on(after: World, where: str) -> World:
    return after._replace(job=(where, source, mid) if where else None)

  if world.nodes[i].up:
    for result in fire(rules, world, i, event, of=of):
      where = good if result.result == "ok" else bad
      label = f"job: {event.name}@{NODE[i]} [{result.result}]"
      yield label, go_on(result.world, where)
  else:
    yield f"job: {event.name}@{NODE[i]} [down]", go_on(world, bad)
  if world.faults:
    less = world._replace(faults=world.faults - 1)
    late = less._replace(pending=less.pending | {(event, i, mid)})
    if world.nodes[i].up:
      for result in fire(rules, late, i, event, of=of):
        if result.result == "ok":
          label = f"job: {event.name}@{NODE[i]}, TO COME AGAIN"
          yield label, go_on(result.world, good)
    yield f"job: {event.name}@{NODE[i]} TIMES OUT", go_on(late, bad)


def moves(rules: Rules, world: World) -> Iterator[Move]:
  """Everything that can happen next, but commands."""
  for i in (0, 1):
    yield from by_itself(rules, world, i)
  yield from deliveries(rules, world)
  yield from ganeti(rules, world)
  yield from faults(rules, world)
  yield from nodes_come_and_go(world)
