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

"""A client that counts: counting_client.py HOST PORT [PAUSE [BYTES]].

Sends numbers with a check to a server that echoes and reads them back; tells
about it, as JSON, on each line that it is sent, and ends with its input.
PAUSE is how many seconds it rests after each message, BYTES how long one is at
least.
Run in a node of the lab, so nothing but the standard library.

"""

import hashlib
import json
import select
import socket
import sys
import time

_PATIENCE_S = 30
_AHEAD = 64
_BUFFER = 4096


def connected(host: str, port: int) -> socket.socket:
  """A connection, as soon as the server listens."""
  begun = time.monotonic()
  while True:
    try:
      return socket.create_connection((host, port), 5)
    except OSError:
      if time.monotonic() - begun > _PATIENCE_S:
        raise
      time.sleep(0.1)


def line(number: int, least: int) -> bytes:
  """What is sent for a number, of so many bytes at least."""
  check = hashlib.sha256(str(number).encode()).hexdigest()
  return f"{number} {check * (least // len(check) + 1)}\n".encode()


class Count:
  """What came back, and how long nothing did."""

  def __init__(self, least: int) -> None:
    self._least = least
    self.sent = self.received = self.lost = self.repeated = 0
    self.stall = 0.0
    self.error = ""
    self._last = time.monotonic()

  def took(self, text: bytes) -> None:
    """One line."""
    number, wanted = int(text.split()[0]), self.received + 1
    if number > wanted or text + b"\n" != self.line(number):
      self.lost += 1
    elif number < wanted:
      self.repeated += 1
    self.received = max(number, self.received)
    now = time.monotonic()
    self.stall = max(self.stall, now - self._last)
    self._last = now

  def line(self, number: int) -> bytes:
    """What is sent for a number."""
    return line(number, self._least)

  def tell(self) -> None:
    """Prints the figures."""
    known = {k: v for k, v in vars(self).items() if not k.startswith("_")}
    print(json.dumps(known), flush=True)


def exchange(link: socket.socket, count: Count, pause: float) -> None:
  """Sends and reads until the input ends, or the connection does."""
  out, data = b"", b""
  while True:
    if count.sent - count.received < _AHEAD and len(out) < _BUFFER:
      count.sent += 1
      out += count.line(count.sent)
    ready, writable, _ = select.select(
      [link, sys.stdin], [link] if out else [], [], 0.02
    )
    if sys.stdin in ready:
      if not sys.stdin.readline():
        return
      count.tell()
    if writable:
      out = out[link.send(out) :]
    if link in ready:
      got = link.recv(1 << 16)
      if not got:
        raise ConnectionResetError("closed by the guest")
      *lines, data = (data + got).split(b"\n")
      for text in lines:
        count.took(text)
      time.sleep(pause)


def main(argv: list[str]) -> None:
  """Connects and counts."""
  with connected(argv[1], int(argv[2])) as link:
    count = Count(int(argv[4]) if argv[4:] else 0)
    print("connected", flush=True)
    link.setblocking(False)  # noqa: FBT003 - socket has it so
    try:
      exchange(link, count, float(argv[3]) if argv[3:] else 0)
    except OSError as err:
      count.error = str(err)
      count.tell()


if __name__ == "__main__":
  main(sys.argv)
