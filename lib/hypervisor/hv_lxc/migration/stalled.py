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

"""Ends a CRIU that has stopped getting anywhere.

What it waits for may never come: zombies.py and orphaned.py have the causes
that are known.  The other node and Ganeti's job waited for an hour.

A dump stands still with the guest frozen where a process was stopped (SIGSTOP)
since the preflight: with a freezer of cgroup v1 CRIU's ptrace(PTRACE_SEIZE)
waits for it without an end (ptrace_attach, kernel/ptrace.c), in a state in
which CRIU's own alarm after ten seconds does not reach it.  A kill does.

"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import cgroup, freezer, hierarchies, procfs
from ..errors import LxcError
from ..hierarchies import Hierarchies
from ..host import Host
from . import criu, criu_processes

_log = logging.getLogger(__name__)

# A disk or a file server that answers late must not be taken for it.
_PATIENCE_S = 60.0
_LOOK_S = 5.0
_SEIZING_S = 30.0
_PAGES = "pages-*.img"
# Of procfs.stat_fields: utime and stime
_TIMES = slice(11, 13)


def work_done(host: Host, trees: Hierarchies, name: str, log: Path) -> object:
  """What changes as long as a restore, or the begin of a dump, gets anywhere.

  @param log: CRIU's
  @return: to be compared: how long the log is, and the ticks of processor time
      that CRIU and what it has restored have used

  """
  try:
    size = log.stat().st_size
  except OSError:
    size = 0
  pids = set(criu_processes.working(host, name))
  with contextlib.suppress(LxcError):
    pids.update(cgroup.processes(trees, name))
  return size, {p: procfs.stat_fields(host.proc, p)[_TIMES] for p in pids}


@contextlib.contextmanager
def seizing(host: Host, name: str, order: criu.DumpOrder) -> Iterator[None]:
  """Where it can happen, ends a dump that does not get as far as memory.

  From then on it says nothing of its own for as long as one process is large.

  """
  trees = hierarchies.find(host)
  if not freezer.is_old(trees):
    # Nothing waits there without an end, but a disk may answer late: seen on
    # an emulated machine, in which CRIU wrote nothing for half a minute.
    yield
    return

  def done() -> object:
    if any(order.images.glob(_PAGES)):
      return time.monotonic()
    return work_done(host, trees, name, order.log)

  def end() -> None:
    criu_processes.end(host, name)

  with watch(done, end, patience_s=_SEIZING_S):
    yield


@contextlib.contextmanager
def watch(
  done: Callable[[], object],
  end: Callable[[], None],
  *,
  patience_s: float = _PATIENCE_S,
  look_s: float = _LOOK_S,
) -> Iterator[None]:
  """While this lasts, standing still has a consequence.

  @param done: see L{work_done}
  @param end: called once, from another thread, when what C{done} returns has
      not changed for C{patience_s} seconds

  """
  over = threading.Event()

  def look() -> None:
    before, still = done(), 0.0
    while not over.wait(look_s):
      now = done()
      still = still + look_s if now == before else 0.0
      before = now
      if still >= patience_s:
        _log.warning("CRIU has not got anywhere for %d s", patience_s)
        try:
          end()
        except LxcError as err:
          _log.warning("%s", err)
        return

  thread = threading.Thread(target=look, daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()
