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

"""The processes of a migration that outlive Ganeti's calls.

The source has one for each migration, which holds the lock of its journal.
The target has one for all, since there is one port: it serves whoever
proves that he comes for a migration in a journal of this node, and ends
when there is none left to wait for.

"""

import contextlib
import fcntl
import functools
import os
import signal
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import Incomplete, LxcError, Refused
from ..host import Host, make_directory, read_optional, wait_until
from . import journal, tls

_PYTHON = "/usr/bin/python3"
_MUTEX_S = 10.0


def start_worker(host: Host, name: str, *, settle: bool = False) -> None:
  """Starts the source's process; it has the lock before this returns.

  @param settle: not to migrate, but to find out what became of it
  @raise Refused: there is one already
  @raise Failed: it cannot be started

  """
  fd = journal.hold_worker_lock(host, name)
  if fd is None:
    raise Refused(
      f"A process works for the migration of instance {name} already",
      evidence=f"process {journal.worker(host, name)}",
    )
  try:
    # Whoever wants to kill the holder must wait for its own number.
    os.ftruncate(fd, 0)
    words = [name, str(fd), *(["settle"] if settle else [])]
    host.spawn(
      [_PYTHON, str(_program("source_main.py")), *words],
      log=log(host, name),
      pass_fds=[fd],
    )
  finally:
    os.close(fd)


def log(host: Host, name: str) -> Path:
  """Where the processes of an instance's migration write."""
  make_directory(host.layout.log_dir, 0o750)
  return host.layout.log_dir / f"{name}.migration.log"


def start_receiver(
  host: Host, address: str, port: int, *, anywhere: bool = False
) -> None:
  """Starts the target's process unless it lives; it listens by then.

  One that runs older code, from before the package was upgraded, or that
  listens elsewhere, from before migration_port or the node's address was
  changed, is replaced, but not while it works for a migration: Ganeti starts
  and stops other instances of the node meanwhile, which can lead here.

  @param anywhere: one that listens elsewhere will do
  @raise Refused: the port is taken, or the address is none of this node's
  @raise Failed: it cannot be started

  """
  make_directory(host.layout.migrations)
  make_directory(host.layout.log_dir, 0o750)
  with receiver_mutex(host):
    lock = try_lock(host.layout.receiver_lock)
    if lock is None:
      pid, stamp, place = _receiver(host)
      is_there = anywhere or place in ("", tls.shown(address, port))
      if (stamp == code_stamp() and is_there) or _works(host, pid):
        return
      lock = _replace_receiver(host)
    try:
      with contextlib.closing(tls.listen(address, port)) as listening:
        note_receiver(lock, 0, listening)
        host.spawn(
          [
            _PYTHON,
            str(_program("target_main.py")),
            str(listening.fileno()),
            str(lock),
          ],
          log=host.layout.receiver_log,
          pass_fds=[listening.fileno(), lock],
        )
    finally:
      os.close(lock)


def note_receiver(lock: int, pid: int, listening: socket.socket) -> None:
  """Writes into the lock's file whose it is; 0 for one that begins."""
  address, port, *_ = listening.getsockname()
  text = f"{pid} {code_stamp()} {tls.shown(address, port)}\n"
  os.ftruncate(lock, 0)
  os.pwrite(lock, text.encode("ascii"), 0)


def _receiver(host: Host) -> tuple[int, str, str]:
  """The process that listens, the code that it runs, and where it listens."""
  text = read_optional(host.layout.receiver_lock) or ""
  pid, stamp, place, *_ = [*text.split(), "", "", ""]
  return (int(pid), stamp, place) if pid.isdigit() else (0, "", "")


def _works(host: Host, pid: int) -> bool:
  """Whether a process works for a migration of this node."""
  return pid != 0 and any(
    journal.worker(host, name) == pid for name in journal.names(host)
  )


def _replace_receiver(host: Host) -> int:
  """Ends the process that listens; returns the lock, which we have now."""
  taken: list[int] = []

  def free() -> bool:
    fd = try_lock(host.layout.receiver_lock)
    if fd is not None:
      taken.append(fd)
      return True
    pid, *_ = _receiver(host)
    if pid:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return False

  if not wait_until(free, _MUTEX_S):
    raise Incomplete(
      "A process of an older release listens for migrations and does not end",
      evidence=f"process {_receiver(host)[0]}",
      remedy="repeat this",
    )
  return taken[0]


@functools.cache
def code_stamp() -> str:
  """Changes whenever this package does on the disk."""
  found = sorted(Path(__file__).parent.glob("*.py"))
  seen = [(path.name, path.stat().st_mtime_ns) for path in found]
  return f"{zlib.crc32(repr(seen).encode()):08x}"


@contextlib.contextmanager
def receiver_mutex(host: Host) -> Iterator[None]:
  """Nobody else starts a receiver, nor does one decide to end.

  @raise Incomplete: somebody has it all the time

  """
  held: list[int] = []

  def take() -> bool:
    fd = try_lock(host.layout.receiver_mutex)
    if fd is not None:
      held.append(fd)
    return fd is not None

  if not wait_until(take, _MUTEX_S):
    raise Incomplete(
      "Whether this node listens for migrations cannot be told",
      evidence=f"{host.layout.receiver_mutex} was locked for {_MUTEX_S:.0f} s",
      remedy="repeat this",
    )
  try:
    yield
  finally:
    os.close(held[0])


def try_lock(path: Path) -> int | None:
  """A descriptor that has the lock, or None if another process has it."""
  fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
  try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    os.close(fd)
    return None
  return fd


def patiently(
  attempt: Callable[[], bool], limit_s: float, pause_s: float
) -> None:
  """Tries until it works, or for so long.

  @raise LxcError: what the last attempt failed with
  @raise Incomplete: no attempt worked

  """
  deadline = time.monotonic() + limit_s
  while True:
    try:
      if attempt():
        return
      failure: LxcError = Incomplete(
        "What became of a migration cannot be found out",
        evidence=f"tried for {limit_s:.0f} s",
      )
    except LxcError as err:
      failure = err
    if time.monotonic() > deadline:
      raise failure
    wait_until(lambda: False, pause_s)


def _program(name: str) -> Path:
  return Path(__file__).with_name(name)
