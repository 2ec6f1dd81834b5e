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

import json
import pathlib
import stat

import pytest
from ganeti.hypervisor.hv_lxc import hierarchies
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchies
from ganeti.hypervisor.hv_lxc.migration import group_tree
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc

CONTROL = "cgroup.subtree_control"
NOTE = "ganeti-groups.json"


@pytest.fixture
def trees(tmp_path: pathlib.Path) -> Hierarchies:
  node = FakeLxc(tmp_path / "node")
  node.populate()
  return hierarchies.find(node.host)


def payload(trees: Hierarchies) -> pathlib.Path:
  assert trees.unified is not None
  return pathlib.Path(trees.unified.payload(NAME))


def make(group: pathlib.Path, controllers: str, mode: int = 0o755) -> None:
  group.mkdir(parents=True, exist_ok=True)
  (group / CONTROL).write_text(controllers)
  group.chmod(mode)


def test_empty_groups_modes_and_controllers_come_back(
  trees: Hierarchies, tmp_path: pathlib.Path
) -> None:
  top = payload(trees)
  make(top, "pids\n", 0o700)
  make(top / "system.slice", "memory\n")
  make(top / "system.slice/odd name\n", "", 0o750)
  group_tree.save(trees, NAME, tmp_path)
  for path in sorted(top.rglob("*"), reverse=True):
    path.rmdir() if path.is_dir() else path.unlink()
  # What the kernel has by itself in each group.
  (top / CONTROL).write_text("")
  (top / "system.slice").mkdir()
  (top / "system.slice" / CONTROL).write_text("")
  top.chmod(0o755)
  group_tree.rebuild(trees, NAME, tmp_path)
  assert (top / CONTROL).read_text() == "+pids"
  assert (top / "system.slice" / CONTROL).read_text() == "+memory"
  found = top / "system.slice/odd name\n"
  assert stat.S_IMODE(found.stat().st_mode) == 0o750
  assert stat.S_IMODE(top.stat().st_mode) == 0o700


def test_without_a_note_nothing_is_made(
  trees: Hierarchies, tmp_path: pathlib.Path
) -> None:
  before = sorted(payload(trees).iterdir())
  group_tree.rebuild(trees, NAME, tmp_path)
  assert sorted(payload(trees).iterdir()) == before


def test_without_v2_nothing_is_noted(tmp_path: pathlib.Path) -> None:
  node = FakeLxc(tmp_path / "node", version=1)
  node.populate()
  group_tree.save(hierarchies.find(node.host), NAME, tmp_path)
  assert not (tmp_path / NOTE).exists()


def test_too_many_groups(
  trees: Hierarchies, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(group_tree, "_MAX_GROUPS", 2)
  for number in range(3):
    (payload(trees) / str(number)).mkdir()
  with pytest.raises(Failed, match="too many control groups"):
    group_tree.save(trees, NAME, tmp_path)


@pytest.mark.parametrize("group", ["../x", "/x", "a/../../x"])
def test_note_that_leads_elsewhere_is_refused(
  trees: Hierarchies, tmp_path: pathlib.Path, group: str
) -> None:
  note = {"group": group, "controllers": "", "mode": 0, "uid": 0, "gid": 0}
  (tmp_path / NOTE).write_text(json.dumps([note]))
  with pytest.raises(Failed, match="cannot be made"):
    group_tree.rebuild(trees, NAME, tmp_path)
