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

"""Kills a guest's processes while they are stopped.

Between the moment in which its images are the guest and the one in which no
process is left, none may run on, whoever is killed: so the group is frozen
first, every process is given SIGKILL, and only then are they let go, to die
before they come to any instruction of their own (signal(7)).

"""

import contextlib
import os
import signal

from .. import cgtree, freezer, stopping
from ..errors import Failed
from ..hierarchies import Hierarchies
from ..host import Host
from ..partitions import Partitions
from . import criu_processes


def take_down(host: Host, storage: Partitions, name: str) -> None:
  """Leaves nothing of a guest whose connections live on elsewhere.

  @raise LxcError: something is left

  """
  stopping.cut_off(host, name)
  stopping.kill(host, name)
  # Not before: a task that CRIU lets go runs.  Without its monitor, CRIU waits
  # for ever for the tasks that died, in a mount namespace that has the root
  # file system.
  criu_processes.end(host, name)
  stopping.clean_up(host, storage, name)


def kill_payload(trees: Hierarchies, name: str) -> None:
  """Has all processes of the guest die; LXC's own live on."""
  if not _kill_group(trees, name):
    _signal_all(trees, name)
  # A process in the v1 freezer dies only when it is thawed.
  with contextlib.suppress(Failed):
    freezer.thaw(trees, name)


def _kill_group(trees: Hierarchies, name: str) -> bool:
  """By cgroup.kill (Linux 5.14), which misses nobody who forks."""
  if trees.unified is None:
    return False
  try:
    cgtree.write(trees.unified.payload(name) + "/cgroup.kill", "1")
  except OSError:
    return False
  return True


def _signal_all(trees: Hierarchies, name: str) -> None:
  tree = trees.reference
  if tree is None:
    return
  for pid in cgtree.all_pids(tree.payload(name)):
    with contextlib.suppress(ProcessLookupError):
      # They are frozen: no number is given up before it is signalled.
      os.kill(pid, signal.SIGKILL)
