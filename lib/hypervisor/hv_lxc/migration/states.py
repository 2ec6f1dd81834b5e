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

"""The words of the protocol: states, events, acts, steps.  No I/O.

The I{right to mount and run} an instance is a token with exactly one
durable holder; see "Live migration" in doc/design-lxc.rst.  L{State} is
what a node's journal says about it, L{Event} what can happen there,
L{Act} what the driver then does.  protocol.py puts them together.

"""

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
  """What the journal of an instance on a node says.

  A node without a journal is in IDLE.

  """

  IDLE = "idle"
  # The node that the instance leaves.
  OFFERED = "offered"
  DUMPING = "dumping"
  DUMPED = "dumped"
  HANDING = "handing"
  HANDING_COLD = "handing-cold"
  RESUMING = "resuming"
  GONE = "gone"
  # The node that it comes to.
  EXPECTING = "expecting"
  READY = "ready"
  OWNER = "owner"
  RESUMED = "resumed"
  RETRYING = "retrying"
  CLOSED = "closed"
  RELEASED = "released"


# The token is out, or on its way.
HANDED = (State.HANDING, State.HANDING_COLD)
# The other node still decides with this one where the guest goes on.
UNDECIDED = (State.EXPECTING, State.READY, State.OWNER)


class Event(enum.StrEnum):
  """What can happen to a node that has a part in a migration."""

  # Ganeti's calls.  What follows an underscore is told by the journal and
  # by the control groups, not by Ganeti; see protocol.classify.
  OFFER = "MigrationInfo"
  ACCEPT = "AcceptInstance"
  ACCEPT_SAME = "AcceptInstance, this migration's once more"
  ACCEPT_CLOSED = "AcceptInstance, of a migration that is over"
  ACCEPT_LIVE = "AcceptInstance, while the instance runs here"
  MIGRATE = "MigrateInstance"
  SRC_DONE = "FinalizeMigrationSource(True)"
  SRC_ABORT = "FinalizeMigrationSource(False)"
  DST_DONE = "FinalizeMigrationDst(True)"
  DST_DONE_OTHER = "FinalizeMigrationDst(True), of another migration"
  DST_ABORT = "FinalizeMigrationDst(False)"
  DST_ABORT_OTHER = "FinalizeMigrationDst(False), of another migration"
  START = "StartInstance"
  STOP = "StopInstance or CleanupInstance"
  STOPPED = "CleanupInstance took everything away"
  # The node itself.
  BOOT = "the node was booted since"
  SETTLE = "no worker lives and somebody looks"
  # Outcomes on the node that the instance leaves.
  VERIFIED = "the other node has all images; tasks are stopped"
  TASKS_GONE = "the dump is over, no task is left"
  DUMP_FAILED = "the dump or the transfer failed"
  # Outcomes of a restore, on either node.
  POST_RESTORE = "all tasks are there, none has run"
  RESTORED = "CRIU is done, the guest runs"
  RESTORE_FAILED = "the restore failed before any task ran"
  RESTORE_LOST = "the restore failed, and tasks may have run"
  # Messages to the node that the instance comes to.
  IMAGES_IN = "all images have arrived, digests agree"
  GRANT = "message GRANT"
  GRANT_OTHER = "message GRANT, of another migration"
  ASKED = "the other node wants the token; nothing runs here"
  ASKED_LIVE = "the other node wants the token; the instance runs here"
  ASKED_ALL = "another node is about to boot the instance"
  ASKED_CLOSED = "the other node wants a token that never ran here"
  ASKED_OTHER = "the other node wants another migration's token"
  # What the other node says, asked or not, and what a question came to.
  PEER_CLOSED = "it never ran there and never will"
  PEER_RELEASED = "it ran there, and does not any more"
  PEER_FORGOT = "the other node has no record and nothing runs there"
  PEER_RUNS = "it may run there"
  PEER_BUSY = "the other node has the token and is restoring"
  PEER_SILENT = "no answer"
  PEER_OFFLINE = "the other node is marked offline"


class Act(enum.StrEnum):
  """What the driver does.  Each can be repeated after a crash."""

  START_WORKER = "start the worker, which dumps and sends"
  START_RECEIVER = "start the receiver, or what answers, unless it lives"
  STOP_WORKER = "kill the worker or receiver and its CRIU, wait for the end"
  FREEZE = "freeze the control group: no task can run, CRIU dead or not"
  KILL_TASKS = "kill the tasks while they are stopped"
  RESUME_GUEST = "thaw, unlock the network: the guest goes on as before"
  RELEASE_DISKS = "unmount, unmap, flush"
  KILL_AND_UNMOUNT = "kill every task, then unmount, unmap, flush"
  TAKE_AWAY = "unmount what an ended guest has left; fails if one lives"
  ALLOW_RESUME = "let CRIU go on from its post-restore stage"
  FINISH = "wait for the CRIU that may still be at work; network, limits"
  DISCARD_IMAGES = "wipe the images"
  SEND_READY = "send READY"
  SEND_GRANT = "send GRANT"
  SEND_OWNER = "send OWNER: taken, being restored"
  SEND_RESUMED = "send RESUMED: it may run here"
  SEND_CLOSED = "send CLOSED or RETURNED: it never ran here, never will"
  SEND_RELEASED = "send that it ran here and does not any more"
  SEND_FORGOT = "send that this migration is not known here"
  # Those which take long: done after the journal's lock is let go.
  MOUNT_AND_RESTORE = "map, mount, restore what was received"
  RESTORE_LOCALLY = "map, mount, restore from this node's own images"
  PLAIN_START = "start it as if there had been no migration, unless it runs"
  ORDINARY_STOP = "stop it as if there had been no migration"


LONG_ACTS = frozenset(
  {
    Act.MOUNT_AND_RESTORE,
    Act.RESTORE_LOCALLY,
    Act.PLAIN_START,
    Act.ORDINARY_STOP,
  }
)


class Reason(enum.Enum):
  """Why a call or message is refused: what is so, and what to do.

  {name} is the instance, {peer} the other node.

  """

  UNDER_WAY = (
    "Instance {name} is being migrated to {peer}",
    (
      "wait for the migration to end; gnt-instance migrate --cleanup {name}"
      " brings Ganeti's view in order afterwards"
    ),
  )
  UNSETTLED = (
    "Where instance {name} runs after its migration to {peer} is not known yet",
    (
      "make sure that {peer} can be reached on its secondary IP and run"
      " gnt-cluster verify, which makes it answer, then repeat this; if {peer}"
      " is off for good, mark it with gnt-node modify --offline=yes {peer}"
    ),
  )
  HANDED_OVER = (
    "Instance {name} has been handed over to {peer}, which does not answer",
    (
      "run gnt-instance migrate --cleanup {name} or, if the guest has ended"
      " there, gnt-cluster verify, which makes {peer} answer, and repeat this;"
      " if {peer} is off for good, mark it with gnt-node modify --offline=yes"
      " {peer}"
    ),
  )
  BUSY_THERE = (
    "Instance {name} is being restored on {peer}",
    "repeat this in a minute",
  )
  RUNS_THERE = (
    "Instance {name} has been migrated to {peer} and runs there",
    "run gnt-instance migrate --cleanup {name}",
  )
  RUNS_ELSEWHERE = (
    "Instance {name} runs on another node, or is being restored there",
    (
      "gnt-cluster verify shows where; wait for a migration under way to end,"
      " then run gnt-instance migrate --cleanup {name}"
    ),
  )
  RUNS_HERE = (
    "Instance {name} has been migrated and runs here",
    "run gnt-instance migrate --cleanup {name}",
  )
  NOT_MIGRATING = (
    "No migration of instance {name} is prepared on this node",
    "start it anew with gnt-instance migrate {name}",
  )
  NOT_RUNNING = (
    "Instance {name} does not run on this node",
    "run gnt-instance migrate --cleanup {name}",
  )
  OVER = (
    "This migration of instance {name} has ended already",
    "start it anew with gnt-instance migrate {name}",
  )
  TAKEN = (
    "A migration of instance {name} to this node is not settled",
    "run gnt-instance migrate --cleanup {name}",
  )
  NOT_HERE = (
    "Instance {name} has not been taken over by this node",
    "run gnt-instance migrate --cleanup {name}",
  )
  IMPOSSIBLE = (
    "This cannot happen in the migration of instance {name}",
    "please report it with the node daemon's log",
  )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
  """What happens upon an event in a state, in this order.

  C{before}, then the journal is written with state C{to} (unless that is
  None), then C{after}; C{work} is done when the journal's lock has been
  released.  With C{ask} the other node is asked first; its answer is an
  event of its own, and the first event is then looked up again.  With
  C{ask_all} every other node is asked, and the event refused if one has
  the instance, or was asked and does not say; one with which there is no
  connection is taken for one that has not.

  @ivar note: remember the migration's id as one that is over here
  @ivar fresh: the written journal is that of a new migration
  @ivar refuse: nothing is done and whoever called is told so

  """

  before: tuple[Act, ...] = ()
  to: State | None = None
  after: tuple[Act, ...] = ()
  work: Act | None = None
  ask: bool = False
  ask_all: bool = False
  note: bool = False
  fresh: bool = False
  refuse: Reason | None = None


IGNORE = Step()


def refuse(reason: Reason) -> Step:
  """A step that says no."""
  return Step(refuse=reason)
