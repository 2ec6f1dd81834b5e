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

"""Tells a guest's systemd once, for its services, that they live.

systemd ends a service with WatchdogSec= that has not said WATCHDOG=1 for so
long (sd_notify(3)).  After a migration it refuses what a service says until
it has begun to reload (reload.py), and it takes messages before it takes the
signal that has it reload (systemd's src/core/manager.c: the notification
socket has the higher priority).  So what a service says as the first process
of the guest that runs is lost.  It says the next only when half of its time
has gone by again (sd_event_set_watchdog(3)), which is too late: seen, logind
of Debian 13 was ended half a minute after its second migration.  A message
that was said before cannot be refused: CRIU does not save it (dump.py).

What is said here is said as the service would: to the socket that systemd
named it, with its PID (unix(7), SCM_CREDENTIALS).  Who is watched is told by
its environment (sd_watchdog_enabled(3)).

"""

import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import guestfs, procfs
from ..host import Host

_log = logging.getLogger(__name__)

_ALIVE = b"WATCHDOG=1"
# A lookup in a guest's file system can wait for the guest (FUSE).
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Watched:
  """A process that has to say that it lives.

  @ivar pid: as this node numbers it; uid, gid likewise
  @ivar path: the socket, as the process sees it

  """

  pid: int
  uid: int
  gid: int
  path: str


def watched(
  environment: bytes, status: dict[str, list[str]], pid: int
) -> Watched | None:
  """What a process's environment says of it; None if nobody watches it.

  Children have the environment too, but another PID than it names.

  @param environment: /proc/PID/environ, the guest's own text
  @param status: procfs.status

  """
  entries = (entry.partition(b"=") for entry in environment.split(b"\0"))
  found = {key: value for key, _, value in entries}
  numbers = status.get("NSpid")
  path = os.fsdecode(found.get(b"NOTIFY_SOCKET", b""))
  if not numbers or found.get(b"WATCHDOG_PID") != numbers[-1].encode("ascii"):
    return None
  if not path.startswith("/"):
    return None
  return Watched(pid, int(status["Uid"][1]), int(status["Gid"][1]), path)


def repeat(host: Host, pids: Iterable[int]) -> None:
  """Says for each of these processes that it lives, if it is watched."""
  found = list(filter(None, (_look(host.proc, pid) for pid in pids)))
  if not found:
    return
  speaker = threading.Thread(
    target=_speak_for, args=(host.proc, found), daemon=True
  )
  speaker.start()
  speaker.join(_WAIT_S)
  if speaker.is_alive():
    _log.warning("A guest's /run/systemd does not answer")


def _look(proc: Path, pid: int) -> Watched | None:
  try:
    environment = (proc / f"{pid}/environ").read_bytes()
  except OSError:
    return None
  return watched(environment, procfs.status(proc, pid), pid)


def _speak_for(proc: Path, found: Iterable[Watched]) -> None:
  for one in found:
    try:
      _say(proc, one)
    except OSError as err:
      _log.warning("Process %d is not spoken for: %s", one.pid, err)


def _say(proc: Path, one: Watched) -> None:
  with contextlib.ExitStack() as stack:
    root = os.open(proc / f"{one.pid}/root", os.O_PATH | os.O_CLOEXEC)
    stack.callback(os.close, root)
    there = guestfs.open_in_root(root, one.path.lstrip("/"), os.O_PATH)
    stack.callback(os.close, there)
    line = stack.enter_context(
      socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    )
    line.connect(f"/proc/self/fd/{there}")
    sender = struct.pack("3i", one.pid, one.uid, one.gid)
    line.sendmsg(
      [_ALIVE],
      [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, sender)],
      socket.MSG_DONTWAIT,
    )
