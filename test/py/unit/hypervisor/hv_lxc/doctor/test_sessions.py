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

"""Which sessions CRIU can bring the processes of a guest into."""

import pytest
from ganeti.hypervisor.hv_lxc.doctor import sessions
from ganeti.hypervisor.hv_lxc.doctor.guest import Process

OUTSIDE = 1000
CASES = {
  "its own": ([(2, 1, 2)], []),
  "its parent's": ([(2, 1, 2), (3, 2, 2)], []),
  "its grandparent's": ([(2, 1, 2), (3, 2, 3), (4, 3, 2)], []),
  "that of process 1": ([(2, 1, 2), (3, 2, 1)], []),
  "adopted by process 1": ([(3, 1, 2)], []),
  "adopted by process 1, with children": ([(3, 1, 2), (4, 3, 2)], []),
  "a child of one adopted that left": ([(3, 1, 2), (4, 3, 4), (5, 4, 2)], []),
  "adopted by a subreaper": ([(2, 1, 2), (4, 2, 3)], [4]),
  "its parent left it": ([(2, 1, 2), (3, 1, 3), (4, 3, 2)], [4]),
  "a leader elsewhere": ([(2, 1, 2), (3, 2, 3), (5, 2, 3)], [5]),
  "two at once": ([(2, 1, 2), (3, 2, 3), (4, 3, 2), (5, 3, 1)], [5]),
  "unknown": ([(0, 1, 2), (0, 2, 3)], []),
}


@pytest.mark.parametrize("case", CASES)
def test_session(case: str) -> None:
  rows, expected = CASES[case]
  init = Process(pid=OUTSIDE + 1, command="init", number=1, session=1)
  members = [init]
  for number, parent, session in rows:
    members.append(
      Process(
        pid=OUTSIDE + number,
        command="x",
        parent=OUTSIDE + parent,
        number=number,
        session=session,
      )
    )
  found = [process.number for process in sessions.astray(members, init)]
  assert found == expected
