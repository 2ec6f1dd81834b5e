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

from collections.abc import Mapping

from .rows import (
  ASK,
  BOOT_IT,
  CLOSE,
  COME_BACK,
  DISCARD,
  FORGET,
  HOLDERS,
  IMPOSSIBLE,
  LET_RUN,
  OFFER,
  OVER,
  RETRY,
  START_HERE,
  STAY,
  TAKE_ON,
  also,
  release,
  row,
  say,
)
from .states import HANDED, IGNORE, Act, Event, Reason, State, Step, refuse

A = Act
E = Event
S = State

_GANETI = (
  row(
    E.OFFER,
    refuse(Reason.UNSETTLED),
    ((S.IDLE, S.OFFERED, S.RESUMED), OFFER),
    ((S.DUMPING, S.DUMPED), refuse(Reason.UNDER_WAY)),
    (S.GONE, refuse(Reason.RUNS_THERE)),
    ((S.CLOSED, S.RELEASED), refuse(Reason.NOT_RUNNING)),
    ((S.EXPECTING, S.READY, S.OWNER, S.RETRYING), refuse(Reason.TAKEN)),
  )
  | row(
    E.ACCEPT,
    refuse(Reason.TAKEN),
    ((*OVER, S.OFFERED, S.EXPECTING, S.READY), TAKE_ON),
    (
      # The guest ended here (a live one is ACCEPT_LIVE).
      S.RESUMED,
      Step(
        before=(A.STOP_WORKER, A.TAKE_AWAY, A.DISCARD_IMAGES),
        to=S.EXPECTING,
        after=(A.START_RECEIVER,),
        fresh=True,
      ),
    ),
    (HANDED, ASK),
  )
  | row(
    E.ACCEPT_SAME, refuse(Reason.OVER), (S.EXPECTING, say(A.START_RECEIVER))
  )
  | row(E.ACCEPT_CLOSED, refuse(Reason.OVER))
  | row(E.ACCEPT_LIVE, refuse(Reason.RUNS_HERE))
  | row(
    E.MIGRATE,
    refuse(Reason.NOT_MIGRATING),
    (S.OFFERED, Step(to=S.DUMPING, after=(A.START_WORKER,))),
    ((S.DUMPING, S.DUMPED), refuse(Reason.UNDER_WAY)),
    (HANDED, refuse(Reason.UNSETTLED)),
  )
  | row(
    E.SRC_DONE,
    refuse(Reason.NOT_MIGRATING),
    (S.GONE, Step(after=(A.KILL_AND_UNMOUNT, A.DISCARD_IMAGES))),
    (HANDED, ASK),
    ((S.DUMPING, S.DUMPED, S.RESUMING), refuse(Reason.UNDER_WAY)),
  )
  | row(
    E.SRC_ABORT,
    IGNORE,
    (S.OFFERED, FORGET),
    (S.DUMPING, STAY),
    (S.DUMPED, COME_BACK),
    (HANDED, Step(before=(A.STOP_WORKER,), ask=True)),
    (S.RESUMING, LET_RUN),
    (S.GONE, refuse(Reason.RUNS_THERE)),
  )
  | row(E.DST_DONE, refuse(Reason.NOT_HERE), ((S.RESUMED, S.RELEASED), IGNORE))
  | row(E.DST_DONE_OTHER, refuse(Reason.NOT_HERE))
  | row(
    E.DST_ABORT,
    IMPOSSIBLE,
    ((S.EXPECTING, S.READY), CLOSE),
    (
      S.OWNER,
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT),
        to=S.CLOSED,
        after=(A.SEND_CLOSED, A.DISCARD_IMAGES),
      ),
    ),
    ((S.RESUMED, S.RETRYING), refuse(Reason.RUNS_HERE)),
    ((S.CLOSED, S.RELEASED), IGNORE),
  )
  | row(E.DST_ABORT_OTHER, Step(note=True))
)

_USER = (
  row(
    E.START,
    BOOT_IT,
    (S.OFFERED, also(FORGET, A.PLAIN_START)),
    (S.DUMPING, also(STAY, A.PLAIN_START)),
    (S.DUMPED, COME_BACK),
    ((*HANDED, S.GONE), ASK),
    (S.RESUMING, also(LET_RUN, A.PLAIN_START)),
    ((S.EXPECTING, S.READY, S.CLOSED, S.RELEASED), START_HERE),
    ((S.OWNER, S.RETRYING), RETRY),
    (
      S.RESUMED,
      Step(
        before=(A.FINISH, A.DISCARD_IMAGES), work=A.PLAIN_START, ask_all=True
      ),
    ),
  )
  | row(
    E.STOP,
    Step(work=A.ORDINARY_STOP),
    (S.OFFERED, also(FORGET, A.ORDINARY_STOP)),
    (S.DUMPING, also(STAY, A.ORDINARY_STOP)),
    (
      S.DUMPED,
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT),
        to=S.IDLE,
        after=(A.DISCARD_IMAGES,),
        work=A.ORDINARY_STOP,
      ),
    ),
    ((*HANDED, S.GONE), ASK),
    (S.RESUMING, also(LET_RUN, A.ORDINARY_STOP)),
    # Not CLOSED: that would bring the guest back to life on the source.
    (
      (S.EXPECTING, S.READY, S.OWNER, S.RETRYING),
      Step(
        before=(A.STOP_WORKER, A.KILL_AND_UNMOUNT),
        to=S.RELEASED,
        after=(A.DISCARD_IMAGES,),
        work=A.ORDINARY_STOP,
      ),
    ),
    (S.RESUMED, Step(before=(A.FINISH,), work=A.ORDINARY_STOP)),
  )
  | row(
    E.STOPPED,
    IGNORE,
    # Where the instance goes next may be a node that it left for this one.
    ((S.IDLE, S.GONE, S.CLOSED, S.RELEASED), say(A.START_RECEIVER)),
    (
      S.RESUMED,
      Step(to=S.RELEASED, after=(A.DISCARD_IMAGES, A.START_RECEIVER)),
    ),
  )
)

_NODE = row(
  E.BOOT,
  IGNORE,
  ((S.OFFERED, S.DUMPING, S.DUMPED, S.RESUMING), FORGET),
  (S.HANDING, Step(to=S.HANDING_COLD, after=(A.DISCARD_IMAGES,))),
  (
    (S.EXPECTING, S.READY, S.OWNER),
    Step(to=S.CLOSED, after=(A.DISCARD_IMAGES,)),
  ),
  (S.RETRYING, Step(to=S.RELEASED, after=(A.DISCARD_IMAGES,))),
  ((*OVER, S.RESUMED), DISCARD),
) | row(
  E.SETTLE,
  IGNORE,
  (OVER, DISCARD),
  (S.DUMPING, STAY),
  (S.DUMPED, COME_BACK),
  (HANDED, ASK),
  (S.RESUMING, LET_RUN),
  # What has come of a transfer that was cut off is void, and secret.
  (S.EXPECTING, say(A.DISCARD_IMAGES, A.START_RECEIVER)),
  (S.READY, say(A.START_RECEIVER)),
  ((S.OWNER, S.RETRYING), RETRY),
  (
    S.RESUMED,
    Step(before=(A.FINISH,), after=(A.DISCARD_IMAGES, A.START_RECEIVER)),
  ),
)

_OUTCOMES = (
  row(
    E.VERIFIED,
    refuse(Reason.UNDER_WAY),
    (S.DUMPING, Step(before=(A.FREEZE,), to=S.DUMPED, after=(A.KILL_TASKS,))),
  )
  | row(
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
  | row(
    E.DUMP_FAILED,
    IGNORE,
    (
      S.DUMPING,
      Step(before=(A.RESUME_GUEST,), to=S.IDLE, after=(A.DISCARD_IMAGES,)),
    ),
    (S.DUMPED, Step(before=(A.KILL_AND_UNMOUNT,), work=A.RESTORE_LOCALLY)),
  )
  | row(
    E.POST_RESTORE,
    refuse(Reason.OVER),
    (S.DUMPED, Step(to=S.RESUMING, after=(A.ALLOW_RESUME,))),
    ((S.OWNER, S.RETRYING), Step(to=S.RESUMED, after=(A.ALLOW_RESUME,))),
  )
  | row(
    E.RESTORED,
    IGNORE,
    (S.RESUMING, FORGET),
    (S.RESUMED, Step(after=(A.DISCARD_IMAGES, A.SEND_RESUMED))),
  )
  | row(
    E.RESTORE_LOST,
    IGNORE,
    (
      S.RESUMING,
      Step(to=S.IDLE, after=(A.KILL_AND_UNMOUNT, A.DISCARD_IMAGES)),
    ),
    (S.RESUMED, release(A.KILL_AND_UNMOUNT)),
  )
  | row(
    E.RESTORE_FAILED,
    IGNORE,
    (S.DUMPED, Step(before=(A.KILL_AND_UNMOUNT,))),
    (S.RESUMING, Step(to=S.DUMPED, after=(A.KILL_AND_UNMOUNT,))),
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
    (
      S.RESUMED,
      Step(
        to=S.RETRYING,
        after=(A.KILL_AND_UNMOUNT,),
        work=A.MOUNT_AND_RESTORE,
      ),
    ),
    (
      S.RETRYING,
      Step(before=(A.KILL_AND_UNMOUNT,), after=(A.SEND_RESUMED,)),
    ),
  )
)

_MESSAGES = (
  row(
    E.IMAGES_IN,
    refuse(Reason.OVER),
    (S.EXPECTING, Step(to=S.READY, after=(A.SEND_READY,))),
    (S.READY, say(A.SEND_READY)),
  )
  | row(
    E.GRANT,
    IMPOSSIBLE,
    (
      S.READY,
      Step(to=S.OWNER, after=(A.SEND_OWNER,), work=A.MOUNT_AND_RESTORE),
    ),
    (S.EXPECTING, Step(to=S.CLOSED, after=(A.SEND_CLOSED,))),
    (S.OWNER, say(A.SEND_OWNER)),
    ((S.RESUMED, S.RETRYING), say(A.SEND_RESUMED)),
    (S.CLOSED, say(A.SEND_CLOSED)),
    (S.RELEASED, say(A.SEND_RELEASED)),
  )
  | row(E.GRANT_OTHER, Step(note=True))
  | row(
    E.ASKED,
    IMPOSSIBLE,
    (
      (S.EXPECTING, S.READY),
      Step(to=S.CLOSED, after=(A.SEND_CLOSED, A.DISCARD_IMAGES)),
    ),
    (S.OWNER, say(A.SEND_OWNER)),
    (S.RETRYING, say(A.SEND_RESUMED)),
    (S.RESUMED, release(A.TAKE_AWAY)),
    (S.CLOSED, say(A.SEND_CLOSED)),
    (S.RELEASED, say(A.SEND_RELEASED)),
  )
  | row(
    E.ASKED_LIVE,
    say(A.SEND_RESUMED),
    ((S.EXPECTING, S.READY, S.OWNER, S.CLOSED, S.RELEASED), say(A.SEND_OWNER)),
  )
  | row(
    E.ASKED_ALL,
    say(A.SEND_FORGOT),
    (
      (S.EXPECTING, S.READY),
      Step(to=S.CLOSED, after=(A.SEND_CLOSED, A.DISCARD_IMAGES)),
    ),
    ((S.DUMPING, S.DUMPED, S.HANDING, S.RESUMING), say(A.SEND_OWNER)),
    ((S.OWNER, S.RETRYING), say(A.SEND_OWNER)),
    # A guest that ended has left its file system mounted.
    (S.RESUMED, Step(before=(A.TAKE_AWAY,), after=(A.SEND_FORGOT,))),
  )
  | row(
    E.ASKED_OTHER,
    Step(note=True, after=(A.SEND_FORGOT,)),
    (HOLDERS, say(A.SEND_RESUMED)),
  )
  | row(E.ASKED_CLOSED, say(A.SEND_CLOSED), (HOLDERS, say(A.SEND_RESUMED)))
)

# Only the first leaves the images what the guest was.
_WITHOUT_IMAGES = (E.PEER_RELEASED, E.PEER_FORGOT, E.PEER_OFFLINE)
_ANSWERS = row(
  E.PEER_CLOSED,
  IGNORE,
  (S.HANDING, Step(to=S.DUMPED)),
  ((S.HANDING_COLD, S.GONE), FORGET),
) | row(
  E.PEER_RUNS, IGNORE, (HANDED, Step(to=S.GONE, after=(A.DISCARD_IMAGES,)))
)
for _event in _WITHOUT_IMAGES:
  _ANSWERS |= row(_event, IGNORE, ((*HANDED, S.GONE), FORGET))
for _event in (E.PEER_BUSY, E.PEER_SILENT):
  _ANSWERS |= row(_event, IGNORE)

TABLE: Mapping[tuple[State, Event], Step] = (
  _GANETI | _USER | _NODE | _OUTCOMES | _MESSAGES | _ANSWERS
)
