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

"""What is mounted, and how guests' file systems get there."""

import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import mounts
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from unit.hypervisor.hv_lxc.fakes import FakeLxc


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeLxc:
  return FakeLxc(tmp_path, version=getattr(request, "param", 2))


def test_below_is_by_whole_names(node: FakeLxc, tmp_path: pathlib.Path) -> None:
  for name in ("web1", "web1/rootfs", "web10", "web", "web1.old/rootfs"):
    node.add_mount("/dev/loop1", tmp_path / name)
  found = mounts.below(node.host, tmp_path / "web1")
  assert [e.mount_point for e in found] == [
    f"{tmp_path}/web1",
    f"{tmp_path}/web1/rootfs",
  ]


def options(node: FakeLxc, fs_type: str, *, read_only: bool) -> list[str]:
  target = node.top / "target"
  target.mkdir(exist_ok=True)
  mounts.mount(node.host, "/dev/x", fs_type, target, read_only=read_only)
  (argv,) = node.run.named("mount")
  assert argv[:5] == ("mount", "-i", "-n", "-t", fs_type)
  assert argv[-2:] == ("/dev/x", str(target))
  return argv[argv.index("-o") + 1].split(",")


@pytest.fixture(autouse=True)
def device_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
  """There are no block devices here: a path stands for its number."""
  monkeypatch.setattr(
    "ganeti.hypervisor.hv_lxc.mounts._number",
    lambda device: -1 if "gone" in device else abs(hash(device)),
  )


def test_a_device_that_is_gone_is_not_the_one_meant(node: FakeLxc) -> None:
  target = node.top / "target"
  target.mkdir()
  with pytest.raises(Failed, match="gave another device"):
    mounts.mount(node.host, "/dev/gone", "ext4", target, read_only=False)


@pytest.mark.parametrize("fs_type", ["ext2", "ext3", "ext4"])
@pytest.mark.parametrize("read_only", [True, False])
def test_no_superblock_takes_the_node_down(
  node: FakeLxc, fs_type: str, read_only: bool
) -> None:
  found = options(node, fs_type, read_only=read_only)
  assert found == ["ro" if read_only else "rw", "nodev", "errors=remount-ro"]


def test_clones_of_xfs_have_one_uuid(node: FakeLxc) -> None:
  assert options(node, "xfs", read_only=False) == ["rw", "nodev", "nouuid"]


def test_btrfs_has_no_option_of_its_own(node: FakeLxc) -> None:
  assert options(node, "btrfs", read_only=True) == ["ro", "nodev"]


@pytest.mark.parametrize("fs_type", ["vfat", "ntfs3", "", "ext4,suid"])
def test_other_types_are_refused(node: FakeLxc, fs_type: str) -> None:
  with pytest.raises(Refused, match=r"use one of ext2, .*btrfs"):
    mounts.mount(node.host, "/dev/x", fs_type, node.top, read_only=False)
  assert node.run.calls == []


def test_what_mount_says_is_the_evidence(node: FakeLxc) -> None:
  node.run.on("mount", lambda argv: Result(argv, 32, "", "mount: bad magic\n"))
  with pytest.raises(Failed, match=r"/dev/x cannot be mounted.*bad magic"):
    mounts.mount(node.host, "/dev/x", "ext4", node.top, read_only=False)


def test_nothing_got_mounted(node: FakeLxc) -> None:
  node.run.on("mount", 0)
  with pytest.raises(Failed, match="gave another device: found nothing"):
    mounts.mount(node.host, "/dev/x", "ext4", node.top, read_only=False)


def test_unmounting_goes_from_the_inside_out(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  home = tmp_path / "data/lxc/web1"
  for name in ("rootfs", "rootfs/srv", "disks/1"):
    (home / name).mkdir(parents=True, exist_ok=True)
    node.add_mount("/dev/loop1", home / name)
  # Twice at one place: both go.
  node.add_mount("/dev/loop2", home / "disks/1")
  mounts.unmount_all(node.host, home)
  assert node.mounted() == []
  done = [pathlib.Path(argv[-1]).name for argv in node.run.named("umount")]
  assert done == ["1", "1", "srv", "rootfs"]


def test_nothing_to_unmount(node: FakeLxc, tmp_path: pathlib.Path) -> None:
  mounts.unmount_all(node.host, tmp_path / "none")
  assert node.run.calls == []


@pytest.fixture
def busy(node: FakeLxc, tmp_path: pathlib.Path) -> pathlib.Path:
  where = tmp_path / "data/busy"
  where.mkdir(parents=True)
  node.add_mount("/dev/loop1", where)
  return where


def test_what_is_busy_for_a_moment_is_waited_for(
  node: FakeLxc, busy: pathlib.Path
) -> None:
  def umount(argv: tuple[str, ...]) -> int:
    return 32 if len(node.run.named("umount")) < 3 else node._umount(argv)

  node.run.on("umount", umount)
  mounts.unmount_all(node.host, busy)
  assert node.mounted() == []


def test_somebody_else_unmounts_it(node: FakeLxc, busy: pathlib.Path) -> None:
  def umount(argv: tuple[str, ...]) -> int:
    node._umount(argv)
    return 32

  node.run.on("umount", umount)
  mounts.unmount_all(node.host, busy)


def test_what_stays_busy_names_its_users(
  node: FakeLxc, busy: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(mounts, "_UNMOUNT_TIMEOUT_S", 0.01)
  node.run.on("umount", lambda argv: Result(argv, 32, "", "target is busy"))
  for pid, link in ((11, "cwd"), (12, "root"), (13, "fd/3")):
    process(node, pid, link, busy / "x")
  process(node, 14, "cwd", busy.with_name("busy2"))
  with pytest.raises(Incomplete) as caught:
    mounts.unmount_all(node.host, busy)
  text = str(caught.value)
  assert "target is busy" in text
  for pid in (11, 12, 13):
    assert f"{pid} (name)" in text
  assert "14 (" not in text


def test_one_that_waits_for_its_device_is_not_unmounted(
  node: FakeLxc, busy: pathlib.Path
) -> None:
  """It is not to be seen any more, while its device is still written to."""

  def umount(argv: tuple[str, ...]) -> Result:
    node._umount(argv)
    return Result(argv, -9, timed_out=True, stuck=True)

  node.run.on("umount", umount)
  with pytest.raises(Incomplete, match=r"cannot be killed.*\(see the last"):
    mounts.unmount_all(node.host, busy)
  assert len(node.run.named("umount")) == 1


def process(node: FakeLxc, pid: int, link: str, path: pathlib.Path) -> None:
  top = node.top / f"proc/{pid}"
  (top / "fd").mkdir(parents=True)
  (top / "comm").write_text("name\n")
  for name in ("cwd", "root"):
    if name != link:
      (top / name).symlink_to("/")
  (top / link).symlink_to(path)


@pytest.fixture
def killed(node: FakeLxc, monkeypatch: pytest.MonkeyPatch) -> list[int]:
  """The processes that were killed, each of which is gone at once."""
  found: list[int] = []

  def kill(pid: int, _: int) -> None:
    found.append(pid)
    (node.top / f"proc/{pid}/comm").unlink()

  monkeypatch.setattr(os, "kill", kill)
  monkeypatch.setattr(mounts, "_MOUNT_END_S", 0.05)
  return found


def begin_mounting(
  node: FakeLxc, pid: int, target: pathlib.Path, program: str = "mount"
) -> None:
  node.write(f"proc/{pid}/comm", f"{program}\n")
  node.write(f"proc/{pid}/cmdline", f"mount\0-n\0/dev/x\0{target}\0")
  node.write(f"proc/{pid}/cgroup", "0::/system.slice/ganeti.service\n")


def test_what_still_mounts_below_is_ended(
  node: FakeLxc, killed: list[int], tmp_path: pathlib.Path
) -> None:
  begin_mounting(node, 71, tmp_path / "web1/rootfs")
  begin_mounting(node, 72, tmp_path / "web10/rootfs")
  begin_mounting(node, 73, tmp_path / "web1/disks/1", "umount")
  mounts.end_mounting(node.host, tmp_path / "web1")
  assert sorted(killed) == [71, 73]


@pytest.mark.usefixtures("killed")
def test_what_waits_for_its_device_is_named(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
  monkeypatch.setattr(os, "kill", lambda *_: None)
  begin_mounting(node, 71, tmp_path / "web1/rootfs")
  with pytest.raises(Incomplete, match="process 71 waits for its device"):
    mounts.end_mounting(node.host, tmp_path / "web1")


@pytest.mark.parametrize("node", [1, 2], indirect=True)
def test_a_guests_own_mount_of_that_name_is_left_alone(
  node: FakeLxc, killed: list[int], tmp_path: pathlib.Path
) -> None:
  begin_mounting(node, 71, tmp_path / "web1/rootfs")
  own = node.host.proc / "1/cgroup"
  group = own.read_text().replace("init.scope", "ganeti-lxc/web2/payload/x")
  node.write("proc/71/cgroup", group)
  mounts.end_mounting(node.host, tmp_path / "web1")
  assert killed == []
