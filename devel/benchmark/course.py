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


"""What happens over time: memory of a control group, and what a client gets."""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_MIB = 1 << 20
_EVERY_S = 0.02
# The files of cgroup v1, and what they are called in v2.
_FILES = {
  "limit": ("memory.limit_in_bytes", "memory.max"),
  "used": ("memory.usage_in_bytes", "memory.current"),
}


def memory_group(pid: int) -> Path:
  """The control group that holds a process's memory."""
  for line in Path(f"/proc/{pid}/cgroup").read_text("ascii").splitlines():
    _, controllers, path = line.split(":", 2)
    if "memory" in controllers.split(","):
      return Path("/sys/fs/cgroup/memory") / path.lstrip("/")
  unified = Path(f"/proc/{pid}/cgroup").read_text("ascii").split("0::", 1)[1]
  return Path("/sys/fs/cgroup") / unified.strip().lstrip("/")


def _number(group: Path, names: Sequence[str]) -> float | None:
  for name in names:
    with contextlib.suppress(OSError, ValueError):
      return int((group / name).read_text("ascii")) / _MIB
  return None


def oom_kills(group: Path) -> int:
  """How often the kernel has killed in there."""
  for name in ("memory.oom_control", "memory.events"):
    with contextlib.suppress(OSError):
      for line in (group / name).read_text("ascii").splitlines():
        if line.startswith("oom_kill "):
          return int(line.split()[1])
  raise RuntimeError(f"{group} does not count what was killed")


class Watch:
  """Samples limit and use of a group while a block runs.

  @ivar samples: seconds since the beginning, limit, use in MiB

  """

  def __init__(self, group: Path) -> None:
    self._group = group
    self._over = threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._begun = time.monotonic()
    self.samples: list[tuple[float, float | None, float | None]] = []

  @property
  def now(self) -> float:
    """Seconds since the beginning."""
    return time.monotonic() - self._begun

  def __enter__(self) -> Self:
    self._thread.start()
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self._over.set()
    self._thread.join()

  def _run(self) -> None:
    while not self._over.wait(_EVERY_S):
      limit, used = (_number(self._group, names) for names in _FILES.values())
      self.samples.append((round(self.now, 3), limit, used))


class Client:
  """A client that counts, and what it had got back when.

  @ivar got: monotonic time in seconds, and how many lines until then

  """

  def __init__(self, argv: Sequence[str], every_s: float) -> None:
    self._every_s = every_s
    self._process = subprocess.Popen(
      argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    self.got: list[tuple[float, int]] = []
    self._last: dict[str, Any] = {}
    self._over = threading.Event()
    assert self._process.stdout
    if self._process.stdout.readline() != "connected\n":
      self._process.kill()
      raise RuntimeError("the guest does not answer")
    self._thread = threading.Thread(target=self._follow, daemon=True)
    self._thread.start()

  def _follow(self) -> None:
    assert self._process.stdin
    assert self._process.stdout
    while not self._over.wait(self._every_s):
      try:
        self._process.stdin.write("tell\n")
        self._process.stdin.flush()
        self._last = json.loads(self._process.stdout.readline())
      except (OSError, ValueError):
        return
      now, received = time.monotonic(), int(self._last["received"])
      if not self.got or self.got[-1][1] != received:
        self.got.append((now, received))

  def end(self) -> dict[str, Any]:
    """Ends it; what it saw."""
    self._over.set()
    self._thread.join(30)
    assert self._process.stdin
    with contextlib.suppress(OSError):
      self._process.stdin.close()
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    return self._last


@contextlib.contextmanager
def client(argv: Sequence[str], every_s: float) -> Iterator[Client]:
  """A client for the length of a block, asked so often what it has got."""
  one = Client(argv, every_s)
  try:
    yield one
  finally:
    one.end()


def wait_for(condition: Any, what: str, timeout_s: float = 60.0) -> None:
  """Waits until a condition holds.

  @raise RuntimeError: it does not within the time

  """
  deadline = time.monotonic() + timeout_s
  while not condition():
    if time.monotonic() > deadline:
      raise RuntimeError(f"not within {timeout_s:.0f} s: {what}")
    time.sleep(0.05)


def holding(mib: int) -> str:
  """A shell script that keeps so much memory of no pattern, for good."""
  raw = mib * _MIB * 3 // 4
  # A sort that has seen no end of its input keeps it.
  return (
    f"{{ head -c {raw} /dev/urandom | base64 -w 0; exec sleep 1000000; }}"
    " | sort >/dev/null"
  )
