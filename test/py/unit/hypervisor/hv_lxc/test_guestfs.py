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

"""A look into a guest's file system, as hostile as guests can be."""

import ctypes
import errno
import os
import pathlib
import stat
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import guestfs
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.model import InitKind
from unit.hypervisor.hv_lxc.fakes import make_guest

NAME = "web1"
SECRET = "the node's own secret"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
  """A guest's root, beside something of the node."""
  (tmp_path / "outside").mkdir()
  (tmp_path / "outside/secret").write_text(SECRET)
  top = tmp_path / "root"
  make_guest(top)
  return top


def read(root: pathlib.Path, path: str, limit: int = 4096) -> str | None:
  with guestfs.opened_root(root) as fd:
    return guestfs.read_small(fd, path, limit)


def find_init(root: pathlib.Path, path: str = guestfs.INIT) -> InitKind:
  with guestfs.opened_root(root) as fd:
    return guestfs.find_init(NAME, fd, path)


def check(root: pathlib.Path) -> None:
  with guestfs.opened_root(root) as fd:
    guestfs.check_mount_targets(NAME, fd)


def untouched(root: pathlib.Path) -> bool:
  outside = root.parent / "outside"
  return [p.name for p in outside.iterdir()] == ["secret"]


def open_descriptors() -> int:
  return len(list(pathlib.Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
  "target",
  [
    "{outside}/secret",
    "../../outside/secret",
    "../../../../../../../../../{outside}/secret",
    "/proc/self/root/{outside}/secret",
  ],
)
def test_links_out_of_the_root(root: pathlib.Path, target: str) -> None:
  outside = root.parent / "outside"
  (root / "etc/fstab").symlink_to(target.format(outside=outside))
  assert read(root, "etc/fstab") is None


@pytest.mark.parametrize("target", ["{outside}", "../outside", "../../outside"])
def test_directories_that_are_links_out_of_the_root(
  root: pathlib.Path, target: str
) -> None:
  outside = root.parent / "outside"
  (root / "srv").symlink_to(target.format(outside=outside))
  assert read(root, "srv/secret") is None


def test_dots_end_at_the_root(root: pathlib.Path) -> None:
  (root / "secret").write_text("the guest's")
  assert read(root, "../../../secret") == "the guest's"
  assert read(root, "../outside/secret") is None


def test_absolute_links_are_the_guests(root: pathlib.Path) -> None:
  (root / "lib/fstab").write_text("mine")
  (root / "etc/fstab").symlink_to("/lib/fstab")
  assert read(root, "etc/fstab") == "mine"


def test_magic_links_lead_nowhere(
  root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A guest could have procfs mounted on its disk's tree."""
  with guestfs.opened_root(pathlib.Path("/")) as fd:
    with pytest.raises(OSError, match=r"Too many levels"):
      guestfs.open_in_root(fd, "proc/self/root/etc", os.O_PATH)
    assert guestfs.read_small(fd, "proc/self/exe") is None


def test_what_is_no_regular_file_is_not_read(root: pathlib.Path) -> None:
  os.mkfifo(root / "etc/fstab")
  assert read(root, "etc/fstab") is None
  assert read(root, "etc") is None


def test_a_loop_of_links(root: pathlib.Path) -> None:
  (root / "etc/fstab").symlink_to("fstab")
  assert read(root, "etc/fstab") is None
  with guestfs.opened_root(root) as fd:
    assert not guestfs.exists(fd, "etc/fstab")


class _Disturbed:
  """A kernel on which something is renamed again and again."""

  def __init__(self, times: int) -> None:
    self.times = times
    self.libc = ctypes.CDLL(None, use_errno=True)

  def syscall(self, *arguments: Any) -> int:
    self.times -= 1
    if self.times >= 0:
      ctypes.set_errno(errno.EAGAIN)
      return -1
    result: int = self.libc.syscall(*arguments)
    return result


def test_init_is_found_on_a_node_where_much_is_renamed(
  root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It was called one without an init: "Resource temporarily unavailable"."""
  kernel = _Disturbed(3)
  monkeypatch.setattr(guestfs, "_libc", lambda: kernel)
  with guestfs.opened_root(root) as fd:
    assert guestfs.find_init("web1", fd, guestfs.INIT)
  assert kernel.times < 0


def test_disturbance_without_an_end_is_an_error(
  root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(guestfs, "_libc", lambda: _Disturbed(10**6))
  with (
    guestfs.opened_root(root) as fd,
    pytest.raises(Refused, match="temporarily unavailable"),
  ):
    guestfs.find_init("web1", fd, guestfs.INIT)


def test_a_huge_file_is_read_up_to_the_limit(root: pathlib.Path) -> None:
  with (root / "etc/fstab").open("wb") as stream:
    stream.truncate(1 << 40)
  text = read(root, "etc/fstab", 1000)
  assert text is not None
  assert len(text) == 1000


def test_bytes_that_are_no_text(root: pathlib.Path) -> None:
  (root / "etc/fstab").write_bytes(b"\xff\xfe\x00x")
  assert read(root, "etc/fstab") == "��\x00x"


def test_no_descriptor_is_kept(root: pathlib.Path) -> None:
  before = open_descriptors()
  for _ in range(3):
    read(root, "etc/fstab")
    read(root, "etc")
    find_init(root)
    check(root)
    with pytest.raises(Refused):
      find_init(root, "no/such")
  (root / "dev").rmdir()
  (root / "dev").symlink_to("/")
  with pytest.raises(Refused):
    check(root)
  assert open_descriptors() == before


# Init


@pytest.mark.parametrize(
  ("program", "kind"),
  [
    ("systemd", InitKind.SYSTEMD),
    ("busybox", InitKind.BUSYBOX),
    ("openrc-init", InitKind.OPENRC),
    ("something", InitKind.OTHER),
  ],
)
def test_init_by_its_program(
  tmp_path: pathlib.Path, program: str, kind: InitKind
) -> None:
  make_guest(tmp_path, program)
  assert find_init(tmp_path) is kind


def test_init_that_is_no_link(root: pathlib.Path) -> None:
  (root / "sbin/init").unlink()
  (root / "sbin/init").write_text("")
  (root / "sbin/init").chmod(0o755)
  assert find_init(root) is InitKind.SYSVINIT


@pytest.mark.parametrize(
  "first", ["sbin/one", "/sbin/one", "../sbin/../sbin/one"]
)
def test_init_by_a_chain_of_links(root: pathlib.Path, first: str) -> None:
  """As in Debian with merged /usr: init, /lib/systemd, /usr/lib/systemd."""
  (root / "sbin/init").unlink()
  name = first if first.startswith("/") else f"../{first}"
  (root / "sbin/init").symlink_to(name)
  (root / "sbin/one").symlink_to("/usr/lib/two")
  (root / "usr/lib").mkdir(parents=True)
  (root / "usr/lib/two").symlink_to("../../../../lib/systemd")
  assert find_init(root) is InitKind.SYSTEMD


@pytest.mark.parametrize("target", ["/bin/sh", "../../../../bin/sh"])
def test_init_of_the_node_is_none(root: pathlib.Path, target: str) -> None:
  (root / "sbin/init").unlink()
  (root / "sbin/init").symlink_to(target)
  with pytest.raises(Refused, match=rf"Instance {NAME} has no init program"):
    find_init(root)


def make_fifo(path: pathlib.Path) -> None:
  os.mkfifo(path, 0o777)


@pytest.mark.parametrize(
  "make",
  [
    make_fifo,
    lambda path: path.mkdir(),
    lambda path: path.write_text("not executable"),
  ],
)
def test_init_that_cannot_be_executed(root: pathlib.Path, make) -> None:
  (root / "sbin/init").unlink()
  make(root / "sbin/init")
  with pytest.raises(Refused, match="cannot be executed"):
    find_init(root)


def test_an_init_of_the_administrators_choice(root: pathlib.Path) -> None:
  make_guest(root, "busybox")
  assert find_init(root, "/lib/busybox") is InitKind.BUSYBOX
  with pytest.raises(Refused, match="/opt/init cannot be opened"):
    find_init(root, "/opt/init")


# Mount points


@pytest.mark.parametrize("target", guestfs.MOUNT_TARGETS)
def test_a_link_at_a_mount_point(root: pathlib.Path, target: str) -> None:
  (root / target).rmdir()
  (root / target).symlink_to(root.parent / "outside")
  with pytest.raises(Refused, match=f"/{target} in its root file system"):
    check(root)
  assert untouched(root)


@pytest.mark.parametrize("target", guestfs.MOUNT_TARGETS)
def test_a_file_at_a_mount_point(root: pathlib.Path, target: str) -> None:
  (root / target).rmdir()
  (root / target).write_text("")
  with pytest.raises(Refused, match=f"/{target} in its root file system"):
    check(root)


@pytest.mark.parametrize("target", guestfs.MOUNT_TARGETS)
def test_a_missing_mount_point_is_made(root: pathlib.Path, target: str) -> None:
  (root / target).rmdir()
  check(root)
  assert stat.S_ISDIR((root / target).lstat().st_mode)


def make(root: pathlib.Path, path: str) -> None:
  with guestfs.opened_root(root) as fd:
    guestfs.make_directories(NAME, fd, path)


def test_directories_are_open_to_the_guests_users(root: pathlib.Path) -> None:
  """The node daemon runs with umask 077."""
  old = os.umask(0o077)
  try:
    make(root, "mnt/disk1")
  finally:
    os.umask(old)
  for path in ("mnt", "mnt/disk1"):
    assert (root / path).stat().st_mode & 0o777 == 0o755


def test_directories_that_are_there_are_left_as_they_are(
  root: pathlib.Path,
) -> None:
  (root / "mnt").mkdir(0o700)
  make(root, "mnt/disk1")
  assert (root / "mnt").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("link", ["mnt", "mnt/disk1"])
def test_no_directory_is_made_behind_a_link(
  root: pathlib.Path, link: str
) -> None:
  (root / link).parent.mkdir(exist_ok=True)
  (root / link).symlink_to(root.parent / "outside")
  before = open_descriptors()
  with pytest.raises(Refused, match="/mnt/disk1 in its root"):
    make(root, "mnt/disk1")
  assert untouched(root)
  assert open_descriptors() == before


# What the guest's systemd mounts


@pytest.mark.parametrize("place", ["usr/lib", "etc"])
def test_a_systemd_that_wants_tmp(root: pathlib.Path, place: str) -> None:
  wants = root / place / "systemd/system/local-fs.target.wants"
  wants.mkdir(parents=True)
  (wants / "tmp.mount").write_text("")
  with guestfs.opened_root(root) as fd:
    assert guestfs.wants_tmp_mount(fd)


def test_a_systemd_that_does_not_want_tmp(root: pathlib.Path) -> None:
  (root / "usr/lib/systemd/system").mkdir(parents=True)
  (root / "usr/lib/systemd/system/tmp.mount").write_text("")
  with guestfs.opened_root(root) as fd:
    assert not guestfs.wants_tmp_mount(fd)
