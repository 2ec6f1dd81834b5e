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

"""Rules with one guard taken away each; the model must notice every one."""

import dataclasses
from collections.abc import Callable

from ganeti.hypervisor.hv_lxc.migration.states import (
  Act,
  Event,
  State,
  Step,
)
from unit.hypervisor.hv_lxc.migration.model import Rules

A = Act
E = Event
S = State


def without_act(
  state: State, event: Event, act: Act
) -> Callable[[Rules], Rules]:
  """The step without one of its acts."""

  def change(rules: Rules) -> Rules:
    step = rules.table[state, event]
    before = tuple(a for a in step.before if a != act)
    after = tuple(a for a in step.after if a != act)
    return rules.changed((state, event), before=before, after=after)

  return change


def early(state: State, event: Event, act: Act) -> Callable[[Rules], Rules]:
  """An act of the step is done before its record is written."""

  def change(rules: Rules) -> Rules:
    step = rules.table[state, event]
    after = tuple(a for a in step.after if a != act)
    return rules.changed(
      (state, event), before=(*step.before, act), after=after
    )

  return change


def late(state: State, event: Event, act: Act) -> Callable[[Rules], Rules]:
  """An act of the step is done when its record and all else are done."""

  def change(rules: Rules) -> Rules:
    step = rules.table[state, event]
    before = tuple(a for a in step.before if a != act)
    return rules.changed(
      (state, event), before=before, after=(*step.after, act)
    )

  return change


def unwritten(state: State, event: Event) -> Callable[[Rules], Rules]:
  """The step is done and nothing recorded."""
  return lambda rules: rules.changed((state, event), to=None)


def instead(state: State, event: Event, step: Step) -> Callable[[Rules], Rules]:
  """Another step altogether."""

  def change(rules: Rules) -> Rules:
    names = [field.name for field in dataclasses.fields(Step)]
    changes = {name: getattr(step, name) for name in names}
    return rules.changed((state, event), **changes)

  return change


def like(state: State, event: Event, *, of: State) -> Callable[[Rules], Rules]:
  """The step of another state."""
  return lambda rules: instead(state, event, rules.table[of, event])(rules)


def unasked(state: State, event: Event) -> Callable[[Rules], Rules]:
  """Nobody is asked."""
  return like(state, event, of=S.IDLE)


def ignoring(fact: str) -> Callable[[Rules], Rules]:
  """A fact is not looked at."""
  return lambda rules: rules.without(fact)


def not_asking_all(rules: Rules) -> Rules:
  """Whoever boots an instance asks no other node."""
  pairs = [pair for pair, step in rules.table.items() if step.ask_all]
  return rules.changed(*pairs, ask_all=False)


_TO_DUMPED = Step(to=S.DUMPED)

# Guard -> what takes it away, and the bounds that show it: faults, commands
# after the first migration, migrations.
GUARDS: dict[str, tuple[Callable[[Rules], Rules], tuple[int, int, int]]] = {
  "tasks are frozen before they are given up": (
    without_act(S.DUMPING, E.VERIFIED, A.FREEZE),
    (1, 0, 1),
  ),
  "images are the guest only when that is recorded": (
    early(S.DUMPING, E.VERIFIED, A.KILL_TASKS),
    (1, 0, 1),
  ),
  "what is left of the tasks is killed before a restore": (
    without_act(S.DUMPED, E.SETTLE, A.KILL_AND_UNMOUNT),
    (2, 0, 1),
  ),
  "disks are released before the token goes": (
    without_act(S.DUMPED, E.TASKS_GONE, A.RELEASE_DISKS),
    (0, 0, 1),
  ),
  "the token's going is recorded first": (
    early(S.DUMPED, E.TASKS_GONE, A.SEND_GRANT),
    (1, 0, 1),
  ),
  "the token's going is recorded": (
    unwritten(S.DUMPED, E.TASKS_GONE),
    (1, 0, 1),
  ),
  "the token's coming is recorded": (unwritten(S.READY, E.GRANT), (1, 0, 1)),
  "a closed migration takes no token": (
    like(S.CLOSED, E.GRANT, of=S.READY),
    (1, 0, 1),
  ),
  "an abort on the target kills and unmounts first": (
    late(S.OWNER, E.DST_ABORT, A.KILL_AND_UNMOUNT),
    (1, 0, 1),
  ),
  "a failed restore unmounts before it gives back": (
    late(S.OWNER, E.RESTORE_FAILED, A.KILL_AND_UNMOUNT),
    (2, 0, 1),
  ),
  "the commit is recorded before tasks run": (
    unwritten(S.OWNER, E.POST_RESTORE),
    (0, 0, 1),
  ),
  "no way back after the commit": (
    like(S.RESUMED, E.DST_ABORT, of=S.OWNER),
    (0, 0, 1),
  ),
  "no way back after the commit, failed restore included": (
    like(S.RESUMED, E.RESTORE_FAILED, of=S.OWNER),
    (1, 0, 1),
  ),
  "a failed restore after the commit is recorded": (
    unwritten(S.RESUMED, E.RESTORE_FAILED),
    (2, 0, 1),
  ),
  "the commit survives a power cut": (
    like(S.RESUMED, E.BOOT, of=S.OWNER),
    (1, 0, 1),
  ),
  "a restore here is recorded before tasks run": (
    unwritten(S.DUMPED, E.POST_RESTORE),
    (1, 0, 1),
  ),
  "silence is no release": (
    instead(S.HANDING, E.PEER_SILENT, _TO_DUMPED),
    (0, 0, 1),
  ),
  "a busy target has not released": (
    instead(S.HANDING, E.PEER_BUSY, _TO_DUMPED),
    (0, 0, 1),
  ),
  "a running guest is not released": (
    instead(S.HANDING, E.PEER_RUNS, _TO_DUMPED),
    (0, 0, 1),
  ),
  "after a run the images are worthless": (
    instead(S.HANDING, E.PEER_RELEASED, _TO_DUMPED),
    (1, 0, 1),
  ),
  "what a fenced target did is not known": (
    instead(S.HANDING, E.PEER_OFFLINE, _TO_DUMPED),
    (1, 0, 1),
  ),
  "the token's absence survives a power cut": (
    like(S.HANDING, E.BOOT, of=S.DUMPED),
    (1, 1, 1),
  ),
  "a start asks where the token is": (unasked(S.HANDING, E.START), (0, 1, 1)),
  "a stop asks where the token is": (unasked(S.HANDING, E.STOP), (0, 1, 1)),
  "a stop asks after the commit": (unasked(S.GONE, E.STOP), (0, 1, 1)),
  "an abort on the source asks where the token is": (
    like(S.HANDING, E.SRC_ABORT, of=S.DUMPED),
    (0, 0, 1),
  ),
  "who looks after it asks where the token is": (
    like(S.HANDING, E.SETTLE, of=S.DUMPED),
    (0, 0, 1),
  ),
  "images stay until the source's copy is back": (
    lambda rules: instead(
      S.HANDING,
      E.PEER_CLOSED,
      Step(to=S.DUMPED, after=(A.DISCARD_IMAGES,)),
    )(rules),
    (0, 0, 1),
  ),
  "images stay until the token has gone for good": (
    lambda rules: rules.changed(
      (S.DUMPED, E.TASKS_GONE), after=(A.SEND_GRANT, A.DISCARD_IMAGES)
    ),
    (1, 0, 1),
  ),
  "the target's images stay until CRIU is done": (
    lambda rules: rules.changed(
      (S.OWNER, E.POST_RESTORE), after=(A.DISCARD_IMAGES, A.ALLOW_RESUME)
    ),
    (1, 0, 1),
  ),
  "nothing is accepted where it runs": (ignoring("lives"), (0, 2, 2)),
  "a migration that is over is not accepted": (
    ignoring("is_over"),
    (1, 1, 2),
  ),
  "what never ran is remembered as such": (
    ignoring("has_never_run"),
    (1, 1, 2),
  ),
  "who boots an instance asks all others": (not_asking_all, (1, 1, 1)),
  "who says closed has recorded it": (
    instead(S.READY, E.ASKED, Step(after=(A.SEND_CLOSED,))),
    (0, 0, 1),
  ),
  "the token's return is recorded first": (
    early(S.OWNER, E.DST_ABORT, A.SEND_CLOSED),
    (1, 0, 1),
  ),
  "a restore that is under way is not taken for none": (
    like(S.OWNER, E.ASKED_LIVE, of=S.GONE),
    (0, 0, 1),
  ),
  "who has run does not say closed": (
    lambda rules: rules.changed(
      (S.RESUMED, E.ASKED), to=S.CLOSED, after=(A.SEND_CLOSED,)
    ),
    (1, 0, 1),
  ),
  "a start asks after the commit, or asks all": (
    lambda rules: not_asking_all(unasked(S.GONE, E.START)(rules)),
    (0, 1, 1),
  ),
  "a restore that may have run is not tried again": (
    lambda rules: instead(
      S.RESUMED, E.RESTORE_LOST, rules.table[S.RESUMED, E.RESTORE_FAILED]
    )(rules),
    (1, 0, 1),
  ),
  "nor on the source": (
    lambda rules: instead(
      S.RESUMING, E.RESTORE_LOST, rules.table[S.RESUMING, E.RESTORE_FAILED]
    )(rules),
    (1, 0, 1),
  ),
}
