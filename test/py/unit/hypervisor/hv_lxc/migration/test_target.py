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


"""The target's process takes up what nobody works for any more."""

import os
import threading
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc.host import Host, wait_until
from ganeti.hypervisor.hv_lxc.migration import (
  daemons,
  intake,
  target,
  turns,
)
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.channel import (
  Cancelled,
  Channel,
  ConnectionLost,
)
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.messages import (
  Begin,
  Close,
  Closed,
  End,
  Message,
  Room,
  Trouble,
)
from ganeti.hypervisor.hv_lxc.migration.states import State

NAME = "web1.example.com"
# Nobody waits so long; it ends a test that hangs.
PATIENCE_S = 10.0


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
  found: list[str] = []

  def start(_host: Host, name: str, *, settle: bool) -> None:
    assert settle
    found.append(name)

  monkeypatch.setattr(daemons, "start_worker", start)
  return found


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(target.hierarchies, "find", lambda _: None)
  monkeypatch.setattr(target.cgroup, "is_running", lambda *_: False)


def _save(node: Host, state: State) -> None:
  journals.save(
    node, Journal(name=NAME, id="m1", state=state, role=Role.TARGET)
  )


@pytest.mark.parametrize("state", [State.OWNER, State.RETRYING])
def test_a_guest_whose_restore_died_does_not_wait_for_ever(
  node: Host, started: list[str], state: State
) -> None:
  _save(node, state)
  seen = target.take_up(node, frozenset())
  # It may be about to begin.
  assert not started
  target.take_up(node, seen)
  assert started == [NAME]


def test_a_restore_under_way_is_left_alone(
  node: Host, started: list[str]
) -> None:
  _save(node, State.OWNER)
  assert journals.hold_worker_lock(node, NAME) is not None
  target.take_up(node, target.take_up(node, frozenset([NAME])))
  assert not started


@pytest.mark.parametrize("state", [State.READY, State.RESUMED, State.CLOSED])
def test_a_guest_that_is_not_to_be_restored_is_not(
  node: Host, started: list[str], state: State
) -> None:
  _save(node, state)
  target.take_up(node, frozenset([NAME]))
  assert not started


@pytest.mark.parametrize(
  ("state", "agreed", "is_late", "needed"),
  [
    # It was agreed that the guest came here, not that it has gone since:
    # the node that it came from may start it again, and asks before.
    (State.RELEASED, True, False, True),
    (State.RELEASED, True, True, False),
    (State.EXPECTING, False, True, True),
    (State.OWNER, False, True, True),
    (State.IDLE, False, False, False),
  ],
)
@pytest.mark.usefixtures("nothing_runs")
def test_whether_a_source_may_have_something_to_ask(
  node: Host,
  state: State,
  agreed: bool,
  is_late: bool,
  needed: bool,
) -> None:
  role = Role.NONE if state is State.IDLE else Role.TARGET
  journals.save(
    node, Journal(name=NAME, state=state, role=role, id="m1", agreed=agreed)
  )
  assert target.is_needed(node, is_late=is_late) is needed


class Heard(Channel):
  """A connection on which so much was said, and then it was closed."""

  def __init__(self, *said: Message) -> None:
    self.peer, self.migration, self.booting = "192.0.2.1", "m1", ""
    self.said = list(said)
    self.answers: list[Message] = []

  def receive(self, timeout_s: float | None = None) -> Message:
    if not self.said:
      raise ConnectionLost("closed")
    return self.said.pop(0)

  def send(self, *messages: Message) -> None:
    self.answers.extend(messages)

  def give_up(self, reason: str) -> None:
    self.answers.append(Trouble(reason))

  def close(self) -> None:
    pass


class Open(Heard):
  """A connection on which nothing more is said for now."""

  def __init__(self, *said: Message) -> None:
    super().__init__(*said)
    self.is_cancelled = False
    self.over = threading.Event()

  def receive(self, timeout_s: float | None = None) -> Message:
    if self.said:
      return self.said.pop(0)
    assert self.over.wait(PATIENCE_S)
    raise (Cancelled if self.is_cancelled else ConnectionLost)("over")

  def cancel(self) -> None:
    self.is_cancelled = True
    self.over.set()


def serve(node: Host, *said: Message) -> list[Message]:
  channel = Heard(*said)
  target._serve(node, None, channel, TURNS)  # type: ignore[arg-type]
  return channel.answers


FILES = (
  Begin(0, "files", "config", is_program=False),
  End(0, 0, 0),
  Begin(1, "files", "record.json", is_program=False),
)


@pytest.fixture
def expecting(node: Host, nothing_runs: None) -> Host:
  """The node, when Ganeti has announced a guest."""
  announced = Journal(
    name=NAME,
    id="m1",
    secret="5e" * 32,
    state=State.EXPECTING,
    role=Role.TARGET,
  )
  journals.save(node, announced)
  return node


def test_the_source_is_told_at_once_how_much_is_taken(expecting: Host) -> None:
  (answer,) = serve(expecting, *FILES)
  assert isinstance(answer, Room)
  assert answer.size > 0
  home = expecting.layout.migration(NAME).home
  assert sorted(p.name for p in (home / "files").iterdir()) == [
    "config",
    "record.json",
  ]


def test_a_source_that_begins_again_finds_nothing_in_its_way(
  expecting: Host,
) -> None:
  node = expecting
  home = node.layout.migration(NAME).home
  for number in range(2):
    more = Begin(2, "images", f"core-{number}.img", is_program=False)
    (room,) = serve(node, *FILES, more)
    assert isinstance(room, Room)
    assert [p.name for p in (home / "images").iterdir()] == [more.name]
  assert journals.load(node, NAME).state is State.EXPECTING
  # Nobody holds the lock any more, as the next one has to.
  assert journals.worker(node, NAME) is None


def test_more_room_than_can_be_said(
  expecting: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(target, "_RESERVE_BYTES", -(1 << 60))
  (answer,) = serve(expecting, *FILES)
  assert isinstance(answer, Room)


def test_a_source_that_comes_too_late_is_told_before_it_stops_anything(
  expecting: Host,
) -> None:
  path = expecting.layout.migration(NAME).journal
  path.write_text(path.read_text().replace('"expecting"', '"closed"'))
  (answer,) = serve(expecting, *FILES)
  assert isinstance(answer, Trouble)
  assert "is over on this node" in answer.reason


# A source that begins anew, while what it sent before is still being written


def begin(node: Host, channel: Open) -> threading.Thread:
  thread = threading.Thread(
    target=target._serve,
    args=(node, None, channel, TURNS),
    daemon=True,
  )
  thread.start()
  assert wait_until(lambda: bool(channel.answers), PATIENCE_S)
  return thread


TURNS = turns.Turns()


def test_two_connections_wrote_images_of_one_guest(expecting: Host) -> None:
  first, second = Open(*FILES), Open(*FILES)
  before = begin(expecting, first)
  after = begin(expecting, second)
  before.join(PATIENCE_S)
  assert not before.is_alive()
  assert isinstance(second.answers[0], Room)
  # Or whoever ends the migration would not find who takes the images.
  assert journals.worker(expecting, NAME) == os.getpid()
  second.over.set()
  after.join(PATIENCE_S)
  assert journals.worker(expecting, NAME) is None


def test_one_that_cannot_be_ended_keeps_the_next_from_beginning(
  expecting: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(turns, "_BEFORE_S", 0.01)
  first, second = Open(*FILES), Open(*FILES)
  monkeypatch.setattr(first, "cancel", lambda: None)
  before = begin(expecting, first)
  begin(expecting, second).join(PATIENCE_S)
  (answer,) = second.answers
  assert isinstance(answer, Trouble)
  assert "is still being written" in answer.reason
  first.over.set()
  before.join(PATIENCE_S)


def test_one_whose_guest_is_being_restored_is_not_ended(
  expecting: Host,
) -> None:
  first = Open(*FILES)
  before = begin(expecting, first)
  path = expecting.layout.migration(NAME).journal
  path.write_text(path.read_text().replace('"expecting"', '"owner"'))
  (answer,) = serve(expecting, *FILES)
  assert isinstance(answer, Trouble)
  assert not first.is_cancelled
  first.over.set()
  before.join(PATIENCE_S)


class Asking(Open):
  """Another node, which is about to boot the instance."""

  def __init__(self) -> None:
    super().__init__()
    self.migration, self.booting = "", NAME


@pytest.mark.parametrize("asks", [Asking, lambda: Heard(Close())])
def test_a_node_that_gave_a_guest_up_went_on_to_keep_its_memory(
  expecting: Host, asks: Callable[[], Heard]
) -> None:
  first = Open(*FILES)
  before = begin(expecting, first)
  asking = asks()
  target._serve(expecting, None, asking, TURNS)  # type: ignore[arg-type]
  assert asking.answers[0] == Closed()
  before.join(PATIENCE_S)
  assert not before.is_alive()
  assert journals.load(expecting, NAME).state is State.CLOSED
  assert not intake.holds(expecting.layout.migration(NAME).home)


def test_what_came_while_it_was_given_up_is_removed_too(
  expecting: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  first = Open(*FILES)
  before = begin(expecting, first)
  home = expecting.layout.migration(NAME).home

  def cancel() -> None:
    (home / "images").mkdir(exist_ok=True)
    Open.cancel(first)

  monkeypatch.setattr(first, "cancel", cancel)
  target._serve(expecting, None, Asking(), TURNS)  # type: ignore[arg-type]
  before.join(PATIENCE_S)
  assert not intake.holds(home)


def test_nothing_more_is_taken_from_a_source_that_has_given_up(
  expecting: Host,
) -> None:
  more = Begin(2, "images", "core-1.img", is_program=False)
  *_, closed, trouble = serve(expecting, *FILES, Close(), more)
  assert closed == Closed()
  assert isinstance(trouble, Trouble)
  assert not intake.holds(expecting.layout.migration(NAME).home)
