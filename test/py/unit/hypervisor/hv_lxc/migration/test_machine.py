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

"""The executor: what it writes when, on real journals."""

import dataclasses

import pytest
from ganeti.hypervisor.hv_lxc.doctor import counters
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration import machine as machines
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.machine import Machine, Refusal
from ganeti.hypervisor.hv_lxc.migration.protocol import TABLE
from ganeti.hypervisor.hv_lxc.migration.states import (
  Act,
  Event,
  Reason,
  State,
)

NAME = "web1.example.com"
A = Act
E = Event
S = State


class PowerCut(BaseException):
  """Ends a process between two acts."""


class FakeActs:
  """Notes each act with the state that is on the disk at that moment."""

  def __init__(self, host: Host) -> None:
    self.host = host
    self.done: list[tuple[Act, State]] = []
    self.answer = E.PEER_SILENT
    self.others: list[Event] = []
    self.is_live = False
    self.fails_at: Act | None = None

  def perform(self, act: Act, journal: Journal) -> None:
    written = journals.load(self.host, NAME)
    assert journal == written
    if act == self.fails_at:
      raise PowerCut
    self.done.append((act, written.state))

  def ask_peer(self, journal: Journal) -> Event:
    # Whoever answers may have to wait for a step here.
    with journals.exclusive(self.host, journal.name):
      return self.answer

  def ask_everybody(self, name: str) -> list[Event]:
    assert name == NAME
    return self.others

  def lives(self, name: str) -> bool:
    assert name == NAME
    return self.is_live


@pytest.fixture
def acts(node: Host) -> FakeActs:
  return FakeActs(node)


@pytest.fixture
def machine(node: Host, acts: FakeActs) -> Machine:
  return Machine(node, NAME, acts)


def put(node: Host, state: State, **changes: object) -> Journal:
  journal = Journal(
    name=NAME, id="m1", peer_node="node2", secret="5e" * 32, state=state,
    role=machines.role_in(state), **changes,
  )  # fmt: skip
  journals.save(node, journal)
  return journals.load(node, NAME)


def state(node: Host) -> State:
  return journals.load(node, NAME).state


PAIRS = [
  (state, event)
  for (state, event), step in TABLE.items()
  if not step.ask and not step.refuse and not step.fresh
]


@pytest.mark.parametrize(
  "pair", PAIRS, ids=lambda pair: f"{pair[0].name}-{pair[1].name}"
)
def test_it_does_what_the_table_says(
  node: Host,
  acts: FakeActs,
  monkeypatch: pytest.MonkeyPatch,
  pair: tuple[State, Event],
) -> None:
  before, event = pair
  step = TABLE[pair]
  put(node, before)
  monkeypatch.setattr(machines, "classify", lambda e, _s, **_facts: e)
  fired = Machine(node, NAME, acts).fire(event, of="m1")
  after = before if step.to is None else step.to
  work = [step.work] if step.work else []
  assert acts.done == [
    *((act, before) for act in step.before),
    *((act, after) for act in (*step.after, *work)),
  ]
  assert state(node) == after
  assert (fired.before, fired.journal.state) == (before, after)


def test_a_new_migration(node: Host, machine: Machine) -> None:
  put(node, S.CLOSED, closed=("m0",))
  fresh = Journal(name=NAME, id="m2", secret="7a" * 32, peer_node="node1")
  machine.fire(E.ACCEPT, of="m2", fresh=fresh)
  found = journals.load(node, NAME)
  assert (found.state, found.role) == (S.EXPECTING, Role.TARGET)
  assert (found.id, found.secret) == ("m2", fresh.secret)
  assert found.closed == ("m0", "m1")
  assert found.never_ran == ("m1",)


def test_what_is_over_is_not_accepted_again(
  node: Host, machine: Machine
) -> None:
  before = put(node, S.EXPECTING, closed=("m0",))
  with pytest.raises(Refusal, match="ended already"):
    machine.fire(E.ACCEPT, of="m0", fresh=Journal(name=NAME, id="m0"))
  assert journals.load(node, NAME) == before


def test_an_abort_that_comes_before_its_accept(
  node: Host, machine: Machine
) -> None:
  machine.fire(E.DST_ABORT, of="m1")
  assert state(node) == S.IDLE
  with pytest.raises(Refusal, match="ended already"):
    machine.fire(E.ACCEPT, of="m1", fresh=Journal(name=NAME, id="m1"))


def test_nothing_but_history_is_left_of_a_migration_that_is_over(
  node: Host, machine: Machine
) -> None:
  put(node, S.DUMPING)
  machine.fire(E.SRC_ABORT)
  text = node.layout.migration(NAME).journal.read_text()
  found = journals.load(node, NAME)
  assert (found.state, found.id, found.secret) == (S.IDLE, "", "")
  assert found.closed == ("m1",)
  assert found.name in text


def test_a_refusal_changes_nothing(
  node: Host, acts: FakeActs, machine: Machine
) -> None:
  before = put(node, S.RESUMED)
  with pytest.raises(Refusal) as info:
    machine.fire(E.DST_ABORT, of="m1")
  assert info.value.reason == Reason.RUNS_HERE
  assert NAME in str(info.value)
  assert "resumed" in str(info.value)
  assert acts.done == []
  assert journals.load(node, NAME) == before


@pytest.mark.parametrize(
  ("answer", "reason"),
  [
    (E.PEER_SILENT, Reason.UNSETTLED),
    (E.PEER_BUSY, Reason.BUSY_THERE),
    (E.PEER_RUNS, Reason.RUNS_THERE),
  ],
)
def test_a_start_that_has_to_wait_for_an_answer(
  node: Host, acts: FakeActs, machine: Machine, answer: Event, reason: Reason
) -> None:
  put(node, S.HANDING)
  acts.answer = answer
  with pytest.raises(Refusal) as info:
    machine.fire(E.START)
  assert info.value.reason == reason
  assert "node2" in str(info.value)
  assert not {a for a, _ in acts.done} & {A.RESTORE_LOCALLY, A.PLAIN_START}


@pytest.mark.parametrize(
  ("answer", "last"),
  [
    (E.PEER_CLOSED, (A.RESTORE_LOCALLY, S.DUMPED)),
    (E.PEER_RELEASED, (A.PLAIN_START, S.IDLE)),
    (E.PEER_FORGOT, (A.PLAIN_START, S.IDLE)),
    (E.PEER_OFFLINE, (A.PLAIN_START, S.IDLE)),
  ],
)
def test_a_start_that_gets_the_token_back(
  node: Host,
  acts: FakeActs,
  machine: Machine,
  answer: Event,
  last: tuple[Act, State],
) -> None:
  put(node, S.HANDING)
  acts.answer = answer
  machine.fire(E.START)
  assert acts.done[-1] == last


@pytest.mark.parametrize("others", [[E.PEER_RUNS], [E.PEER_FORGOT] * 2])
def test_no_second_copy_is_booted(
  node: Host, acts: FakeActs, machine: Machine, others: list[Event]
) -> None:
  acts.others = others
  if E.PEER_RUNS in others:
    with pytest.raises(Refusal, match="another node"):
      machine.fire(E.START)
    assert acts.done == []
  else:
    machine.fire(E.START)
    assert acts.done == [(A.PLAIN_START, S.IDLE)]


def test_it_does_not_ask_about_what_runs_here(
  acts: FakeActs, machine: Machine
) -> None:
  acts.is_live = True
  acts.others = [E.PEER_RUNS]
  machine.fire(E.START)
  assert acts.done == [(A.PLAIN_START, S.IDLE)]


@pytest.mark.parametrize(
  ("event", "before", "fails_at", "after"),
  [
    (E.TASKS_GONE, S.DUMPED, A.RELEASE_DISKS, S.DUMPED),
    (E.TASKS_GONE, S.DUMPED, A.SEND_GRANT, S.HANDING),
    (E.GRANT, S.READY, A.SEND_OWNER, S.OWNER),
    (E.DST_ABORT, S.OWNER, A.KILL_AND_UNMOUNT, S.OWNER),
    (E.DST_ABORT, S.OWNER, A.SEND_CLOSED, S.CLOSED),
  ],
)
def test_killed_between_two_acts(
  node: Host,
  acts: FakeActs,
  machine: Machine,
  event: Event,
  before: State,
  fails_at: Act,
  after: State,
) -> None:
  put(node, before)
  acts.fails_at = fails_at
  with pytest.raises(PowerCut):
    machine.fire(event, of="m1")
  assert state(node) == after


@pytest.mark.parametrize("before", State)
def test_after_a_boot(
  node: Host, acts: FakeActs, machine: Machine, before: State
) -> None:
  journal = put(node, before)
  text = dataclasses.replace(journal, boot_id="boot-0").to_text()
  node.layout.migration(NAME).journal.write_text(text)
  machine.fire(E.PEER_SILENT, of="m1")
  found = journals.load(node, NAME)
  assert found.state == (TABLE[before, E.BOOT].to or before)
  assert found.boot_id == "boot-1"


def test_a_message_of_another_migration_is_nobodys_affair(
  node: Host, acts: FakeActs, machine: Machine
) -> None:
  before = put(node, S.HANDING)
  fired = machine.fire(E.PEER_CLOSED, of="m0")
  assert fired.event is None
  assert acts.done == []
  assert journals.load(node, NAME) == before


def counted(node: Host) -> dict[str, int]:
  return dict(counters.read(node).get(counters.MIGRATIONS, {}))


def test_each_migration_from_here_is_counted_once(
  node: Host, machine: Machine
) -> None:
  counters.path(node).parent.mkdir(parents=True, exist_ok=True)
  put(node, S.HANDING)
  machine.fire(E.PEER_RUNS)
  machine.fire(E.SRC_DONE)
  machine.fire(E.PEER_RUNS)
  assert counted(node) == {"succeeded": 1}
  put(node, S.DUMPING)
  machine.fire(E.DUMP_FAILED)
  machine.fire(E.DUMP_FAILED)
  assert counted(node) == {"succeeded": 1, "failed": 1}


def test_one_that_a_power_cut_ended_is_counted(
  node: Host, machine: Machine
) -> None:
  counters.path(node).parent.mkdir(parents=True, exist_ok=True)
  put(node, S.DUMPED)
  (node.proc / "sys/kernel/random/boot_id").write_text("boot-2\n")
  assert machine.current().state is S.IDLE
  assert counted(node) == {"failed": 1}
