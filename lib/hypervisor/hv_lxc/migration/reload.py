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

"""Has a guest's systemd find out again which of its processes is which.

Since Linux 6.9 a pidfd has the number of its process's inode, which no two
processes since the boot of a node share, and systemd 257 remembers it to
recognise a process (systemd's src/basic/pidref.c).  CRIU gives every process
its PID again, but the kernel gives it a new inode.  From then on systemd
takes a service for a stranger with the same PID: seen in a guest of Debian
13, "Got notification message from PID 34, but reception only permitted for
main PID 34".  No sign of life (sd_notify(3), WATCHDOG=1) counts any more,
and a service that has to give one, journald and logind among them, is
killed when its time is over.

When systemd reloads, it looks at each process anew.  It does so when it is
sent SIGHUP (systemd(1), for the system's and for users' managers alike).

The guest's own is sent it before any task runs: its services speak as soon as
they do (seen 0.3 s before a later SIGHUP), and are not asked again in time.
What they say while it reloads waits for it.  That signal can do no harm:
process 1 dies of none that it does not expect (pid_namespaces(7)).  Users'
managers come when all run, since only then /proc shows whether a process waits
for the signal by a descriptor (signalfd(2)), and so blocks it; who does not
is not sent it.

What services have said in vain until then is said again (watchdogs.py).

"""

import contextlib
import logging
import os
import signal

from .. import cgroup, pidfd, procfs
from ..errors import LxcError, one_line
from ..guests import kind_of_process
from ..hierarchies import Hierarchies
from ..host import Host, wait_until
from ..model import InitKind
from . import watchdogs

_log = logging.getLogger(__name__)


_REMEDY = (
  "may kill services that have a watchdog; run 'systemctl daemon-reload' in it"
)
# One that is reloading already takes the signal afterwards.
_TAKEN_S = 5.0


def tell_init(host: Host, trees: Hierarchies, name: str) -> None:
  """Has process 1 reload, if it is systemd, as soon as it runs.

  To be called while no task of the guest runs, so that it is process 1 that
  is sent the signal.  If it cannot be done, that is noted.

  """
  init = cgroup.init_pid(host, trees, name)
  try:
    if init is not None and _is_systemd(host, init):
      os.kill(init, signal.SIGHUP)
  except OSError as err:
    _log.warning("Instance %s: systemd %s (%s)", name, _REMEDY, err)


def complete(host: Host, trees: Hierarchies, name: str, init: int) -> None:
  """Has users' managers reload too, and systemd hear that services live.

  They may be at it still when this returns.  If it cannot be done, that is
  noted.

  @param init: the guest's process 1, as this node numbers it

  """
  try:
    space = _pid_namespace(host, init)
    pids = [
      pid
      for pid in cgroup.processes(trees, name)
      if space and _pid_namespace(host, pid) == space
    ]
    _tell_others(host, pids, init, space)
    managers = [pid for pid in pids if _is_systemd(host, pid)]
    if not wait_until(lambda: not _pending(host, managers), _TAKEN_S):
      _log.warning("Instance %s: systemd does not reload; it %s", name, _REMEDY)
    if managers:
      watchdogs.repeat(host, pids)
  except (OSError, LxcError) as err:
    told = one_line(repr(err))
    _log.warning("Instance %s: users' systemd %s (%s)", name, _REMEDY, told)


def _tell_others(host: Host, pids: list[int], init: int, space: str) -> None:
  for pid in pids:
    if pid == init:
      continue
    with contextlib.suppress(ProcessLookupError), pidfd.held(pid) as process:
      if _pid_namespace(host, pid) == space and _waits(host, pid):
        signal.pidfd_send_signal(process, signal.SIGHUP)


def _pending(host: Host, pids: list[int]) -> bool:
  """Whether one of them has not taken the signal yet."""
  return any(_has_hangup(host, pid, "ShdPnd") for pid in pids)


def _pid_namespace(host: Host, pid: int) -> str:
  """The PID namespace of a process; "" if there is none (any more)."""
  try:
    return str((host.proc / f"{pid}/ns/pid").readlink())
  except FileNotFoundError:
    return ""


def _is_systemd(host: Host, pid: int) -> bool:
  return kind_of_process(host.proc, pid) is InitKind.SYSTEMD


def _waits(host: Host, pid: int) -> bool:
  """Whether it is a systemd that takes SIGHUP by a descriptor."""
  return _is_systemd(host, pid) and _has_hangup(host, pid, "SigBlk")


def _has_hangup(host: Host, pid: int, key: str) -> bool:
  """Whether SIGHUP is in a set of signals of /proc/PID/status."""
  for word in procfs.status(host.proc, pid).get(key, ()):
    return bool(int(word, 16) >> (signal.SIGHUP - 1) & 1)
  return False
