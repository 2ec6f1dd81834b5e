#
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

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import record, stopping
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from ganeti.hypervisor.hv_lxc.migration import (
  dump,
  enforce,
  guest_network,
  restore,
)
from ganeti.hypervisor.hv_lxc.record import Phase
from unit.hypervisor.hv_lxc.fakes import BOOT_ID, NAME
from unit.hypervisor.hv_lxc.migration.fake_criu import FakeCriu, restored


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(
  request: pytest.FixtureRequest,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
) -> FakeCriu:
  """An instance was dumped on it."""
  # Files stand for the kernel's control files.
  made = FakeCriu(tmp_path, request.param)
  for what in ("allow_devices", "forbid_making", "set_limits"):
    monkeypatch.setattr(enforce, what, _note(made, what))
  made.start()
  dump.save_files(made.host, NAME)
  dump.dump(made.host, NAME, hold=lambda: None)
  stopping.clean_up(made.host, made.node.storage, NAME)
  assert made.node.left() == {}
  made.events.clear()
  return made


def _note(node: FakeCriu, what: str) -> Callable[..., None]:
  return lambda *_: node.events.append(what)


def run(
  node: FakeCriu, before_release: Callable[[], None] = lambda: None
) -> restore.RestoreTimes:
  return restore.restore(
    node.host,
    node.node.storage,
    node.request(),
    before_release=before_release,
  )


def phase(node: FakeCriu) -> Phase:
  noted = record.load(node.host, node.node.paths())
  assert noted is not None
  return noted.phase


def test_all_is_set_before_the_guest_runs(node: FakeCriu) -> None:
  def before_release() -> None:
    node.events.append("held")
    assert phase(node) is Phase.STARTING

  run(node, before_release)
  assert node.events == [
    "allow_devices",
    "lxc-checkpoint",
    "forbid_making",
    "set_limits",
    "nic-up",
    "held",
  ]
  assert phase(node) is Phase.RUNNING
  assert node.node.running()


def test_table_of_an_old_criu_is_gone_before_the_guest_runs(
  node: FakeCriu,
) -> None:
  (node.work.images / "nftables-1.img").write_text("table inet CRIU-9 {\n")
  node.node.run.on("nsenter", 0)

  def before_release() -> None:
    called = [call for call in node.node.run.calls if "delete" in call]
    assert [call[-1] for call in called] == ["CRIU-9"]

  run(node, before_release)


def test_its_network_is_complete_before_others_are_on_it(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It answered ARP for its peers, while their addresses were its own."""
  monkeypatch.setattr(guest_network, "complete", _note(node, "complete"))
  run(node)
  assert node.events.index("complete") < node.events.index("nic-up")


def test_groups_are_joined_when_others_are_told_of_it(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A switch would not know that the guest wants to hear them."""
  monkeypatch.setattr(guest_network, "join_groups", _note(node, "joined"))
  run(node, lambda: node.events.append("held"))
  assert node.events[-3:] == ["nic-up", "joined", "held"]


def test_record_is_of_this_node(node: FakeCriu) -> None:
  saved = node.work.files / "record.json"
  saved.write_text(saved.read_text().replace(BOOT_ID, "another-boot"))
  run(node)
  noted = record.load(node.host, node.node.paths())
  assert noted is not None
  assert [disk.index for disk in noted.disks] == [0, 1]
  paths = node.node.paths()
  assert node.node.mounted() == [str(paths.rootfs), str(paths.disk(1))]


def test_hook_knows_a_restored_guest(node: FakeCriu) -> None:
  run(node)
  assert node.node.paths().restored.exists()
  assert not node.node.paths().moving.exists()
  assert node.node.paths().console_log.exists()


def test_refused_release_leaves_nothing_but_the_images(node: FakeCriu) -> None:
  def before_release() -> None:
    raise Refused("not here")

  with pytest.raises(Refused, match="not here"):
    run(node, before_release)
  assert node.node.left() == {}
  assert (node.work.images / "inventory.img").exists()
  assert (node.work.files / "config").exists()
  run(node)
  assert node.node.running()


def test_failing_network_script_aborts(node: FakeCriu) -> None:
  node.node.run.on("sh", 1)
  with pytest.raises(Failed, match="network"):
    run(node)
  assert node.node.left() == {}


def test_failure_is_told_from_criu_s_log(node: FakeCriu) -> None:
  def fail(node: FakeCriu, argv: list[str]) -> int:
    node.say(argv, "(00.1) Error (criu/files.c:1): Can't open file x\n")
    return 1

  node.restoring = fail
  with pytest.raises(Failed, match="Can't open file x"):
    run(node)
  assert node.node.left() == {}
  assert node.work.log("restore").exists()


def test_success_without_a_guest_is_a_failure(node: FakeCriu) -> None:
  node.restoring = lambda node, argv: 0
  with pytest.raises(Failed, match="could not be restored"):
    run(node)
  assert node.node.left() == {}


def test_a_criu_whose_monitor_was_killed_does_not_keep_the_disk(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It was in the guest's mounts: "/dev/loop0 is still in use"."""
  for module, what in (
    (restore.stopping, "kill"),
    (restore.criu_processes, "end"),
    (restore.stopping, "clean_up"),
  ):
    monkeypatch.setattr(module, what, _noted(node, getattr(module, what)))

  node.restoring = lambda *_: 1
  with pytest.raises(Failed, match="could not be restored"):
    run(node)
  done = [e for e in node.events if e in ("kill", "end", "clean_up")]
  assert done == ["clean_up", "kill", "end", "clean_up"]
  assert node.node.left() == {}


def _noted(node: FakeCriu, does: Callable[..., None]) -> Callable[..., None]:
  def noted(*args: Any) -> None:
    node.events.append(does.__name__)
    does(*args)

  return noted


def test_what_cannot_be_undone_is_told(
  node: FakeCriu, monkeypatch: pytest.MonkeyPatch
) -> None:
  def kill(*_: object) -> None:
    raise Incomplete("a process does not die")

  node.restoring = lambda node, argv: 1
  monkeypatch.setattr(restore.stopping, "kill", kill)
  with pytest.raises(Incomplete, match="does not die; the restore failed"):
    run(node)


def test_running_instance_is_left_alone(node: FakeCriu) -> None:
  node.node.populate()
  with pytest.raises(Refused, match="runs already"):
    run(node)
  assert node.events == []
  assert node.node.running()


def test_signal_while_held_leaves_nothing(node: FakeCriu) -> None:
  def before_release() -> None:
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    run(node, before_release)
  assert node.node.left() == {}


def test_groups_are_made_anew_where_v2_is(node: FakeCriu) -> None:
  run(node)
  stages = node.env["GANETI_LXC_STAGES"].split()
  assert stages == ["post-setup-namespaces", "post-restore"]
  assert node.restoring is restored
