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

"""A client that counts: numbered lines to a guest and back."""

import contextlib
import json
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cluster.cluster import Node, wait_for
from ganeti_lab import command

# Run in a node: sends numbers with a check, reads them back, and tells about
# it on each line that it is sent; ends with its standard input.
_CLIENT = r"""
import hashlib, json, select, socket, sys, time

host, port = sys.argv[1], int(sys.argv[2])
state = {
  "sent": 0, "received": 0, "lost": 0, "repeated": 0, "stall": 0.0,
  "connections": 1, "error": "",
}
begun = time.monotonic()
while True:
  try:
    link = socket.create_connection((host, port), 5)
    break
  except OSError:
    if time.monotonic() - begun > 30:
      raise
    time.sleep(0.1)
link.setblocking(False)
out, data, last = b"", b"", time.monotonic()

def line(number):
  check = hashlib.sha256(str(number).encode()).hexdigest()
  return f"{number} {check}\n".encode()

print("connected", flush=True)
while True:
  ahead = state["sent"] - state["received"] < 64
  if ahead and len(out) < 4096:
    state["sent"] += 1
    out += line(state["sent"])
  write = [link] if out else []
  ready, writable, _ = select.select([link, sys.stdin], write, [], 0.02)
  if sys.stdin in ready:
    if not sys.stdin.readline():
      break
    print(json.dumps(state), flush=True)
  try:
    if writable:
      out = out[link.send(out):]
    if link in ready:
      got = link.recv(1 << 16)
      if not got:
        raise ConnectionResetError("closed by the guest")
      data += got
  except BlockingIOError:
    pass
  except OSError as err:
    state["error"] = str(err)
    print(json.dumps(state), flush=True)
    break
  *lines, data = data.split(b"\n")
  for text in lines:
    number = int(text.split()[0])
    wanted = state["received"] + 1
    if number > wanted or text + b"\n" != line(number):
      state["lost"] += 1
    elif number < wanted:
      state["repeated"] += 1
    state["received"] = max(number, state["received"])
    now = time.monotonic()
    state["stall"] = max(state["stall"], now - last)
    last = now
"""


@dataclass(frozen=True)
class Report:
  """What the client saw.

  @ivar stall: the longest silence, in seconds
  @ivar error: of the connection, "" while it lives

  """

  sent: int
  received: int
  lost: int
  repeated: int
  stall: float
  connections: int
  error: str


class Stream:
  """One connection from a node to a guest that echoes."""

  def __init__(self, node: Node, address: str, port: int):
    self._ended = False
    self._last: Report | None = None
    argv = node.seen.argv(["python3", "-uc", _CLIENT, address, str(port)])
    self._process = subprocess.Popen(
      argv,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=command.environment(),
      text=True,
    )
    assert self._process.stdout
    if self._process.stdout.readline() != "connected\n":
      self.end()
      raise AssertionError(f"{address} port {port} does not answer")

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.end()

  def report(self) -> Report:
    """What was seen so far."""
    assert self._process.stdin
    assert self._process.stdout
    self._process.stdin.write("tell\n")
    self._process.stdin.flush()
    return Report(**json.loads(self._process.stdout.readline()))

  def expect_progress(self) -> None:
    """Something more comes back, on the connection that was made first."""
    before = self.report()
    wait_for(lambda: self.report().received > before.received, "an answer")
    assert not self.report().error

  def end(self) -> Report | None:
    """Ends the client; what it saw, if it still lived."""
    if self._ended:
      return self._last
    self._ended = True
    assert self._process.stdin
    assert self._process.stdout
    try:
      self._last = self.report()
    except (OSError, ValueError):
      self._process.kill()
    for end in (self._process.stdin, self._process.stdout):
      # What was not written yet cannot be, if the client has ended.
      with contextlib.suppress(OSError):
        end.close()
    self._process.wait(30)
    return self._last
