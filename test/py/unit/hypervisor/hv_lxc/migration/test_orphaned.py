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
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""A CRIU that waits for tasks which have died is ended."""

import os
import pathlib
import threading

import pytest
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.migration import orphaned

LONG_S = 10.0
# More than the kernel ever gives (PID_MAX_LIMIT)
NOBODY = 1 << 22


class Init:
  """A process of which only the descriptor is there."""

  PID = 4711

  def __init__(self) -> None:
    self.descriptor, self._life = os.pipe()

  def die(self) -> None:
    os.close(self._life)


@pytest.fixture
def init(monkeypatch: pytest.MonkeyPatch) -> Init:
  made = Init()
  real = os.pidfd_open

  def opened(pid: int) -> int:
    return made.descriptor if pid == Init.PID else real(pid)

  monkeypatch.setattr(os, "pidfd_open", opened)
  return made


def _descriptors() -> int:
  return sum(1 for _ in pathlib.Path("/proc/self/fd").iterdir())


def test_criu_is_ended_some_time_after_init_has_died(init: Init) -> None:
  ended = threading.Event()
  with orphaned.watch(ended.set, grace_s=0.01) as watch:
    watch.begin(Init.PID)
    assert not ended.is_set()
    init.die()
    assert ended.wait(LONG_S)


@pytest.mark.parametrize("pid", [NOBODY, None])
def test_init_has_died_before(pid: int | None) -> None:
  ended = threading.Event()
  with orphaned.watch(ended.set, grace_s=0.01) as watch:
    watch.begin(pid)
    assert ended.wait(LONG_S)


def test_criu_that_ends_by_itself_is_left_alone(init: Init) -> None:
  ended = threading.Event()
  with orphaned.watch(ended.set, grace_s=LONG_S) as watch:
    watch.begin(Init.PID)
    init.die()
  assert not ended.is_set()


def test_init_that_lives_is_no_reason(init: Init) -> None:
  ended = threading.Event()
  with orphaned.watch(ended.set, grace_s=0.0) as watch:
    watch.begin(Init.PID)
  assert not ended.is_set()
  init.die()


def test_a_restore_that_fails_before_init_exists() -> None:
  before = _descriptors()
  with orphaned.watch(lambda: None):
    pass
  assert _descriptors() == before


def test_criu_that_cannot_be_ended_is_logged(
  caplog: pytest.LogCaptureFixture,
) -> None:
  tried = threading.Event()

  def end() -> None:
    tried.set()
    raise Incomplete("CRIU cannot be killed")

  with orphaned.watch(end, grace_s=0.0) as watch:
    watch.begin(None)
    assert tried.wait(LONG_S)
  assert "CRIU cannot be killed" in caplog.text
