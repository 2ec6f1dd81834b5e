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

"""Memory limits changed: the order, the trial, what is put back."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import (
  balloon,
  balloon_v1,
  balloon_v2,
  cgtree,
  report,
)
from ganeti.hypervisor.hv_lxc.balloon_types import Wanted
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchy
from unit.hypervisor.hv_lxc.fake_groups import (
  NAME,
  FakeGroups,
  FakeKernel,
  error,
)

MIB = 1 << 20


@dataclass
class Guest:
  """What a guest holds, and the kernel's rules for its limits.

  @ivar held: bytes that cannot be reclaimed
  @ivar cache: bytes that can
  @ivar grows: called whenever the kernel is asked what the guest holds

  """

  node: FakeGroups
  kernel: FakeKernel
  notes: dict[str, bytes]
  held: int = 0
  cache: int = 0
  oom_kills: int = 0
  grows: Callable[["Guest"], None] = lambda _guest: None

  @property
  def tree(self) -> Hierarchy:
    tree = self.node.trees.controller("memory")
    assert tree is not None
    return tree

  def file(self, name: str) -> Path:
    return Path(self.tree.payload(NAME), name)

  def get(self, name: str) -> str:
    return self.file(name).read_text().strip()

  def mib(self, name: str) -> int:
    return int(self.get(name)) // MIB

  def put(self, name: str, value: object) -> None:
    self.file(name).write_text(f"{value}\n")

  def rules_v1(self, path: Path, value: str) -> None:
    if not path.name.endswith("limit_in_bytes"):
      return
    limit, memsw = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    new = {limit: int(self.get(limit)), memsw: int(self.get(memsw))}
    new[path.name] = int(value)
    if new[limit] > new[memsw]:
      raise error(errno.EINVAL)
    if int(value) < self.held:
      raise error(errno.EBUSY)
    self.cache = min(self.cache, int(value) - self.held)

  def rules_v2(self, path: Path, value: str) -> None:
    if value == "max":
      return
    if path.name in ("memory.high", "memory.max"):
      self.cache = max(0, min(self.cache, int(value) - self.held))
    if path.name == "memory.max" and self.held > int(value):
      self.oom_kills += 1
    if path.name == "memory.reclaim":
      given = min(self.cache, int(value))
      self.cache -= given
      if given < int(value):
        raise error(errno.EAGAIN)
    if path.name == "cgroup.freeze":
      events = path.with_name("cgroup.events")
      events.write_text(f"populated 1\nfrozen {value}\n")

  def set_memory(self, mib: int, swap_mib: int = 0) -> None:
    balloon.set_memory(self.node.host, NAME, mib, swap_mib=swap_mib, trial_s=0)


def make(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> Guest:
  node = FakeGroups.make(tmp_path, layout)
  node.instance(payload=[5])
  guest = Guest(node, FakeKernel(), {})
  rules = guest.rules_v1 if guest.tree.version == 1 else guest.rules_v2
  guest.kernel.rules.append(rules)
  monkeypatch.setattr(cgtree, "write", guest.kernel.write)
  real = cgtree.read

  def read(path: str, *, dir_fd: int | None = None) -> str | None:
    if path.endswith("memory.current"):
      guest.grows(guest)
      return f"{guest.held + guest.cache}\n"
    if path.endswith("memory.usage_in_bytes"):
      return f"{guest.held + guest.cache}\n"
    return real(path, dir_fd=dir_fd)

  monkeypatch.setattr(cgtree, "read", read)
  replace_notes(guest.notes, monkeypatch)
  return guest


def replace_notes(
  notes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
  """Extended attributes need root, and a file system that has them."""

  def get(path: str, _name: str) -> bytes:
    if path not in notes:
      raise error(errno.ENODATA)
    return notes[path]

  def remove(path: str, _name: str) -> None:
    if notes.pop(path, None) is None:
      raise error(errno.ENODATA)

  monkeypatch.setattr(os, "getxattr", get)
  monkeypatch.setattr(
    os, "setxattr", lambda path, _name, value: notes.update({path: value})
  )
  monkeypatch.setattr(os, "removexattr", remove)


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
  guest = make(tmp_path, "hybrid", monkeypatch)
  guest.put("memory.limit_in_bytes", 128 * MIB)
  guest.put("memory.memsw.limit_in_bytes", 128 * MIB)
  return guest


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
  guest = make(tmp_path, "v2", monkeypatch)
  guest.put("memory.max", 128 * MIB)
  guest.put("memory.swap.max", 0)
  return guest


LIMIT, MEMSW, OOM = (
  "memory.limit_in_bytes",
  "memory.memsw.limit_in_bytes",
  "memory.oom_control",
)


def test_v1_grows_memsw_first(v1: Guest) -> None:
  v1.set_memory(256)
  size = str(256 * MIB)
  assert v1.kernel.log == [(MEMSW, size), (LIMIT, size), (OOM, "0")]
  assert not v1.notes


def test_v1_shrinks_the_limit_first_with_the_oom_killer_off(
  v1: Guest,
) -> None:
  v1.cache = 128 * MIB
  v1.set_memory(64)
  size = str(64 * MIB)
  assert v1.kernel.log == [
    (OOM, "1"),
    (LIMIT, size),
    (MEMSW, size),
    (OOM, "0"),
  ]


@pytest.mark.parametrize(
  ("size", "swap"), [(64, 0), (64, 64), (64, 128), (256, 0), (100, 10)]
)
def test_v1_swap_comes_on_top(v1: Guest, size: int, swap: int) -> None:
  for _ in range(2):
    v1.set_memory(size, swap)
    assert (v1.mib(LIMIT), v1.mib(MEMSW)) == (size, size + swap)
    v1.set_memory(128, 32)
    assert (v1.mib(LIMIT), v1.mib(MEMSW)) == (128, 160)


def test_v1_guest_holds_more(v1: Guest) -> None:
  v1.held = 100 * MIB
  expected = (
    f"Instance {NAME} cannot do with 64 MiB of memory: it holds 100 MiB.*EBUSY"
  )
  with pytest.raises(Failed, match=expected):
    v1.set_memory(64)
  assert (v1.mib(LIMIT), v1.mib(MEMSW)) == (128, 128)
  assert v1.get(OOM) == "0"
  assert not v1.notes


def test_v1_second_write_fails(v1: Guest) -> None:
  """The limit could be lowered, that of memory and swap could not."""

  def rule(path: Path, value: str) -> None:
    if path.name == MEMSW and int(value) < 128 * MIB:
      raise error(errno.EBUSY)

  v1.kernel.rules.append(rule)
  with pytest.raises(Failed, match="cannot do with 64 MiB"):
    v1.set_memory(64)
  assert (v1.mib(LIMIT), v1.mib(MEMSW)) == (128, 128)


def test_v1_guest_waits_for_memory_during_the_trial(v1: Guest) -> None:
  def rule(path: Path, value: str) -> None:
    if path.name == MEMSW:
      v1.put(OOM, "oom_kill_disable 1\nunder_oom 1\noom_kill 0")

  v1.kernel.rules.append(rule)
  with pytest.raises(Failed, match="a process waited for memory at once"):
    v1.set_memory(64)
  assert (v1.mib(LIMIT), v1.mib(MEMSW)) == (128, 128)
  assert v1.kernel.log[-1] == (OOM, "0")


def test_v1_without_swap_accounting(v1: Guest) -> None:
  v1.file(MEMSW).unlink()
  v1.kernel.rules.clear()
  v1.set_memory(64)
  assert v1.mib(LIMIT) == 64
  v1.set_memory(256)
  assert v1.mib(LIMIT) == 256


def test_limits_that_cannot_be_restored(v1: Guest) -> None:
  def rule(path: Path, value: str) -> None:
    if path.name == MEMSW:
      raise error(errno.EIO)

  v1.kernel.rules.append(rule)
  with pytest.raises(Incomplete, match="could not be restored: payload/memory"):
    v1.set_memory(64)


def test_v2_grows_memory_then_swap(v2: Guest) -> None:
  v2.set_memory(256, 16)
  assert v2.kernel.log == [
    ("memory.max", str(256 * MIB)),
    ("memory.swap.max", str(16 * MIB)),
    ("memory.high", "max"),
    ("cgroup.freeze", "0"),
  ]


def test_v2_shrinks_frozen_and_after_a_trial(v2: Guest) -> None:
  v2.held, v2.cache = 20 * MIB, 100 * MIB
  v2.set_memory(64)
  files = [file for file, _ in v2.kernel.log]
  assert files == [
    "memory.swap.max",
    "memory.high",
    "cgroup.freeze",
    "memory.max",
    "memory.high",
    "cgroup.freeze",
  ]
  assert v2.mib("memory.max") == 64
  assert v2.get("memory.high") == "max"
  assert v2.oom_kills == 0
  assert not v2.notes


def test_v2_reclaims_what_memory_high_left(v2: Guest) -> None:
  """As when memory.high was given up on, or the guest took it again."""
  v2.held = 20 * MIB

  def grows(guest: Guest) -> None:
    if ("memory.reclaim") not in [file for file, _ in guest.kernel.log]:
      guest.cache = 100 * MIB

  v2.grows = grows
  v2.set_memory(64)
  assert "memory.reclaim" in [file for file, _ in v2.kernel.log]
  assert v2.mib("memory.max") == 64
  assert v2.oom_kills == 0


@pytest.mark.parametrize("held", [65, 100, 128])
def test_v2_guest_holds_more(v2: Guest, held: int) -> None:
  v2.held = held * MIB
  with pytest.raises(Failed, match=f"it holds {held} MiB"):
    v2.set_memory(64)
  assert_v2_unchanged(v2)


def assert_v2_unchanged(v2: Guest) -> None:
  assert v2.mib("memory.max") == 128
  assert v2.get("memory.swap.max") == "0"
  assert v2.get("memory.high") == "max"
  whole = Path(v2.tree.group(NAME))
  assert (whole / "cgroup.freeze").read_text() == "0\n"
  assert v2.oom_kills == 0
  assert not v2.notes


@pytest.mark.parametrize("reads", range(1, 6))
def test_v2_guest_that_grows_at_any_point(v2: Guest, reads: int) -> None:
  """Whenever it does, memory.max is not written below what it holds.

  What it takes when the limit stands is its own affair; frozen, it takes
  nothing.

  """
  seen = 0

  def grows(guest: Guest) -> None:
    nonlocal seen
    seen += 1
    frozen = Path(guest.tree.group(NAME), "cgroup.freeze").read_text() == "1\n"
    if seen == reads and not frozen:
      guest.held = 100 * MIB

  v2.grows = grows
  try:
    v2.set_memory(64)
  except Failed:
    assert_v2_unchanged(v2)
  assert v2.oom_kills == 0


def test_v2_guest_that_does_not_freeze(
  v2: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(balloon_v2, "_FREEZE_S", 0)
  monkeypatch.setattr(balloon_v2, "_frozen", lambda _whole: False)
  with pytest.raises(Failed, match="not all of its processes stopped"):
    v2.set_memory(64)
  assert_v2_unchanged(v2)


def test_v2_kernel_without_memory_reclaim(v2: Guest) -> None:
  v2.held, v2.cache = 100 * MIB, 0

  def rule(path: Path, _value: str) -> None:
    if path.name == "memory.reclaim":
      raise error(errno.ENOENT)

  v2.kernel.rules.append(rule)
  with pytest.raises(Failed, match="it holds 100 MiB"):
    v2.set_memory(64)
  assert_v2_unchanged(v2)


def test_v2_memory_high_of_the_administrator_is_kept(v2: Guest) -> None:
  v2.put("memory.high", 120 * MIB)
  v2.set_memory(64)
  assert v2.mib("memory.high") == 120


def test_v2_without_swap_in_the_kernel(v2: Guest) -> None:
  v2.file("memory.swap.max").unlink()
  v2.set_memory(64)
  assert v2.mib("memory.max") == 64


def test_instance_that_does_not_run(v2: Guest) -> None:
  events = Path(v2.tree.group(NAME), "cgroup.events")
  events.write_text("populated 0\nfrozen 0\n")
  with pytest.raises(Refused, match="does not run"):
    v2.set_memory(64)
  assert v2.kernel.log == []


def test_instance_that_stops_meanwhile(v1: Guest) -> None:
  def rule(path: Path, _value: str) -> None:
    if path.name == LIMIT:
      raise error(errno.ENODEV)

  v1.kernel.rules.append(rule)
  with pytest.raises(Failed, match="it has just stopped"):
    v1.set_memory(64)


class Killed(BaseException):
  """SIGKILL: nothing of the driver runs any more."""


def begin_and_die(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
  """The driver dies when it would begin the trial."""

  def die(*_: object) -> bool:
    raise Killed

  with monkeypatch.context() as patch:
    for version in (balloon_v1, balloon_v2):
      patch.setattr(version, "wait_until", die)
    patch.setattr(balloon, "_write_back", lambda *_: None)
    patch.setattr(balloon, "_drop_note", lambda *_: None)
    with pytest.raises(Killed):
      guest.set_memory(64)


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_change_of_a_killed_driver_is_undone(
  layout: str,
  request: pytest.FixtureRequest,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  guest: Guest = request.getfixturevalue(layout)
  begin_and_die(guest, monkeypatch)
  assert guest.notes
  assert len(report.all_usage(guest.node.host)) == 1
  assert not guest.notes
  assert guest.mib(LIMIT if layout == "v1" else "memory.max") == 128
  assert not balloon.repair(guest.node.trees, NAME)


def test_note_under_a_lock_is_left_alone(v1: Guest) -> None:
  balloon._write_note(v1.tree, NAME, balloon_v1.note(v1.tree, NAME))
  with balloon._locked(v1.tree, NAME, 0):
    assert not balloon.repair(v1.node.trees, NAME)
    with (
      pytest.raises(Refused, match="is being changed already"),
      balloon._locked(v1.tree, NAME, 0),
    ):
      pass
  assert v1.kernel.log == []
  assert balloon.repair(v1.node.trees, NAME)
  assert not v1.notes


def test_node_that_keeps_no_notes(
  v1: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
  def refuse(*_: object) -> None:
    raise error(errno.EOPNOTSUPP)

  for call in ("getxattr", "setxattr", "removexattr"):
    monkeypatch.setattr(os, call, refuse)
  v1.set_memory(64)
  assert v1.mib(LIMIT) == 64


@pytest.mark.parametrize(
  ("memory_mib", "held_mib", "expected"),
  [(64, 60, 0.5), (1024, 0, 2.0), (1 << 20, 0, 5.0), (64, 128, 0.5)],
)
def test_trial_is_as_long_as_it_takes_to_fill(
  memory_mib: int, held_mib: int, expected: float
) -> None:
  wanted = Wanted(memory_mib * MIB)
  assert wanted.trial(held_mib * MIB) == expected
  assert Wanted(MIB, trial_s=7).trial(0) == 7
