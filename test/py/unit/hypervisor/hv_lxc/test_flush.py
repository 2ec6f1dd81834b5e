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


"""What a guest wrote is where another node reads it, once it is stopped.

A loop device over a file of a network file system is taken away without that.
"""

import os
import pathlib
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc import disks, starting, stopping
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.migration.acts import NodeActs
from ganeti.hypervisor.hv_lxc.migration.journal import Journal
from ganeti.hypervisor.hv_lxc.migration.states import Act
from ganeti.hypervisor.hv_lxc.record import DiskRecord
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
  """What was done to disks and files, in order, by their names."""

  def fsync(_: int) -> None:
    pytest.fail("waits for its file server, for ever")

  monkeypatch.setattr(os, "fsync", fsync)
  return []


@pytest.fixture
def node(tmp_path: pathlib.Path, events: list[str]) -> FakeLxc:
  """An instance whose third disk it was given as a block device."""
  node = FakeLxc(tmp_path)
  attached = [node.disk(0), node.disk(1), node.disk(2, fs_type=None)]
  starting.start(node.host, node.storage, fakes.request(attached))
  events.clear()

  def detached(what: str) -> None:
    verb, path = what.split()
    events.append(f"{verb} {pathlib.Path(path).name}")

  def synced(argv: tuple[str, ...]) -> int:
    events.append(f"sync {pathlib.Path(argv[-1]).name}")
    return 0

  node.storage.after = detached
  node.run.on("sync", synced)
  return node


def hard_stop(node: FakeLxc) -> None:
  stopping.hard_stop(node.host, node.storage, NAME)


def clean_up(node: FakeLxc) -> None:
  node.depopulate()
  stopping.clean_up_stopped(node.host, node.storage, NAME)


def hand_over(node: FakeLxc) -> None:
  """As a migration does before the other node may have the guest."""
  node.depopulate()
  acts = NodeActs(host=node.host, storage=node.storage, name=NAME)
  acts.perform(Act.RELEASE_DISKS, Journal(name=NAME, id="m1"))


STOPS = pytest.mark.parametrize("stop", [hard_stop, clean_up, hand_over])


@STOPS
def test_by_each_stop_and_after_the_loop_device_has_gone(
  node: FakeLxc, events: list[str], stop: Callable[[FakeLxc], None]
) -> None:
  stop(node)
  for name in ("disk0", "disk1", "disk2"):
    assert events.index(f"detach {name}") < events.index(f"sync {name}")
  assert node.left() == {}


@STOPS
@pytest.mark.parametrize(
  ("answer", "said"),
  [
    (
      Result(("sync",), 1, "", "sync: error syncing 'disk0': I/O error"),
      "may have been kept: .*I/O error",
    ),
    (
      Result(("sync",), -9, timed_out=True, stuck=True),
      "may have been kept: .*cannot be killed: it waits for .*a file server",
    ),
  ],
)
def test_or_it_is_said_that_it_was_not_kept(
  node: FakeLxc,
  stop: Callable[[FakeLxc], None],
  answer: Result,
  said: str,
) -> None:
  node.run.on("sync", answer)
  with pytest.raises(Incomplete, match=said):
    stop(node)
  # The others are not left attached for that.
  assert node.storage.attached == []
  assert node.paths().record.exists()


def test_whatever_there_is_of_the_file(
  node: FakeLxc, tmp_path: pathlib.Path, events: list[str]
) -> None:
  (tmp_path / "loop").symlink_to("loop")
  for path in ("/dev/null", tmp_path, tmp_path / "gone", tmp_path / "loop"):
    disks.flush(node.host, DiskRecord(index=0, uuid="x", source=str(path)))
  assert events == []
