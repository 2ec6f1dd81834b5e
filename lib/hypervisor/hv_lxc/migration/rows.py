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

"""What the rows of the transition table are made of.  No I/O."""

from collections.abc import Collection
from dataclasses import replace

from .states import HANDED, Act, Event, Reason, State, Step, refuse

A = Act
E = Event
S = State

ASK = Step(ask=True)
IMPOSSIBLE = refuse(Reason.IMPOSSIBLE)
DISCARD = Step(after=(A.DISCARD_IMAGES,))

# The source gives up before the token left it: the tasks are all there.
STAY = Step(
  before=(A.STOP_WORKER, A.RESUME_GUEST), to=S.IDLE, after=(A.DISCARD_IMAGES,)
)
# The images are the guest; whatever is left of its tasks must not go on.
COME_BACK = Step(
  before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT), work=A.RESTORE_LOCALLY
)
RETRY = Step(
  before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT), work=A.MOUNT_AND_RESTORE
)
FORGET = Step(to=S.IDLE, after=(A.DISCARD_IMAGES,))
LET_RUN = Step(before=(A.FINISH,), to=S.IDLE, after=(A.DISCARD_IMAGES,))
CLOSE = Step(
  before=(A.STOP_WORKER,), to=S.CLOSED, after=(A.SEND_CLOSED, A.DISCARD_IMAGES)
)
TAKE_ON = Step(
  before=(A.STOP_WORKER, A.DISCARD_IMAGES),
  to=S.EXPECTING,
  after=(A.START_RECEIVER,),
  fresh=True,
)
OFFER = Step(
  before=(A.FINISH, A.STOP_WORKER, A.DISCARD_IMAGES), to=S.OFFERED, fresh=True
)
BOOT_IT = Step(work=A.PLAIN_START, ask_all=True)
START_HERE = Step(
  ask_all=True,
  before=(A.STOP_WORKER,),
  to=S.RESUMED,
  after=(A.DISCARD_IMAGES,),
  work=A.PLAIN_START,
)
SOURCE = (S.OFFERED, S.DUMPING, S.DUMPED, *HANDED, S.RESUMING)
HOLDERS = (*SOURCE, S.OWNER, S.RESUMED, S.RETRYING)
OVER = (S.IDLE, S.GONE, S.CLOSED, S.RELEASED)


def say(*acts: Act) -> Step:
  """A step that only acts."""
  return Step(after=acts)


def release(*before: Act) -> Step:
  """The token goes back to the source, which is told so."""
  return Step(
    before=before, to=S.RELEASED, after=(A.SEND_RELEASED, A.DISCARD_IMAGES)
  )


def also(step: Step, work: Act) -> Step:
  """The step with something that takes long at its end."""
  return replace(step, work=work, ask_all=work == A.PLAIN_START)


def row(
  event: Event, rest: Step, *cases: tuple[Collection[State] | State, Step]
) -> dict[tuple[State, Event], Step]:
  """A row of the table: the steps for one event in every state."""
  row = {(state, event): rest for state in State}
  for states, step in cases:
    for state in (states,) if isinstance(states, State) else states:
      row[state, event] = step
  return row
