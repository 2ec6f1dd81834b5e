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


"""What the acts of a migration do when nobody is connected."""

import pathlib
from dataclasses import replace

import pytest
from ganeti.hypervisor.hv_lxc import hierarchies, stopping
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import (
  criu_processes,
  daemons,
  listing,
  taking_life,
  task,
)
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.acts import NodeActs
from ganeti.hypervisor.hv_lxc.migration.criu_processes import is_held
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.messages import Message
from ganeti.hypervisor.hv_lxc.migration.states import Act, Event, State
from ganeti.hypervisor.hv_lxc.migration.table import TABLE
from ganeti.hypervisor.hv_lxc.migration.task import Task

NAME = "web1.example.com"
JOURNAL = Journal(name=NAME, id="m1")


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
  found: list[tuple[str, int]] = []

  def start(_host: Host, address: str, port: int, **_: object) -> None:
    found.append((address, port))

  monkeypatch.setattr(daemons, "start_receiver", start)
  monkeypatch.setattr(NodeActs, "lives", lambda *_: False)
  return found


@pytest.fixture
def acts(tmp_path: pathlib.Path) -> NodeActs:
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))
  host = Host(layout=layout, proc=tmp_path / "proc")
  paths = layout.migration(NAME)
  paths.home.mkdir(parents=True)
  task.save(paths, Task(uuid="u", disks=(), address="192.0.2.2", port=8102))
  return NodeActs(host=host, storage=None, name=NAME)  # type: ignore[arg-type]


@pytest.mark.parametrize(
  "act", [Act.SEND_CLOSED, Act.SEND_RESUMED, Act.SEND_RELEASED]
)
def test_the_other_node_can_ask_though_the_receiver_was_killed(
  acts: NodeActs, listening: list[tuple[str, int]], act: Act
) -> None:
  boot = acts.host.proc / "sys/kernel/random/boot_id"
  boot.parent.mkdir(parents=True)
  boot.write_text("boot-1\n")
  released = replace(JOURNAL, role=Role.TARGET, state=State.RELEASED)
  journals.save(acts.host, released)
  acts.perform(act, released)
  assert listening == [("192.0.2.2", 8102)]


def test_a_closed_target_answers_a_source_that_was_cut_off(
  acts: NodeActs, listening: list[tuple[str, int]]
) -> None:
  """A guest was nobody's: its source asked where nobody listened."""
  closed = Journal(
    name=NAME, id="m1", role=Role.TARGET, state=State.CLOSED, boot_id="boot-1"
  )
  boot = acts.host.proc / "sys/kernel/random/boot_id"
  boot.parent.mkdir(parents=True)
  boot.write_text("boot-1\n")
  journals.save(acts.host, closed)
  listing.attend(acts.host, [], thorough=True)
  assert listening == [("192.0.2.2", 8102)]


def test_a_target_that_is_told_to_give_up_lets_the_source_ask() -> None:
  for state in (State.EXPECTING, State.READY, State.OWNER):
    assert Act.SEND_CLOSED in TABLE[state, Event.DST_ABORT].after


_RESTORE_IS_OVER = (
  Event.RESTORED,
  Event.RESTORE_LOST,
  Event.RESTORE_FAILED,
)


@pytest.mark.parametrize("event", _RESTORE_IS_OVER)
@pytest.mark.parametrize("state", [State.OWNER, State.RESUMED, State.RETRYING])
def test_a_migration_does_not_wait_an_hour_for_a_restore_that_is_over(
  state: State, event: Event
) -> None:
  """LXC's monitor was killed while the tasks began to run."""
  step = TABLE[state, event]
  may_happen = step.before or step.after or step.to
  tells = any(act.name.startswith("SEND_") for act in step.after)
  goes_on = step.work is Act.MOUNT_AND_RESTORE
  assert tells or goes_on or not may_happen


def test_a_source_does_not_listen(
  acts: NodeActs, listening: list[tuple[str, int]]
) -> None:
  acts.perform(Act.SEND_GRANT, JOURNAL)
  assert not listening


def test_who_is_connected_just_answers(
  acts: NodeActs, listening: list[tuple[str, int]]
) -> None:
  said: list[Message] = []
  acts.send = said.append
  acts.perform(Act.SEND_RESUMED, JOURNAL)
  assert len(said) == 1
  assert not listening


def _is_child(acts: NodeActs, above: str, pid: int) -> None:
  path = acts.host.proc / above / f"task/{above}/children"
  path.parent.mkdir(parents=True, exist_ok=True)
  text = path.read_text() if path.exists() else ""
  if str(pid) not in text.split():
    path.write_text(f"{text}{pid} ")


def _process(
  acts: NodeActs, pid: int, stage: str, parent: tuple[int, str] = (1, "init")
) -> None:
  entry = acts.host.proc / str(pid)
  entry.mkdir(parents=True)
  above = acts.host.proc / str(parent[0])
  above.mkdir(exist_ok=True)
  (above / "comm").write_text(f"{parent[1]}\n")
  (entry / "stat").write_text(f"{pid} (a) b) S {parent[0]} 1 1 0 -1\n")
  _is_child(acts, "self", parent[0])
  _is_child(acts, str(parent[0]), pid)
  script = acts.host.layout.migration(NAME).home / "criu-action"
  (entry / "cmdline").write_text(f"/bin/sh\0{script}\0")
  (entry / "environ").write_text(f"A=b\0CRTOOLS_SCRIPT_ACTION={stage}\0")


def test_a_guest_that_criu_let_go_is_not_taken_for_its_images(
  acts: NodeActs,
) -> None:
  """Its connections were lost: it went on after it had been dumped."""
  acts.host.proc.mkdir(exist_ok=True)
  assert not is_held(acts.host, NAME)
  _process(acts, 11, "network-unlock")
  assert not is_held(acts.host, NAME)
  _process(acts, 12, "post-dump")
  assert is_held(acts.host, NAME)
  assert not is_held(acts.host, "web2.example.com")


@pytest.mark.parametrize("act", [Act.KILL_TASKS, Act.KILL_AND_UNMOUNT])
def test_no_peer_is_refused_while_the_guests_network_is_taken_apart(
  acts: NodeActs, monkeypatch: pytest.MonkeyPatch, act: Act
) -> None:
  """Once in fifty migrations: "Connection reset by peer"."""
  monkeypatch.setattr(hierarchies, "find", lambda _host: None)
  monkeypatch.setattr(criu_processes, "end", lambda *_: None)
  done: list[str] = []
  for module, what in (
    (stopping, "cut_off"),
    (stopping, "kill"),
    (stopping, "clean_up"),
    (taking_life, "kill_payload"),
  ):
    monkeypatch.setattr(module, what, lambda *_, what=what: done.append(what))
  acts.perform(act, JOURNAL)
  assert done[0] == "cut_off"
  assert done[1] in ("kill", "kill_payload")


def test_a_guest_is_not_lost_when_criu_was_killed_before_it_was_let_go(
  acts: NodeActs, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It was given up although the source still could bring it back."""
  monkeypatch.setattr(NodeActs, "lives", lambda *_: True)
  boot = acts.host.proc / "sys/kernel/random/boot_id"
  boot.parent.mkdir(parents=True)
  boot.write_text("boot-1\n")
  journals.save(
    acts.host,
    Journal(name=NAME, id="m1", role=Role.TARGET, state=State.OWNER),
  )
  machine = acts.machine()
  _process(acts, 11, "post-dump", (10, "criu"))
  _process(acts, 12, "post-restore", (1, "init"))
  with pytest.raises(Failed, match="CRIU has ended before"):
    acts._allow(machine)
  assert not acts.released
  _process(acts, 13, "post-restore", (14, "criu"))
  acts._allow(machine)
  assert acts.released
  assert machine.current().state is State.RESUMED
