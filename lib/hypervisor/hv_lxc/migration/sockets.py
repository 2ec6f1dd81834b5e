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
"""The sockets of a guest's processes, by duplicates of their descriptors.

A socket has no name by which another process could open it.  Its options are
read and set as CRIU does it, from outside, with pidfd_getfd(2): the process
may run, stand still, or be about to be restored.

"""

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..host import Host

_SYS_PIDFD_GETFD = 438
_MAX_FDS = 100_000


@dataclass(frozen=True, slots=True)
class Sockets:
  """Those of one process, which may end and close them at any time."""

  _descriptors: Path
  _pidfd: int

  def names(self) -> dict[int, str]:
    """By their descriptors; two with one name are one socket."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError), os.scandir(self._descriptors) as fds:
      for entry in fds:
        with contextlib.suppress(OSError):
          name = str(Path(entry.path).readlink())
          if name.startswith("socket:"):
            found[int(entry.name)] = name
        if len(found) >= _MAX_FDS:
          break
    return found

  def duplicate(self, number: int) -> socket.socket:
    """What has this number now.

    @raise OSError: there is none, or it is no socket any more

    """
    libc = ctypes.CDLL(None, use_errno=True)
    # pidfd_getfd(2), Linux 5.6; Python has no function for it.
    fd = libc.syscall(
      ctypes.c_long(_SYS_PIDFD_GETFD),
      ctypes.c_int(self._pidfd),
      ctypes.c_int(number),
      ctypes.c_uint(0),
    )
    if fd < 0:
      error = ctypes.get_errno()
      raise OSError(error, os.strerror(error))
    try:
      return socket.socket(fileno=fd)
    except OSError:
      os.close(fd)
      raise


@contextlib.contextmanager
def of(host: Host, pid: int) -> Iterator[Sockets]:
  """Those of a process.

  @raise OSError: it has ended

  """
  pidfd = os.pidfd_open(pid)
  try:
    yield Sockets(host.proc / f"{pid}/fd", pidfd)
  finally:
    os.close(pidfd)
