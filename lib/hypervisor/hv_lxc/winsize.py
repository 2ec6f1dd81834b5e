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

"""The size of the terminal from which a console is used.

lxc-console passes it on for tty1 and above, but not for the console itself:
between it and the console LXC's monitor has a second pty (terminal.c,
lxc_terminal_peer_proxy_alloc, LXC 5 to 7).  So it is set here.

"""

import contextlib
import ctypes
import fcntl
import os
import signal
import stat
import sys
import termios

from . import guestfs
from .host import Host

# Devices of the slave ends of ptys (Linux' devices.txt).
_PTS_MAJORS = range(136, 144)
_PR_SET_PDEATHSIG = 1


def follow(host: Host, init: int) -> None:
  """Keeps the size of the guest's console that of this terminal.

  A child does it, which ends with this process, whatever that becomes.
  SIGWINCH reaches it too, being of the same process group.

  @param init: process 1 of the guest, as the node numbers it

  """
  if not sys.stdin.isatty() or os.fork():
    return
  try:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
    while True:
      _copy(host, init)
      signal.sigwait({signal.SIGWINCH})
  finally:
    os._exit(0)


def _copy(host: Host, init: int) -> None:
  size = fcntl.ioctl(sys.stdin, termios.TIOCGWINSZ, bytes(8))
  with contextlib.suppress(OSError):
    fd = _console(host, init)
    if fd is None:
      return
    try:
      fcntl.ioctl(fd, termios.TIOCSWINSZ, size)
    finally:
      os.close(fd)


def _console(host: Host, init: int) -> int | None:
  """The guest's console; None if something else is in its place.

  The guest's /dev is the guest's to change, so nothing is opened before it
  is known to be a pty.

  """
  directory = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
  root = os.open(host.proc / str(init) / "root", directory)
  try:
    path = guestfs.open_in_root(root, "dev/console", os.O_PATH)
  finally:
    os.close(root)
  try:
    status = os.fstat(path)
    is_pty = os.major(status.st_rdev) in _PTS_MAJORS
    if not stat.S_ISCHR(status.st_mode) or not is_pty:
      return None
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(f"/proc/self/fd/{path}", flags)
  finally:
    os.close(path)
