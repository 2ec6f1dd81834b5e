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

"""What follows from the transition table: predicates, the meaning of an id.

Pure: no I/O.  The table itself is L{TABLE}, see table.py.

"""

from .states import Event, Reason, State
from .table import TABLE

__all__ = [
  "HELD_ELSEWHERE",
  "PEER_EVENTS",
  "TABLE",
  "after_boot",
  "classify",
  "has_run",
  "holds_token",
  "is_source",
  "lists_as_running",
  "may_start",
  "needs_answerer",
  "needs_settling",
  "outcome",
  "why_still_unknown",
]

_SOURCE = frozenset(
  {
    State.OFFERED,
    State.DUMPING,
    State.DUMPED,
    State.HANDING,
    State.HANDING_COLD,
    State.RESUMING,
    State.GONE,
  }
)
_TARGET = frozenset(
  {
    State.EXPECTING,
    State.READY,
    State.OWNER,
    State.RESUMED,
    State.RETRYING,
    State.CLOSED,
    State.RELEASED,
  }
)

# What the other node can say about the token.
PEER_EVENTS = frozenset(
  {
    Event.PEER_CLOSED,
    Event.PEER_RELEASED,
    Event.PEER_FORGOT,
    Event.PEER_RUNS,
    Event.PEER_BUSY,
    Event.PEER_SILENT,
    Event.PEER_OFFLINE,
  }
)

# The answers upon which an instance must not be booted anywhere else.
HELD_ELSEWHERE = frozenset({Event.PEER_RUNS, Event.PEER_BUSY})

# Calls and messages that name a migration, and what they are when it is
# another one than the journal's.
_OF_ANOTHER = {
  Event.GRANT: Event.GRANT_OTHER,
  Event.ASKED: Event.ASKED_OTHER,
  Event.DST_DONE: Event.DST_DONE_OTHER,
  Event.DST_ABORT: Event.DST_ABORT_OTHER,
}


# Those which make a new one, or concern whatever there is.
_OF_NONE = frozenset({Event.OFFER, Event.ASKED_ALL})


def classify(
  event: Event,
  state: State,
  *,
  is_current: bool,
  is_over: bool = False,
  has_never_run: bool = False,
  lives: bool = False,
) -> Event | None:
  """The event as the table has it; None if nothing is to be done.

  @param event: as it came: ACCEPT, GRANT, ASKED, DST_DONE, DST_ABORT, or
    any event that concerns the journal's migration
  @param is_current: it names the migration that the journal is about
  @param is_over: it names one that was noted as over on this node
  @param has_never_run: so it was, and the guest never ran here by it
  @param lives: a process of the instance lives on this node

  """
  if event == Event.ACCEPT:
    return _classify_accept(
      state, is_current=is_current, is_over=is_over, lives=lives
    )
  if event == Event.STOPPED and lives:
    return None
  if event in (Event.ASKED, Event.ASKED_ALL) and lives:
    return Event.ASKED_LIVE
  if is_current or event in _OF_NONE:
    return event
  if event == Event.ASKED and has_never_run:
    return Event.ASKED_CLOSED
  # What a worker of an older migration still has to say is nobody's affair.
  return _OF_ANOTHER.get(event)


def _classify_accept(
  state: State, *, is_current: bool, is_over: bool, lives: bool
) -> Event:
  if is_over:
    return Event.ACCEPT_CLOSED
  if is_current and state == State.EXPECTING:
    return Event.ACCEPT_SAME
  if is_current:
    return Event.ACCEPT_CLOSED
  return Event.ACCEPT_LIVE if lives else Event.ACCEPT


def has_run(state: State) -> bool:
  """Whether the guest may have run here by the migration in this state."""
  return state not in (State.EXPECTING, State.READY, State.CLOSED)


def after_boot(state: State) -> State:
  """What a state means that was written before this node was booted."""
  return TABLE[state, Event.BOOT].to or state


def is_source(state: State) -> bool | None:
  """Whether this is the node that the instance leaves; None when idle."""
  if state == State.IDLE:
    return None
  return state in _SOURCE


def lists_as_running(state: State, *, lives: bool) -> bool:
  """Whether Ganeti is to be told that the instance runs on this node.

  The source shows it until it knows that it has gone, also while nothing
  of it lives here; the target when the guest may have run.

  @param lives: a process of the instance lives on this node

  """
  if state in (State.GONE, State.EXPECTING, State.READY, State.OWNER):
    return False
  if state in (State.IDLE, State.OFFERED, State.RESUMED, State.RELEASED):
    return lives
  return state != State.CLOSED


def holds_token(state: State) -> bool:
  """Whether this node's record says that it may mount and run.

  In IDLE, CLOSED and RELEASED there is no migration to ask about, and
  Ganeti's configuration alone says where the instance is to run.

  """
  return state in (
    State.OFFERED,
    State.DUMPING,
    State.DUMPED,
    State.RESUMING,
    State.OWNER,
    State.RESUMED,
    State.RETRYING,
  )


def may_start(state: State) -> bool:
  """Whether StartInstance can go on without asking the other node."""
  return not TABLE[state, Event.START].ask


def needs_settling(
  state: State, *, has_images: bool, lives: bool, is_agreed: bool
) -> bool:
  """Whether a process must look after this, when no worker lives.

  @param has_images: there are images on this node
  @param lives: a process of the instance lives on this node
  @param is_agreed: the source is known to know that the guest came here,
    or Ganeti has finalized the migration

  """
  if state in (State.IDLE, State.GONE, State.CLOSED):
    return has_images
  if state == State.OFFERED:
    return False
  if state == State.RESUMED:
    return has_images or not lives or not is_agreed
  return True


def outcome(event: Event | None, before: State, after: State) -> str:
  """What came of a migration from this node that is over now; else "".

  One that was offered and not begun is none.

  """
  if after == before or before in (State.OFFERED, State.GONE):
    return ""
  if after == State.GONE:
    return "succeeded"
  if before in _SOURCE and after == State.IDLE:
    # It ran on the other node, and has been stopped there since.
    return "succeeded" if event == Event.PEER_RELEASED else "failed"
  return ""


def needs_answerer(
  state: State,
  *,
  lives: bool,
  is_agreed: bool,
  is_finalized: bool,
  was_target: bool,
) -> bool:
  """Whether a process is to listen here for another node's question.

  @param lives: a process of the instance lives on this node
  @param is_agreed: the source is known to know that the guest came here,
    or Ganeti has finalized the migration
  @param is_finalized: Ganeti has
  @param was_target: the instance came here by an earlier migration, whose
    source may have kept its record of that one

  """
  if was_target:
    return True
  if state == State.RESUMED:
    return not lives or not is_finalized
  if state == State.CLOSED:
    return not is_agreed
  return is_source(state) is False


def why_still_unknown(state: State, answer: Event) -> Reason:
  """The reason to give when the other node's answer changed nothing."""
  if answer == Event.PEER_BUSY:
    return Reason.BUSY_THERE
  if state != State.GONE:
    return Reason.UNSETTLED
  if answer == Event.PEER_RUNS:
    return Reason.RUNS_THERE
  return Reason.HANDED_OVER
