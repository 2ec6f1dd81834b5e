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


"""A client that counts, and connects again when it is cut off.

Usage: witness.py HOST PORT PAUSE

Sends numbered lines with a check and reads them back, with PAUSE seconds in
between.  Upon each line that it is sent it prints what it saw; ends with its
standard input.

"""

import contextlib
import hashlib
import json
import select
import socket
import sys
import time

_AHEAD = 32
_CONNECT_S = 2.0


def line(number: int) -> bytes:
  """What is sent and has to come back."""
  check = hashlib.sha256(str(number).encode()).hexdigest()
  return f"{number} {check}\n".encode()


def _find_out(link: socket.socket) -> None:
  """A guest that has lost its memory must not be waited for.

  It refuses what is asked, but nothing is where all was acknowledged; a node
  that is cut off does not answer, and may be so for long.

  """
  link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
  link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
  link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
  link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 100)


class Witness:
  """Counts over all its connections."""

  def __init__(self, host: str, port: int, pause_s: float):
    self._to = (host, port)
    self._pause_s = pause_s
    self._link: socket.socket | None = None
    self.connections = 0
    self.received = 0
    self.wrong = 0
    self.stall = 0.0
    self.error = ""
    self._reset()

  def _reset(self) -> None:
    self._sent = self._back = 0
    self._out = self._in = b""
    self._last = time.monotonic()

  def step(self) -> None:
    """Whatever can be done within a moment."""
    if self._link is None:
      self._connect()
      return
    try:
      self._exchange(self._link)
    except OSError as err:
      self.error = str(err)
      self._link.close()
      self._link = None

  def _connect(self) -> None:
    with contextlib.suppress(OSError):
      link = socket.create_connection(self._to, _CONNECT_S)
      _find_out(link)
      link.setblocking(False)  # noqa: FBT003 - socket has it so
      self._link = link
      self.connections += 1
      self._reset()

  def _exchange(self, link: socket.socket) -> None:
    while self._sent - self._back < _AHEAD and len(self._out) < 4096:
      self._sent += 1
      self._out += line(self._sent)
    wanted = [link] if self._out else []
    ready, writable, _ = select.select([link], wanted, [], self._pause_s)
    with contextlib.suppress(BlockingIOError):
      if writable:
        self._out = self._out[link.send(self._out) :]
    if ready:
      got = link.recv(1 << 16)
      if not got:
        raise ConnectionResetError("closed by the guest")
      self._in += got
      self._read()

  def _read(self) -> None:
    *lines, self._in = self._in.split(b"\n")
    for text in lines:
      self._back += 1
      self.received += 1
      self.wrong += text + b"\n" != line(self._back)
    if lines:
      now = time.monotonic()
      self.stall = max(self.stall, now - self._last)
      self._last = now

  def tell(self) -> str:
    """What was seen; the longest silence since it was told last."""
    silent = time.monotonic() - self._last
    found = {
      "connections": self.connections,
      "received": self.received,
      "wrong": self.wrong,
      "stall": max(self.stall, silent),
      "error": self.error,
    }
    self.stall = 0.0
    return json.dumps(found)


def main(argv: list[str]) -> int:
  """Counts until nobody wants to know any more."""
  pause_s = float(argv[3])
  witness = Witness(argv[1], int(argv[2]), pause_s)
  while True:
    witness.step()
    time.sleep(pause_s)
    if select.select([sys.stdin], [], [], 0)[0]:
      if not sys.stdin.readline():
        return 0
      print(witness.tell(), flush=True)


if __name__ == "__main__":
  sys.exit(main(sys.argv))
