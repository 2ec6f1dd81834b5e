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

"""A CRIU that has stopped getting anywhere is ended."""

import itertools
import pathlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, freezer, hierarchies
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import criu_processes, stalled
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc

LONG_S = 10.0
CRIU, INIT = 11, 12


def test_a_migration_does_not_wait_an_hour_for_a_guest_that_was_halting() -> (
  None
):
  ended = threading.Event()
  with stalled.watch(lambda: 1, ended.set, patience_s=0.02, look_s=0.01):
    assert ended.wait(LONG_S)


def test_one_that_gets_on_is_left_alone() -> None:
  ended, looked = threading.Event(), threading.Event()
  steps = itertools.count()

  def done() -> int:
    step = next(steps)
    if step > 20:
      looked.set()
    return step

  with stalled.watch(done, ended.set, patience_s=0.02, look_s=0.001):
    assert looked.wait(LONG_S)
    assert not ended.is_set()


def test_one_that_cannot_be_ended_is_no_matter(
  caplog: pytest.LogCaptureFixture,
) -> None:
  tried = threading.Event()

  def end() -> None:
    tried.set()
    raise Incomplete("CRIU cannot be killed")

  with stalled.watch(lambda: 1, end, patience_s=0.0, look_s=0.001):
    assert tried.wait(LONG_S)
  assert "CRIU cannot be killed" in caplog.text


@pytest.fixture
def node(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
  host = FakeLxc(tmp_path).host
  monkeypatch.setattr(criu_processes, "working", lambda *_: [CRIU])
  monkeypatch.setattr(cgroup, "processes", lambda *_: [INIT])
  for pid in (CRIU, INIT):
    _uses(host, pid, 5)
  return host


def _uses(host: Host, pid: int, ticks: int) -> None:
  path = host.proc / f"{pid}/stat"
  path.parent.mkdir(parents=True, exist_ok=True)
  fields = ["S", *["0"] * 10, str(ticks), "0", *["0"] * 30]
  path.write_text(f"{pid} (a b) c) {' '.join(fields)}\n")


def test_work_is_what_is_logged_and_what_is_computed(
  node: Host, tmp_path: pathlib.Path
) -> None:
  log = tmp_path / "restore.log"

  def done() -> object:
    return stalled.work_done(node, None, NAME, log)  # type: ignore[arg-type]

  seen = [done()]
  assert done() == seen[0]
  log.write_text("(00.000001) Restoring\n")
  seen.append(done())
  for pid in (CRIU, INIT):
    _uses(node, pid, 6)
    seen.append(done())
  (node.proc / f"{INIT}/stat").unlink()
  seen.append(done())
  assert all(a != b for a, b in itertools.pairwise(seen))


class _Order:
  """What of a dump's order counts."""

  def __init__(self, top: pathlib.Path) -> None:
    self.images, self.log = top, top / "dump.log"


def ends(
  node: Host, top: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> bool:
  """Whether a dump that says nothing is ended, after some looks."""
  ended, looked = threading.Event(), threading.Event()
  watch, looks = stalled.watch, itertools.count()

  def impatient(
    done: Callable[[], object], end: Callable[[], None], **_: float
  ) -> AbstractContextManager[None]:
    def counted() -> object:
      if next(looks) > 20:
        looked.set()
      return done()

    def noted() -> None:
      end()
      looked.set()

    return watch(counted, noted, patience_s=0.01, look_s=0.001)

  monkeypatch.setattr(stalled, "watch", impatient)
  monkeypatch.setattr(hierarchies, "find", lambda _: None)
  monkeypatch.setattr(freezer, "is_old", lambda _: True)
  monkeypatch.setattr(criu_processes, "end", lambda *_: ended.set())
  order: Any = _Order(top)
  with stalled.seizing(node, NAME, order):
    assert looked.wait(LONG_S)
  return ended.is_set()


def test_a_dump_that_waits_for_a_stopped_process_is_ended(
  node: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """With cgroup v1; the guest stood still for hours."""
  assert ends(node, tmp_path, monkeypatch)


def test_a_dump_that_copies_memory_is_left_alone(
  node: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It says nothing while it writes what a large process has."""
  (tmp_path / "pages-1.img").touch()
  assert not ends(node, tmp_path, monkeypatch)


def test_a_dump_with_cgroup_v2_may_wait_for_a_disk(
  node: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A pre-dump on a slow machine was ended."""

  def watch(*_: object, **__: object) -> AbstractContextManager[None]:
    pytest.fail("it is watched")

  monkeypatch.setattr(stalled, "watch", watch)
  monkeypatch.setattr(hierarchies, "find", lambda _: None)
  monkeypatch.setattr(freezer, "is_old", lambda _: False)
  order: Any = _Order(tmp_path)
  with stalled.seizing(node, NAME, order):
    pass
