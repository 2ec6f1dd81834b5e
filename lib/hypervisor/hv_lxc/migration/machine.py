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

"""Executes the transition table: looks up, writes durably, acts in order.

Everybody who has to do with a migration (Ganeti's calls, the worker, the
receiver, whoever settles) goes through L{Machine.fire}; nobody else writes
a journal.

"""

import logging
from dataclasses import dataclass, replace
from typing import Protocol

from .. import errors
from ..doctor import counters
from ..host import Host
from . import journal as journals
from .journal import Journal, Role
from .protocol import (
  HELD_ELSEWHERE,
  TABLE,
  classify,
  has_run,
  is_source,
  outcome,
  why_still_unknown,
)
from .states import Act, Event, Reason, State, Step


class Acts(Protocol):
  """The hands of the machine.

  Every act must be safe to repeat, also after it was interrupted anywhere.

  """

  def perform(self, act: Act, journal: Journal) -> None:
    """Does one act; the journal is as it stands at that moment."""

  def ask_peer(self, journal: Journal) -> Event:
    """Asks the other node for the token: one of protocol.PEER_EVENTS.

    PEER_OFFLINE only if it is marked offline and does not answer.

    """

  def ask_everybody(self, name: str) -> list[Event]:
    """Tells all other nodes that the instance is about to be booted here.

    What they answer (their event is ASKED_ALL); those with which there is
    no connection are passed over.

    @raise errors.Refused: one that was asked does not say

    """

  def lives(self, name: str) -> bool:
    """Whether a process of the instance lives on this node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
  """What came of an event.

  @ivar event: as the table has it, None if it was nobody's affair
  @ivar before: the state in which it came
  @ivar journal: as it stands after it

  """

  event: Event | None
  before: State
  journal: Journal


class Refusal(errors.Refused):
  """The table says no.

  @ivar reason: which of the table's

  """

  def __init__(self, reason: Reason, journal: Journal):
    what, remedy = (
      text.format(
        name=journal.name, peer=journal.peer_node or journal.peer_address
      )
      for text in reason.value
    )
    state = f"its migration is in state {journal.state}"
    super().__init__(what, evidence=state, remedy=remedy)
    self.reason = reason


class Machine:
  """The protocol on one node, for one instance."""

  def __init__(self, host: Host, name: str, acts: Acts):
    self._host = host
    self._name = name
    self._acts = acts

  def fire(
    self, event: Event, *, of: str | None = None, fresh: Journal | None = None
  ) -> Fired:
    """Has an event happen.

    @param of: the id of the migration that a call or message names, None
      if it names none
    @param fresh: for OFFER and ACCEPT: the journal of the new migration;
      its state, role and history are filled in here
    @raise Refusal: the table says no; nothing was changed
    @raise errors.LxcError: an act failed; the journal says how far it came

    """
    fired, step = self._fire_locked(event, of, fresh)
    if step.ask:
      answer = self._acts.ask_peer(fired.journal)
      self.fire(answer, of=fired.journal.id)
      fired, step = self._fire_locked(event, of, fresh)
      if step.ask:
        reason = why_still_unknown(fired.journal.state, answer)
        raise Refusal(reason, fired.journal)
    if step.work is not None:
      self._acts.perform(step.work, fired.journal)
    return fired

  def current(self) -> Journal:
    """The journal as it stands; what another boot means is written first."""
    with journals.exclusive(self._host, self._name):
      return self._current()

  def amend(self, of: str, **changes: object) -> None:
    """Notes facts that are no state: addresses, that Ganeti is done.

    @param of: the id of the migration that they belong to; those of another
        one than the journal's are passed over

    """
    with journals.exclusive(self._host, self._name):
      journal = self._current()
      if journal.id == of:
        amended = replace(journal, **changes)  # type: ignore[arg-type]
        journals.save(self._host, amended)

  def _fire_locked(
    self, event: Event, of: str | None, fresh: Journal | None
  ) -> tuple[Fired, Step]:
    with journals.exclusive(self._host, self._name):
      journal = self._current()
      seen = classify(
        event,
        journal.state,
        is_current=of is None or of == journal.id,
        is_over=of is not None and journal.is_over(of),
        has_never_run=of in journal.never_ran,
        lives=self._acts.lives(self._name),
      )
      before = journal.state
      step = TABLE[before, seen] if seen else Step()
      if step.refuse is not None:
        raise Refusal(step.refuse, journal)
      if step.ask_all and not self._acts.lives(self._name):
        self._ask_everybody(journal)
      journal = self._execute(step, journal, of, fresh)
      self._count(seen, before, journal.state)
    if before != journal.state:
      logging.info(
        "Migration %s of instance %s: %s, %s -> %s",
        of or journal.id, self._name, seen, before, journal.state,
      )  # fmt: skip
    return Fired(event=seen, before=before, journal=journal), step

  def _ask_everybody(self, journal: Journal) -> None:
    """A copy here would be a second one if another node has the instance.

    Ganeti's own idea of where it is can be wrong: with the source dead and
    the job with it, a failover to a third node asks neither of the two.

    @raise Refusal: another node has it
    @raise errors.Refused: another node may have it

    """
    answers = self._acts.ask_everybody(self._name)
    if any(answer in HELD_ELSEWHERE for answer in answers):
      raise Refusal(Reason.RUNS_ELSEWHERE, journal)

  def _current(self) -> Journal:
    """The journal, after what the end of another boot means for it."""
    journal = journals.load(self._host, self._name)
    if journal.boot_id in ("", self._host.boot_id()):
      return journal
    before = journal.state
    step = replace_to(TABLE[before, Event.BOOT], before)
    journal = self._execute(step, journal, None, None)
    self._count(Event.BOOT, before, journal.state)
    return journal

  def _count(self, event: Event | None, before: State, after: State) -> None:
    """Counts a migration from this node that is over now."""
    if came := outcome(event, before, after):
      counters.increase(self._host, counters.MIGRATIONS, came)

  def _execute(
    self, step: Step, journal: Journal, of: str | None, fresh: Journal | None
  ) -> Journal:
    for act in step.before:
      self._acts.perform(act, journal)
    written = following(step, journal, of=of, fresh=fresh)
    if written is not None:
      journal = journals.save(self._host, written)
    for act in step.after:
      self._acts.perform(act, journal)
    return journal


def replace_to(step: Step, state: State) -> Step:
  """The step with a write even where the state stays: of this boot now."""
  return step if step.to is not None else replace(step, to=state)


def following(
  step: Step, journal: Journal, *, of: str | None, fresh: Journal | None
) -> Journal | None:
  """The journal to be written in a step, None if nothing is."""
  noted = journal.with_closed(of or "") if step.note else journal
  if step.to is None:
    return noted if noted != journal else None
  past = noted.with_closed(noted.id, has_run=has_run(noted.state))
  if step.fresh:
    if fresh is None:
      raise ValueError("a new migration needs a journal")
    return replace(
      fresh,
      state=step.to,
      role=role_in(step.to),
      closed=past.closed,
      never_ran=past.never_ran,
      secrets=past.secrets,
    )
  if step.to == State.IDLE:
    # Nothing but the history matters any more.
    return Journal(
      name=past.name,
      uuid=past.uuid,
      closed=past.closed,
      never_ran=past.never_ran,
      secrets=past.secrets,
    )
  return replace(noted, state=step.to, role=role_in(step.to))


def role_in(state: State) -> Role:
  """The part that a node in this state plays."""
  source = is_source(state)
  if source is None:
    return Role.NONE
  return Role.SOURCE if source else Role.TARGET
