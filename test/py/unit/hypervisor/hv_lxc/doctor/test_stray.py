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
"""UNIX sockets whose names lead elsewhere by now."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc.doctor import stray
from ganeti.hypervisor.hv_lxc.doctor.guest import OpenFile, Process
from ganeti.hypervisor.hv_lxc.doctor.stray import Bound
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

DELETED = " (deleted)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
  (tmp_path / "run/app").mkdir(parents=True)
  (tmp_path / "var").mkdir()
  (tmp_path / "var/run").symlink_to("/run")
  (tmp_path / "dangling").symlink_to("/nowhere")
  (tmp_path / "file").write_text("")
  bind(tmp_path / "run/app/sock")
  return tmp_path


@pytest.fixture
def end() -> Iterator[socket.socket]:
  with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
    yield made


def bind(path: Path) -> None:
  """By a short name: that of a test's directory may be too long."""
  with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
    fd = os.open(path.parent, os.O_PATH)
    made.bind(f"/proc/self/fd/{fd}/{path.name}")
    os.close(fd)


def judge(
  root: Path, name: str, path: str, links: int = 1, **values: Any
) -> str:
  """Of a file of which only these names are known."""
  seen = list((root / "run/app/sock").lstat())
  seen[3] = links
  bound = Bound(
    name=name.encode(),
    path=path.encode(),
    file=os.stat_result(seen),
    **values,
  )
  fd = os.open(root, os.O_PATH)
  try:
    return stray.why_not(bound, fd)
  finally:
    os.close(fd)


@pytest.mark.parametrize(
  ("name", "path", "is_well"),
  [
    ("/run/app/sock", "/run/app/sock", True),
    ("/var/run/app/sock", "/run/app/sock", True),
    ("/run/app/other", "/run/app/sock", False),
    ("/file", "/run/app/sock", False),
    ("/run/gone/sock", "/run/app/sock", False),
    ("sock", "/run/app/sock", True),
    ("./app/sock", "/run/app/sock", True),
    ("run/app/sock", "/run/app/sock", True),
    ("other", "/run/app/sock", False),
    ("../app/sock", "/run/app/sock", False),
    ("ock", "/run/app/sock", False),
  ],
)
def test_file(root: Path, name: str, path: str, is_well: bool) -> None:
  assert (judge(root, name, path) == "") is is_well


@pytest.mark.parametrize(
  ("name", "path", "is_well"),
  [
    ("/run/app/gone", "/run/app/gone", True),
    ("/run/app/sock", "/run/app/sock", True),
    ("/run/gone/gone/sock", "/run/gone/gone/sock", True),
    ("/var/run/gone/sock", "/run/gone/sock", True),
    ("/gone", "/gone", True),
    ("/file/sock", "/file/sock", False),
    ("/file/gone/sock", "/file/gone/sock", False),
    ("/dangling/sock", "/elsewhere/sock", False),
    ("/dangling/gone/sock", "/elsewhere/gone/sock", False),
    ("sock", "/run/app/sock", True),
    ("gone/sock", "/run/gone/sock", True),
    ("sock", "/run/gone/sock", False),
    ("sock", "/file/sock", False),
  ],
)
def test_removed_file(root: Path, name: str, path: str, is_well: bool) -> None:
  assert (judge(root, name, path + DELETED, links=0) == "") is is_well


def test_second_name(root: Path) -> None:
  path = "/run/app/sock"
  assert "second name" in judge(root, path, path, links=2)
  assert "second name" in judge(root, path, path + DELETED, links=1)


def test_read_only_mount(root: Path) -> None:
  path = "/run/app/sock"
  assert "read-only" in judge(root, path, path, is_read_only=True)


def test_long_name(root: Path) -> None:
  longest, longer = "/" + "n" * 106, "/" + "n" * 107
  assert not judge(root, longest[:-1], longest[:-1] + DELETED, links=0)
  assert "too long" in judge(root, longest, longest + DELETED, links=0)
  assert "too long" in judge(root, longer, longer)
  assert "too long" not in judge(root, longest, longest)


def test_the_end_of_a_connection_is_not_bound_again(root: Path) -> None:
  path = "/run/app/sock"
  assert not judge(root, "/run/app/other", path, again=False)
  assert "relative" in judge(root, "other", path, again=False)


def test_of_this_process(end: socket.socket) -> None:
  """None is lost, whatever the caller may do; none without a file is told."""
  end.bind(b"\0ganeti-lxc-test-stray" + str(os.getpid()).encode())
  inode = os.fstat(end.fileno()).st_ino
  process = Process(
    pid=os.getpid(),
    command="test",
    files=(OpenFile(fd=end.fileno(), target=f"socket:[{inode}]"),),
    namespaces={"mnt": "mnt:[1]"},
  )
  host = Host(layout=Layout.below("/a", "/b", "/c", "/d"))
  found = stray.find(host, [process], {"mnt:[1]": ()}, frozenset({inode}))
  assert not found.get(os.getpid())
