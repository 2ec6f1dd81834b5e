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

"""Ends a CRIU that waits for tasks which have died.

CRIU 4.2.1 notices that a guest's init was killed (the OOM killer, say) after
its network had been unlocked and before it let the guest go, and then waits
for ever for the tasks that died with it: __restore_switch_stage, called behind
out_kill_network_unlocked in criu/cr-restore.c, waits for a number of tasks that
nobody counts down.  Seen by killing init there; the other node and Ganeti's
job waited for an hour.

"""

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator

from ..errors import LxcError

_log = logging.getLogger(__name__)

# CRIU needs a moment to take away what it made.
_GRACE_S = 10.0


class Watch:
  """Watches one process from when it is told of it until the block ends."""

  def __init__(self, end: Callable[[], None], grace_s: float) -> None:
    self._end = end
    self._grace_s = grace_s
    self._stack = contextlib.ExitStack()
    self._over, self._stop = os.pipe()
    self._stack.callback(os.close, self._over)

  def begin(self, pid: int | None) -> None:
    """What is to be done is done if this process dies, and not at once.

    @param pid: None, or one that is gone, has died already

    """
    pidfd = self._dead() if pid is None else self._opened(pid)
    self._stack.callback(os.close, pidfd)
    thread = threading.Thread(target=self._watch, args=(pidfd,), daemon=True)
    thread.start()
    self._stack.callback(thread.join)

  def _opened(self, pid: int) -> int:
    try:
      return os.pidfd_open(pid)
    except ProcessLookupError:
      return self._dead()

  def _dead(self) -> int:
    """A descriptor that is ready, as that of a process which has ended."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

  def close(self) -> None:
    """Ends the watch; what is being done is done to its end."""
    os.close(self._stop)
    self._stack.close()

  def _watch(self, pidfd: int) -> None:
    if self._is_over(None, pidfd) or self._is_over(self._grace_s):
      return
    _log.warning("The guest's init has died, and CRIU has not ended since")
    try:
      self._end()
    except LxcError as err:
      _log.warning("%s", err)

  def _is_over(self, timeout_s: float | None, *others: int) -> bool:
    """Waits for the end of the block, or for another descriptor."""
    poller = select.poll()
    for fd in (self._over, *others):
      poller.register(fd, select.POLLIN)
    ready = poller.poll(None if timeout_s is None else timeout_s * 1000)
    return self._over in dict(ready)


@contextlib.contextmanager
def watch(
  end: Callable[[], None], grace_s: float = _GRACE_S
) -> Iterator[Watch]:
  """While this lasts, the death of a process has a consequence.

  @param end: called once, from another thread, if the block goes on for
      C{grace_s} seconds after the death

  """
  found = Watch(end, grace_s)
  try:
    yield found
  finally:
    found.close()
