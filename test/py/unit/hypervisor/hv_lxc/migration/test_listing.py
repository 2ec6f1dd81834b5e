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

"""On which node Ganeti sees an instance that is between two."""

import os
import pathlib
import threading
from types import SimpleNamespace

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import daemons, listing, task
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.states import (
  HANDED,
  Act,
  Event,
  State,
)
from ganeti.hypervisor.hv_lxc.migration.table import TABLE
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc
from unit.hypervisor.hv_lxc.test_driver import make_driver

LONG_S = 30.0


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Host:
  return FakeLxc(tmp_path).host


def note(node: Host, state: State) -> None:
  journals.save(
    node, Journal(name=NAME, id="m1", role=Role.SOURCE, state=state)
  )


@pytest.mark.parametrize("state", HANDED)
def test_cleanup_finds_it_on_one_node_though_the_receiver_was_killed(
  node: Host, state: State
) -> None:
  """The first attempt said: instance running on: node1, node2."""
  note(node, state)
  answer = threading.Timer(0.1, note, (node, State.GONE))
  answer.start()
  listing.await_answers(node, LONG_S)
  assert listing.shown(node, []) == []
  answer.join()


@pytest.mark.parametrize("state", [State.OWNER, State.RETRYING])
def test_cleanup_finds_it_on_a_node_that_has_just_come_back(
  node: Host, state: State
) -> None:
  """It said that the instance does not seem to be running at all."""
  note(node, state)
  answer = threading.Timer(0.1, note, (node, State.RESUMED))
  answer.start()
  listing.await_answers(node, LONG_S)
  assert listing.shown(node, [NAME]) == [NAME]
  answer.join()


def test_a_node_that_does_not_answer_is_not_waited_for_long(node: Host) -> None:
  note(node, State.HANDING)
  listing.await_answers(node, 0.01, LONG_S)
  assert listing.shown(node, []) == [NAME]


@pytest.mark.parametrize("state", [*HANDED, State.OWNER, State.RETRYING])
def test_cleanup_waits_for_a_guest_that_is_restored_for_long(
  node: Host, state: State
) -> None:
  """It found the disk in use on the node that it took for the other one."""
  note(node, state)
  lock = journals.hold_worker_lock(node, NAME)
  assert lock is not None
  restored = threading.Timer(0.2, note, (node, State.RESUMED))
  restored.start()
  listing.await_answers(node, 0.01, LONG_S)
  assert journals.load(node, NAME).state is State.RESUMED
  restored.join()
  note(node, state)
  listing.await_answers(node, 0.01, 0.02)
  os.close(lock)


@pytest.mark.parametrize(
  "state", sorted({*State} - {*HANDED, State.OWNER, State.RETRYING})
)
def test_nothing_else_is_waited_for(node: Host, state: State) -> None:
  note(node, state)
  listing.await_answers(node, LONG_S)


def test_no_migration_at_all(node: Host) -> None:
  listing.await_answers(node, LONG_S)


def test_after_a_power_cut_a_target_knows_where_to_listen(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  """task.json was empty, so it never answered and the guest stood still."""
  synced: list[str] = []
  monkeypatch.setattr(
    os,
    "fsync",
    lambda fd: synced.append(
      str(pathlib.Path(f"/proc/self/fd/{fd}").readlink())
    ),
  )
  paths = node.layout.migration(NAME)
  paths.home.mkdir(parents=True)
  task.save(paths, task.Task(uuid="u", disks=(), address="::1", port=8102))
  assert pathlib.Path(synced[0]).name.startswith(".task.json")
  assert synced[1:] == [str(paths.home)]


@pytest.mark.parametrize("area", ["images", "files"])
@pytest.mark.parametrize("state", [State.EXPECTING, State.READY, State.OWNER])
def test_target_that_was_switched_off_answers_when_it_is_back(
  node: Host, monkeypatch: pytest.MonkeyPatch, area: str, state: State
) -> None:
  """The guest stood still until somebody had looked at that node twice."""
  done: list[str] = []
  monkeypatch.setattr(
    daemons, "start_worker", lambda *_, **__: done.append("settled")
  )
  monkeypatch.setattr(
    daemons, "start_receiver", lambda *_, **__: done.append("listens")
  )
  monkeypatch.setattr(
    task, "load", lambda _: SimpleNamespace(address="", port=1)
  )
  found = Journal(
    name=NAME, id="m1", role=Role.TARGET, state=state, boot_id="another"
  )
  journals.save(node, found)
  (node.layout.migration(NAME).home / area).mkdir()
  listing.attend(node, [], thorough=True)
  assert done == ["settled", "listens"]


@pytest.mark.parametrize("area", ["images", "files"])
def test_what_had_come_when_the_target_crashed_does_not_stay(
  node: Host, monkeypatch: pytest.MonkeyPatch, area: str
) -> None:
  """Files of a guest lay about until somebody migrated it again."""
  settled: list[str] = []
  monkeypatch.setattr(
    daemons, "start_worker", lambda _host, name, settle: settled.append(name)
  )
  found = Journal(name=NAME, id="m1", role=Role.TARGET, state=State.EXPECTING)
  journals.save(node, found)
  (node.layout.migration(NAME).home / area).mkdir()
  listing.attend(node, [], thorough=False)
  assert settled == [NAME]
  assert Act.DISCARD_IMAGES in TABLE[State.EXPECTING, Event.SETTLE].after


def test_node_is_looked_after_though_it_is_no_instance_s_primary(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Of such a node gnt-node list asks this, and gnt-instance list nothing."""
  thorough: list[bool] = []
  monkeypatch.setattr(
    listing, "attend", lambda *_, **how: thorough.append(how["thorough"])
  )
  make_driver(FakeLxc(tmp_path), monkeypatch).GetNodeInfo()
  assert thorough == [True]
