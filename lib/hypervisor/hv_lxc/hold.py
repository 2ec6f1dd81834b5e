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

"""Holds a guest at the very first instruction of its init.

LXC has nothing of the kind: a container that is frozen earlier never
finishes its start (the monitor waits for messages of the frozen process),
and one that is frozen after C{lxc-start} has already run for a moment.
So, while the monitor waits for the start-host hook, this program attaches
to the future init, lets it go on, is stopped by the kernel right after
execve(2) (ptrace(2), PTRACE_O_TRACEEXEC), freezes the cgroup, and lets go.

Run by the start-host hook as C{python3 hold.py PID FREEZER VALUE}; it
answers "ready" on standard output once the process is attached.  It needs
nothing but the standard library, as it is copied into the instance's
directory.

"""

import ctypes
import os
import sys
from pathlib import Path

_SEIZE = 0x4206
_DETACH = 17
_O_TRACEEXEC = 0x10
_EVENT_EXEC = 4
_WALL = 0x40000000


def hold(pid: int, freezer: str, value: str) -> None:
  """Freezes a process's cgroup at its next execve.

  @param freezer: the file to write to (freezer.state or cgroup.freeze)
  @param value: what to write ("FROZEN" or "1")

  """
  libc = ctypes.CDLL(None, use_errno=True)
  ptrace = libc.ptrace
  ptrace.restype = ctypes.c_long
  ptrace.argtypes = [ctypes.c_long] * 4
  if ptrace(_SEIZE, pid, 0, _O_TRACEEXEC) != 0:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), f"ptrace of {pid}")
  print("ready", flush=True)
  signal_nr = 0
  while True:
    _, status = os.waitpid(pid, _WALL)
    if os.WIFEXITED(status) or os.WIFSIGNALED(status):
      return
    if status >> 16 == _EVENT_EXEC:
      break
    signal_nr = os.WSTOPSIG(status) if status >> 16 == 0 else 0
    ptrace(7, pid, 0, signal_nr)  # PTRACE_CONT
  Path(freezer).write_text(value, encoding="ascii")
  ptrace(_DETACH, pid, 0, 0)


if __name__ == "__main__":
  hold(int(sys.argv[1]), sys.argv[2], sys.argv[3])
