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


"""Instances on a node whose /var is full, or read-only after an error.

That is when one wants to be rid of them; a stop must not need to write.
"""

import errno
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from ganeti import errors
from ganeti.hypervisor.hv_lxc import host as host_module
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from ganeti.hypervisor.hv_lxc.migration import journal, netlock
from ganeti.hypervisor.hv_lxc.migration.journal import Journal
from ganeti.hypervisor.hv_lxc.migration.states import State
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc
from unit.hypervisor.hv_lxc.test_driver import block_devices, instance

FULL, READ_ONLY = "full", "read-only"


@pytest.fixture(params=[FULL, READ_ONLY])
def state(request: pytest.FixtureRequest) -> str:
  return str(request.param)


def spoil(node: FakeLxc, state: str, patch: pytest.MonkeyPatch) -> None:
  """Nothing can be written below the driver's directory any more."""
  if state == FULL:
    patch.setattr(host_module, "_replace", fail(errno.ENOSPC))
    return
  top = f"{node.top / 'data'}/"
  for name in ("unlink", "rmdir", "mkdir", "touch"):
    refuse(patch, pathlib.Path, name, top)
  real = os.open

  def open_read_only(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
    if str(path).startswith(top) and flags & (os.O_WRONLY | os.O_RDWR):
      raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
    return real(path, flags, *args, **kwargs)

  patch.setattr(os, "open", open_read_only)


def fail(code: int) -> Callable[..., None]:
  def raise_it(path: object, *_args: object, **_kwargs: object) -> None:
    raise OSError(code, os.strerror(code), str(path))

  return raise_it


def refuse(patch: pytest.MonkeyPatch, where: type, name: str, top: str) -> None:
  """As unlink(2) and the like do, whether the file is there or not.

  What is below a root file system stands for that of the guest.
  """
  real = getattr(where, name)

  def guarded(path: pathlib.Path, *args: Any, **kwargs: Any) -> Any:
    if str(path).startswith(top) and "rootfs" not in path.parent.parts:
      fail(errno.EROFS)(path)
    return real(path, *args, **kwargs)

  patch.setattr(where, name, guarded)


def stop(hv: LXCHypervisor, *, force: bool) -> None:
  try:
    hv.StopInstance(instance(), force=force, timeout=5)
  except errors.HypervisorError:
    # As Ganeti has it: what is gone is stopped.
    assert hv.GetInstanceInfo(NAME) is None


def clean_up(hv: LXCHypervisor, state: str) -> None:
  if state == FULL:
    hv.CleanupInstance(NAME)
    return
  # Its directory stays; Ganeti logs that and goes on.
  with pytest.raises(errors.HypervisorError, match="its disks are free"):
    hv.CleanupInstance(NAME)


@pytest.mark.parametrize("force", [False, True], ids=["soft", "force"])
def test_can_be_stopped(
  hv: LXCHypervisor,
  node: FakeLxc,
  state: str,
  monkeypatch: pytest.MonkeyPatch,
  force: bool,
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  spoil(node, state, monkeypatch)
  stop(hv, force=force)
  assert not node.running()
  clean_up(hv, state)
  assert set(node.left()) <= {"home"}


@pytest.mark.parametrize("force", [False, True], ids=["soft", "force"])
def test_can_be_stopped_where_they_were_migrated_to(
  hv: LXCHypervisor,
  node: FakeLxc,
  state: str,
  monkeypatch: pytest.MonkeyPatch,
  force: bool,
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  resumed = Journal(name=NAME, state=State.RESUMED, id="m1", peer_node="node2")
  with journal.exclusive(node.host, NAME):
    journal.save(node.host, resumed)
  monkeypatch.setattr(netlock, "release", lambda *_: None)
  monkeypatch.setattr(
    "ganeti.hypervisor.hv_lxc.migration.restore.settle", lambda *_: None
  )
  monkeypatch.setattr(
    "ganeti.hypervisor.hv_lxc.migration.calls.stopped", lambda *_: None
  )
  spoil(node, state, monkeypatch)
  stop(hv, force=force)
  assert not node.running()
  clean_up(hv, state)
  assert set(node.left()) <= {"home"}


def test_that_halted_by_themselves_do_not_look_so_for_ever(
  hv: LXCHypervisor, node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  node.depopulate()
  node.paths().ended.write_text("halted\n")
  spoil(node, FULL, monkeypatch)
  hv.StopInstance(instance(), timeout=5)
  assert hv.GetInstanceInfo(NAME) is None
  hv.CleanupInstance(NAME)
  assert node.left() == {}
