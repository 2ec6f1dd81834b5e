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

"""Stop, and what is taken away; from any state, by the name alone."""

import dataclasses
import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, record, starting, stopping
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from ganeti.hypervisor.hv_lxc.guests import MANNERS
from ganeti.hypervisor.hv_lxc.model import InitKind
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import INIT, MONITOR, NAME, FakeLxc


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path, version=request.param)
  node.add_link("br0", bridge=True)
  return node


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
  for name in ("stopping._KILL_TIMEOUT_S", "stopping._REBOOT_TIMEOUT_S"):
    monkeypatch.setattr(f"ganeti.hypervisor.hv_lxc.{name}", 0.05)
  monkeypatch.setattr(
    "ganeti.hypervisor.hv_lxc.mounts._UNMOUNT_TIMEOUT_S", 0.05
  )


def start(node: FakeLxc) -> None:
  disks = [node.disk(0), node.disk(1), node.disk(2, fs_type=None)]
  request = fakes.request(disks, [fakes.nic(0)])
  starting.start(node.host, node.storage, request)
  node.run.calls.clear()


def obeys(node: FakeLxc) -> None:
  """The guest halts when it is asked to."""
  node.run.on("lxc-stop", node._lxc_stop)


def ignores(node: FakeLxc) -> None:
  node.run.on("lxc-stop", 0)


def soft_stop(node: FakeLxc, **options: object) -> None:
  values = {"retry": False, "timeout_s": 0.05, **options}
  stopping.soft_stop(node.host, NAME, **values)


def hard_stop(node: FakeLxc) -> None:
  stopping.hard_stop(node.host, node.storage, NAME)


def clean_up(node: FakeLxc) -> None:
  stopping.clean_up_stopped(node.host, node.storage, NAME)


def link_init(node: FakeLxc, program: str) -> None:
  (node.top / f"proc/{INIT}/exe").symlink_to(program)


def test_an_obedient_guest_stops_and_all_is_taken_away(node: FakeLxc) -> None:
  start(node)
  soft_stop(node)
  assert not node.running()
  clean_up(node)
  assert node.left() == {}


def test_a_disobedient_guest_is_no_error(
  node: FakeLxc, caplog: pytest.LogCaptureFixture
) -> None:
  start(node)
  ignores(node)
  soft_stop(node)
  assert node.running()
  assert "did not shut down" in caplog.text


@pytest.mark.parametrize(
  "reply",
  [1, Result((), -9, "", "", True), Result((), 1, "", "no \x1b[2J such")],
)
def test_a_tool_that_fails_is_no_error(
  node: FakeLxc, reply: fakes.Reply
) -> None:
  start(node)
  node.run.on("lxc-stop", reply)
  soft_stop(node)
  assert node.running()


def test_a_guest_that_does_not_run_is_not_asked(node: FakeLxc) -> None:
  soft_stop(node)
  assert node.run.calls == []


def test_a_retry_only_waits(node: FakeLxc) -> None:
  start(node)
  soft_stop(node, retry=True)
  assert node.run.named("lxc-stop") == []


def test_a_soft_stop_asks_by_the_halt_signal_and_kills_nobody(
  node: FakeLxc,
) -> None:
  start(node)
  soft_stop(node)
  (call,) = node.run.named("lxc-stop")
  assert call == (
    "lxc-stop", "-P", str(node.layout.data_dir), "-n", NAME, "--nokill", "-W",
  )  # fmt: skip


def test_sysvinit_is_asked_by_a_program_of_its_own(node: FakeLxc) -> None:
  start(node)
  link_init(node, "/usr/sbin/init")
  node.run.on("lxc-attach", 0)
  ignores(node)
  soft_stop(node)
  (call,) = node.run.named("lxc-attach")
  command = MANNERS[InitKind.SYSVINIT].halt_command
  assert call[-len(command) :] == command
  assert node.run.named("lxc-stop") == []


def test_a_program_of_the_guest_that_fails_is_followed_by_the_signal(
  node: FakeLxc,
) -> None:
  start(node)
  link_init(node, "/usr/sbin/init")
  node.run.on("lxc-attach", 127)
  soft_stop(node)
  assert not node.running()


def test_a_paused_guest_is_let_go_so_that_it_can_answer(
  node: FakeLxc,
) -> None:
  start(node)
  payload = node.groups[0] / "ganeti-lxc" / NAME / "payload"
  name, frozen, thawed = (
    ("freezer.state", "FROZEN\n", "THAWED")
    if node.version == 1
    else ("cgroup.freeze", "1\n", "0")
  )
  (payload / name).write_text(frozen)
  ignores(node)
  soft_stop(node)
  # A write(2) at the start of what is no control group file.
  assert (payload / name).read_text().startswith(thawed)


def test_that_ganeti_stopped_it_is_noted_before_it_is_asked(
  node: FakeLxc,
) -> None:
  """Otherwise the end of the guest would look like its own will."""
  start(node)
  phases = []

  def look(argv: tuple[str, ...]) -> int:
    noted = record.load(node.host, node.paths())
    phases.append(noted.phase if noted else None)
    return 0

  node.run.on("lxc-stop", look)
  soft_stop(node)
  assert phases == [record.Phase.STOPPING]


def test_a_hard_stop_needs_only_a_name(node: FakeLxc) -> None:
  start(node)
  hard_stop(node)
  assert node.left() == {}
  (call,) = node.run.named("lxc-stop")
  assert call[-1] == "-k"


def test_a_hard_stop_where_nothing_is_there(node: FakeLxc) -> None:
  hard_stop(node)
  assert node.left() == {}


def test_a_tool_that_cannot_kill_is_not_needed(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  start(node)
  node.run.on("lxc-stop", Result((), -9, "", "", True))
  monkeypatch.setattr(
    cgroup, "kill", lambda _host, _trees, name: node.depopulate(name)
  )
  hard_stop(node)
  assert node.left() == {}


@pytest.mark.parametrize("times", [1, 2, 3])
def test_clean_up_can_be_repeated(node: FakeLxc, times: int) -> None:
  start(node)
  node.depopulate()
  for _ in range(times):
    clean_up(node)
  assert node.left() == {}


def test_clean_up_where_nothing_ever_was(node: FakeLxc) -> None:
  clean_up(node)
  assert node.run.calls == []
  assert list((node.top / "run/lxc/locks").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"disks": 3}', "\0\xff"])
def test_clean_up_with_a_damaged_record(node: FakeLxc, text: str) -> None:
  start(node)
  node.depopulate()
  node.paths().record.write_text(text)
  clean_up(node)
  assert node.mounted() == []
  assert node.storage.attached == []
  assert not node.paths().home.exists()


def test_clean_up_without_a_record_unmounts_by_the_place(
  node: FakeLxc,
) -> None:
  start(node)
  node.depopulate()
  node.paths().record.unlink()
  clean_up(node)
  assert node.mounted() == []


def test_clean_up_after_a_boot_trusts_no_record(node: FakeLxc) -> None:
  """Loop numbers of another boot are somebody else's now."""
  start(node)
  node.depopulate()
  node.write("proc/sys/kernel/random/boot_id", "another\n")
  node.run.on("umount", node._umount)
  touched = []
  node.storage.before = touched.append
  clean_up(node)
  assert touched == []


def test_clean_up_leaves_alone_what_runs(node: FakeLxc) -> None:
  start(node)
  before = node.left()
  with pytest.raises(Refused, match=rf"still runs .*process {MONITOR} "):
    clean_up(node)
  assert node.left() == before


def test_each_part_is_tried_whatever_happened_to_the_one_before(
  node: FakeLxc,
) -> None:
  start(node)
  node.depopulate()
  node.run.on(("ip", "link", "del", "dev"), 2)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("ganeti.hypervisor.hv_lxc.nic_links._REMOVE_TIMEOUT_S", 0)
    with pytest.raises(Incomplete) as caught:
      clean_up(node)
  assert node.mounted() == []
  assert node.storage.attached == []
  assert "tap000000000000" in str(caught.value)
  assert NAME in str(caught.value)


def test_what_was_busy_is_taken_away_by_the_next_try(node: FakeLxc) -> None:
  start(node)
  node.depopulate()
  node.storage.stuck = True
  with pytest.raises(Incomplete, match="is in use"):
    clean_up(node)
  node.storage.stuck = False
  clean_up(node)
  assert node.left() == {}


def test_a_busy_mount_is_named_with_who_holds_it(node: FakeLxc) -> None:
  start(node)
  node.depopulate()
  node.run.on("umount", Result((), 32, "", "umount: target is busy."))
  (node.top / "proc/77/fd").mkdir(parents=True)
  (node.top / "proc/77/comm").write_text("bad\x1bname\n")
  (node.top / "proc/77/root").symlink_to("/")
  (node.top / "proc/77/cwd").symlink_to(node.paths().disk(1) / "home")
  with pytest.raises(Incomplete) as caught:
    clean_up(node)
  text = str(caught.value)
  assert text.isprintable()
  assert "target is busy" in text
  assert "77 (bad name)" in text
  assert node.paths().rootfs.is_dir()


# The instance's directory


def test_a_mounted_root_is_never_emptied(node: FakeLxc) -> None:
  """Should unmounting ever be skipped: rmdir(2) protects what is there."""
  home = node.paths().home
  fakes.make_guest(node.paths().rootfs)
  with pytest.raises(OSError, match="not empty"):
    stopping.remove_home(node.paths())
  assert (home / "rootfs/sbin/init").is_symlink()


def test_links_are_removed_and_not_followed(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  precious = tmp_path / "precious"
  (precious / "sub").mkdir(parents=True)
  (precious / "file").write_text("x")
  home = node.paths().home
  home.mkdir(parents=True)
  (home / "link").symlink_to(precious)
  (home / "rootfs").symlink_to(precious)
  stopping.remove_home(node.paths())
  assert not home.exists()
  assert sorted(p.name for p in precious.iterdir()) == ["file", "sub"]


def test_a_directory_for_disks_that_is_a_link(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  precious = tmp_path / "precious"
  precious.mkdir()
  (precious / "file").write_text("x")
  node.paths().home.mkdir(parents=True)
  node.paths().disks.symlink_to(precious)
  stopping.remove_home(node.paths())
  assert (precious / "file").exists()
  assert not node.paths().home.exists()


def test_a_foreign_directory_with_something_in_it_stays(
  node: FakeLxc,
) -> None:
  foreign = node.paths().home / "backup/yesterday"
  foreign.mkdir(parents=True)
  with pytest.raises(OSError, match="not empty"):
    stopping.remove_home(node.paths())
  assert foreign.is_dir()


# Reboot


def reboots(node: FakeLxc) -> None:
  def reboot(argv: tuple[str, ...]) -> int:
    node.populate(init=INIT + 100)
    return 0

  node.run.on("lxc-stop", reboot)


def test_reboot(node: FakeLxc) -> None:
  start(node)
  reboots(node)
  stopping.soft_reboot(node.host, NAME)
  (call,) = node.run.named("lxc-stop")
  assert call[-2:] == ("-r", "-W")


def test_reboot_of_what_does_not_run(node: FakeLxc) -> None:
  with pytest.raises(Refused, match="does not run"):
    stopping.soft_reboot(node.host, NAME)


def test_reboot_that_does_not_happen(node: FakeLxc) -> None:
  start(node)
  ignores(node)
  with pytest.raises(Failed, match=r"did not reboot .*--type=hard"):
    stopping.soft_reboot(node.host, NAME)


def bounding(node: FakeLxc, capabilities: int) -> None:
  node.write(
    f"proc/{INIT}/status",
    f"Name:\tinit\nNSpid:\t{INIT}\t1\nCapBnd:\t{capabilities:016x}\n",
  )


def test_reboot_without_sys_boot_names_the_parameter(node: FakeLxc) -> None:
  start(node)
  bounding(node, 0x1FFFFFFFFFF & ~(1 << 22))
  with pytest.raises(Refused, match="drop_capabilities contains sys_boot"):
    stopping.soft_reboot(node.host, NAME)
  assert node.run.named("lxc-stop") == []


def test_reboot_with_nothing_but_sys_boot(node: FakeLxc) -> None:
  start(node)
  bounding(node, 1 << 22)
  reboots(node)
  stopping.soft_reboot(node.host, NAME)


def test_lxc_is_always_told_where_our_containers_are(node: FakeLxc) -> None:
  """Without -P it looks among the administrator's own."""
  disks = [node.disk(0)]
  starting.start(node.host, node.storage, fakes.request(disks))
  link_init(node, "/usr/sbin/init")
  node.run.on("lxc-attach", 1)
  reboots(node)
  stopping.soft_reboot(node.host, NAME)
  ignores(node)
  soft_stop(node)
  obeys(node)
  hard_stop(node)
  tools = [call for call in node.run.calls if call[0].startswith("lxc-")]
  assert len({call[0] for call in tools}) >= 3
  for call in tools:
    assert call[1:5] == ("-P", str(node.layout.data_dir), "-n", NAME)


def test_a_record_of_a_nic_that_cannot_be_read_hides_nothing(
  node: FakeLxc,
) -> None:
  start(node)
  node.depopulate()
  noted = record.load(node.host, node.paths())
  assert noted is not None
  record.save(
    node.paths(), dataclasses.replace(noted, nics=({"mode": "wireless"},))
  )
  clean_up(node)
  assert node.mounted() == []
  assert node.storage.attached == []
  assert not node.paths().home.exists()


def test_the_lock_of_another_operation(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(stopping, "LOCK_TIMEOUT_S", 0.01)
  with stopping.locked(node.host, NAME, 1):
    with pytest.raises(Refused, match=f"Another operation on instance {NAME}"):
      hard_stop(node)
    # Of another instance it is no matter.
    stopping.clean_up_stopped(node.host, node.storage, "other")


def test_waiting_ends_although_the_process_lives_on(node: FakeLxc) -> None:
  start(node)
  for base in node.groups:
    procs = base / "ganeti-lxc" / NAME / "monitor/cgroup.procs"
    procs.write_text(f"{os.getpid()}\n")
  groups = stopping.hierarchies.find(node.host)
  assert not stopping.wait_for_end(groups, NAME, 0.05)
