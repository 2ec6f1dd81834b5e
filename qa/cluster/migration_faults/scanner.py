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


"""Prints a line whenever who runs or who has mounted has changed.

Usage: scanner.py WORD DISK PAUSE NODE=PID...

WORD stands in the environment of the guest's processes, as "FAULTS_GUEST=";
DISK in the path of the file that is its disk, or is the path of its device;
PAUSE is between two looks, in seconds; PID is a node's first process.
Ends with its standard input.

"""

import fcntl
import json
import os
import pathlib
import select
import sys
import time

# ioctl_ns(2)
_NS_GET_PARENT = 0xB702


def _link(path: str) -> str:
  try:
    return os.readlink(path)  # noqa: PTH115 - of no file
  except OSError:
    return ""


class Scanner:
  """One machine, several nodes."""

  def __init__(self, word: str, disk: str, nodes: dict[str, int]):
    self._word = word.encode()
    self._disk = disk
    self._homes = {_link(f"/proc/{p}/ns/pid"): n for n, p in nodes.items()}
    # A process never changes its own process namespace.
    self._seen: dict[int, tuple[str, bool]] = {}

  def scan(self) -> dict[str, object]:
    """Boots that run on each node, and the nodes that have it mounted."""
    pids = [int(e) for e in os.listdir("/proc") if e.isdigit()]  # noqa: PTH208
    alive = set(pids)
    self._seen = {p: v for p, v in self._seen.items() if p in alive}
    boots: dict[str, list[str]] = {}
    for pid in pids:
      node, is_guest = self._place(pid)
      if node and is_guest:
        boot = self._boot(pid)
        if boot and boot not in boots.setdefault(node, []):
          boots[node].append(boot)
    return {
      "boots": {n: sorted(b) for n, b in sorted(boots.items()) if b},
      "mounts": sorted(self._mounts()),
    }

  def _place(self, pid: int) -> tuple[str, bool]:
    if pid not in self._seen:
      space = _link(f"/proc/{pid}/ns/pid")
      if not space:
        return "", False
      node = self._homes.get(space, "")
      self._seen[pid] = (node, False) if node else (self._above(pid), True)
    return self._seen[pid]

  def _above(self, pid: int) -> str:
    """The node in whose namespace the process's namespace was made."""
    try:
      own = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
    except OSError:
      return ""
    try:
      above = fcntl.ioctl(own, _NS_GET_PARENT)
    except OSError:
      return ""
    finally:
      os.close(own)
    try:
      return self._homes.get(_link(f"/proc/self/fd/{above}"), "")
    finally:
      os.close(above)

  def _boot(self, pid: int) -> str:
    try:
      text = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
      return ""
    pairs = dict(e.partition(b"=")[::2] for e in text.split(b"\0"))
    if pairs.get(b"FAULTS_GUEST") != self._word:
      return ""
    return pairs.get(b"FAULTS_BOOT", b"unknown").decode()

  def _mounts(self) -> set[str]:
    devices = self._devices()
    found: set[str] = set()
    looked: set[str] = set()
    for pid, (node, _) in self._seen.items():
      if not node or node in found:
        continue
      space = _link(f"/proc/{pid}/ns/mnt")
      if not space or space in looked:
        continue
      looked.add(space)
      try:
        text = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
      except OSError:
        looked.discard(space)
        continue
      if any(line.split(" ", 3)[2] in devices for line in text.splitlines()):
        found.add(node)
    return found

  def _devices(self) -> set[str]:
    """Numbers of the disk's devices, and of those of its partitions."""
    if self._disk.startswith("/dev/"):
      return _with_holders(self._disk)
    found: set[str] = set()
    for name in os.listdir("/sys/block"):  # noqa: PTH208
      if not name.startswith("loop"):
        continue
      top = f"/sys/block/{name}"
      try:
        back = pathlib.Path(f"{top}/loop/backing_file").read_text()
      except OSError:
        continue
      if self._disk not in back:
        continue
      inside = os.listdir(top)  # noqa: PTH208
      for part in ("", *(e for e in inside if e.startswith(name))):
        try:
          found.add(pathlib.Path(f"{top}/{part}/dev").read_text().strip())
        except OSError:
          continue
    return found


def _with_holders(device: str) -> set[str]:
  """Numbers of a device and of what was made from it."""
  try:
    number = pathlib.Path(device).stat().st_rdev
  except OSError:
    return set()
  numbers = f"{os.major(number)}:{os.minor(number)}"
  found = {numbers}
  for holder in pathlib.Path("/sys/dev/block", numbers, "holders").glob("*"):
    try:
      found.add((holder / "dev").read_text().strip())
    except OSError:
      continue
  return found


def main(argv: list[str]) -> int:
  """Looks until nobody wants to know any more."""
  # What is not looked at is not seen.
  os.setpriority(os.PRIO_PROCESS, 0, -10)
  pause_s = float(argv[3])
  nodes = {n: int(p) for n, _, p in (a.partition("=") for a in argv[4:])}
  scanner = Scanner(argv[1], argv[2], nodes)
  before: dict[str, object] = {}
  last, longest = time.time(), 0.0
  while True:
    now = scanner.scan()
    longest = max(longest, time.time() - last)
    last = time.time()
    if now != before:
      print(json.dumps({**now, "time": last, "gap": longest}), flush=True)
      before, longest = now, 0.0
    if select.select([sys.stdin], [], [], pause_s)[0]:
      return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv))
