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

"""Who asks a node about an instance that it had a part in moving."""

import os
from dataclasses import replace

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import (
  answering,
  daemons,
  listing,
  peer,
  task,
)
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.acts import NodeActs
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.states import Act, Event, State
from ganeti.hypervisor.hv_lxc.migration.table import TABLE
from ganeti.hypervisor.hv_lxc.migration.task import Task

NAME = "web1.example.com"
HERE = f"{os.uname().nodename.partition('.')[0]}.example.com"
# What is left of a migration by which the instance came here.
EARLIER = (("m0", "0" * 64),)
# It is offered, or has been taken back, or has gone on.
LATER = [
  Journal(name=NAME, state=State.IDLE, secrets=EARLIER),
  Journal(
    name=NAME, id="m1", state=State.GONE, role=Role.SOURCE, secrets=EARLIER
  ),
]


@pytest.fixture
def listening(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, int, bool]]:
  found: list[tuple[str, int, bool]] = []

  def start(
    _: Host, address: str, port: int, *, anywhere: bool = False
  ) -> None:
    found.append((address, port, anywhere))

  monkeypatch.setattr(daemons, "start_receiver", start)
  monkeypatch.setattr(NodeActs, "lives", lambda *_: False)
  paths = node.layout.migration(NAME)
  paths.home.mkdir(parents=True)
  # Of a source: where the other node listened.
  task.save(paths, Task(uuid="u", disks=(), address="192.0.2.7", port=8102))
  tell(node, "node_secondary_ips", f"node2.lab 192.0.2.7\n{HERE} 127.0.0.1\n")
  return found


def tell(node: Host, key: str, text: str) -> None:
  path = node.layout.ssconf(key)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


@pytest.mark.parametrize("found", LATER, ids=lambda j: j.state)
def test_failover_to_the_node_that_it_came_from_once(
  node: Host, listening: list[tuple[str, int, bool]], found: Journal
) -> None:
  """It was refused: nobody answered on the node that was to tell."""
  journals.save(node, found)
  assert TABLE[found.state, Event.STOPPED].after == (Act.START_RECEIVER,)
  acts = NodeActs(host=node, storage=None, name=NAME)  # type: ignore[arg-type]
  acts.perform(Act.START_RECEIVER, found)
  assert listening == [("127.0.0.1", 8102, True)]


@pytest.mark.parametrize("found", LATER, ids=lambda j: j.state)
def test_cluster_verify_makes_a_node_answer_that_it_has_left(
  node: Host, listening: list[tuple[str, int, bool]], found: Journal
) -> None:
  journals.save(node, found)
  listing.attend(node, [], thorough=True)
  assert listening == [("127.0.0.1", 8102, True)]


@pytest.mark.parametrize("found", LATER, ids=lambda j: j.state)
def test_a_node_that_it_never_came_to_need_not_answer(
  node: Host, listening: list[tuple[str, int, bool]], found: Journal
) -> None:
  found = replace(found, secrets=())
  journals.save(node, found)
  acts = NodeActs(host=node, storage=None, name=NAME)  # type: ignore[arg-type]
  acts.perform(Act.START_RECEIVER, found)
  listing.attend(node, [], thorough=True)
  assert listening == []


@pytest.mark.parametrize("finalized", [False, True])
def test_who_would_end_at_its_first_look_is_not_started(
  node: Host,
  listening: list[tuple[str, int, bool]],
  monkeypatch: pytest.MonkeyPatch,
  finalized: bool,
) -> None:
  came = Journal(
    name=NAME,
    id="m1",
    role=Role.TARGET,
    state=State.RESUMED,
    finalized=finalized,
  )
  journals.save(node, came)
  monkeypatch.setattr(NodeActs, "lives", lambda *_: True)
  acts = NodeActs(host=node, storage=None, name=NAME)  # type: ignore[arg-type]
  acts.perform(Act.START_RECEIVER, came)
  assert bool(listening) != finalized


def test_the_port_that_the_cluster_has_now(
  node: Host, listening: list[tuple[str, int, bool]]
) -> None:
  """Migrations to a node failed that listened for older ones elsewhere."""
  tell(node, "hvparams_lxc", "migration_port=8103\n")
  journals.save(node, LATER[0])
  answering.listen(node, NAME)
  assert listening == [("127.0.0.1", 8103, True)]


def test_a_migration_under_way_is_awaited_where_ganeti_said(
  node: Host, listening: list[tuple[str, int, bool]]
) -> None:
  tell(node, "hvparams_lxc", "migration_port=8103\n")
  expecting = Journal(
    name=NAME, id="m1", state=State.EXPECTING, role=Role.TARGET
  )
  journals.save(node, expecting)
  answering.listen(node, NAME)
  assert listening == [("192.0.2.7", 8102, False)]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_third_node_may_ask_until_ganeti_knows_where_it_is(
  is_late: bool,
) -> None:
  """With the source and the master dead it was booted a second time."""
  came = Journal(
    name=NAME, id="m1", role=Role.TARGET, state=State.RESUMED, agreed=True
  )
  awaited = answering.is_awaited(came, came.state, lives=True, is_late=is_late)
  assert awaited
  known = replace(came, finalized=True)
  assert not answering.is_awaited(
    known, known.state, lives=True, is_late=is_late
  )


@pytest.mark.parametrize(
  ("role", "kept"), [(Role.SOURCE, ()), (Role.TARGET, (("m1", "1" * 64),))]
)
def test_only_a_source_has_something_to_ask(
  role: Role, kept: tuple[tuple[str, str], ...]
) -> None:
  over = Journal(name=NAME, id="m1", secret="1" * 64, role=role)
  assert over.with_closed("m1").secrets == kept


@pytest.mark.parametrize(
  ("nodes", "offline", "expected"),
  [
    ("node1 node2", "", False),
    ("node1 node2", "node2", True),
    # gnt-node remove
    ("node1 node3", "", True),
    ("", "", False),
  ],
)
def test_a_node_that_was_removed_from_the_cluster_is_off_for_good(
  node: Host, nodes: str, offline: str, expected: bool
) -> None:
  tell(node, "node_list", nodes.replace(" ", "\n"))
  tell(node, "offline_nodes", offline)
  gone = Journal(name=NAME, id="m1", peer_node="node2", state=State.GONE)
  assert peer.is_offline(node, gone) is expected
