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


"""What is refused before Ganeti makes an instance's disks ready."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import before_start, peer, task
from ganeti.hypervisor.hv_lxc.migration.machine import Machine, Refusal
from ganeti.hypervisor.hv_lxc.migration.protocol import PEER_EVENTS
from ganeti.hypervisor.hv_lxc.migration.states import Event, Reason, State
from ganeti.hypervisor.hv_lxc.migration.task import Task
from ganeti.hypervisor.hv_lxc.model import DiskSpec
from unit.hypervisor.hv_lxc.migration import test_machine
from unit.hypervisor.hv_lxc.migration.test_machine import NAME, put

DISK = "8f2c1c1e-0001"


class FakeActs(test_machine.FakeActs):
  """Also counts how often the other node was asked."""

  asked = 0

  def machine(self) -> Machine:
    return Machine(self.host, NAME, self)

  def ask_peer(self, journal: object) -> Event:
    self.asked += 1
    return self.answer


@pytest.fixture
def acts(node: Host, monkeypatch: pytest.MonkeyPatch) -> FakeActs:
  """On node1, where the instance's migration left a task."""
  fake = FakeActs(node)
  monkeypatch.setattr(before_start, "NodeActs", lambda **_: fake)
  monkeypatch.setattr(peer, "own_name", lambda _: "node1")
  disk = DiskSpec(index=0, uuid=DISK, path=pathlib.Path("/dev/drbd0"))
  put(node, State.GONE)
  task.save(node.layout.migration(NAME), Task(uuid="x", disks=(disk,)))
  return fake


def check(node: Host, primary: str = "node1", disk: str = DISK) -> None:
  storage: Any = None
  before_start.check(node, storage, NAME, disk=disk, primary=primary)


def reason(call: Callable[[], object]) -> Reason | None:
  try:
    call()
  except Refusal as refusal:
    return refusal.reason
  return None


@pytest.mark.parametrize("answer", sorted(PEER_EVENTS))
@pytest.mark.parametrize("state", State)
def test_the_primary_says_what_the_start_itself_would_say(
  node: Host, acts: FakeActs, state: State, answer: Event
) -> None:
  acts.answer = answer
  put(node, state)
  said = reason(lambda: check(node))
  assert test_machine.state(node) == state
  assert acts.done == []
  assert said == reason(lambda: acts.machine().fire(Event.START))


def test_what_runs_on_the_other_node_is_not_started(
  node: Host, acts: FakeActs
) -> None:
  """The watcher had DRBD's half made primary beside the one in use."""
  acts.answer = Event.PEER_RUNS
  with pytest.raises(Refusal, match=r"node2.*migrate --cleanup"):
    check(node)


@pytest.mark.parametrize(
  ("state", "lives", "refused"),
  [
    (State.RESUMED, True, True),
    (State.RELEASED, True, True),
    (State.OWNER, False, True),
    (State.RETRYING, False, True),
    (State.RESUMED, False, False),
    (State.CLOSED, False, False),
    (State.READY, False, False),
  ],
)
def test_the_node_that_has_it_says_so_though_the_primary_cannot_ask(
  node: Host, acts: FakeActs, state: State, lives: bool, refused: bool
) -> None:
  put(node, state)
  acts.is_live = lives
  said = reason(lambda: check(node, primary="node2"))
  assert said is (Reason.RUNS_HERE if refused else None)
  assert not acts.asked


def test_what_runs_on_its_primary_asks_nobody(
  node: Host, acts: FakeActs
) -> None:
  acts.is_live = True
  check(node)
  assert not acts.asked


def test_a_new_instance_with_the_name_of_one_that_was_migrated(
  node: Host, acts: FakeActs
) -> None:
  check(node, disk="another")
  assert not acts.asked


def test_an_instance_that_was_never_migrated(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.delattr(before_start, "NodeActs")
  check(node)
