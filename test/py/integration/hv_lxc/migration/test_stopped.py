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

"""A guest of which a process is stopped (Ctrl-Z) since it was looked at."""

import os
import signal
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, freezer
from ganeti.hypervisor.hv_lxc.errors import Failed
from integration.hv_lxc.migration.moving import Moving

pytestmark = pytest.mark.criu


def stop_one(guest: Moving) -> int:
  for pid in cgroup.processes(guest.trees, guest.name):
    if b"getty" in Path(f"/proc/{pid}/cmdline").read_bytes():
      os.kill(pid, signal.SIGSTOP)
      return pid
  pytest.fail("there is no getty")


@pytest.mark.timeout(300)
def test_it_runs_on_or_is_moved(guest: Moving) -> None:
  """With cgroup v1 CRIU waited for hours, with the guest frozen."""
  stopped = stop_one(guest)
  if freezer.is_old(guest.trees):
    with pytest.raises(Failed, match=r"it runs on.* killed by signal 9"):
      guest.dump()
    assert guest.counts_on()
    os.kill(stopped, signal.SIGCONT)
  guest.move()
