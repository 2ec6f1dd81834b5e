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

"""The transition table: complete, consistent, and what follows from it."""

import string

import pytest
import suite
from ganeti.hypervisor.hv_lxc.migration import protocol, states
from ganeti.hypervisor.hv_lxc.migration.protocol import TABLE, classify
from ganeti.hypervisor.hv_lxc.migration.states import (
  LONG_ACTS,
  Act,
  Event,
  Reason,
  State,
  Step,
)
from unit.hypervisor.hv_lxc.migration.model_text import table_text

PAIRS = [(state, event) for state in State for event in Event]


def name(pair: tuple[State, Event]) -> str:
  return f"{pair[0].name}-{pair[1].name}"


def acts(step: Step) -> list[Act]:
  return [*step.before, *step.after, *([step.work] if step.work else [])]


def test_every_state_has_a_step_for_every_event() -> None:
  assert set(TABLE) == set(PAIRS)


@pytest.mark.parametrize("pair", PAIRS, ids=name)
def test_a_step_is_well_formed(pair: tuple[State, Event]) -> None:
  step = TABLE[pair]
  assert not set(step.before + step.after) & LONG_ACTS
  assert step.work is None or step.work in LONG_ACTS
  if step.refuse:
    assert step == Step(refuse=step.refuse)
  if step.fresh:
    assert step.to in (State.OFFERED, State.EXPECTING)
  if step.ask:
    assert pair[0] in (State.HANDING, State.HANDING_COLD, State.GONE)
    assert step.to is None


def test_no_state_is_left_without_a_way_in() -> None:
  assert {s.to for s in TABLE.values() if s.to} == set(State)


def test_every_act_and_reason_is_used() -> None:
  used = {a for s in TABLE.values() for a in acts(s)}
  assert used == set(Act)
  reasons = {s.refuse for s in TABLE.values() if s.refuse}
  # Given when a question brought no answer that helps.
  asked = {Reason.BUSY_THERE, Reason.HANDED_OVER, Reason.RUNS_ELSEWHERE}
  assert reasons | asked == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_stands_alone(reason: Reason) -> None:
  text = " ".join(reason.value)
  fields = {f for _, f, _, _ in string.Formatter().parse(text) if f}
  assert "name" in fields
  assert fields <= {"name", "peer"}


@pytest.mark.parametrize(
  ("to", "states"),
  [
    (State.HANDING, {State.DUMPED}),
    (State.OWNER, {State.READY}),
    (State.GONE, {State.HANDING, State.HANDING_COLD}),
    (State.RESUMING, {State.DUMPED}),
  ],
)
def test_ways_into(to: State, states: set[State]) -> None:
  found = {state for (state, _), step in TABLE.items() if step.to == to}
  assert found == states


@pytest.mark.parametrize(
  "answer", sorted(protocol.PEER_EVENTS - {Event.PEER_CLOSED})
)
def test_only_a_release_before_running_brings_images_back(
  answer: Event,
) -> None:
  assert TABLE[State.HANDING, Event.PEER_CLOSED].to == State.DUMPED
  assert TABLE[State.HANDING, answer].to != State.DUMPED


COMMITTED = (State.RESUMED, State.RETRYING)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", COMMITTED)
def test_after_the_commit_nothing_brings_it_back(
  state: State, event: Event
) -> None:
  assert TABLE[state, event].to in {
    None,
    *COMMITTED,
    State.RELEASED,
    State.OFFERED,
    State.EXPECTING,
  }


@pytest.mark.parametrize("state", COMMITTED)
def test_after_the_commit_an_abort_is_refused(state: State) -> None:
  step = TABLE[state, Event.DST_ABORT]
  assert step == states.refuse(Reason.RUNS_HERE)


def test_an_instance_is_booted_only_when_no_other_node_has_it() -> None:
  for step in TABLE.values():
    assert step.ask_all == (step.work == Act.PLAIN_START)


@pytest.mark.parametrize("state", State)
def test_what_another_boot_means(state: State) -> None:
  later = protocol.after_boot(state)
  assert protocol.after_boot(later) == later
  assert not protocol.lists_as_running(later, lives=False) or (
    later == State.HANDING_COLD
  )


def test_may_start_where_nobody_needs_to_be_asked() -> None:
  assert {s for s in State if not protocol.may_start(s)} == {
    State.HANDING,
    State.HANDING_COLD,
    State.GONE,
  }


@pytest.mark.parametrize("state", State)
def test_lists(state: State) -> None:
  dead = {
    State.DUMPING,
    State.DUMPED,
    State.HANDING,
    State.HANDING_COLD,
    State.RESUMING,
    State.RETRYING,
  }
  live = dead | {State.IDLE, State.OFFERED, State.RESUMED, State.RELEASED}
  assert protocol.lists_as_running(state, lives=False) == (state in dead)
  assert protocol.lists_as_running(state, lives=True) == (state in live)


@pytest.mark.parametrize("state", State)
def test_images_on_disk_are_looked_after(state: State) -> None:
  settle = protocol.needs_settling(
    state, has_images=True, lives=True, is_agreed=True
  )
  assert settle == (state != State.OFFERED)


@pytest.mark.parametrize(
  ("state", "facts", "settle", "answer"),
  [
    (State.IDLE, "", False, False),
    (State.IDLE, "was_target", False, True),
    (State.OFFERED, "lives", False, False),
    (State.HANDING, "", True, False),
    (State.GONE, "", False, False),
    (State.GONE, "was_target", False, True),
    (State.READY, "", True, True),
    (State.RESUMED, "lives is_agreed is_finalized", False, False),
    # Ganeti, whose master may have been the source, need not know it yet.
    (State.RESUMED, "lives is_agreed", False, True),
    (State.RESUMED, "is_agreed is_finalized", True, True),
    (State.RESUMED, "lives", True, True),
    (State.RELEASED, "is_agreed", True, True),
    (State.CLOSED, "", False, True),
    (State.CLOSED, "is_agreed", False, False),
  ],
)
def test_who_must_be_looked_after(
  state: State, facts: str, settle: bool, answer: bool
) -> None:
  lives, is_agreed = "lives" in facts, "is_agreed" in facts
  assert settle == protocol.needs_settling(
    state, has_images=False, lives=lives, is_agreed=is_agreed
  )
  assert answer == protocol.needs_answerer(
    state,
    lives=lives,
    is_agreed=is_agreed,
    is_finalized="is_finalized" in facts,
    was_target="was_target" in facts,
  )


@pytest.mark.parametrize(
  ("event", "state", "facts", "expected"),
  [
    ("ACCEPT", "IDLE", "", "ACCEPT"),
    ("ACCEPT", "IDLE", "lives", "ACCEPT_LIVE"),
    ("ACCEPT", "IDLE", "is_over", "ACCEPT_CLOSED"),
    ("ACCEPT", "EXPECTING", "is_current", "ACCEPT_SAME"),
    ("ACCEPT", "READY", "is_current", "ACCEPT_CLOSED"),
    ("ACCEPT", "CLOSED", "is_current", "ACCEPT_CLOSED"),
    ("GRANT", "READY", "is_current", "GRANT"),
    ("GRANT", "READY", "", "GRANT_OTHER"),
    ("ASKED", "RESUMED", "is_current", "ASKED"),
    ("ASKED", "RESUMED", "is_current lives", "ASKED_LIVE"),
    ("ASKED", "OFFERED", "lives", "ASKED_LIVE"),
    ("ASKED", "CLOSED", "", "ASKED_OTHER"),
    ("ASKED", "READY", "is_over has_never_run", "ASKED_CLOSED"),
    ("ASKED", "READY", "is_over has_never_run lives", "ASKED_LIVE"),
    ("STOPPED", "RESUMED", "is_current", "STOPPED"),
    ("STOPPED", "RESUMED", "is_current lives", None),
    ("ASKED_ALL", "READY", "", "ASKED_ALL"),
    ("ASKED_ALL", "IDLE", "lives", "ASKED_LIVE"),
    ("OFFER", "IDLE", "", "OFFER"),
    ("DST_ABORT", "RESUMED", "", "DST_ABORT_OTHER"),
    ("DST_DONE", "RESUMED", "", "DST_DONE_OTHER"),
    ("IMAGES_IN", "EXPECTING", "", None),
    ("PEER_CLOSED", "HANDING", "", None),
    ("PEER_CLOSED", "HANDING", "is_current", "PEER_CLOSED"),
  ],
)
def test_what_an_id_makes_of_an_event(
  event: str, state: str, facts: str, expected: str | None
) -> None:
  given = {"is_current": False} | dict.fromkeys(facts.split(), True)
  seen = classify(Event[event], State[state], **given)
  assert seen == (Event[expected] if expected else None)


@pytest.mark.parametrize("state", State)
def test_the_part_a_node_plays(state: State) -> None:
  source = protocol.is_source(state)
  assert (source is None) == (state == State.IDLE)
  if protocol.holds_token(state):
    assert source is not None


@pytest.mark.parametrize(
  ("state", "answer", "reason"),
  [
    (State.GONE, Event.PEER_RUNS, Reason.RUNS_THERE),
    (State.GONE, Event.PEER_SILENT, Reason.HANDED_OVER),
    (State.HANDING, Event.PEER_SILENT, Reason.UNSETTLED),
    (State.HANDING, Event.PEER_BUSY, Reason.BUSY_THERE),
  ],
)
def test_why_it_is_still_not_known(
  state: State, answer: Event, reason: Reason
) -> None:
  assert protocol.why_still_unknown(state, answer) == reason


def test_ignoring_is_a_step_that_does_nothing() -> None:
  assert acts(states.IGNORE) == []
  assert states.IGNORE.to is None


def test_the_design_document_has_this_very_table() -> None:
  document = suite.ROOT / "doc/design-lxc.rst"
  # If it has not: put in what devel/model-check --table prints.
  assert table_text() in document.read_text(encoding="utf-8")


@pytest.mark.parametrize(
  ("event", "before", "after", "expected"),
  [
    (Event.PEER_RUNS, State.HANDING, State.GONE, "succeeded"),
    (Event.PEER_RELEASED, State.HANDING_COLD, State.IDLE, "succeeded"),
    (Event.PEER_OFFLINE, State.HANDING, State.IDLE, "failed"),
    (Event.DUMP_FAILED, State.DUMPING, State.IDLE, "failed"),
    (Event.RESTORED, State.RESUMING, State.IDLE, "failed"),
    (Event.BOOT, State.DUMPED, State.IDLE, "failed"),
    # Not over, not begun, counted before, or somebody else's.
    (Event.PEER_CLOSED, State.HANDING, State.DUMPED, ""),
    (Event.BOOT, State.HANDING, State.HANDING_COLD, ""),
    (Event.SRC_ABORT, State.OFFERED, State.IDLE, ""),
    (Event.PEER_FORGOT, State.GONE, State.IDLE, ""),
    (Event.STOP, State.RESUMED, State.RELEASED, ""),
    (None, State.IDLE, State.IDLE, ""),
  ],
)
def test_what_came_of_a_migration(
  event: Event | None, before: State, after: State, expected: str
) -> None:
  assert protocol.outcome(event, before, after) == expected
