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

"""Which processes are in a session that CRIU cannot bring them into.

A process is born into its parent's session.  CRIU has each forked by the
process that is its parent now, before that one makes a session of its own, or
below its session's leader.  One whose leader is gone it forks below a helper,
if process 1 has adopted it; not if a subreaper has (PR_SET_CHILD_SUBREAPER), as
systemd --user is one.  Nor if its parent has left the session they shared, and
the leader is not above.

"""

from collections.abc import Iterator, Sequence

from .guest import Process


def astray(members: Sequence[Process], init: Process) -> Iterator[Process]:
  """Those that criu/pstree.c, prepare_pstree_ids, says no to.

  @param members: process 1 and its descendants

  """
  by_pid = {process.pid: process for process in members}
  by_number = {process.number: process for process in members}
  born: dict[int, int] = {}
  for process in members:
    if process.pid == init.pid or not process.number or not process.session:
      continue
    if process.session == process.number or process.parent == init.pid:
      continue
    parent = by_pid.get(process.parent)
    if parent is None or parent.session == process.session:
      continue
    if not _is_born(process, _above(process, init, by_pid, by_number), born):
      yield process


def _above(
  process: Process,
  init: Process,
  by_pid: dict[int, Process],
  by_number: dict[int, Process],
) -> Iterator[int]:
  """The ancestors that CRIU gives it, by the numbers that the guest knows."""
  passed: set[int] = set()
  above = by_pid.get(process.parent)
  while above is not None and above.pid not in passed:
    passed.add(above.pid)
    yield above.number
    adopted = above.parent == init.pid
    if adopted and above.session not in (init.session, above.number):
      leader = by_number.get(above.session)
      if leader is None:
        yield above.session
      above = leader or init
    else:
      above = by_pid.get(above.parent)


def _is_born(
  process: Process, above: Iterator[int], born: dict[int, int]
) -> bool:
  """Whether all up to its session's leader can be born in that session."""
  for number in above:
    if number == process.session:
      return True
    if born.setdefault(number, process.session) != process.session:
      return False
  return False
