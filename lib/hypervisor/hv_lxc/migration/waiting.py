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


"""Waiting for descriptors, in a way that another thread can end."""

import os
import select


def poll(fds: dict[int, int], timeout_s: float | None) -> set[int]:
  """Which descriptors are ready, of those and events asked for."""
  poller = select.poll()
  for fd, events in fds.items():
    poller.register(fd, events)
  timeout_ms = None if timeout_s is None else timeout_s * 1000
  return {fd for fd, _ in poller.poll(timeout_ms)}


class Wake:
  """Ends waits of other threads, now and from now on."""

  def __init__(self) -> None:
    self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

  def call(self) -> None:
    """From any thread, any number of times."""
    os.eventfd_write(self.fd, 1)

  def wait(self, timeout_s: float | None) -> bool:
    """Waits; True as soon as, and if, there was a call."""
    return bool(poll({self.fd: select.POLLIN}, timeout_s))

  def close(self) -> None:
    """Not to be used any more."""
    os.close(self.fd)
