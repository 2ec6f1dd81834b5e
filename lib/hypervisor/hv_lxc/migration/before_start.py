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

"""Whether Ganeti may begin to start an instance, before it touches a disk.

Ganeti makes the disks of an instance ready and only then has the driver start
it, which may say no.  By then DRBD's half on this node is primary: if the
guest is on the other node, and the two are cut off from each other, DRBD finds
two primaries when they meet again, and gives one of them up (seen in a test
of a failed migration).  ganeti-watcher would do that every five minutes.  A
hook of Ganeti's, which runs before, asks here.

"""

from ..errors import LxcError
from ..host import Host
from ..partitions import Partitions
from . import calls, peer, task
from .acts import NodeActs
from .machine import Refusal
from .protocol import TABLE, may_start, why_still_unknown
from .states import Reason, State


def check(
  host: Host, storage: Partitions, name: str, *, disk: str, primary: str
) -> None:
  """Says what StartInstance on the primary would say; starts nothing.

  @param disk: UUID of the instance's first disk, which tells it from a
      removed one that had the same name
  @param primary: name of the node where Ganeti wants it to run
  @raise Refused: the instance runs, or may run, on another node

  """
  if not calls.known(host, name) or not _is_of(host, name, disk):
    return
  acts = NodeActs(host=host, storage=storage, name=name)
  now = acts.machine().current()
  lives = acts.lives(name)
  if primary != peer.own_name(host):
    if lives or now.state in (State.OWNER, State.RETRYING):
      raise Refusal(Reason.RUNS_HERE, now)
  elif not lives and not may_start(now.state):
    answer = acts.ask_peer(now)
    then = TABLE[now.state, answer].to or now.state
    if not may_start(then):
      raise Refusal(why_still_unknown(then, answer), now)


def _is_of(host: Host, name: str, disk: str) -> bool:
  """Whether the node's journal is that of the instance with this disk."""
  try:
    part = task.load(host.layout.migration(name))
  except LxcError:
    return False
  return any(one.uuid == disk for one in part.disks)
