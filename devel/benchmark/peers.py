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


"""Other managers of containers, asked for the same work.

Each works with the instance's own disk or a copy of what is on it, with the
limits that the instance has.

"""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from .child import timed
from .findings import Attempt, Findings

TIMEOUT_S = 300
_SHOWN = 300
# The disk's partition at {home}/rootfs, and away again.
MOUNT = """
loop=$(losetup -f --show {disk})
echo $loop >{home}/loop
partx -a $loop
mount -t ext4 -o rw,nodev,errors=remount-ro ${{loop}}p1 {home}/rootfs
"""
UNMOUNT = """
umount {home}/rootfs
loop=$(cat {home}/loop)
partx -d $loop
losetup -d $loop
rm {home}/loop
"""


class PeerError(RuntimeError):
  """A command of a peer's failed.

  @ivar command: the last one that was started
  @ivar last_line: what was printed last

  """

  def __init__(self, command: str, last_line: str) -> None:
    super().__init__(f"{command}: {last_line}")
    self.command = command
    self.last_line = last_line


def failure(script: str, log: str) -> PeerError:
  """What failed, from what C{sh -x} printed."""
  lines = [line.strip() for line in log.splitlines() if line.strip()]
  commands = [line.lstrip("+ ") for line in lines if line.startswith("+ ")]
  printed = [line for line in lines if not line.startswith("+")]
  return PeerError(
    commands[-1] if commands else script.strip(),
    (printed[-1] if printed else "it printed nothing")[:_SHOWN],
  )


def shell(script: str, log: Path) -> None:
  """Runs a script up to the first command that fails.

  What it prints goes to a file: programs that stay keep it open, and nobody
  waits for them.

  @raise PeerError: a command failed

  """
  with log.open("w", encoding="utf-8") as stream:
    # Without a timeout: waiting with one is polling, by up to 50 ms.
    status = subprocess.Popen(
      ["sh", "-xec", script],
      stdin=subprocess.DEVNULL,
      stdout=stream,
      stderr=subprocess.STDOUT,
    ).wait()
  if status:
    text = log.read_text(encoding="utf-8", errors="replace")
    raise failure(script, text)


def ask(argv: list[str]) -> str:
  """What a program prints.

  @raise PeerError: it failed

  """
  done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S)
  if done.returncode:
    raise failure(" ".join(argv), f"+ {' '.join(argv)}\n{done.stderr}")
  return done.stdout


class Freezer(Protocol):
  """What is asked of whoever can write a guest to a file.

  @cvar back_command: for people, what lets it run on

  """

  name: ClassVar[str]
  back_command: ClassVar[str]

  def run(self, memory_mib: int) -> None:
    """Runs one that lasts, with a limit of its memory."""

  def inside(self, script: str) -> None:
    """Starts a shell script in that one, and does not wait for it."""

  def address(self) -> str:
    """Where that one can be reached from this node."""

  def pid(self) -> int:
    """Its first process."""

  def freeze_out(self) -> None:
    """Writes it with its memory to a file; it does not run afterwards."""

  def bring_back(self) -> None:
    """Lets it run on from that."""

  def end(self) -> None:
    """Takes that one away."""


class Peer(Freezer, Protocol):
  """What is asked of a peer."""

  crowd_command: ClassVar[str]

  def prepare(self) -> None:
    """Once, not timed."""

  def start(self) -> None:
    """Makes the disk available and starts a container on it."""

  def stop(self) -> None:
    """Kills it, and takes away what start made."""

  def grow_to(self, count: int) -> None:
    """Lets so many tiny containers run."""

  def listed(self) -> int:
    """Asks for a list; how many there are."""

  def clear(self) -> None:
    """Takes them all away."""

  def limit(self, memory_mib: int) -> None:
    """Changes the limit of its memory while it runs."""

  def sweep(self) -> None:
    """Takes away whatever is left."""


_P = TypeVar("_P", bound=Freezer)


def installed(peers: list[Peer], findings: Findings) -> list[Peer]:
  """Those that are there; the others are noted."""
  found = []
  for peer in peers:
    if shutil.which(peer.name):
      found.append(peer)
    else:
      findings.attempts.append(
        Attempt(
          peer=peer.name,
          what="installation",
          able=False,
          command=f"apt-get install {peer.name}",
          last_line=f"{peer.name} is not on this node",
        )
      )
  return found


def trying(
  peers: list[_P],
  findings: Findings,
  what: str,
  work: Callable[[_P], None],
) -> list[_P]:
  """Those peers that can do something; the others are noted, with the why."""
  able = []
  for peer in peers:
    try:
      work(peer)
    except (RuntimeError, subprocess.TimeoutExpired, OSError) as err:
      findings.attempts.append(
        Attempt(
          peer=peer.name,
          what=what,
          able=False,
          command=getattr(err, "command", what),
          last_line=getattr(err, "last_line", str(err)),
        )
      )
    else:
      able.append(peer)
  return able


def start_and_stop(peer: Peer) -> None:
  """Whether it can do that at all."""
  peer.prepare()
  try:
    peer.start()
  except PeerError:
    with contextlib.suppress(PeerError):
      peer.stop()
    raise
  peer.stop()


def wall_ms(work: Callable[[], None]) -> float:
  """How long something takes, in milliseconds."""
  return timed(work)["ms"]
