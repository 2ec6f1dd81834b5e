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

"""Has half closed connections of a restored guest send at once.

Where the peer has said that it sends no more, CRIU has its FIN arrive once
more, in a packet of its own making.  As the peer's window that has the guest's
own, whose upper bits do not fit (soccr/soccr.c, send_fin: data->rcv_wnd): of
64 KiB, which most connections have at first, nothing is left.  Linux believes
that even of a segment which is not newer than the last one that told a window
(tcp_may_update_window, net/ipv4/tcp_input.c: "!nwin"; older ones do not).  So
the guest took its peer for one that has no room, and sent its answer when it
had asked once more, after three seconds.  Nothing was lost.  CRIU has the
kernel ask at once for established connections only (tcp_send_window_probe).

What the peer could take cannot be read any more; the most that it ever could,
can.  If it is less by now the peer says so, and what was sent beyond is sent
again.  That is left as it is where something waits to be sent: the peer may
well have had no room.

"""

import contextlib
import fcntl
import logging
import socket
import struct

from .. import cgroup
from ..cgtree import TooManyGroupsError
from ..errors import one_line
from ..hierarchies import Hierarchies
from ..host import Host, read_optional
from . import sockets

_log = logging.getLogger(__name__)

_TABLES = ("tcp", "tcp6")
# Of a line in them (proc_pid_net(5)), counted from 0.
_STATE, _INODE = 3, 9
# Those in which the peer's FIN has arrived (net/tcp_states.h).
_CLOSE_WAIT, _LAST_ACK, _CLOSING = 8, 9, 11
_STATES = (_CLOSE_WAIT, _LAST_ACK, _CLOSING)
_TCP_REPAIR, _TCP_REPAIR_WINDOW = 19, 29
# struct tcp_repair_window (linux/tcp.h): snd_wl1, snd_wnd, max_window, rcv_wnd,
# rcv_wup
_WINDOW = struct.Struct("=5I")
_SIOCOUTQNSD = 0x894B
_INT = struct.Struct("=i")


def mend(host: Host, trees: Hierarchies, name: str, init: int) -> None:
  """Has them send; they are in repair mode, and no process runs yet.

  In a guest that has none no socket is looked at.  That it cannot be done is no
  reason to fail.

  @param init: the guest's process 1

  """
  texts = (read_optional(host.proc / f"{init}/net/{t}") for t in _TABLES)
  if not any(are_there(text or "") for text in texts):
    return
  try:
    pids = cgroup.processes(trees, name)
  except TooManyGroupsError as err:
    _log.warning("Instance %s: %s", name, one_line(str(err)))
    return
  count = sum(_mend_of(host, pid) for pid in pids)
  if count:
    _log.info("Instance %s: %d half closed connections mended", name, count)


def are_there(table: str) -> bool:
  """Whether a process has a connection that the peer has closed.

  @param table: text of /proc/PID/net/tcp

  """
  states = {f"{state:02X}" for state in _STATES}
  lines = [line.split() for line in table.splitlines()[1:]]
  return any(
    words[_STATE] in states and words[_INODE] != "0"
    for words in lines
    if len(words) > _INODE
  )


def _mend_of(host: Host, pid: int) -> int:
  count = 0
  with contextlib.suppress(OSError), sockets.of(host, pid) as found:
    for number in found.names():
      with contextlib.suppress(OSError), found.duplicate(number) as one:
        count += _mend_one(one)
  return count


def _mend_one(one: socket.socket) -> bool:
  if one.proto != socket.IPPROTO_TCP:
    return False
  state = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
  if state not in _STATES or not _is_in_repair(one):
    return False
  (unsent,) = _INT.unpack(fcntl.ioctl(one, _SIOCOUTQNSD, bytes(_INT.size)))
  told = one.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_WINDOW, _WINDOW.size)
  better = mended(told, unsent)
  if better is None:
    return False
  one.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_WINDOW, better)
  return True


def _is_in_repair(one: socket.socket) -> bool:
  # The guest ran on: its window is what its peer has said.
  return one.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR) == 1


def mended(window: bytes, unsent: int) -> bytes | None:
  """What to have the kernel know of the windows instead.

  @param window: a struct tcp_repair_window
  @param unsent: how much waits to be sent
  @return: None if it is right as it is

  """
  wl1, sends, most, receives, wup = _WINDOW.unpack(window)
  if sends or unsent or not most:
    return None
  return _WINDOW.pack(wl1, most, most, receives, wup)
