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

"""A start that was killed while a program of its was still mounting."""

import os
import pathlib
import shutil
import signal

import pytest
from ganeti.hypervisor.hv_lxc import mounts, record, starting, stopping
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.record import Phase
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  return FakeLxc(tmp_path)


def mounting(node: FakeLxc) -> None:
  """A start was killed, and its mount(8) waits for the disk."""
  starting.start(node.host, node.storage, fakes.request([node.disk(0)], []))
  node.depopulate()
  noted = record.load(node.host, node.paths())
  assert noted is not None
  record.save(node.paths(), noted.in_phase(Phase.STARTING))
  words = ("mount", "-i", "/dev/drbd0", str(node.paths().rootfs))
  node.write("proc/77/comm", "mount\n")
  node.write("proc/77/cmdline", "\0".join(words) + "\0")
  node.write("proc/78/comm", "mount\n")
  node.write("proc/78/cmdline", "mount\0/dev/x\0/elsewhere\0")


def test_what_was_mounted_after_its_worker_was_killed_is_unmounted(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  mounting(node)
  killed = []

  def kill(pid: int, number: int) -> None:
    killed.append((pid, number))
    shutil.rmtree(node.top / f"proc/{pid}")
    node.add_mount("/dev/mapper/drbd0.ganeti1", node.paths().rootfs)

  monkeypatch.setattr(os, "kill", kill)
  stopping.clean_up_stopped(node.host, node.storage, NAME)
  assert killed == [(77, signal.SIGKILL)]
  assert node.left() == {}


def test_a_mount_that_cannot_be_ended_is_told(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  mounting(node)
  monkeypatch.setattr(os, "kill", lambda *_: None)
  monkeypatch.setattr(mounts, "_MOUNT_END_S", 0)
  with pytest.raises(Incomplete, match=r"process 77 .*repeat this"):
    stopping.clean_up_stopped(node.host, node.storage, NAME)
  assert node.paths().record.exists()
