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


"""Has the kernel tell programs again when memory gets tight (PSI).

systemd and its daemons open memory.pressure of their control group, write
how much is too much, and wait (Documentation/accounting/psi.rst).  CRIU
brings the file back but not what was written: poll(2) then reports an error
for ever, and the program spins.  So it is written once more, to the very
same open file (pidfd_getfd(2)), before the guest's processes run.

While nothing was written, the file had nobody to wake (psi_trigger_poll in
the kernel's kernel/sched/psi.c), so that what was waiting in an epoll set is
taken out and put in again.  The set knows a file by its number too; a
thread with a table of files of its own gives it that number.

What the program had written cannot be read back.  MEMORY_PRESSURE_WRITE in
its environment tells (systemd.exec(5)); without it, it is what systemd
itself uses (sd_event_add_memory_pressure(3)).

"""

import base64
import binascii
import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import platform
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import cgtree
from ..hierarchies import Hierarchies
from ..host import Host, read_optional

_log = logging.getLogger(__name__)

_FILES = frozenset({"cpu.pressure", "io.pressure", "memory.pressure"})
_EPOLL = "anon_inode:[eventpoll]"
_VARIABLE = "MEMORY_PRESSURE_WRITE="
_DEFAULT = b"some 200000 2000000\0"
_MAX_TEXT = 256
_WAITS = re.compile(
  r"^tfd: +(\d+) events: +([0-9a-f]+) data: +([0-9a-f]+)", re.MULTILINE
)

# asm-generic/unistd.h; the same number everywhere. linux/sched.h.
_SYS_PIDFD_GETFD = 438
_CLONE_FILES = 0x400
_CTL_ADD, _CTL_DEL = 1, 2


@dataclass(frozen=True, slots=True)
class Wait:
  """How a file is waited for: an entry of an epoll set.

  @ivar fd: the file's number in its process
  @ivar events: as epoll_ctl(2) was told
  @ivar data: likewise

  """

  fd: int
  events: int
  data: int


def waits(fdinfo: str) -> list[Wait]:
  """The entries of an epoll set (proc_pid_fdinfo(5))."""
  return [
    Wait(int(fd), int(events, 16), int(data, 16))
    for fd, events, data in _WAITS.findall(fdinfo)
  ]


def wanted(environ: str) -> bytes:
  """What a program writes to the file, by its environment."""
  for word in environ.split("\0"):
    if word.startswith(_VARIABLE):
      with contextlib.suppress(binascii.Error, ValueError):
        text = base64.b64decode(word.removeprefix(_VARIABLE), validate=True)
        if 0 < len(text) <= _MAX_TEXT:
          return text
  return _DEFAULT


def arm_again(host: Host, trees: Hierarchies, name: str) -> None:
  """Makes good for all processes of an instance that stand still.

  That it does not work is no reason to fail: the guest runs, if not well.

  """
  if trees.unified is None or trees.reference is None:
    return
  base = Path(trees.unified.base).stat().st_dev
  for pid in cgtree.all_pids(trees.reference.payload(name)):
    files = _opened(host, pid)
    pressure = [fd for fd, target in files if Path(target).name in _FILES]
    if not pressure:
      continue
    sets = [fd for fd, target in files if target == _EPOLL]
    text = wanted(read_optional(host.proc / f"{pid}/environ") or "")
    thread = _Thread(host, pid, pressure, sets, text=text, device=base)
    thread.start()
    thread.join()
    if thread.error:
      _log.warning(
        "Instance %s, process %d: memory pressure: %s", name, pid, thread.error
      )


def _opened(host: Host, pid: int) -> list[tuple[int, str]]:
  """The files of a process; none if it has ended."""
  home = host.proc / f"{pid}/fd"
  with contextlib.suppress(FileNotFoundError, ProcessLookupError):
    return [(int(e.name), str(e.readlink())) for e in home.iterdir()]
  return []


class _Event(ctypes.Structure):
  """struct epoll_event, which x86-64 alone packs (sys/epoll.h)."""

  if platform.machine() == "x86_64":
    _pack_ = 1
  _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


class _Thread(threading.Thread):
  """Works in a table of files that goes with it."""

  def __init__(
    self,
    host: Host,
    pid: int,
    pressure: list[int],
    sets: list[int],
    *,
    text: bytes,
    device: int,
  ) -> None:
    super().__init__(daemon=True)
    self._host = host
    self._pid = pid
    self._pressure = pressure
    self._sets = sets
    self._text = text
    self._device = device
    self._libc = ctypes.CDLL(None, use_errno=True)
    self.error: OSError | None = None

  def run(self) -> None:
    try:
      self._check(self._libc.unshare(_CLONE_FILES), "unshare")
      self._work()
    except OSError as err:
      self.error = err

  def _work(self) -> None:
    # Behind whatever the guest's process has, so that dup2(2) spares them.
    top = max(*self._pressure, *self._sets, 0) + 1
    process = _above(os.pidfd_open(self._pid), top)
    epolls = [(n, _above(self._fetch(process, n), top)) for n in self._sets]
    for number in self._pressure:
      file = _above(self._fetch(process, number), top)
      # A guest may call any file of its own that.
      if os.fstat(file).st_dev != self._device or not self._write(file):
        continue
      os.dup2(file, number)
      for epoll, wait in self._waiting(epolls, number):
        self._renew(epoll, wait)

  def _write(self, file: int) -> bool:
    """Whether the file was one that nothing had been written to."""
    try:
      os.write(file, self._text)
    except OSError as err:
      # Written already; or opened for reading, and so waited for by nobody.
      if err.errno not in (errno.EBUSY, errno.EBADF):
        raise
      return False
    return True

  def _waiting(
    self, epolls: list[tuple[int, int]], number: int
  ) -> Iterator[tuple[int, Wait]]:
    for known_as, epoll in epolls:
      path = self._host.proc / f"{self._pid}/fdinfo/{known_as}"
      for wait in waits(read_optional(path) or ""):
        if wait.fd == number:
          yield epoll, wait

  def _renew(self, epoll: int, wait: Wait) -> None:
    event = _Event(wait.events, wait.data)
    for action in (_CTL_DEL, _CTL_ADD):
      result = self._libc.epoll_ctl(epoll, action, wait.fd, ctypes.byref(event))
      self._check(result, "epoll_ctl")

  def _fetch(self, process: int, number: int) -> int:
    result: int = self._libc.syscall(
      ctypes.c_long(_SYS_PIDFD_GETFD),
      ctypes.c_int(process),
      ctypes.c_int(number),
      ctypes.c_uint(0),
    )
    return self._check(result, "pidfd_getfd")

  def _check(self, result: int, what: str) -> int:
    if result < 0:
      code = ctypes.get_errno()
      raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _above(fd: int, top: int) -> int:
  """The same file with another number."""
  return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, top)
