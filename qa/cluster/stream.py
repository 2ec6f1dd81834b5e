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
import pathlib
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cluster.cluster import Node, wait_for
from ganeti_lab import command

# Handed to the node's Python as text: the node's own copy may be older.
_CLIENT = (pathlib.Path(__file__).with_name("counting_client.py")).read_text()


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
  error: str


class Stream:
  """One connection from a node to a guest that echoes."""

  def __init__(
    self,
    node: Node,
    address: str,
    port: int,
    *,
    pause_s: float = 0,
    message_bytes: int = 0,
  ):
    """Connects.

    @param pause_s: rest after each message, in seconds: at full speed it
      takes an emulated processor of its own
    @param message_bytes: how long each is at least

    """
    self._ended = False
    self._last: Report | None = None
    words = [address, str(port), str(pause_s), str(message_bytes)]
    argv = node.seen.argv(["python3", "-uc", _CLIENT, *words])
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
