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

"""Removed things whose names others have, in a /proc that is a directory."""

from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.doctor import taken
from ganeti.hypervisor.hv_lxc.doctor.guest import OpenFile

INIT, PID = 100, 101
LONG = "n" * 250


@pytest.fixture
def root(tmp_path: Path) -> Path:
  root = tmp_path / "root"
  (root / "srv/again").mkdir(parents=True)
  (root / "srv/file").write_text("")
  (root / "away").symlink_to("/srv")
  for pid in (INIT, PID):
    home = tmp_path / "proc" / str(pid)
    (home / "ns").mkdir(parents=True)
    (home / "fd").mkdir()
    (home / "ns/mnt").symlink_to("mnt:[1]")
  (tmp_path / f"proc/{INIT}/root").symlink_to(root)
  return root


def found(root: Path, *files: OpenFile) -> list[str]:
  return list(taken.found(root.parent / "proc", PID, INIT, files))


@pytest.mark.parametrize(
  ("name", "is_taken"),
  [
    ("/srv/again", True),
    ("/srv/file", True),
    ("/srv/file/below", True),
    ("/away/again", True),
    ("/srv/gone", False),
    ("/gone/gone", False),
  ],
)
def test_directory(root: Path, name: str, is_taken: bool) -> None:
  home = root.parent / f"proc/{PID}"
  (home / "cwd").symlink_to(f"{name} (deleted)")
  (home / "root").symlink_to("/srv/again")
  assert found(root) == ([f"working directory {name}"] if is_taken else [])


@pytest.mark.parametrize(
  ("name", "is_taken"),
  [
    ("/srv/again", False),
    ("/srv/file/below", True),
    ("/srv/gone", False),
    (f"/srv/{LONG}", True),
  ],
)
def test_file(root: Path, name: str, is_taken: bool) -> None:
  """CRIU makes it next to its name."""
  file = OpenFile(fd=3, target=f"{name} (deleted)", is_removed=True)
  (root.parent / f"proc/{PID}/fd/3").symlink_to(root / "srv/file")
  assert found(root, file) == ([f"fd 3 {name}"] if is_taken else [])


def test_open_directory(root: Path) -> None:
  file = OpenFile(fd=3, target="/srv/again (deleted)", is_removed=True)
  (root.parent / f"proc/{PID}/fd/3").symlink_to(root / "srv")
  assert found(root, file) == ["fd 3 /srv/again"]
