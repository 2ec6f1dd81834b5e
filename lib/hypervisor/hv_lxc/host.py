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

"""The node, as everybody below the driver is handed it.

Programs, /proc, /sys, /dev, the driver's directories and the clock hang on
one frozen value, so that a test can hand out another node.

"""

import contextlib
import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .command import Runner, Spawner, run, start_daemon
from .errors import Refused
from .layout import Layout

_POLL_FIRST_S = 0.001
_POLL_MAX_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
  """A node.

  @ivar proc: where procfs is mounted; sys, dev likewise
  @ivar lxc_locks: where the lxc-* tools keep a lock file per container

  """

  layout: Layout
  run: Runner = run
  spawn: Spawner = start_daemon
  proc: Path = Path("/proc")
  sys: Path = Path("/sys")
  dev: Path = Path("/dev")
  lxc_locks: Path = Path("/run/lxc/lock")

  def boot_id(self) -> str:
    """Identifies this boot of the node (random(4))."""
    return read_text(self.proc / "sys/kernel/random/boot_id").strip()


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
  """Waits for a condition that nothing announces; False when time is up.

  This is the only place that sleeps.

  """
  deadline = time.monotonic() + timeout_s
  pause = _POLL_FIRST_S
  while not condition():
    left = deadline - time.monotonic()
    if left <= 0:
      return False
    time.sleep(min(pause, left))
    pause = min(pause * 2, _POLL_MAX_S)
  return True


def end_processes(find: Callable[[], list[int]], timeout_s: float) -> list[int]:
  """Kills processes until none is found any more.

  @param find: the process IDs of those that are there
  @return: those that were still there when time was up

  """
  left: list[int] = []

  def gone() -> bool:
    left[:] = find()
    for pid in left:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return not left

  wait_until(gone, timeout_s)
  return left


def read_text(path: Path) -> str:
  """The contents of a small file, carriage returns included.

  @raise OSError: as open(2) and read(2)

  """
  return path.read_bytes().decode("utf-8", "backslashreplace")


def read_optional(path: Path) -> str | None:
  """The contents, or None when the file (or its directory) is not there.

  ENODEV is what the kernel answers on a cgroup file whose group has just
  been removed (kernfs), ESRCH on a /proc file of a process just ended.

  """
  try:
    return read_text(path)
  except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
    return None
  except OSError as err:
    if err.errno == errno.ENODEV:
      return None
    raise


def write_file(path: Path, text: str, *, mode: int = 0o600) -> None:
  """Replaces a file atomically, without waiting for the disk."""
  _replace(path, text, mode, durable=False)


def write_durably(path: Path, text: str, *, mode: int = 0o600) -> None:
  """Replaces a file so that either version survives a power cut."""
  _replace(path, text, mode, durable=True)


def _replace(path: Path, text: str, mode: int, *, durable: bool) -> None:
  # No two threads of the node have the same number (gettid(2)).
  number = threading.get_native_id()
  temporary = path.with_name(f".{path.name}.{number}.tmp")
  flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
  try:
    with os.fdopen(os.open(temporary, flags, mode), "w") as stream:
      # noded runs with umask 077, so the mode is set again.
      os.fchmod(stream.fileno(), mode)
      stream.write(text)
      stream.flush()
      if durable:
        os.fsync(stream.fileno())
    temporary.replace(path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      temporary.unlink()
    raise
  if durable:
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
  """Makes the entries of a directory durable (fsync(2), Notes)."""
  fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  try:
    os.fsync(fd)
  finally:
    os.close(fd)


def make_directory(path: Path, mode: int = 0o700) -> None:
  """Makes a directory and its parents, whatever the umask is."""
  if path.is_dir():
    return
  make_directory(path.parent)
  with contextlib.suppress(FileExistsError):
    path.mkdir(mode)
    path.chmod(mode)


@contextlib.contextmanager
def locked(host: Host, name: str, timeout_s: float) -> Iterator[None]:
  """Holds the lock of an instance.

  The kernel releases it if the holder is killed.

  @raise Refused: somebody else held it all the time, or it is no file

  """
  path = host.layout.lock(name)
  held: list[int] = []
  try:
    make_directory(path.parent)
    got_it = wait_until(lambda: _try_lock(path, held), timeout_s)
  except OSError as err:
    raise Refused(
      f"The lock of instance {name}, {path}, cannot be had",
      evidence=str(err.strerror),
      remedy="it has to be a file, or not to be there: move it away",
    ) from err
  if not got_it:
    raise Refused(
      f"Another operation on instance {name} is under way on this node",
      evidence=f"{path} was locked for {timeout_s:.0f} s",
      remedy="wait for it to end and try again",
    )
  try:
    yield
  finally:
    os.close(held[0])


def open_to_lock(path: Path) -> int:
  """A descriptor to lock, made if need be.

  On a file system that has become read-only, one of a file that is there will
  do: what only looks at what the lock is for need not be refused there.

  """
  try:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
  except OSError as err:
    if err.errno != errno.EROFS:
      raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def forget_lock(host: Host, name: str) -> None:
  """Removes the lock's file and LXC's own; only our lock's holder may.

  LXC leaves its lock behind for every name that was ever started
  (lxclock.c, lxclock_name).

  """
  lxcpath = str(host.layout.lxcpath).lstrip("/")
  (host.lxc_locks / lxcpath / f".{name}").unlink(missing_ok=True)
  host.layout.lock(name).unlink(missing_ok=True)


def _try_lock(path: Path, held: list[int]) -> bool:
  fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
  try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # The file may have been removed between open and flock.
    if os.path.samestat(os.fstat(fd), path.stat()):
      held.append(fd)
      return True
  except (BlockingIOError, FileNotFoundError):
    pass
  os.close(fd)
  return False
