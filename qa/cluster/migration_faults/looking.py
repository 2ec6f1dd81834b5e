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


"""What can be seen of a node, and done there, with its own /proc.

A program too, for nodes whose processes this machine does not see: each line
of its standard input is a list of JSON, a method of L{Looking} and what it is
given; each line that it prints is a list with what came of it.
"""

import contextlib
import enum
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_POLL_S = 0.002
# All of an emulated processor went into looking, and Ganeti, which waits for
# five seconds (RPC_CONNECT_TIMEOUT), gave migrations up.
_POLL_IN_MACHINE_S = 0.05
_BLOCK = bytes(1 << 20)


class Who(enum.StrEnum):
  """Who takes part in a migration.

  @cvar WORKER: the source's process
  @cvar RECEIVER: the target's process
  @cvar SCRIPT: CRIU's action script
  @cvar LXC_CHECKPOINT: what LXC restores with, until it becomes the monitor
  @cvar MONITOR: LXC's process for the guest
  @cvar INIT: the guest's first process
  @cvar NODED: the node daemon
  @cvar CALLS: the node daemon's processes for single calls
  @cvar JOBS: the processes of Ganeti's jobs

  """

  WORKER = "source worker"
  RECEIVER = "receiver"
  CRIU = "criu"
  SCRIPT = "action script"
  LXC_CHECKPOINT = "lxc-checkpoint"
  MONITOR = "monitor"
  INIT = "init"
  NODED = "node daemon"
  CALLS = "node daemon's child"
  JOBS = "job"


def _namespace(pid: int) -> str:
  try:
    return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - no file
  except OSError:
    return ""


def _text(path: str) -> str:
  try:
    return pathlib.Path(path).read_text(errors="replace")
  except OSError:
    return ""


def _words(pid: int) -> list[str]:
  return _text(f"/proc/{pid}/cmdline").split("\0")


def _parent(pid: int) -> int:
  stat = _text(f"/proc/{pid}/stat")
  return int(stat.rpartition(")")[2].split()[1]) if stat else 0


def _below(top: int) -> Iterator[int]:
  """A process and all that descend from it.

  Everything that a node started does, since what is orphaned there becomes
  a child of the node's first process.

  """
  yield top
  for task in pathlib.Path(f"/proc/{top}/task").glob("*/children"):
    for child in _text(str(task)).split():
      yield from _below(int(child))


def _numbers(pid: int) -> list[str]:
  """A process's numbers, from this process's namespace down to its own."""
  lines = _text(f"/proc/{pid}/status").splitlines()
  return next((e.split()[1:] for e in lines if e.startswith("NSpid:")), [])


class Looking:
  """One node."""

  def __init__(self, top: int = 1, root: str = "/", *, poll_s: float = _POLL_S):
    """Nothing is looked at yet.

    @param top: the node's first process
    @param root: its file system
    @param poll_s: between two looks at a file, in seconds

    """
    self._poll_s = poll_s
    self._top = top
    self._root = pathlib.Path(root)

  # Processes

  def _all(self) -> list[int]:
    """Those in the node's own namespace, without those of guests."""
    home = _namespace(self._top)
    return [pid for pid in _below(self._top) if _namespace(pid) == home]

  def find(self, who: str, instance: str = "") -> list[int]:
    """Those who take part, as this machine numbers them."""
    if who == Who.INIT:
      return self._inits(instance)
    if who == Who.MONITOR:
      found = {_parent(pid) for pid in self._inits(instance)}
      return sorted(found & set(self._all()))
    if who in (Who.NODED, Who.CALLS):
      return self._daemon(is_child=who == Who.CALLS)
    return [pid for pid in self._all() if _FITS[who](pid, instance)]

  def _inits(self, instance: str) -> list[int]:
    """First processes of guests, by the children of the node's processes."""
    ours = set(self._all())
    return [
      pid
      for pid in set(_below(self._top)) - ours
      if _parent(pid) in ours
      and any(instance in word for word in _words(_parent(pid)))
    ]

  def _daemon(self, *, is_child: bool) -> list[int]:
    found = [
      pid
      for pid in self._all()
      if any(w.endswith("/ganeti-noded") for w in _words(pid)[:3])
    ]
    return [pid for pid in found if (_parent(pid) in found) == is_child]

  def kill(self, pids: list[int], number: int = signal.SIGKILL) -> int:
    """Sends a signal; returns how many were there."""
    hit = 0
    for pid in pids:
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        hit += 1
    return hit

  def own_number(self, pid: int) -> int:
    """A process as the node itself numbers it; 0 if it is gone."""
    level = len(_numbers(self._top)) - 1
    return int(next(iter(_numbers(pid)[level:]), 0))

  # Files

  def _path(self, path: str) -> pathlib.Path:
    return self._root / path.lstrip("/")

  def field(self, path: str, key: str) -> str:
    """A field of a file of JSON, "" if there is none."""
    try:
      return str(json.loads(self._path(path).read_text()).get(key, ""))
    except (OSError, ValueError):
      return ""

  def stamp(self, path: str) -> list[int]:
    """Tells one writing of a file from the next."""
    try:
      found = self._path(path).stat()
    except OSError:
      return [0, 0]
    return [found.st_ino, found.st_mtime_ns]

  def await_value(
    self, path: str, key: str, value: str, before: list[int], for_s: float
  ) -> bool:
    """Waits until a file that was written anew has a field's value."""
    deadline = time.monotonic() + for_s
    while self.stamp(path) == before or self.field(path, key) != value:
      if time.monotonic() > deadline:
        return False
      time.sleep(self._poll_s)
    return True

  def existing(self, paths: list[str]) -> list[str]:
    """Those that are there."""
    return [path for path in paths if self._path(path).exists()]

  def fill(self, path: str) -> str:
    """Writes a file until there is no more room; why it ended."""
    try:
      with self._path(path).open("wb", buffering=0) as out:
        while out.write(_BLOCK) == len(_BLOCK):
          pass
    except OSError as err:
      return str(err.strerror)
    return ""

  def remove(self, path: str) -> None:
    """Removes a file, if it is there."""
    self._path(path).unlink(missing_ok=True)

  # What a guest leaves

  def interfaces(self) -> list[str]:
    """Names of all."""
    lines = _text(f"/proc/{self._top}/net/dev").splitlines()[2:]
    return sorted(line.split(":")[0].strip() for line in lines)

  def groups(self, below: str) -> list[str]:
    """A control group in all trees; two of them are enough to tell.

    @param below: its path in each tree

    """
    top = self._path("/sys/fs/cgroup")
    return [str(p) for p in (*top.glob(f"*/{below}"), *top.glob(below))][:2]

  def maps(self, disk: str) -> list[str]:
    """What this machine's kernel has made of a disk.

    @param disk: part of the path of its file, or the whole path of a device
    @return: names of loop devices, or of what holds the device

    """
    if disk.startswith("/dev/"):
      return holders(disk)
    return loops(disk)


def loops(disk: str) -> list[str]:
  """Loop devices of files whose path has that in it."""
  files = pathlib.Path("/sys/block").glob("loop*/loop/backing_file")
  return [back.parts[3] for back in files if disk in _text(str(back))]


def holders(device: str) -> list[str]:
  """Devices that have been made from one, such as maps of its partitions."""
  try:
    number = pathlib.Path(device).stat().st_rdev
  except OSError:
    return []
  numbers = f"{os.major(number)}:{os.minor(number)}"
  top = pathlib.Path("/sys/dev/block", numbers, "holders")
  return sorted(p.name for p in top.glob("*"))


def _runs(end: str) -> Callable[[int, str], bool]:
  """Whether a process runs a program, itself or by an interpreter."""
  return lambda pid, _: any(w.endswith(end) for w in _words(pid)[:3])


_FITS: dict[str, Callable[[int, str], bool]] = {
  Who.WORKER: lambda pid, instance: (
    _runs("/source_main.py")(pid, "") and instance in _words(pid)
  ),
  Who.RECEIVER: _runs("/target_main.py"),
  Who.CRIU: lambda pid, _: _text(f"/proc/{pid}/comm").strip() == "criu",
  Who.LXC_CHECKPOINT: lambda pid, _: any(
    "lxc-checkpoint" in w for w in _words(pid)[:2]
  ),
  Who.SCRIPT: lambda pid, instance: _runs(f"{instance}/criu-action")(pid, ""),
  Who.JOBS: _runs("/jqueue/exec.py"),
}


def answers(looking: Looking, asked: Iterable[str]) -> Iterator[str]:
  """Does what each line asks."""
  for line in asked:
    method, given = json.loads(line)
    came: Any = getattr(looking, method)(*given)
    yield json.dumps([came])


if __name__ == "__main__":
  os.setpriority(os.PRIO_PROCESS, 0, -10)
  for answer in answers(Looking(poll_s=_POLL_IN_MACHINE_S), sys.stdin):
    print(answer, flush=True)
