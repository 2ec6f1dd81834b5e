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

"""Processes that have ended, in whose presence no restore does.

CRIU 4.2.1 puts a zombie of another's session back as the child of a helper,
below the session's leader.  If the leader is a zombie too, both are given to
init after init has last looked for zombies, and init, CRIU and the other node
wait for ever (pie/restorer.c, wait_zombies; pstree.c, prepare_pstree_ids; the
loop is there since commit a9a624031).  Seen with a guest that was halting, of
which nobody collects the dead any more.

"""

from pathlib import Path

from .. import cgroup, hierarchies, procfs
from ..host import Host
from .criu import PassingError

# Of procfs.stat_fields
_STATE, _SESSION = 0, 3


def check(host: Host, name: str) -> None:
  """Refuses a guest that could not be restored as it is now.

  @raise PassingError: some of its processes have ended and wait for init

  """
  init = cgroup.init_pid(host, hierarchies.find(host), name)
  found = in_the_way(host.proc, init) if init is not None else []
  if found:
    raise PassingError(
      f"Instance {name} cannot be moved as it is now, it runs on",
      evidence=f"its init has not collected processes {found}, which have"
      " ended, nor the leaders of their sessions",
      remedy="repeat this; perhaps it is about to halt",
    )


def in_the_way(proc: Path, init: int) -> list[int]:
  """Zombies below init in the session of another zombie below init."""
  sessions = {}
  for pid in procfs.children(proc, init):
    fields = procfs.stat_fields(proc, pid)
    if len(fields) > _SESSION and fields[_STATE] == "Z":
      sessions[pid] = int(fields[_SESSION])
  return sorted(p for p, s in sessions.items() if s != p and s in sessions)
