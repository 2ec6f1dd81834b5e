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

"""Files that are replaced as a whole, waiting, the instances' locks."""

import fcntl
import os
import pathlib
import threading

import pytest
from ganeti.hypervisor.hv_lxc import host
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

WRITERS = [host.write_file, host.write_durably]


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Host:
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))
  return Host(layout=layout)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o700])
def test_the_mode_is_the_one_asked_for(
  tmp_path: pathlib.Path, write, mode: int
) -> None:
  old = os.umask(0o077)
  try:
    write(tmp_path / "x", "text", mode=mode)
  finally:
    os.umask(old)
  assert (tmp_path / "x").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("write", WRITERS)
def test_a_link_is_replaced_and_its_target_is_not(
  tmp_path: pathlib.Path, write
) -> None:
  (tmp_path / "target").write_text("precious")
  (tmp_path / "x").symlink_to("target")
  write(tmp_path / "x", "text")
  assert (tmp_path / "target").read_text() == "precious"
  assert (tmp_path / "x").read_text() == "text"
  assert not (tmp_path / "x").is_symlink()


@pytest.mark.parametrize("write", WRITERS)
def test_a_failed_write_leaves_nothing(tmp_path: pathlib.Path, write) -> None:
  (tmp_path / "x").write_text("old")
  with pytest.raises(UnicodeEncodeError):
    write(tmp_path / "x", "\udcff")
  assert [p.name for p in tmp_path.iterdir()] == ["x"]
  assert (tmp_path / "x").read_text() == "old"


@pytest.mark.parametrize("write", WRITERS)
def test_two_threads_write_the_same_file(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, write
) -> None:
  """One begins and ends while the other is at it."""
  real_chmod = os.fchmod
  other = threading.Thread(target=write, args=(tmp_path / "x", "theirs"))

  def interrupted(fd: int, mode: int) -> None:
    real_chmod(fd, mode)
    if threading.current_thread() is not other:
      other.start()
      other.join()

  monkeypatch.setattr(os, "fchmod", interrupted)
  write(tmp_path / "x", "mine")
  assert (tmp_path / "x").read_text() == "mine"
  assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_durable_write_is_synced_before_it_is_visible(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  acts: list[str] = []
  real_sync, real_replace = os.fsync, pathlib.Path.replace
  monkeypatch.setattr(
    os, "fsync", lambda fd: (acts.append("sync"), real_sync(fd))
  )
  monkeypatch.setattr(
    pathlib.Path,
    "replace",
    lambda self, to: (acts.append("replace"), real_replace(self, to)),
  )
  host.write_durably(tmp_path / "x", "text")
  assert acts == ["sync", "replace", "sync"]


@pytest.mark.parametrize("path", ["none", "none/none", "file/none"])
def test_what_is_not_there_is_none(tmp_path: pathlib.Path, path: str) -> None:
  (tmp_path / "file").write_text("")
  assert host.read_optional(tmp_path / path) is None


def test_other_errors_are_told(tmp_path: pathlib.Path) -> None:
  with pytest.raises(IsADirectoryError):
    host.read_optional(tmp_path)


def test_waiting_ends_with_the_condition() -> None:
  seen: list[int] = []
  assert host.wait_until(lambda: len(seen) > 2 or bool(seen.append(1)), 5)
  assert len(seen) == 3


@pytest.mark.parametrize("timeout_s", [0, -1, 0.01])
def test_waiting_ends_with_the_time(timeout_s: float) -> None:
  assert not host.wait_until(lambda: False, timeout_s)


def test_directories_are_made_whatever_the_umask_is(
  tmp_path: pathlib.Path,
) -> None:
  old = os.umask(0o077)
  try:
    host.make_directory(tmp_path / "a/b", 0o750)
  finally:
    os.umask(old)
  assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o750


def test_a_lock_is_held_by_one(node: Host) -> None:
  with host.locked(node, "web1", 1):
    with (
      pytest.raises(Refused, match=r"Another operation on instance web1"),
      host.locked(node, "web1", 0.01),
    ):
      pytest.fail("two hold one lock")
    with host.locked(node, "web2", 0.01):
      pass
  with host.locked(node, "web1", 0.01):
    pass


def test_a_lock_is_given_up_by_an_error(node: Host) -> None:
  with pytest.raises(KeyError), host.locked(node, "web1", 1):
    raise KeyError
  with host.locked(node, "web1", 0.01):
    pass


def test_a_lock_whose_file_was_removed_excludes_all_the_same(
  node: Host,
) -> None:
  """Who waited for the old file would otherwise hold a lock of nothing."""
  with host.locked(node, "web1", 1):
    host.forget_lock(node, "web1")
  with host.locked(node, "web1", 1):
    assert node.layout.lock("web1").exists()
    with pytest.raises(Refused), host.locked(node, "web1", 0.01):
      pass


def test_paths_of_an_instance(node: Host) -> None:
  paths = node.layout.instance("web1", "UUID")
  assert paths.home.parent == node.layout.lxcpath
  assert paths.log_file.name == "web1.UUID.log"
  assert paths.console_log.parent == node.layout.run_dir
  assert node.layout.instance("web1").home == paths.home


def test_a_lock_whose_file_goes_before_it_is_held_is_taken_anew(
  node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Between open(2) and flock(2) its holder may have removed it."""
  real = fcntl.flock
  removed: list[pathlib.Path] = []

  def flock(fd: int, how: int) -> None:
    if not removed:
      removed.append(node.layout.lock("web1"))
      removed[0].unlink()
    real(fd, how)

  monkeypatch.setattr(fcntl, "flock", flock)
  with host.locked(node, "web1", 1):
    assert removed
    with pytest.raises(Refused), host.locked(node, "web1", 0.01):
      pass
