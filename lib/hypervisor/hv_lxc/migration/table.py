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

"""The one transition table of a live migration.

Pure: no I/O.  What follows from it is in protocol.py, machine.py executes
this very table, the model in the tests explores it.  Throughout:

  - the record is written before the act that needs it, and nothing is given
    away before it has been let go (tasks dead, disks unmounted);
  - the token goes to the other node by the write of HANDING, and is taken
    there by the write of OWNER;
  - it comes back only by the durable CLOSED (it never ran there: the images
    are still the guest) or RELEASED (it ran: the images are worthless and
    the guest boots anew), or when the other node is fenced, where nobody
    can tell which of the two it was: so the guest boots anew as well;
  - images are wiped after the record says that nobody needs them.

"""

from collections.abc import Collection, Mapping

from .states import IGNORE, Act, Event, Reason, State, Step, refuse

A = Act
E = Event
S = State

_ASK = Step(ask=True)
_IMPOSSIBLE = refuse(Reason.IMPOSSIBLE)
_DISCARD = Step(after=(A.DISCARD_IMAGES,))

# The source gives up before the token left it: the tasks are all there.
_STAY = Step(
  before=(A.STOP_WORKER, A.RESUME_GUEST), to=S.IDLE, after=(A.DISCARD_IMAGES,)
)
# The images are the guest; whatever is left of its tasks must not go on.
_COME_BACK = Step(
  before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT), work=A.RESTORE_LOCALLY
)
_RETRY = Step(
  before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT), work=A.MOUNT_AND_RESTORE
)
_FORGET = Step(to=S.IDLE, after=(A.DISCARD_IMAGES,))
_LET_RUN = Step(before=(A.FINISH,), to=S.IDLE, after=(A.DISCARD_IMAGES,))
_CLOSE = Step(before=(A.STOP_WORKER,), to=S.CLOSED, after=(A.DISCARD_IMAGES,))
_TAKE_ON = Step(
  before=(A.STOP_WORKER, A.DISCARD_IMAGES),
  to=S.EXPECTING,
  after=(A.START_RECEIVER,),
  fresh=True,
)
_OFFER = Step(
  before=(A.FINISH, A.STOP_WORKER, A.DISCARD_IMAGES), to=S.OFFERED, fresh=True
)
_START_HERE = Step(
  before=(A.STOP_WORKER,),
  to=S.RESUMED,
  after=(A.DISCARD_IMAGES,),
  work=A.PLAIN_START,
)
_SOURCE = (S.OFFERED, S.DUMPING, S.DUMPED, S.HANDING, S.HANDING_COLD)
_HANDED = (S.HANDING, S.HANDING_COLD)
_OVER = (S.IDLE, S.GONE, S.CLOSED, S.RELEASED)


def _say(*acts: Act) -> Step:
  return Step(after=acts)


def _also(step: Step, work: Act) -> Step:
  return Step(before=step.before, to=step.to, after=step.after, work=work)


def _row(
  event: Event, rest: Step, *cases: tuple[Collection[State] | State, Step]
) -> dict[tuple[State, Event], Step]:
  row = {(state, event): rest for state in State}
  for states, step in cases:
    for state in (states,) if isinstance(states, State) else states:
      row[state, event] = step
  return row


_GANETI = (
  _row(
    E.OFFER,
    refuse(Reason.UNSETTLED),
    ((S.IDLE, S.OFFERED, S.RESUMED), _OFFER),
    ((S.DUMPING, S.DUMPED), refuse(Reason.UNDER_WAY)),
    (S.GONE, refuse(Reason.RUNS_THERE)),
    ((S.CLOSED, S.RELEASED), refuse(Reason.NOT_RUNNING)),
    ((S.EXPECTING, S.READY, S.OWNER), refuse(Reason.TAKEN)),
  )
  | _row(
    E.ACCEPT,
    refuse(Reason.TAKEN),
    ((*_OVER, S.OFFERED, S.EXPECTING, S.READY), _TAKE_ON),
    (
      # The guest ended here (a live one is ACCEPT_LIVE).
      S.RESUMED,
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT, A.DISCARD_IMAGES),
        to=S.EXPECTING,
        after=(A.START_RECEIVER,),
        fresh=True,
      ),
    ),
    (_HANDED, _ASK),
  )
  | _row(
    E.ACCEPT_SAME, refuse(Reason.OVER), (S.EXPECTING, _say(A.START_RECEIVER))
  )
  | _row(E.ACCEPT_CLOSED, refuse(Reason.OVER))
  | _row(E.ACCEPT_LIVE, refuse(Reason.RUNS_HERE))
  | _row(
    E.MIGRATE,
    refuse(Reason.NOT_MIGRATING),
    (S.OFFERED, Step(to=S.DUMPING, after=(A.START_WORKER,))),
    ((S.DUMPING, S.DUMPED), refuse(Reason.UNDER_WAY)),
    (_HANDED, refuse(Reason.UNSETTLED)),
  )
  | _row(
    E.SRC_DONE,
    refuse(Reason.NOT_MIGRATING),
    (S.GONE, Step(after=(A.KILL_AND_UNMOUNT, A.DISCARD_IMAGES))),
    (_HANDED, _ASK),
    ((S.DUMPING, S.DUMPED, S.RESUMING), refuse(Reason.UNDER_WAY)),
  )
  | _row(
    E.SRC_ABORT,
    IGNORE,
    (S.OFFERED, _FORGET),
    (S.DUMPING, _STAY),
    (S.DUMPED, _COME_BACK),
    (_HANDED, Step(before=(A.STOP_WORKER,), ask=True)),
    (S.RESUMING, _LET_RUN),
    (S.GONE, refuse(Reason.RUNS_THERE)),
  )
  | _row(E.DST_DONE, refuse(Reason.NOT_HERE), ((S.RESUMED, S.RELEASED), IGNORE))
  | _row(E.DST_DONE_OTHER, refuse(Reason.NOT_HERE))
  | _row(
    E.DST_ABORT,
    _IMPOSSIBLE,
    ((S.EXPECTING, S.READY), _CLOSE),
    (
      S.OWNER,
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT),
        to=S.CLOSED,
        after=(A.SEND_CLOSED, A.DISCARD_IMAGES),
      ),
    ),
    (S.RESUMED, refuse(Reason.RUNS_HERE)),
    ((S.CLOSED, S.RELEASED), IGNORE),
  )
  | _row(E.DST_ABORT_OTHER, Step(note=True))
)

_USER = (
  _row(
    E.START,
    Step(work=A.PLAIN_START),
    (S.OFFERED, _also(_FORGET, A.PLAIN_START)),
    (S.DUMPING, _also(_STAY, A.PLAIN_START)),
    (S.DUMPED, _COME_BACK),
    ((*_HANDED, S.GONE), _ASK),
    (S.RESUMING, _also(_LET_RUN, A.PLAIN_START)),
    ((S.EXPECTING, S.READY, S.CLOSED, S.RELEASED), _START_HERE),
    (S.OWNER, _RETRY),
    (S.RESUMED, Step(before=(A.FINISH, A.DISCARD_IMAGES), work=A.PLAIN_START)),
  )
  | _row(
    E.STOP,
    Step(work=A.ORDINARY_STOP),
    (S.OFFERED, _also(_FORGET, A.ORDINARY_STOP)),
    (S.DUMPING, _also(_STAY, A.ORDINARY_STOP)),
    (
      S.DUMPED,
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT),
        to=S.IDLE,
        after=(A.DISCARD_IMAGES,),
        work=A.ORDINARY_STOP,
      ),
    ),
    ((*_HANDED, S.GONE), _ASK),
    (S.RESUMING, _also(_LET_RUN, A.ORDINARY_STOP)),
    # Not CLOSED: that would bring the guest back to life on the source.
    (
      (S.EXPECTING, S.READY, S.OWNER),
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT),
        to=S.RELEASED,
        after=(A.DISCARD_IMAGES,),
        work=A.ORDINARY_STOP,
      ),
    ),
    (S.RESUMED, Step(before=(A.FINISH,), work=A.ORDINARY_STOP)),
  )
  | _row(
    E.STOPPED,
    IGNORE,
    (
      S.RESUMED,
      Step(to=S.RELEASED, after=(A.DISCARD_IMAGES, A.START_RECEIVER)),
    ),
  )
)

_NODE = _row(
  E.BOOT,
  IGNORE,
  ((S.OFFERED, S.DUMPING, S.DUMPED, S.RESUMING), _FORGET),
  (S.HANDING, Step(to=S.HANDING_COLD, after=(A.DISCARD_IMAGES,))),
  (
    (S.EXPECTING, S.READY, S.OWNER),
    Step(to=S.CLOSED, after=(A.DISCARD_IMAGES,)),
  ),
  ((*_OVER, S.RESUMED), _DISCARD),
) | _row(
  E.SETTLE,
  IGNORE,
  (_OVER, _DISCARD),
  (S.DUMPING, _STAY),
  (S.DUMPED, _COME_BACK),
  (_HANDED, _ASK),
  (S.RESUMING, _LET_RUN),
  ((S.EXPECTING, S.READY), _say(A.START_RECEIVER)),
  (S.OWNER, _RETRY),
  (
    S.RESUMED,
    Step(before=(A.FINISH,), after=(A.DISCARD_IMAGES, A.START_RECEIVER)),
  ),
)

_OUTCOMES = (
  _row(
    E.VERIFIED,
    refuse(Reason.UNDER_WAY),
    (S.DUMPING, Step(before=(A.FREEZE,), to=S.DUMPED, after=(A.KILL_TASKS,))),
  )
  | _row(
    E.TASKS_GONE,
    IGNORE,
    (
      S.DUMPED,
      Step(
        before=(A.KILL_TASKS, A.RELEASE_DISKS),
        to=S.HANDING,
        after=(A.SEND_GRANT,),
      ),
    ),
  )
  | _row(
    E.DUMP_FAILED,
    IGNORE,
    (
      S.DUMPING,
      Step(before=(A.RESUME_GUEST,), to=S.IDLE, after=(A.DISCARD_IMAGES,)),
    ),
    (S.DUMPED, Step(before=(A.KILL_AND_UNMOUNT,), work=A.RESTORE_LOCALLY)),
  )
  | _row(
    E.POST_RESTORE,
    refuse(Reason.OVER),
    (S.DUMPED, Step(to=S.RESUMING, after=(A.ALLOW_RESUME,))),
    (S.OWNER, Step(to=S.RESUMED, after=(A.ALLOW_RESUME,))),
    (S.RESUMED, Step(after=(A.ALLOW_RESUME,))),
  )
  | _row(
    E.RESTORED,
    IGNORE,
    (S.RESUMING, _FORGET),
    (S.RESUMED, Step(after=(A.DISCARD_IMAGES, A.SEND_RESUMED))),
  )
  | _row(
    E.RESTORE_FAILED,
    IGNORE,
    (S.DUMPED, Step(before=(A.KILL_AND_UNMOUNT,))),
    (S.RESUMING, Step(before=(A.KILL_AND_UNMOUNT,), to=S.DUMPED)),
    (
      S.OWNER,
      Step(
        before=(A.KILL_AND_UNMOUNT,),
        to=S.CLOSED,
        after=(A.SEND_CLOSED, A.DISCARD_IMAGES),
      ),
    ),
    # The source may have been told already: there is no way back, but this
    # node's images are still the guest.
    (S.RESUMED, Step(before=(A.KILL_AND_UNMOUNT,), work=A.MOUNT_AND_RESTORE)),
  )
)

_MESSAGES = (
  _row(
    E.IMAGES_IN,
    refuse(Reason.OVER),
    (S.EXPECTING, Step(to=S.READY, after=(A.SEND_READY,))),
    (S.READY, _say(A.SEND_READY)),
  )
  | _row(
    E.GRANT,
    _IMPOSSIBLE,
    (
      S.READY,
      Step(to=S.OWNER, after=(A.SEND_OWNER,), work=A.MOUNT_AND_RESTORE),
    ),
    (S.EXPECTING, Step(to=S.CLOSED, after=(A.SEND_CLOSED,))),
    (S.OWNER, _say(A.SEND_OWNER)),
    (S.RESUMED, _say(A.SEND_RESUMED)),
    (S.CLOSED, _say(A.SEND_CLOSED)),
    (S.RELEASED, _say(A.SEND_RELEASED)),
  )
  | _row(E.GRANT_OTHER, Step(note=True))
  | _row(
    E.ASKED,
    _IMPOSSIBLE,
    (
      (S.EXPECTING, S.READY),
      Step(to=S.CLOSED, after=(A.SEND_CLOSED, A.DISCARD_IMAGES)),
    ),
    (S.OWNER, _say(A.SEND_OWNER)),
    (
      S.RESUMED,
      Step(
        before=(A.KILL_AND_UNMOUNT,),
        to=S.RELEASED,
        after=(A.SEND_RELEASED, A.DISCARD_IMAGES),
      ),
    ),
    (S.CLOSED, _say(A.SEND_CLOSED)),
    (S.RELEASED, _say(A.SEND_RELEASED)),
  )
  | _row(
    E.ASKED_LIVE,
    _say(A.SEND_RESUMED),
    ((S.EXPECTING, S.READY, S.OWNER, S.CLOSED, S.RELEASED), _say(A.SEND_OWNER)),
  )
  | _row(
    E.ASKED_OTHER,
    Step(note=True, after=(A.SEND_FORGOT,)),
    ((*_SOURCE, S.RESUMING, S.OWNER, S.RESUMED), _say(A.SEND_RESUMED)),
  )
)

# Only the first leaves the images what the guest was.
_WITHOUT_IMAGES = (E.PEER_RELEASED, E.PEER_FORGOT, E.PEER_OFFLINE)
_ANSWERS = _row(
  E.PEER_CLOSED,
  IGNORE,
  (S.HANDING, Step(to=S.DUMPED)),
  ((S.HANDING_COLD, S.GONE), _FORGET),
) | _row(
  E.PEER_RUNS, IGNORE, (_HANDED, Step(to=S.GONE, after=(A.DISCARD_IMAGES,)))
)
for _event in _WITHOUT_IMAGES:
  _ANSWERS |= _row(_event, IGNORE, ((*_HANDED, S.GONE), _FORGET))
for _event in (E.PEER_BUSY, E.PEER_SILENT):
  _ANSWERS |= _row(_event, IGNORE)

TABLE: Mapping[tuple[State, Event], Step] = (
  _GANETI | _USER | _NODE | _OUTCOMES | _MESSAGES | _ANSWERS
)
