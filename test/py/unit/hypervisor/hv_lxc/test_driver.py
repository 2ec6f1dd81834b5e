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

"""LXCHypervisor as Ganeti calls it, with the objects that Ganeti has."""

import json
import os
import pathlib
from typing import Any

import pytest
from ganeti import constants, errors, objects
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import driver, paramvalues, record
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import journal, listing
from ganeti.hypervisor.hv_lxc.migration.journal import Journal
from ganeti.hypervisor.hv_lxc.migration.states import State
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import INIT, MONITOR, NAME, UUID, FakeLxc


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path, version=request.param)
  node.add_link("br0", bridge=True)
  return node


def make_driver(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> LXCHypervisor:
  monkeypatch.setattr(
    "ganeti.hypervisor.hv_lxc.report.for_ganeti", lambda host: [5, 0, 2]
  )
  monkeypatch.setattr(driver, "local_host", lambda: node.host)
  return LXCHypervisor(_host=node.host, _storage=node.storage)


def instance(**changes: Any) -> objects.Instance:
  values: dict[str, Any] = {
    "name": NAME,
    "uuid": UUID,
    "hypervisor": "lxc",
    "hvparams": paramvalues.defaults(),
    "beparams": {"minmem": 64, "maxmem": 128, "vcpus": 2},
    "nics": [nic()],
    "tags": {"b", "a"},
    **changes,
  }
  return objects.Instance(**values)


def nic(**changes: Any) -> objects.NIC:
  values: dict[str, Any] = {
    "mac": "aa:00:00:00:00:01",
    "uuid": "7d8c0f6e-9b3e-4f0f-8d3c-0d9d3a9b8a55",
    "nicparams": {"mode": "bridged", "link": "br0", "vlan": ""},
    **changes,
  }
  return objects.NIC(**values)


def block_devices(node: FakeLxc, count: int = 1) -> list[Any]:
  found = []
  for index in range(count):
    path = node.disk(index).path
    disk = objects.Disk(uuid=f"disk-{index}", mode="rw", size=512)
    found.append((disk, str(path), None))
  return found


# Start and stop


def test_the_life_of_an_instance(hv: LXCHypervisor, node: FakeLxc) -> None:
  assert hv.StartInstance(instance(), block_devices(node, 2), False) is None
  assert hv.ListInstances() == [NAME]
  assert hv.StopInstance(instance(), timeout=5) is None
  assert hv.ListInstances() == []
  assert hv.CleanupInstance(NAME) is None
  assert node.left() == {}


def test_a_disk_is_found_by_its_device_not_by_ganetis_link(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  """Ganeti points the link elsewhere while the instance runs."""
  ((disk, path, _),) = block_devices(node)
  link = node.top / "instance-disks-link"
  link.symlink_to(path)
  hv.StartInstance(instance(), [(disk, str(link), None)], False)
  noted = record.load(node.host, node.paths())
  assert noted is not None
  assert noted.disks[0].source == path


def test_userspace_storage_is_refused(hv: LXCHypervisor, node: FakeLxc) -> None:
  disk = objects.Disk(uuid="x", mode="rw", size=1)
  with pytest.raises(errors.HypervisorError, match="access=kernelspace"):
    hv.StartInstance(instance(), [(disk, None, "rbd:a/b")], False)


def test_an_instance_may_not_go_beyond_the_cluster(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  for name, value in (("drop_capabilities", "kill"), ("devices", "b 8:0 rwm")):
    bold = {**paramvalues.defaults(), name: value}
    with pytest.raises(errors.HypervisorError, match=f"(?i){name}|capabilit"):
      hv.StartInstance(instance(hvparams=bold), block_devices(node), False)
  assert node.run.calls == []


@pytest.mark.parametrize(
  "call",
  [
    lambda hv: hv.StopInstance(instance(), force=True),
    lambda hv: hv.StopInstance(None, force=True, name=NAME),
    lambda hv: hv.StopInstance(None, True, False, NAME),
    lambda hv: hv.StopInstance(instance(), False, False, None, 0),
    lambda hv: hv.StopInstance(instance(), False, True, None, 1),
  ],
)
@pytest.mark.parametrize("runs", [True, False])
def test_all_forms_of_stop(
  hv: LXCHypervisor, node: FakeLxc, call: Any, runs: bool
) -> None:
  if runs:
    hv.StartInstance(instance(), block_devices(node), False)
  assert call(hv) is None


def gone(node: FakeLxc, uuid: str = UUID) -> None:
  """The instance has been migrated to a node that does not answer."""
  noted = Journal(
    name=NAME, uuid=uuid, state=State.GONE, id="m1", peer_node="node2"
  )
  journal.save(node.host, noted)


def test_what_was_migrated_is_not_started_here(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  gone(node)
  with pytest.raises(errors.HypervisorError, match="node2"):
    hv.StartInstance(instance(), block_devices(node), False)
  assert node.run.calls == []
  assert hv.ListInstances() == []


def test_a_new_instance_with_the_name_of_one_that_was_migrated(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  """It was refused, since its predecessor ran on another node once."""
  gone(node, uuid="that-of-the-predecessor")
  hv.StartInstance(instance(), block_devices(node), False)
  assert hv.ListInstances() == [NAME]


def test_what_is_on_its_way_is_listed_where_it_was(
  hv: LXCHypervisor, node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Ganeti's watcher starts what is listed nowhere."""
  monkeypatch.setattr(listing, "await_answers", lambda _: None)
  moving = Journal(name=NAME, state=State.HANDING, id="m1", peer_node="node2")
  journal.save(node.host, moving)
  fd = journal.hold_worker_lock(node.host, NAME)
  assert fd is not None
  try:
    assert hv.ListInstances() == [NAME]
    assert hv.GetInstanceInfo(NAME)[0] == NAME
    assert [info[0] for info in hv.GetAllInstancesInfo()] == [NAME]
  finally:
    os.close(fd)


def test_a_disobedient_guest_does_not_fail_the_job(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  node.run.on("lxc-stop", 1)
  hv.StopInstance(instance(), timeout=0)
  assert hv.ListInstances() == [NAME]


# Reports


def test_info_of_a_running_instance(hv: LXCHypervisor, node: FakeLxc) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  info = hv.GetInstanceInfo(NAME)
  name, id_, memory, vcpus, state, times = info
  assert name == NAME
  assert id_ == INIT
  assert state == hv_base.HvInstanceState.RUNNING
  for number in (id_, memory, vcpus, state, times):
    assert type(number) is int
  assert json.loads(json.dumps(list(info))) == list(info)


def test_infos_of_all_name_what_runs_and_no_foreign_container(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  for base in node.groups:
    foreign = base / "lxc/foreign"
    foreign.mkdir(parents=True)
    (foreign / "cgroup.procs").write_text("1\n")
    # Of ours, but nothing runs in it.
    (base / "ganeti-lxc/stopped.example.com/payload").mkdir(parents=True)
  (info,) = hv.GetAllInstancesInfo()
  assert info[0] == NAME
  assert [type(value) for value in info] == [str, int, int, int, int, int]
  assert hv.ListInstances(hvparams={}) == [NAME]


def test_no_program_is_started_for_a_report(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  node.populate()
  hv.GetAllInstancesInfo()
  hv.GetInstanceInfo(NAME)
  hv.ListInstances()
  hv.GetNodeInfo()
  assert node.run.calls == []


def test_an_unknown_instance_is_none(hv: LXCHypervisor) -> None:
  assert hv.GetInstanceInfo("nobody.example.com") is None
  assert hv.GetAllInstancesInfo() == []


def test_a_guest_that_halts_by_itself(hv: LXCHypervisor, node: FakeLxc) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  node.depopulate()
  node.paths().ended.write_text("halted\n")
  expected = (NAME, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)
  assert hv.GetInstanceInfo(NAME) == expected
  assert hv.GetAllInstancesInfo() == [expected]
  assert hv.ListInstances() == []
  hv.StopInstance(instance(), force=True)
  assert hv.GetInstanceInfo(NAME) is None


def test_a_guest_that_crashes_is_just_not_there(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  node.depopulate()
  node.paths().ended.write_text("died\n")
  assert hv.GetInstanceInfo(NAME) is None
  assert hv.GetAllInstancesInfo() == []


def test_node_info_has_the_types_that_ganeti_checks(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  info = hv.GetNodeInfo()
  for key in (
    "memory_total", "memory_free", "memory_dom0",
    "cpu_total", "cpu_dom0", "cpu_nodes", "cpu_sockets",
  ):  # fmt: skip
    assert type(info[key]) is int
  assert info["memory_total"] == 8192


# Errors


class Broken(Exception):
  """Of a kind nobody expects."""


@pytest.mark.parametrize(
  "error",
  [
    Refused("no"),
    OSError(5, "Input/output error"),
    ValueError("no number"),
    KeyError("mode"),
    errors.BlockDeviceError("gone"),
    Broken("odd"),
  ],
  ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
  ("where", "call"),
  [
    (
      "starting.start",
      lambda hv, node: hv.StartInstance(instance(), block_devices(node), False),
    ),
    ("stopping.soft_stop", lambda hv, node: hv.StopInstance(instance())),
    (
      "stopping.hard_stop",
      lambda hv, node: hv.StopInstance(None, True, 0, "x"),
    ),
    ("stopping.soft_reboot", lambda hv, node: hv.RebootInstance(instance())),
    ("report.running_names", lambda hv, node: hv.ListInstances()),
    ("report.usage", lambda hv, node: hv.GetInstanceInfo("x")),
    ("report.all_usage", lambda hv, node: hv.GetAllInstancesInfo()),
    ("report.node_info", lambda hv, node: hv.GetNodeInfo()),
    ("verify.problems", lambda hv, node: hv.Verify()),
    (
      "balloon.set_memory",
      lambda hv, node: hv.BalloonInstanceMemory(instance(), 64),
    ),
    (
      "growth.grow",
      lambda hv, node: hv.ResizeDisk(
        instance(), objects.Disk(uuid="x"), 1 << 30
      ),
    ),
    ("params.parse", lambda hv, node: hv.CheckParameterSyntax({})),
    ("params.parse", lambda hv, node: hv.ValidateParameters({})),
  ],
)
def test_every_error_leaves_as_a_hypervisor_error(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  where: str,
  call: Any,
  error: Exception,
) -> None:
  node = FakeLxc(tmp_path)
  hv = make_driver(node, monkeypatch)

  def fail(*_args: Any, **_kwargs: Any) -> None:
    raise error

  monkeypatch.setattr(f"ganeti.hypervisor.hv_lxc.{where}", fail)
  with pytest.raises(errors.HypervisorError) as caught:
    call(hv, node)
  assert caught.value.__cause__ is error


def test_an_interrupt_is_no_error(
  hv: LXCHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
  def interrupt(*_args: Any) -> None:
    raise KeyboardInterrupt

  monkeypatch.setattr(driver.report, "running_names", interrupt)
  with pytest.raises(KeyboardInterrupt):
    hv.ListInstances()


# Verification, console, the rest


def test_a_healthy_node_verifies_as_none(
  hv: LXCHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(driver.verify, "problems", lambda host, **_: [])
  assert hv.Verify() is None
  assert hv.Verify(hvparams=paramvalues.defaults()) is None


def test_verify_complained_of_controller_b_where_blkio_was_named(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  asked: list[list[str]] = []

  def problems(_host: object, extra_cgroups: object) -> list[str]:
    asked.append(list(extra_cgroups))  # type: ignore[call-overload]
    return []

  monkeypatch.setattr("ganeti.hypervisor.hv_lxc.verify.problems", problems)
  LXCHypervisor().Verify(hvparams={"extra_cgroups": "blkio, net_cls"})
  assert asked == [["blkio", "net_cls"]]


def test_each_problem_is_in_the_result(
  hv: LXCHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(driver.verify, "problems", lambda host, **_: ["a", "b"])
  text = hv.Verify()
  assert isinstance(text, str)
  assert "a" in text
  assert "b" in text


def test_the_console_command(node: FakeLxc) -> None:
  console = LXCHypervisor.GetInstanceConsole(
    instance(),
    objects.Node(name="node1.example.com", ndparams={}),
    FakeGroup(),
    paramvalues.defaults(),
    {},
  )
  assert console.Validate() is None
  assert console.kind == constants.CONS_SSH
  assert (console.host, console.port) == ("node1.example.com", 2222)
  *program, name = console.command
  assert name == NAME
  assert pathlib.Path(program[-1]).is_file()


class FakeGroup:
  """A node group that sets the SSH port of its nodes."""

  def FillND(self, node: objects.Node) -> dict[str, Any]:  # noqa: N802
    return {"ssh_port": 2222}


def test_hotplug_is_refused_in_the_way_that_ganeti_falls_back_from(
  hv: LXCHypervisor,
) -> None:
  with pytest.raises(errors.HotplugError):
    hv.HotplugSupported(instance())


def test_nothing_has_to_be_the_same_on_all_nodes() -> None:
  assert LXCHypervisor.GetAncillaryFiles() == ([], [])


def test_what_was_lost_from_run_is_noticed_and_made_anew(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  hv.StartInstance(instance(), block_devices(node), False)
  node.write(node.paths().console_log, "hello\n")
  assert hv.VerifyInstance(instance()) is True
  node.paths().console_log.unlink()
  for path in sorted(node.layout.run_dir.rglob("*"), reverse=True):
    path.rmdir() if path.is_dir() else path.unlink()
  node.layout.run_dir.rmdir()
  assert hv.VerifyInstance(instance()) is False
  hv.RestoreInstance(instance(), block_devices(node))
  assert hv.VerifyInstance(instance()) is True
  assert hv.ListInstances() == [NAME]
  hv.StopInstance(instance(), force=True)
  assert node.left() == {}


def test_a_monitor_that_is_gone_in_the_middle_of_a_report(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  node.populate()
  for path in (node.top / f"proc/{MONITOR}").rglob("children"):
    path.unlink()
  assert hv.GetInstanceInfo(NAME)[0] == NAME
  assert fakes.NAME in hv.ListInstances()
