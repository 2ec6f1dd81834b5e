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


"""Whether udev on a node looks into guests' disks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import suite
from ganeti.hypervisor.hv_lxc import udevcheck
from ganeti.hypervisor.hv_lxc.node import Node

NAME = "57-ganeti-kpartx.rules"
SHIPPED = (suite.ROOT / "lib/storage" / NAME).read_text()


@pytest.fixture
def root(tmp_path: Path) -> Path:
  """A node of Debian's on which udev runs, with our rules."""
  write(tmp_path / "run/udev/control", "")
  write(tmp_path / "usr/lib/udev/rules.d" / NAME, SHIPPED)
  write(tmp_path / "usr/lib/udev/rules.d/55-dm.rules", "")
  write(
    tmp_path / "etc/ganeti/file-storage-paths",
    "/srv/ganeti/file-storage\n/srv/ganeti/shared-file-storage\n",
  )
  return tmp_path


def write(path: Path, text: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)


def said(root: Path) -> str:
  """What is advised; "" for nothing."""
  node = Node(
    host=SimpleNamespace(),  # type: ignore[arg-type]
    search_path="",
    root=root,
  )
  (check,) = udevcheck.wishes()
  return str(check.examine(node) or "")


def test_a_node_as_the_package_leaves_it(root: Path) -> None:
  assert not said(root)


def test_a_node_without_udev(root: Path) -> None:
  (root / "run/udev/control").unlink()
  (root / "usr/lib/udev/rules.d" / NAME).unlink()
  assert not said(root)


def test_rules_that_are_not_there(root: Path) -> None:
  (root / "usr/lib/udev/rules.d" / NAME).unlink()
  assert "has no rules for them" in said(root)


def test_rules_that_come_before_a_device_has_its_name(root: Path) -> None:
  old = root / "usr/lib/udev/rules.d/11-ganeti-kpartx.rules"
  (root / "usr/lib/udev/rules.d" / NAME).rename(old)
  assert "11-ganeti-kpartx.rules comes before 55-dm.rules" in said(root)


def test_files_in_a_directory_that_the_rules_do_not_know(root: Path) -> None:
  write(root / "etc/ganeti/file-storage-paths", "# ours\n\n/data/ganeti\n")
  assert "guests' disks below /data/ganeti (" in said(root)


def test_a_changed_copy_in_etc_counts(root: Path) -> None:
  write(root / "etc/ganeti/file-storage-paths", "/data/ganeti\n")
  changed = SHIPPED.replace('"/srv/ganeti/*', '"/data/ganeti/*|/srv/ganeti/*')
  assert changed != SHIPPED
  write(root / "etc/udev/rules.d" / NAME, changed)
  assert not said(root)
