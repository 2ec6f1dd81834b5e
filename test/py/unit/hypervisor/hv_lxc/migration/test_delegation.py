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

"""The options of the v2 tree, which CRIU would take away."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.migration import criu_processes, delegation
from unit.hypervisor.hv_lxc.fake_groups import FakeGroups, write

BASE = "/sys/fs/cgroup"
LOST = f"29 25 0:26 / {BASE} rw,relatime shared:4 - cgroup2 cgroup2 rw\n"
KEPT = LOST.replace("2 rw\n", "2 rw,nsdelegate,memory_recursiveprot\n")


@dataclass
class Node:
  """A host that mounts nothing."""

  proc: Path
  told: list[list[str]] = field(default_factory=list)

  def run(self, argv: list[str]) -> Result:
    self.told.append(argv)
    return Result(tuple(argv), 0, "", "")


def trees(*, pure: bool = True) -> SimpleNamespace:
  return SimpleNamespace(pure_v2=pure, unified=SimpleNamespace(base=BASE))


def node(top: Path, mounts: str) -> Node:
  (top / "self").mkdir()
  (top / "self/mountinfo").write_text(mounts)
  return Node(top)


def test_a_guest_cannot_raise_its_limits_after_a_migration(
  tmp_path: Path,
) -> None:
  found = node(tmp_path, LOST)
  delegation.put_back(found, trees())  # type: ignore[arg-type]
  (argv,) = found.told
  assert argv[0] == "mount"
  assert "remount,nsdelegate" in argv[2]
  assert argv[-1] == BASE


@pytest.mark.parametrize(("mounts", "pure"), [(KEPT, True), (LOST, False)])
def test_left_alone_where_it_is_there_or_nobodys_business(
  tmp_path: Path, mounts: str, pure: bool
) -> None:
  found = node(tmp_path, mounts)
  delegation.put_back(found, trees(pure=pure))  # type: ignore[arg-type]
  assert not found.told


@pytest.mark.parametrize("layout", ["v1", "hybrid", "v2"])
def test_programs_begin_in_a_cgroup_namespace_where_all_is_v2(
  tmp_path: Path, layout: str
) -> None:
  groups = FakeGroups.make(tmp_path, layout)
  told: list[Sequence[str]] = []

  def run(argv: Sequence[str], **_: object) -> Result:
    told.append(argv)
    return Result(tuple(argv), 0)

  with delegation.kept(replace(groups.host, run=run)) as apart:
    result = apart.run(["criu", "dump"])
  assert result.argv == ("criu", "dump")
  *before, program, order = told[0]
  assert [program, order] == ["criu", "dump"]
  assert bool(before) == (layout == "v2")
  if before:
    assert "unshare --cgroup" in before[2]
    # As CRIU's own they are found, and ended, when a worker is killed.
    assert before[0] in delegation.PROGRAMS
    assert before[-1] == str(groups.root)


@pytest.mark.parametrize("program", ["criu", "sh", "unshare"])
def test_what_is_about_to_become_criu_is_ended_with_it(
  tmp_path: Path, program: str
) -> None:
  groups = FakeGroups.make(tmp_path, "v2")
  images = groups.host.layout.migration("web1.lab").images
  for pid, last in (("7", str(images)), ("8", "/elsewhere")):
    write(tmp_path / "proc" / pid / "comm", f"{program}\n")
    words = ("sh", "-c", "x", "criu", "dump", "-D", last)
    write(tmp_path / "proc" / pid / "cmdline", "\0".join(words))
  assert criu_processes.working(groups.host, "web1.lab") == [7]


@pytest.mark.parametrize(
  ("guest", "ended"), [("web2.lab", []), ("web1.lab", [7])]
)
@pytest.mark.parametrize("layout", ["v1", "hybrid", "v2"])
def test_another_guests_process_that_looks_like_criu_is_not_waited_for(
  tmp_path: Path, layout: str, guest: str, ended: list[int]
) -> None:
  groups = FakeGroups.make(tmp_path, layout)
  images = groups.host.layout.migration("web1.lab").images
  write(tmp_path / "proc/7/comm", "criu\n")
  write(tmp_path / "proc/7/cmdline", f"criu\0{images}")
  groups.put(7, f"/ganeti-lxc/{guest}/payload/a.slice")
  assert criu_processes.working(groups.host, "web1.lab") == ended
