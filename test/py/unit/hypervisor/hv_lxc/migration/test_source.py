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

"""The source's process: what it sends while the guest runs, and what after."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc.doctor import counters
from ganeti.hypervisor.hv_lxc.errors import Failed, LxcError, Refused
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.migration import (
  calls,
  enforce,
  precopy,
  preflight,
  progress,
  stream,
)
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.messages import Owner, Returned
from ganeti.hypervisor.hv_lxc.migration.policy import Round, Verdict, Wish
from ganeti.hypervisor.hv_lxc.migration.states import State
from unit.hypervisor.hv_lxc.fakes import INIT, NAME
from unit.hypervisor.hv_lxc.migration.fake_criu import FakeCriu, restored
from unit.hypervisor.hv_lxc.migration.source_and_target import (
  MIB,
  Source,
  Target,
)
from unit.hypervisor.hv_lxc.migration.two_nodes import TwoNodes

DONE = Verdict.DOWNTIME_MET


@pytest.fixture
def target(nodes: TwoNodes, tmp_path: pathlib.Path) -> Iterator[Target]:
  made = Target(nodes, tmp_path / "target")
  made.start()
  yield made
  made.end()


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def source(
  request: pytest.FixtureRequest,
  target: Target,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
) -> Source:
  top = tmp_path / "source"
  top.mkdir()
  node = FakeCriu(top, request.param)
  rounds(monkeypatch, 2)
  return Source(node, target, monkeypatch)


def rounds(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
  """So many are done, however long each takes."""

  def decide(done: Sequence[Round], _wish: Wish) -> Verdict:
    return DONE if len(done) == number else Verdict.ANOTHER

  monkeypatch.setattr(precopy.policy, "decide", decide)


def chain(top: pathlib.Path) -> list[str]:
  """The directories that CRIU reads, from the last images on."""
  found = []
  while top.exists():
    found.append(top.resolve().name)
    top = top / "parent"
  return found


def test_memory_goes_while_the_guest_runs(
  source: Source, target: Target
) -> None:
  seen: list[tuple[str, set[str]]] = []

  def arrived() -> set[str]:
    found = {d for d in target.files("images") if d.isdigit()}
    return {d for d in found if target.files(f"images/{d}")}

  def before(action: str) -> None:
    assert source.node.node.running()
    # What was sent is on its way for a moment.
    wait_until(lambda: len(arrived()) >= len(seen), 5.0)
    seen.append((action, arrived()))

  source.before = before
  source.migrate()
  assert source.state is State.GONE
  assert seen == [
    ("pre-dump", set()),
    ("pre-dump", {"1"}),
    ("dump", {"1", "2"}),
  ]
  assert chain(target.home / "images") == ["images", "2", "1"]
  for area in ("images", "images/1", "images/2"):
    assert {"pages-1.img", "inventory.img"} <= target.files(area)
  assert not source.node.work.images.exists()
  assert source.progress.phase == "done"


def test_what_the_instance_lives_from_is_there_before_the_guest_stops(
  source: Source, target: Target
) -> None:
  wanted = {"config", "record.json", "nic0.env"}
  seen: list[bool] = []
  source.before = lambda _action: seen.append(
    wait_until(lambda: wanted <= target.files("files"), 5.0)
  )
  source.migrate(live=False)
  assert seen == [True]


def test_non_live_is_frozen_from_the_start(
  source: Source, target: Target
) -> None:
  source.migrate(live=False)
  assert source.actions() == ["dump"]
  assert "--prev-images-dir" not in source.dumps[0]
  assert chain(target.home / "images") == ["images"]
  assert source.state is State.GONE


def test_kernel_that_does_not_note_what_is_written(source: Source) -> None:
  source.untracked()
  source.migrate()
  assert source.actions() == ["dump"]
  assert "--track-mem" not in source.dumps[0]


def test_without_room_for_another_round_there_is_none(
  source: Source, target: Target
) -> None:
  target.room = 100 * MIB
  source.migrate()
  assert source.actions() == ["dump"]
  assert source.state is State.GONE


def goes_on(source: Source) -> bool:
  return (
    source.node.node.running()
    and source.state is State.IDLE
    and not source.node.work.images.exists()
  )


def test_a_round_that_fails_leaves_the_guest_alone(source: Source) -> None:
  source.status = 1
  with pytest.raises(Failed, match="could not be checkpointed, it runs on"):
    source.migrate()
  assert source.actions() == ["pre-dump"]
  assert goes_on(source)
  assert "it runs on" in source.progress.error


def test_a_later_round_that_fails_leaves_the_guest_alone(
  source: Source,
) -> None:
  source.after = lambda _: setattr(source, "status", len(source.dumps) - 1)
  with pytest.raises(Failed, match="it runs on"):
    source.migrate()
  assert source.actions() == ["pre-dump", "pre-dump"]
  assert goes_on(source)


_ON_ITS_WAY = (
  "(00.4) Error (criu/sk-queue.c:204): skqueue: Control messages in queue,"
  " not supported\n"
)


def test_a_message_that_is_on_its_way_does_not_end_the_migration(
  source: Source, target: Target
) -> None:
  """A daemon had told systemd that it lives, who had not read it yet."""
  source.complaints = [_ON_ITS_WAY]
  source.migrate()
  assert source.actions() == ["pre-dump", "pre-dump", "dump"] * 2
  assert source.state is State.GONE
  assert chain(target.home / "images") == ["images", "2", "1"]


def test_a_message_that_nobody_reads_ends_it(source: Source) -> None:
  source.complaints = [_ON_ITS_WAY] * 10
  with pytest.raises(Failed, match="Control messages") as caught:
    source.migrate()
  assert "does not read" in caught.value.remedy
  assert source.actions().count("dump") == 3
  assert goes_on(source)


def test_what_does_not_pass_is_not_tried_again(source: Source) -> None:
  source.complaints = ["(00.4) Error (criu/files.c:1): Can't open file x\n"]
  with pytest.raises(Failed, match="Can't open file x"):
    source.migrate()
  assert source.actions().count("dump") == 1
  assert goes_on(source)


def test_what_begins_to_stand_in_the_way_while_memory_is_copied(
  source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
  """CRIU saved it, and could not bring it back on either node."""

  def refuse(_host: object, _node: object, name: str) -> None:
    raise Refused(f"Instance {name} cannot be migrated live")

  def has_begun(_action: str) -> None:
    monkeypatch.setattr(preflight, "check_processes", refuse)

  source.after = has_begun
  with pytest.raises(Refused, match="cannot be migrated live"):
    source.migrate()
  assert "dump" not in source.actions()
  assert goes_on(source)


def test_a_guest_that_ends_in_a_round(source: Source) -> None:
  def end(_action: str) -> None:
    source.status = 1
    source.node.node.depopulate()

  source.after = end
  with pytest.raises(Failed, match="it has ended"):
    source.migrate()
  assert source.state is State.IDLE
  assert not source.node.work.images.exists()


def test_a_guest_that_ends_between_rounds(source: Source) -> None:
  source.after = lambda _: source.node.node.depopulate()
  with pytest.raises(LxcError, match="does not run"):
    source.migrate()
  assert source.actions() == ["pre-dump"]
  assert source.state is State.IDLE


@pytest.mark.parametrize("number", [1, 2])
def test_a_guest_that_reboots_between_rounds(
  source: Source, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
  """Its old memory is not taken for that of the new processes."""
  rounds(monkeypatch, number)
  stat = source.node.node.top / f"proc/{INIT}/stat"

  def reboot(_action: str) -> None:
    if len(source.dumps) == number:
      stat.write_text(f"{INIT} (init) S {' '.join(['7'] * 40)}")

  source.after = reboot
  with pytest.raises(Failed, match="was rebooted"):
    source.migrate()
  assert source.actions() == ["pre-dump"] * number
  assert goes_on(source)


def test_a_target_that_refuses_does_so_before_anything_stops(
  source: Source, target: Target
) -> None:
  target.trouble = "the migration is over on this node"
  with pytest.raises(LxcError, match="is over on this node"):
    source.migrate()
  assert source.actions() == []
  assert goes_on(source)


def test_a_connection_that_is_lost_in_a_round(
  source: Source, target: Target
) -> None:
  def cut(_action: str) -> None:
    assert target.channel is not None
    target.channel.cancel()

  source.before = cut
  with pytest.raises(LxcError):
    source.migrate()
  assert source.actions() == ["pre-dump"]
  assert goes_on(source)


def test_the_way_back_is_from_the_same_rounds(
  source: Source, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
  for what in ("allow_devices", "forbid_making", "set_limits"):
    monkeypatch.setattr(enforce, what, lambda *_: None)
  found: list[str] = []

  def look(node: FakeCriu, argv: list[str]) -> int:
    found.extend(chain(node.work.images))
    return restored(node, argv)

  source.node.restoring = look
  target.verdict = (Owner(), Returned("it could not be restored"))
  with pytest.raises(Failed, match="runs on where it was") as caught:
    source.migrate()
  assert "could not be restored" in str(caught.value)
  assert found == ["images", "2", "1"]
  assert goes_on(source)


def test_progress_never_goes_beyond_all_nor_back(
  source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
  memory = 16 * MIB
  monkeypatch.setattr(precopy.report, "memory_used", lambda *_: memory)
  told: list[progress.Progress] = []
  save = progress.save

  def noted(paths: object, now: progress.Progress) -> None:
    told.append(now)
    save(paths, now)  # type: ignore[arg-type]

  monkeypatch.setattr(progress, "save", noted)
  monkeypatch.setattr(progress.Reporter, "_EVERY_S", 0.0)
  source.migrate()
  sent = [now for now in told if now.sent]
  assert sent[-1].sent > sum(source.sizes)
  for before, after in itertools.pairwise(sent):
    assert before.sent <= after.sent
    assert before.known <= after.known
  # What is not known yet is not taken for done.
  assert all(memory <= now.known >= now.sent for now in sent)
  first = [now for now in sent if now.phase == "round 1"]
  assert first[-1].sent < 0.3 * first[-1].known


def test_phases_are_told_in_their_order(source: Source) -> None:
  source.migrate()
  names = [name for name, _ in source.progress.times]
  assert names == [
    "starting", "files", "round 1", "round 2", "write disks", "dump", "send",
    "verify", "end", "hand over", "restore",
  ]  # fmt: skip


def test_little_is_left_to_be_written_when_the_guest_stands_still(
  source: Source,
) -> None:
  """With a full cache Ganeti waited in vain for an answer, and gave up."""
  source.migrate()
  programs = [argv[0] for argv in source.node.node.run.calls]
  assert "sync" in programs
  assert programs.index("sync") < programs.index("umount")


def test_how_it_stands_is_told_while_disks_are_unmounted(
  source: Source,
) -> None:
  host = source.node.host
  found = journals.load(host, NAME)
  journals.save(host, dataclasses.replace(found, state=State.DUMPED))
  worker = journals.hold_worker_lock(host, NAME)
  assert worker is not None
  told: list[bool] = []

  def ask() -> None:
    storage: Any = source.node.node.storage
    told.append(calls.status(host, storage, NAME).done)

  with journals.exclusive(host, NAME):
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(5)
  os.close(worker)
  assert told == [False]


def test_what_it_came_to_is_counted(source: Source) -> None:
  counters.path(source.node.host).parent.mkdir(parents=True, exist_ok=True)
  source.migrate()
  sums = counters.read(source.node.host)[counters.SUMS]
  assert sums[counters.SENT_BYTES] == source.progress.sent > 0
  frozen = sums[counters.FROZEN_MICROSECONDS]
  assert 0 < frozen < sums[counters.MICROSECONDS]


def test_what_a_failed_one_came_to_is_counted(
  source: Source, target: Target
) -> None:
  counters.path(source.node.host).parent.mkdir(parents=True, exist_ok=True)
  target.trouble = "the migration is over on this node"
  with pytest.raises(LxcError):
    source.migrate()
  sums = counters.read(source.node.host)[counters.SUMS]
  assert sums[counters.FROZEN_MICROSECONDS] == 0
  assert sums[counters.MICROSECONDS] > 0


def test_every_phase_is_known_to_freeze_or_not(source: Source) -> None:
  source.migrate()
  names = {name for name, _ in source.progress.times}
  rounds = {"round 1", "round 2"}
  assert names - progress.FROZEN - rounds == {
    "starting",
    "files",
    "write disks",
  }


def test_whatever_stops_the_thread_that_sends_ends_the_migration(
  source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Else files that were never begun would not be missed."""

  def follow(*_: object) -> None:
    raise MemoryError("no more")

  monkeypatch.setattr(stream.Sender, "follow", follow)
  monkeypatch.setattr(precopy.Sending, "begin", lambda _self, _files: 1 << 40)
  with pytest.raises(MemoryError):
    source.migrate()
  assert goes_on(source)


@pytest.mark.parametrize("status", [0, 1])
def test_nothing_is_sent_any_more_when_it_is_over(
  source: Source, status: int
) -> None:
  before = set(threading.enumerate())
  source.status = status
  with contextlib.suppress(Failed):
    source.migrate()
  assert set(threading.enumerate()) <= before
