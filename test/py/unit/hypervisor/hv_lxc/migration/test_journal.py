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

"""The migration journal: durable, private, and readable when damaged."""

import dataclasses
import errno
import json
import os
import pathlib
import stat

import pytest
from ganeti.hypervisor.hv_lxc import host as host_module
from ganeti.hypervisor.hv_lxc.errors import Incomplete, Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration import reserve as reserves
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.states import State

NAME = "web1.example.com"
JOURNAL = Journal(
  name=NAME,
  state=State.HANDING,
  role=Role.SOURCE,
  uuid="8f9d4a5c-1c11-4a34-9a8e-0e6a9b1f2c3d",
  id="m2",
  boot_id="boot-1",
  peer_node="node2.example.com",
  peer_address="192.0.2.2",
  port=8102,
  secret="5e" * 32,
  started=1763733600.5,
  closed=("m0", "m1"),
  never_ran=("m1",),
)


def write(node: Host, text: str, name: str = NAME) -> None:
  paths = node.layout.migration(name)
  paths.home.mkdir(parents=True, exist_ok=True)
  paths.journal.write_text(text)


@pytest.mark.parametrize("state", State)
def test_round_trip(node: Host, state: State) -> None:
  journal = dataclasses.replace(JOURNAL, state=state)
  journals.save(node, journal)
  assert journals.load(node, NAME) == journal


def test_none_is_an_idle_one(node: Host) -> None:
  assert journals.load(node, NAME) == Journal(name=NAME)
  assert journals.load_all(node) == []


def test_it_is_stamped_with_the_boot(node: Host) -> None:
  journals.save(node, dataclasses.replace(JOURNAL, boot_id="an old one"))
  assert journals.load(node, NAME).boot_id == "boot-1"


def test_it_is_private(node: Host) -> None:
  journals.save(node, JOURNAL)
  paths = node.layout.migration(NAME)
  assert stat.S_IMODE(paths.home.stat().st_mode) == 0o700
  assert stat.S_IMODE(paths.home.parent.stat().st_mode) == 0o700
  assert stat.S_IMODE(paths.journal.stat().st_mode) == 0o600


def test_it_is_on_the_disk_before_anybody_goes_on(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  synced: list[str] = []
  real = os.fsync

  def fsync(fd: int) -> None:
    synced.append(str(pathlib.Path(f"/proc/self/fd/{fd}").readlink()))
    real(fd)

  monkeypatch.setattr(os, "fsync", fsync)
  journals.save(node, JOURNAL)
  home = node.layout.migration(NAME).home
  # The new directories, the file under its first name, the rename.
  assert synced[:2] == [str(home.parent), str(home.parent.parent)]
  assert pathlib.Path(synced[2]).name.startswith(".journal.json")
  assert synced[3:] == [str(home)]


def test_the_token_is_given_back_though_the_file_system_is_full(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  journals.save(node, JOURNAL)
  reserve = node.layout.migration(NAME).reserve
  write_durably = reserves.write_durably

  def full(path: pathlib.Path, text: str) -> None:
    if reserve.exists():
      raise OSError(errno.ENOSPC, "No space left on device")
    write_durably(path, text)

  monkeypatch.setattr(reserves, "write_durably", full)
  closed = dataclasses.replace(JOURNAL, state=State.CLOSED)
  journals.save(node, closed)
  assert journals.load(node, NAME).state is State.CLOSED


def test_any_other_failure_to_write_keeps_the_reserve(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  journals.save(node, JOURNAL)

  def broken(_path: pathlib.Path, _text: str) -> None:
    raise OSError(errno.EIO, "Input/output error")

  monkeypatch.setattr(reserves, "write_durably", broken)
  with pytest.raises(OSError, match="Input/output"):
    journals.save(node, dataclasses.replace(JOURNAL, state=State.CLOSED))
  assert node.layout.migration(NAME).reserve.stat().st_blocks


def test_a_power_cut_while_writing_leaves_the_old_one(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  journals.save(node, JOURNAL)

  def fail(_fd: int) -> None:
    raise OSError(5, "Input/output error")

  monkeypatch.setattr(host_module.os, "fsync", fail)
  with pytest.raises(OSError, match="Input/output"):
    journals.save(node, dataclasses.replace(JOURNAL, state=State.GONE))
  assert journals.load(node, NAME) == JOURNAL
  left = node.layout.migration(NAME).home.iterdir()
  assert {path.name for path in left} == {"journal.json", "reserve"}


def without(key: str) -> str:
  data = json.loads(JOURNAL.to_text())
  del data[key]
  return json.dumps(data)


def with_value(key: str, value: object) -> str:
  return json.dumps({**json.loads(JOURNAL.to_text()), key: value})


@pytest.mark.parametrize(
  "text",
  [
    "",
    "{",
    "[]",
    "null",
    '"x"',
    "\0\0\0\0",
    without("state"),
    without("name"),
    without("closed"),
    without("never_ran"),
    with_value("state", "enchanted"),
    with_value("role", "both"),
    with_value("port", "8102"),
    with_value("port", None),
    with_value("closed", 3),
    with_value("live", "yes"),
    with_value("name", "other.example.com"),
  ],
)
def test_a_damaged_one_is_an_error_that_names_it(node: Host, text: str) -> None:
  write(node, text)
  with pytest.raises(Incomplete, match=f"journal of instance {NAME}") as info:
    journals.load(node, NAME)
  assert str(node.layout.migration(NAME).journal) in str(info.value)


def test_a_damaged_one_does_not_hide_the_others(node: Host) -> None:
  journals.save(node, JOURNAL)
  write(node, "{", "a.example.com")
  (node.layout.migrations / "empty.example.com").mkdir()
  (node.layout.migrations / ".hidden").mkdir()
  node.layout.migration("d.example.com").journal.mkdir(parents=True)
  listed = journals.load_all(node)
  assert [(e.name, bool(e.problem)) for e in listed] == [
    ("a.example.com", True),
    ("d.example.com", True),
    ("empty.example.com", False),
    (NAME, False),
  ]
  assert listed[-1].journal == JOURNAL
  assert listed[0].journal is None


def test_unknown_keys_of_a_later_release_are_passed_over(node: Host) -> None:
  write(node, with_value("from_the_future", {"a": 1}))
  assert journals.load(node, NAME) == JOURNAL


def test_the_secret_is_not_for_logs() -> None:
  assert JOURNAL.secret not in repr(JOURNAL)
  assert JOURNAL.secret not in f"{JOURNAL}"


def test_it_remembers_what_is_over() -> None:
  journal = JOURNAL.with_closed("m2", has_run=False)
  assert journal.closed == ("m0", "m1", "m2")
  assert journal.never_ran == ("m1", "m2")
  assert journal.with_closed("m3").never_ran == journal.never_ran
  assert [journal.is_over(f"m{i}") for i in range(4)] == [True] * 3 + [False]
  assert journal.with_closed("m1") == journal
  assert journal.with_closed("") == journal


def test_it_forgets_the_oldest_first() -> None:
  journal = JOURNAL
  for number in range(journals.MAX_CLOSED):
    journal = journal.with_closed(f"n{number}")
  assert len(journal.closed) == journals.MAX_CLOSED
  assert not journal.is_over("m1")
  assert journal.is_over("n0")


def test_one_step_at_a_time(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(journals, "LOCK_TIMEOUT_S", 0.01)
  with (
    journals.exclusive(node, NAME),
    pytest.raises(Refused, match="under way"),
    journals.exclusive(node, NAME),
  ):
    pass
  with journals.exclusive(node, NAME):
    pass


def test_one_worker_at_a_time(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(journals, "_WORKER_LOCK_TIMEOUT_S", 0.01)
  assert journals.worker(node, NAME) is None
  fd = journals.hold_worker_lock(node, NAME)
  assert fd is not None
  assert not os.get_inheritable(fd)
  assert journals.worker(node, NAME) == os.getpid()
  assert journals.hold_worker_lock(node, NAME) is None
  os.close(fd)
  assert journals.worker(node, NAME) is None
  again = journals.hold_worker_lock(node, NAME)
  assert again is not None
  os.close(again)


def test_a_worker_that_has_not_said_its_number_yet(node: Host) -> None:
  fd = journals.hold_worker_lock(node, NAME)
  assert fd is not None
  os.ftruncate(fd, 0)
  assert journals.worker(node, NAME) == 0
  os.close(fd)


def test_no_worker_is_easily_killed(node: Host) -> None:
  journals.kill_worker(node, NAME)


def test_a_worker_that_settles_does_not_kill_itself(node: Host) -> None:
  fd = journals.hold_worker_lock(node, NAME)
  assert fd is not None
  journals.kill_worker(node, NAME)
  assert journals.worker(node, NAME) == os.getpid()
  os.close(fd)


def test_a_worker_that_does_not_die(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(journals, "_KILL_TIMEOUT_S", 0.01)
  fd = journals.hold_worker_lock(node, NAME)
  assert fd is not None
  os.pwrite(fd, b"0      \n", 0)
  with pytest.raises(Incomplete, match="does not end"):
    journals.kill_worker(node, NAME)
  os.close(fd)
