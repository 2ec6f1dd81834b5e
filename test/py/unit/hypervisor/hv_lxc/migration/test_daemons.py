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

"""The target's process, when the package was upgraded since it began."""

import os
import pathlib
from collections.abc import Iterator

import pytest
from ganeti.hypervisor.hv_lxc.host import Host, make_directory
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import daemons
from ganeti.hypervisor.hv_lxc.migration import journal as journals

NAME = "web1.example.com"
LOOPBACK = "127.0.0.1"


class Receiver:
  """A process that listens, by its lock; it stands for this process."""

  def __init__(self, host: Host, stamp: str, place: str = "") -> None:
    self.killed = False
    make_directory(host.layout.migrations)
    lock = daemons.try_lock(host.layout.receiver_lock)
    assert lock is not None
    self.lock = lock
    os.pwrite(lock, f"{os.getpid()} {stamp} {place}\n".encode(), 0)

  def kill(self, pid: int, _number: int) -> None:
    assert pid == os.getpid()
    self.killed = True
    os.close(self.lock)


def listening(
  found: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
  """It listens until the test is over, or has killed it."""
  monkeypatch.setattr(daemons.os, "kill", found.kill)
  yield found
  if not found.killed:
    os.close(found.lock)


@pytest.fixture
def spawned() -> list[list[str]]:
  return []


@pytest.fixture
def node(tmp_path: pathlib.Path, spawned: list[list[str]]) -> Host:
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))

  def spawn(argv: list[str], **_: object) -> None:
    spawned.append(argv)

  return Host(layout=layout, spawn=spawn)  # type: ignore[arg-type]


@pytest.fixture
def older(node: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
  """One of the release before."""
  yield from listening(Receiver(node, "older"), monkeypatch)


def test_an_idle_one_of_the_release_before_is_replaced(
  node: Host, older: Receiver, spawned: list[list[str]]
) -> None:
  daemons.start_receiver(node, LOOPBACK, 0)
  assert older.killed
  assert len(spawned) == 1


def test_one_that_receives_a_guest_is_left_alone(
  node: Host, older: Receiver, spawned: list[list[str]]
) -> None:
  """A stop of another instance on the node killed it, and the migration."""
  lock = journals.hold_worker_lock(node, NAME)
  assert lock is not None
  daemons.start_receiver(node, LOOPBACK, 0)
  assert not older.killed
  assert not spawned
  os.close(lock)


@pytest.fixture
def elsewhere(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Receiver]:
  """One that listens where migration_port was before."""
  found = Receiver(node, daemons.code_stamp(), f"{LOOPBACK}:8102")
  yield from listening(found, monkeypatch)


def test_a_changed_migration_port_counts_at_the_next_migration(
  node: Host, elsewhere: Receiver, spawned: list[list[str]]
) -> None:
  daemons.start_receiver(node, LOOPBACK, 0)
  assert elsewhere.killed
  assert len(spawned) == 1


def test_who_may_be_asked_anywhere_does_not_end_another_s_receiver(
  node: Host, elsewhere: Receiver, spawned: list[list[str]]
) -> None:
  daemons.start_receiver(node, LOOPBACK, 0, anywhere=True)
  assert not elsewhere.killed
  assert not spawned
