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

"""What guests of the cluster stories send back, without a guest."""

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator

import pytest
from cluster import echoing
from cluster.cluster import wait_for

_MUCH = b"x" * (1 << 20)
# SO_LINGER of socket(7): on, no time; so that close(2) sends a reset.
_RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def server() -> Iterator[tuple[int, int]]:
  """The program, where it listens and its PID.

  Python ignores SIGPIPE, and so does what it starts here, as what systemd
  starts.

  """
  with socket.create_server(("127.0.0.1", 0)) as door:
    port = door.getsockname()[1]
  text = echoing.PROGRAM.replace(str(echoing.PORT), str(port))
  with subprocess.Popen(
    ["perl", "-e", text], restore_signals=False, start_new_session=True
  ) as program:
    try:
      wait_for(lambda: _says(port, b"x") == b"x", "an answer")
      yield port, program.pid
    finally:
      os.killpg(program.pid, signal.SIGKILL)


def _says(port: int, text: bytes) -> bytes:
  try:
    with socket.create_connection(("127.0.0.1", port)) as line:
      line.sendall(text)
      return line.recv(len(text))
  except ConnectionRefusedError:
    return b""


def _children(pid: int) -> str:
  """Their states, as in ps(1)."""
  found = subprocess.run(
    ["ps", "-o", "state=", "--ppid", str(pid)], capture_output=True, text=True
  )
  return found.stdout.strip()


def _must_wait(line: socket.socket, pid: int) -> bool:
  """Whether so much was sent that the program cannot send all back.

  Who sleeps while there is something to read waits to write.

  """
  try:
    line.send(_MUCH)
  except BlockingIOError:
    return _children(pid) == "S"
  return False


def test_nothing_spins_when_a_client_is_gone_before_it_has_read_all(
  server: tuple[int, int],
) -> None:
  port, pid = server
  with socket.create_connection(("127.0.0.1", port)) as line:
    line.setblocking(False)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    wait_for(lambda: _must_wait(line, pid), "full buffers")
  wait_for(lambda: not _children(pid), "the end of it")
