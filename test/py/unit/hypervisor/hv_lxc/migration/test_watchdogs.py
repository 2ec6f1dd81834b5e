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

"""Services of a migrated guest, spoken for to its systemd."""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ganeti.hypervisor.hv_lxc.migration import watchdogs

PID = os.getpid()
IDS = f"Uid:\t1\t{os.getuid()}\t3\t4\nGid:\t5\t{os.getgid()}\t7\t8\n"
STATUS = f"Name:\tx\n{IDS}NSpid:\t{PID}\t34\n"
WATCHED = b"A=1\0NOTIFY_SOCKET=/run/systemd/notify\0WATCHDOG_PID=34\0"
PATH = "run/systemd/notify"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
  """What listens in the guest, whose root is below C{tmp_path}."""
  path = tmp_path / "guest" / PATH
  path.parent.mkdir(parents=True)
  with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
    there.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    there.setblocking(False)
    there.bind(str(path))
    yield there


def speak(tmp_path: Path, environment: bytes = WATCHED) -> None:
  """For a process of this PID, with this environment."""
  entry = tmp_path / f"proc/{PID}"
  entry.mkdir(parents=True)
  (entry / "environ").write_bytes(environment)
  (entry / "status").write_text(STATUS)
  (entry / "root").symlink_to(tmp_path / "guest")
  host = SimpleNamespace(proc=tmp_path / "proc")
  # One is gone when it is looked at.
  watchdogs.repeat(host, [2**22 + 1, PID])  # type: ignore[arg-type]


def test_logind_was_ended_after_a_migration(
  tmp_path: Path, systemd: socket.socket
) -> None:
  speak(tmp_path)
  text, sent, _, _ = systemd.recvmsg(100, 100)
  assert text == b"WATCHDOG=1"
  ((_, kind, sender),) = sent
  assert kind == socket.SCM_CREDENTIALS
  assert struct.unpack("3i", sender) == (PID, os.getuid(), os.getgid())
  with pytest.raises(BlockingIOError):
    systemd.recv(100)


@pytest.mark.parametrize(
  "environment",
  [
    b"",
    b"PATH=/bin\0=\0",
    WATCHED.replace(b"=34", b"=35"),
    WATCHED.replace(b"=34", b"="),
    WATCHED.replace(b"/run", b"@run"),
    b"WATCHDOG_PID=34\0",
  ],
  ids=["none", "no", "a child", "empty", "abstract", "nobody listens"],
)
def test_who_is_not_watched_is_not_spoken_for(
  tmp_path: Path, systemd: socket.socket, environment: bytes
) -> None:
  speak(tmp_path, environment)
  with pytest.raises(BlockingIOError):
    systemd.recv(100)


@pytest.mark.parametrize("link", ["/{}", "../../../../../../../../../..{}"])
def test_a_link_of_the_guest_ends_in_the_guest(
  tmp_path: Path,
  systemd: socket.socket,
  link: str,
  caplog: pytest.LogCaptureFixture,
) -> None:
  (tmp_path / "guest" / PATH).rename(tmp_path / "nodes")
  target = link.format(tmp_path / "nodes")
  (tmp_path / "guest" / PATH).symlink_to(target)
  speak(tmp_path)
  assert "No such file" in caplog.text
  with pytest.raises(BlockingIOError):
    systemd.recv(100)


def test_a_queue_that_is_full_holds_nobody_up(
  tmp_path: Path, systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
  with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
    other.setblocking(False)
    with contextlib.suppress(BlockingIOError):
      while True:
        other.sendto(b"x", systemd.getsockname())
    speak(tmp_path)
  assert "is not spoken for" in caplog.text
