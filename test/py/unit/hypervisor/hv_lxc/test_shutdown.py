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


"""A stop that does not come to its end, and what Ganeti makes of it.

By Ganeti's own InstanceShutdown, which only logs a HypervisorError of
CleanupInstance: the job goes on, a failover to a start on another node.
"""

from typing import Any

import pytest
from ganeti import backend, errors
from ganeti.hypervisor.hv_lxc import cgroup, host, stopping
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete
from ganeti.hypervisor.hv_lxc.migration import calls
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc
from unit.hypervisor.hv_lxc.test_driver import block_devices, gone, instance

# Says that another node must not have it yet.
NOT_ELSEWHERE = "another node before"


@pytest.fixture
def hv(hv: LXCHypervisor, monkeypatch: pytest.MonkeyPatch) -> LXCHypervisor:
  monkeypatch.setattr(backend.hypervisor, "GetHypervisor", lambda _: hv)
  monkeypatch.setattr(backend, "_RemoveBlockDevLinks", lambda *_: None)
  monkeypatch.setattr(backend.time, "sleep", lambda _: None)
  monkeypatch.setattr(stopping, "LOCK_TIMEOUT_S", 0.01)
  monkeypatch.setattr(
    "ganeti.hypervisor.hv_lxc.mounts._UNMOUNT_TIMEOUT_S", 0.05
  )
  return hv


def start(hv: LXCHypervisor, node: FakeLxc) -> None:
  hv.StartInstance(instance(), block_devices(node), False)


def shut_down() -> None:
  """As the node daemon does; what it raises is the job's error."""
  wanted = instance(disks_info=[])
  backend.InstanceShutdown(wanted, 5, [], store_reason=False)


def test_that_works(hv: LXCHypervisor, node: FakeLxc) -> None:
  start(hv, node)
  shut_down()
  assert node.left() == {}


def test_of_what_is_down_already_works_again_and_again(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  start(hv, node)
  node.depopulate()
  for _ in range(3):
    shut_down()
  assert node.left() == {}


def test_of_what_never_was_here(hv: LXCHypervisor) -> None:
  shut_down()


def test_of_what_may_run_elsewhere_fails_the_job(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  """Otherwise a failover would go on, and two copies would run."""
  gone(node)
  with pytest.raises(errors.OpExecError, match=r"node2.*offline=yes"):
    shut_down()


def test_a_failover_mounted_twice_what_stayed_busy_here(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  start(hv, node)
  node.run.on("umount", Result((), 32, "", "umount: target is busy."))
  with pytest.raises(errors.OpExecError, match="target is busy") as caught:
    shut_down()
  assert NOT_ELSEWHERE in str(caught.value)
  node.run.on("umount", node._umount)
  shut_down()
  assert node.left() == {}


def test_again_while_its_umount_still_writes(
  hv: LXCHypervisor, node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Its mount is not to be seen any more by then."""

  def umount(argv: tuple[str, ...]) -> Result:
    node._umount(argv)
    node.write("proc/71/comm", "umount\n")
    node.write("proc/71/cmdline", "\0".join(argv))
    return Result(argv, -9, timed_out=True, stuck=True)

  monkeypatch.setattr("ganeti.hypervisor.hv_lxc.mounts._MOUNT_END_S", 0.01)
  monkeypatch.setattr(host.os, "kill", lambda *_: None)
  start(hv, node)
  node.run.on("umount", umount)
  with pytest.raises(errors.OpExecError, match="cannot be killed"):
    shut_down()
  with pytest.raises(errors.OpExecError, match="process 71 waits for"):
    shut_down()
  (node.top / "proc/71/comm").unlink()
  shut_down()
  assert node.left() == {}


def test_a_disk_that_stayed_attached_was_none_of_the_job_s_business(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  start(hv, node)
  node.storage.stuck = True
  with pytest.raises(errors.OpExecError, match="is in use") as caught:
    shut_down()
  assert NOT_ELSEWHERE in str(caught.value)


def test_a_process_that_was_left_was_none_of_the_job_s_business(
  hv: LXCHypervisor, node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  def remove(*_: Any) -> None:
    raise Incomplete("It has control groups in use", evidence="process 12")

  start(hv, node)
  monkeypatch.setattr(cgroup, "remove", remove)
  with pytest.raises(errors.OpExecError, match="process 12"):
    shut_down()
  # All else has been taken away nevertheless.
  assert node.mounted() == []
  assert node.storage.attached == []
  assert node.links() == []


def test_it_said_stopped_while_another_operation_had_the_instance(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  with (
    host.locked(node.host, NAME, 1),
    pytest.raises(errors.OpExecError, match=f"operation on instance {NAME}"),
  ):
    shut_down()


def test_it_said_stopped_of_what_was_started_in_the_meantime(
  hv: LXCHypervisor, node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """And told the other node of its last migration so."""
  start(hv, node)
  told = []
  monkeypatch.setattr(calls, "stopped", lambda *_: told.append(True))
  before = node.left()
  monkeypatch.setattr(backend, "_GetInstanceInfo", lambda _: None)
  with pytest.raises(errors.OpExecError, match="still runs") as caught:
    shut_down()
  assert NOT_ELSEWHERE in str(caught.value)
  assert node.left() == before
  assert told == []


def test_what_nobody_thought_of_is_no_stop(
  hv: LXCHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It is not known then what is left."""

  def fail(*_: Any) -> None:
    raise ZeroDivisionError

  monkeypatch.setattr(stopping, "clean_up", fail)
  with pytest.raises(errors.OpExecError, match="ZeroDivisionError"):
    shut_down()


@pytest.mark.parametrize("what", ["interface", "file"])
def test_what_holds_no_disk_fails_no_job(
  hv: LXCHypervisor,
  node: FakeLxc,
  monkeypatch: pytest.MonkeyPatch,
  caplog: pytest.LogCaptureFixture,
  what: str,
) -> None:
  start(hv, node)
  if what == "interface":
    remedy = Failed("Interface not removed")
    monkeypatch.setattr(
      "ganeti.hypervisor.hv_lxc.nic_links._delete_link",
      lambda *_: (_ for _ in ()).throw(remedy),
    )
  else:
    (node.paths().home / "backup/yesterday").mkdir(parents=True)
  shut_down()
  assert "its disks are free" in caplog.text
  assert node.mounted() == []
  assert node.storage.attached == []


def test_a_mount_in_its_directory_is_more_than_a_file(
  hv: LXCHypervisor, node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Mounted by a mount(8) that had waited for its device."""

  def remove_home(_: object) -> None:
    raise OSError(16, "Device or resource busy")

  monkeypatch.setattr(stopping, "remove_home", remove_home)
  with pytest.raises(errors.OpExecError, match="Device or resource busy"):
    shut_down()
