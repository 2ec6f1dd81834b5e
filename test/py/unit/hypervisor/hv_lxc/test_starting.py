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

"""Start: whatever goes wrong, nothing is left, and the error says it all."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import record, starting, stopping
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed, LxcError, Refused
from ganeti.hypervisor.hv_lxc.model import NicMode, Params
from ganeti.hypervisor.hv_lxc.request import StartRequest
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeLxc:
  return make_node(tmp_path, request.param)


def make_node(top: pathlib.Path, version: int) -> FakeLxc:
  node = FakeLxc(top, version=version)
  node.add_link("br0", bridge=True)
  return node


def whole(node: FakeLxc) -> StartRequest:
  """A request that makes use of everything."""
  disks = [node.disk(0), node.disk(1), node.disk(2, fs_type=None)]
  return fakes.request(disks, [fakes.nic(0), fakes.nic(1)])


def start(node: FakeLxc, request: StartRequest) -> None:
  starting.start(node.host, node.storage, request)


def test_started(node: FakeLxc) -> None:
  start(node, whole(node))
  assert node.running()
  paths = node.paths()
  assert node.mounted() == [str(paths.rootfs), str(paths.disk(1))]
  noted = record.load(node.host, node.paths())
  assert noted is not None
  assert noted.phase is record.Phase.RUNNING
  assert [d.filesystem for d in noted.disks] == ["ext4", "ext4", ""]
  assert [n["host_name"] for n in noted.nics] == node.links()
  assert "node b " in paths.start_host_data.read_text()


def test_what_lxc_reads_is_no_one_elses_business(node: FakeLxc) -> None:
  start(node, whole(node))
  home = node.paths().home
  assert home.stat().st_mode & 0o777 == 0o700
  assert home.parent.stat().st_mode & 0o777 == 0o700
  hooks = ("start-host", "post-stop", "nic-up", "nic-down")
  assert all((home / hook).stat().st_mode & 0o777 == 0o700 for hook in hooks)
  # The guest's users see this one.
  assert (home / "fstab").stat().st_mode & 0o777 == 0o644


def watch(node: FakeLxc, monkeypatch: pytest.MonkeyPatch) -> "Steps":
  steps = Steps()
  node.run.before = lambda argv: steps.reached(" ".join(argv), done=False)
  node.run.after = lambda argv: steps.reached(" ".join(argv), done=True)
  node.storage.before = lambda what: steps.reached(what, done=False)
  node.storage.after = lambda what: steps.reached(what, done=True)
  fakes.watch_writes(
    monkeypatch, lambda what, done: steps.reached(what, done=done)
  )
  return steps


class Steps:
  """Counts what the driver does to the node, and breaks one of it."""

  def __init__(self) -> None:
    self.seen: list[str] = []
    self.breaks_at = -1
    self.error: Callable[[], BaseException] = KeyboardInterrupt

  def reached(self, what: str, *, done: bool) -> None:
    self.seen.append(f"{'after' if done else 'before'} {what}")
    if len(self.seen) - 1 == self.breaks_at:
      raise self.error()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
  ("version", "error"),
  [
    (1, KeyboardInterrupt),
    (2, KeyboardInterrupt),
    (2, lambda: OSError(28, "No space left on device")),
    (1, lambda: Failed("broken on purpose")),
  ],
  ids=["v1-interrupt", "v2-interrupt", "OSError", "Failed"],
)
def test_broken_at_any_step_everything_is_undone(
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  version: int,
  error: Callable[[], BaseException],
) -> None:
  node = make_node(tmp_path, version)
  steps = watch(node, monkeypatch)
  start(node, whole(node))
  count = len(steps.seen)
  assert count > 40
  stopping.hard_stop(node.host, node.storage, NAME)
  for index in range(count):
    steps.seen.clear()
    steps.breaks_at, steps.error = index, error
    with pytest.raises((KeyboardInterrupt, OSError, LxcError)):
      start(node, whole(node))
    assert node.left() == {}, steps.seen[index]


@pytest.mark.parametrize("program", ["mount", "lxc-start", "lxc-wait"])
def test_a_program_that_fails(node: FakeLxc, program: str) -> None:
  node.run.on(program, lambda argv: Result(argv, 3, "", "a\nno \x1b[31mluck\n"))
  with pytest.raises(Failed) as caught:
    start(node, whole(node))
  text = str(caught.value)
  assert node.left() == {}
  assert text.isprintable()
  assert "exited with status 3" in text
  assert program in text
  assert "no" in text
  assert "luck" in text


@pytest.mark.parametrize("program", ["lxc-start", "lxc-wait"])
def test_a_failed_start_stands_alone(node: FakeLxc, program: str) -> None:
  log = node.paths().log_file

  def fail(argv: tuple[str, ...]) -> int:
    with log.open("a") as stream:
      stream.write(
        f"lxc-start {NAME} 20260101120000.123 ERROR    conf -"
        " ../src/lxc/conf.c:lxc_setup:1 - No \x1b[1mroom\n"
      )
    return 1

  node.run.on(program, fail)
  with pytest.raises(Failed) as caught:
    start(node, whole(node))
  text = str(caught.value)
  assert text.startswith(f"Instance {NAME} could not be started: No")
  assert text.isprintable()
  assert f"{program} -P {node.layout.data_dir} -n {NAME}" in text
  assert "exited with status 1" in text
  assert text.endswith(f"(see {log})")
  assert log.exists()


def test_errors_of_earlier_starts_are_no_evidence(node: FakeLxc) -> None:
  log = node.paths().log_file
  node.write(log, "lxc-start x 2026 ERROR conf - f - yesterday\n")
  node.run.on("lxc-start", 1)
  with pytest.raises(Failed) as caught:
    start(node, whole(node))
  assert "yesterday" not in str(caught.value)


def test_what_the_guest_said_last(node: FakeLxc) -> None:
  def start_and_say(argv: tuple[str, ...]) -> int:
    node.write(node.paths().console_log, "hello\npanic: \x1b[0m no root\n\n")
    return 1

  node.run.on("lxc-start", start_and_say)
  with pytest.raises(Failed, match=r"its console says panic: +\[0m no root"):
    start(node, whole(node))


def test_what_the_network_script_said_comes_first(node: FakeLxc) -> None:
  def start_and_say(argv: tuple[str, ...]) -> int:
    (node.paths().home / "nic0.env.error").write_text("br0 is full\n")
    return 1

  node.run.on("lxc-start", start_and_say)
  with pytest.raises(Failed, match="could not be started: br0 is full"):
    start(node, whole(node))
  assert node.left() == {}


def test_an_init_that_ends_at_once(node: FakeLxc) -> None:
  def wait(argv: tuple[str, ...]) -> int:
    node.depopulate()
    return 0

  node.run.on("lxc-wait", wait)
  with pytest.raises(Failed, match="init ended at once"):
    start(node, whole(node))
  assert node.left() == {}


def test_lxc_start_that_hangs(node: FakeLxc) -> None:
  node.run.on("lxc-start", lambda argv: Result(argv, -9, "", "", True))
  with pytest.raises(Failed, match="did not end in time and was killed"):
    start(node, whole(node))
  assert node.left() == {}


def test_without_disks(node: FakeLxc) -> None:
  with pytest.raises(Refused, match=rf"Instance {NAME} has no disk"):
    start(node, fakes.request([]))
  assert node.run.calls == []


def test_that_runs_already(node: FakeLxc) -> None:
  start(node, whole(node))
  before = node.left()
  with pytest.raises(Refused, match="runs already on this node"):
    start(node, whole(node))
  assert node.left() == before


def test_remains_of_a_killed_start_are_taken_away_first(node: FakeLxc) -> None:
  start(node, whole(node))
  node.depopulate()
  start(node, whole(node))
  assert node.mounted() == [
    str(node.paths().rootfs), str(node.paths().disk(1)),
  ]  # fmt: skip
  assert len(node.storage.attached) == 3


def test_a_disk_that_is_in_use(node: FakeLxc) -> None:
  request = whole(node)
  node.storage.busy[str(request.disks[1].path)] = "mounted at /mnt"
  with pytest.raises(Refused, match=r"Disk 1 .* in use: mounted at /mnt"):
    start(node, request)
  assert node.left() == {}


@pytest.mark.parametrize("fs_type", [None, "vfat", "swap"])
def test_a_first_disk_without_a_root(
  node: FakeLxc, fs_type: str | None
) -> None:
  with pytest.raises(Failed, match=r"Disk 0 .* holds no file system"):
    start(node, fakes.request([node.disk(0, fs_type=fs_type)]))
  assert node.left() == {}


def test_a_root_without_an_init(node: FakeLxc) -> None:
  node.guest = lambda root: (root / "etc").mkdir()
  with pytest.raises(Refused, match=r"has no init program: /sbin/init"):
    start(node, fakes.request([node.disk(0)]))
  assert node.left() == {}


def test_another_file_system_got_mounted(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  def mount(argv: tuple[str, ...]) -> int:
    node.add_mount("/dev/sda1", pathlib.Path(argv[-1]))
    return 0

  node.run.on("mount", mount)
  with pytest.raises(Failed, match="gave another device: found /dev/sda1"):
    start(node, fakes.request([node.disk(0)]))
  assert node.left() == {}


def test_a_bridge_that_is_gone(node: FakeLxc) -> None:
  with pytest.raises(Refused, match=r"bridge br7, which does not exist"):
    start(node, fakes.request([node.disk(0)], [fakes.nic(link="br7")]))
  assert node.left() == {}


def test_a_routed_nic_needs_an_address(node: FakeLxc) -> None:
  nic = fakes.nic(mode=NicMode.ROUTED, ip=None)
  with pytest.raises(Refused, match="needs an IP address"):
    start(node, fakes.request([node.disk(0)], [nic]))


def test_a_controller_that_the_node_does_not_have(node: FakeLxc) -> None:
  params = Params(extra_cgroups=("net_cls",))
  with pytest.raises(Refused, match="controller net_cls"):
    start(node, fakes.request([node.disk(0)], params=params))
  assert node.left() == {}


@pytest.mark.parametrize("name", ["blkio", "cpuacct"])
def test_v2_has_the_controllers_of_v1_that_verify_finds_there(
  tmp_path: pathlib.Path, name: str
) -> None:
  node = make_node(tmp_path, 2)
  params = Params(extra_cgroups=(name,))
  start(node, fakes.request([node.disk(0)], params=params))
  assert node.running()


def test_what_cannot_be_undone_is_told_with_its_cause(node: FakeLxc) -> None:
  node.run.on("lxc-start", 1)
  node.storage.stuck = True
  with pytest.raises(LxcError) as caught:
    start(node, fakes.request([node.disk(0)]))
  text = str(caught.value)
  assert "not everything could be undone" in text
  assert "lxc-start" in text
  assert "is in use" in text


def test_a_further_disk_is_a_mount_or_a_device_never_both(
  node: FakeLxc,
) -> None:
  request = whole(node)
  start(node, request)
  config = node.paths().config.read_text()
  hook = node.paths().start_host_data.read_text()
  assert f"{node.paths().disk(1)} mnt/disk1 none" in config
  assert "gnt-disk1" not in hook
  assert "gnt-disk2" in hook
  assert "mnt/disk2" not in config


def test_disks_the_administrator_wants_as_devices(node: FakeLxc) -> None:
  params = Params(block_disks=True)
  start(node, fakes.request([node.disk(0), node.disk(1)], params=params))
  assert "gnt-disk1" in node.paths().start_host_data.read_text()
  assert node.mounted() == [str(node.paths().rootfs)]


def test_read_only_disks(node: FakeLxc) -> None:
  disks = [dataclasses.replace(node.disk(i), read_only=True) for i in (0, 1)]
  node.guest = guest_with_a_place_for_disk_1
  start(node, fakes.request(disks))
  options = [argv[argv.index("-o") + 1] for argv in node.run.named("mount")]
  assert all(o.startswith("ro,nodev,errors=remount-ro") for o in options)
  config = node.paths().config.read_text()
  assert "lxc.rootfs.options = ro\n" in config
  assert "none bind,ro 0 0" in config


def guest_with_a_place_for_disk_1(root: pathlib.Path) -> None:
  fakes.make_guest(root)
  (root / "mnt/disk1").mkdir(parents=True)


def test_paused(node: FakeLxc) -> None:
  start(node, fakes.request([node.disk(0)], paused=True))
  paths = node.paths()
  hold = [
    line
    for line in paths.start_host_data.read_text().splitlines()
    if line.startswith("hold ")
  ]
  state = "freezer.state FROZEN" if node.version == 1 else "cgroup.freeze 1"
  (line,) = hold
  assert line.endswith(f"/ganeti-lxc/{NAME}/payload/{state}")
  assert paths.hold_flag.exists()
  assert paths.hold_program.exists()


def test_not_paused(node: FakeLxc) -> None:
  start(node, fakes.request([node.disk(0)]))
  assert "hold" not in node.paths().start_host_data.read_text()
  assert not node.paths().hold_flag.exists()


def test_the_record_is_written_before_each_act(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Seen from the disks and programs, not from the code."""
  request = whole(node)
  seen: dict[str, Any] = {}

  def look(what: str) -> None:
    noted = record.load(node.host, node.paths())
    seen[what] = noted

  node.storage.after = look
  node.run.before = lambda argv: look(f"{argv[0]} {argv[-1]}")
  start(node, request)
  for disk in request.disks:
    noted = seen[f"attach {disk.path}"].disks[disk.index]
    assert noted.mapping == {"path": str(disk.path), "complete": False}
  for disk in request.disks[:2]:
    where = next(
      d.mount_point for d in seen[mount_of(seen, disk.index)].disks[-1:]
    )
    assert f"mount {where}" in seen
  started = next(v for k, v in seen.items() if k.startswith("lxc-start"))
  assert started.phase is record.Phase.STARTING
  assert len(started.nics) == 2
  assert all(d.mapping["complete"] for d in started.disks)


def mount_of(seen: dict[str, Any], index: int) -> str:
  name = "rootfs" if index == 0 else f"disks/{index}"
  return next(k for k in seen if k.startswith("mount") and k.endswith(name))
