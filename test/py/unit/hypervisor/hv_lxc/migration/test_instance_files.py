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

import os
import pathlib
import stat

import pytest
from ganeti.hypervisor.hv_lxc.errors import Failed, Refused
from ganeti.hypervisor.hv_lxc.layout import InstancePaths
from ganeti.hypervisor.hv_lxc.migration import instance_files
from unit.hypervisor.hv_lxc.fakes import FakeLxc


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> InstancePaths:
  node = FakeLxc(tmp_path)
  made = node.paths()
  made.home.mkdir(parents=True)
  made.config.write_text("lxc.uts.name = web1\n")
  made.record.write_text("{}")
  made.nic_hook("up").write_text("#!/bin/sh\n")
  made.nic_hook("up").chmod(0o700)
  made.ended.write_text("halted\n")
  made.moving.write_text("")
  made.rootfs.mkdir()
  (made.home / "link").symlink_to("/etc/shadow")
  os.mkfifo(made.home / "held")
  return made


def saved(paths: InstancePaths, top: pathlib.Path) -> pathlib.Path:
  files = top / "files"
  instance_files.save(paths, files)
  return files


def test_plain_files_are_saved(
  paths: InstancePaths, tmp_path: pathlib.Path
) -> None:
  files = saved(paths, tmp_path)
  names = sorted(entry.name for entry in files.iterdir())
  assert names == ["config", "nic-up", "record.json"]
  assert stat.S_IMODE((files / "nic-up").stat().st_mode) == 0o700


def test_what_was_saved_before_is_forgotten(
  paths: InstancePaths, tmp_path: pathlib.Path
) -> None:
  files = saved(paths, tmp_path)
  (files / "nic7.env").write_text("old")
  saved(paths, tmp_path)
  assert not (files / "nic7.env").exists()


def test_put_brings_them_and_this_releases_scripts(
  paths: InstancePaths, tmp_path: pathlib.Path
) -> None:
  files = saved(paths, tmp_path)
  target = InstancePaths(
    home=tmp_path / "other" / "web1",
    console_log=paths.console_log,
    log_file=paths.log_file,
  )
  instance_files.put(files, target)
  assert target.config.read_text() == paths.config.read_text()
  assert target.post_stop_hook.stat().st_mode & 0o100
  assert target.start_again.exists()
  assert not target.rootfs.exists()


@pytest.mark.parametrize("name", ["config", "record.json"])
def test_put_refuses_what_is_not_complete(
  paths: InstancePaths, tmp_path: pathlib.Path, name: str
) -> None:
  files = saved(paths, tmp_path)
  (files / name).unlink()
  with pytest.raises(Refused, match=f"{name} is missing"):
    instance_files.put(files, paths)


def test_configuration_is_read_as_written(tmp_path: pathlib.Path) -> None:
  path = tmp_path / "config"
  path.write_text("lxc.cap.drop = a b\nlxc.cap.drop = c = d\n")
  assert instance_files.config(path) == [
    ("lxc.cap.drop", "a b"),
    ("lxc.cap.drop", "c = d"),
  ]
  path.write_text("garbage\n")
  with pytest.raises(Failed, match="is damaged"):
    instance_files.config(path)
