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

"""Placing the driver in made-up versions of Ganeti, in bad circumstances."""

import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ganeti_lxc_tools import files, node, placing, tree
from ganeti_lxc_tools.errors import ToolError
from ganeti_lxc_tools.tree import Tree

Path = pathlib.Path

HV_LXC = "hypervisor/hv_lxc"
STOCK = (
  "hypervisor/__init__.py",
  "hypervisor/hv_lxc.py",
  "hypervisor/__pycache__/hv_lxc.cpython-311.pyc",
  "storage/base.py",
  "storage/__pycache__/base.cpython-311.pyc",
)
COMMON = ("__init__.py", "driver.py", "more/deep.py", "nic-up.sh")


def make_release(top: Path, release: str, *extra: str) -> Path:
  """A driver each of whose files says which release it is of."""
  names = [f"{HV_LXC}/{name}" for name in COMMON]
  for name in [*names, "storage/kpartx.py", *extra]:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"RELEASE = {release!r}\n")
  (top / HV_LXC / "nic-up.sh").chmod(0o755)
  return top


@pytest.fixture
def first(tmp_path: Path) -> Path:
  extra = (f"{HV_LXC}/gone.py", "storage/gone.py")
  return make_release(tmp_path / "first", "first", *extra)


@pytest.fixture
def second(tmp_path: Path) -> Path:
  extra = (f"{HV_LXC}/fresh.py", "storage/fresh.py")
  return make_release(tmp_path / "second", "second", *extra)


@pytest.fixture
def share(tmp_path: Path) -> Path:
  """A /usr/share/ganeti without any Ganeti."""
  top = tmp_path / "share"
  (top / "extstorage").mkdir(parents=True)
  return top


def add_ganeti(share: Path, version: str) -> Tree:
  top = share / version / "ganeti"
  for name in STOCK:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("STOCK = True\n")
  return Tree(top)


@pytest.fixture
def ganeti(share: Path) -> Tree:
  return add_ganeti(share, "3.1")


def content(top: Path) -> dict[str, bytes]:
  return {
    str(p.relative_to(top)): p.read_bytes()
    for p in sorted(top.rglob("*"))
    if p.is_file()
  }


def releases(place: Tree) -> set[str]:
  """Of which releases the package is that Python would import."""
  modules = [p for p in place.package.rglob("*.py") if "new" not in p.suffix]
  return {p.read_text().split("'")[1] for p in modules}


def assert_complete(source: Path, place: Tree) -> None:
  """Exactly this release, compiled, and nothing half-done beside it."""
  for name in tree.driver_files(source):
    assert (place.top / name).read_bytes() == (source / name).read_bytes()
    if name.endswith(".py"):
      assert files.cache_of(place.top / name).exists()
  for name in STOCK:
    assert (place.top / name).read_text() == "STOCK = True\n"
  left = [
    str(p.relative_to(place.top))
    for p in place.top.rglob("*")
    if p.is_file()
    and "__pycache__" not in p.parts
    and str(p.relative_to(place.top)) not in STOCK
  ]
  expected = [*tree.driver_files(source), f"{HV_LXC}/MANIFEST"]
  assert sorted(left) == sorted(expected)
  assert not list(place.top.rglob("*.new*"))
  for path in (place.top / "storage/__pycache__").iterdir():
    source_name = path.name.split(".", 1)[0] + ".py"
    assert (place.top / "storage" / source_name).exists()


def put(source: Path, share: Path) -> bool:
  return placing.place(source, share, [], "")


def test_no_ganeti(
  first: Path, share: Path, capsys: pytest.CaptureFixture[str]
) -> None:
  assert not put(first, share)
  assert "No Ganeti (3.0, 3.1) below" in capsys.readouterr().out
  assert not put(first, share / "nowhere")
  assert not placing.take_out(share / "nowhere")
  assert content(share) == {}


def test_ganeti_comes_later(first: Path, share: Path) -> None:
  put(first, share)
  ganeti = add_ganeti(share, "3.0")
  assert put(first, share)
  assert_complete(first, ganeti)


def test_two_versions(first: Path, share: Path) -> None:
  both = [add_ganeti(share, version) for version in ("3.0", "3.1")]
  put(first, share)
  for ganeti in both:
    assert_complete(first, ganeti)


def test_an_unsupported_version_is_left_alone(first: Path, share: Path) -> None:
  add_ganeti(share, "2.16")
  before = content(share)
  put(first, share)
  assert content(share) == before


def test_the_link_to_the_version_in_use_is_no_version(
  first: Path, share: Path, ganeti: Tree
) -> None:
  (share / "default").symlink_to("3.1")
  assert [t.version for t in placing.trees(share)] == ["3.1"]
  put(first, share)
  assert_complete(first, ganeti)


def test_only_a_change_of_the_version_in_use_counts(
  first: Path, share: Path, ganeti: Tree
) -> None:
  put(first, share)
  (share / "default").symlink_to("3.1")
  add_ganeti(share, "3.0")
  assert not put(first, share)


def test_only_an_exchange_of_the_driver_in_use_waits(
  first: Path, second: Path, share: Path, ganeti: Tree
) -> None:
  """A Ganeti that has no driver of ours yet gets it at once."""
  add_ganeti(share, "3.0")
  (share / "default").symlink_to("3.1")
  assert not placing.would_change(first, share)
  put(first, share)
  assert not placing.would_change(first, share)
  assert placing.would_change(second, share)
  (share / "default").unlink()
  (share / "default").symlink_to("3.0")
  tree.remove(Tree(share / "3.0/ganeti"))
  assert not placing.would_change(second, share)


def test_the_second_time_nothing_is_written(
  first: Path, share: Path, ganeti: Tree
) -> None:
  assert put(first, share)
  times = {p: p.stat().st_mtime_ns for p in share.rglob("*")}
  assert not put(first, share)
  assert {p: p.stat().st_mtime_ns for p in share.rglob("*")} == times


def test_upgrade(first: Path, second: Path, share: Path, ganeti: Tree) -> None:
  put(first, share)
  assert put(second, share)
  assert_complete(second, ganeti)


def test_another_python_gets_its_compiled_copies(
  first: Path, share: Path, ganeti: Tree
) -> None:
  put(first, share)
  cache = files.cache_of(ganeti.top / "storage/kpartx.py")
  cache.rename(cache.with_name("kpartx.cpython-39.pyc"))
  assert put(first, share)
  assert_complete(first, ganeti)


def test_a_removed_ganeti_leaves_nothing(
  first: Path, share: Path, ganeti: Tree
) -> None:
  old = add_ganeti(share, "3.0")
  put(first, share)
  for name in STOCK:
    (old.top / name).unlink()
  put(first, share)
  assert not (share / "3.0").exists()
  assert_complete(first, ganeti)


def test_remove(first: Path, share: Path, ganeti: Tree) -> None:
  before = content(share)
  put(first, share)
  assert placing.take_out(share)
  assert content(share) == before
  assert not ganeti.package.exists()
  assert not placing.take_out(share)


def test_what_somebody_put_there_is_kept(
  first: Path, second: Path, share: Path, ganeti: Tree
) -> None:
  put(first, share)
  notes = ganeti.package / "more/notes.txt"
  notes.write_text("mine")
  put(second, share)
  assert notes.read_text() == "mine"
  placing.take_out(share)
  assert notes.read_text() == "mine"


@pytest.mark.parametrize("name", [f"{HV_LXC}/driver.py", "storage/kpartx.py"])
def test_what_somebody_put_there_is_not_overwritten(
  first: Path, share: Path, ganeti: Tree, name: str
) -> None:
  other = add_ganeti(share, "3.0")
  foreign = ganeti.top / name
  foreign.parent.mkdir(exist_ok=True)
  foreign.write_text("FOREIGN = True\n")
  before = content(ganeti.top)
  with pytest.raises(ToolError, match="was not installed by ganeti-lxc"):
    put(first, share)
  assert content(ganeti.top) == before
  assert_complete(first, other)


def test_a_link_to_a_checkout_is_not_followed(
  first: Path, share: Path, ganeti: Tree
) -> None:
  ganeti.package.symlink_to(first / HV_LXC)
  with pytest.raises(ToolError, match="was not installed by ganeti-lxc"):
    put(first, share)


def test_what_equals_ours_is_ours(
  first: Path, share: Path, ganeti: Tree
) -> None:
  put(first, share)
  shutil.rmtree(ganeti.package)
  put(first, share)
  assert_complete(first, ganeti)


def test_a_module_that_python_cannot_read_changes_nothing(
  first: Path, second: Path, share: Path, ganeti: Tree
) -> None:
  put(first, share)
  broken = second / HV_LXC / "driver.py"
  broken.write_text("RELEASE = 'second'\ndef\n")
  with pytest.raises(ToolError, match="cannot be compiled"):
    put(second, share)
  assert releases(ganeti) == {"first"}
  make_release(second, "second")
  put(second, share)
  assert_complete(second, ganeti)


def test_an_emptied_package_says_so(share: Path, ganeti: Tree) -> None:
  with pytest.raises(ToolError, match="has no driver; install ganeti-lxc"):
    put(share / "nothing", share)


class PowerCut(BaseException):
  """The end of everything."""


class Cutter:
  """Ends the program when it touches the file system for the Nth time.

  An audit hook sees each call before it is made; it cannot be removed.

  """

  events = ("open", "os.", "shutil.", "ctypes.")

  def __init__(self) -> None:
    self.left = -1
    sys.addaudithook(self.hook)

  def hook(self, event: str, _args: tuple[Any, ...]) -> None:
    if self.left >= 0 and event.startswith(self.events):
      self.left -= 1
      if self.left < 0:
        raise PowerCut

  def runs_to_its_end(self, number: int, act: Callable[[], object]) -> bool:
    self.left = number
    try:
      act()
    except PowerCut:
      return False
    finally:
      self.left = -1
    return True


@pytest.fixture(scope="module")
def all_cuts() -> Cutter:
  return Cutter()


@pytest.fixture
def cutter(all_cuts: Cutter, monkeypatch: pytest.MonkeyPatch) -> Cutter:
  monkeypatch.setattr(os, "fsync", lambda _: None)
  return all_cuts


def cuts(cutter: Cutter, act: Callable[[], object]) -> Iterator[int]:
  """Every moment at which the power can fail during C{act}."""
  number = 0
  while not cutter.runs_to_its_end(number, act):
    yield number
    number += 1
  assert number > 50


def test_power_cut_during_upgrade(
  first: Path, second: Path, share: Path, ganeti: Tree, cutter: Cutter
) -> None:
  put(first, share)
  for number in cuts(cutter, lambda: put(second, share)):
    assert releases(ganeti) in ({"first"}, {"second"}), number
    put(second, share)
    assert_complete(second, ganeti)
    put(first, share)
    assert_complete(first, ganeti)


def test_power_cut_where_directories_cannot_be_exchanged(
  first: Path,
  second: Path,
  share: Path,
  ganeti: Tree,
  cutter: Cutter,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(files, "_RENAME_EXCHANGE", 1 << 20)
  put(first, share)
  for number in cuts(cutter, lambda: put(second, share)):
    assert releases(ganeti) in ({"first"}, {"second"}, set()), number
    put(second, share)
    assert_complete(second, ganeti)
    put(first, share)
    assert_complete(first, ganeti)


def test_power_cut_during_installation(
  first: Path, second: Path, share: Path, ganeti: Tree, cutter: Cutter
) -> None:
  before = content(share)
  for number in cuts(cutter, lambda: put(first, share)):
    assert releases(ganeti) in (set(), {"first"}), number
    # Maybe another release comes next.
    put(first if number % 2 else second, share)
    assert_complete(first if number % 2 else second, ganeti)
    placing.take_out(share)
    assert content(share) == before, number


def test_power_cut_before_removal(
  first: Path, share: Path, ganeti: Tree, cutter: Cutter
) -> None:
  before = content(share)
  for number in cuts(cutter, lambda: put(first, share)):
    placing.take_out(share)
    assert content(share) == before, number


def test_power_cut_during_removal(
  first: Path, share: Path, ganeti: Tree, cutter: Cutter
) -> None:
  before = content(share)
  put(first, share)
  number = 0
  while not cutter.runs_to_its_end(number, lambda: placing.take_out(share)):
    assert releases(ganeti) in (set(), {"first"}), number
    placing.take_out(share)
    assert content(share) == before, number
    put(first, share)
    number += 1
  assert number > 10


def test_compiled_copies_are_valid(
  first: Path, share: Path, ganeti: Tree
) -> None:
  """Python checks time and size of the source; neither may have changed."""
  put(first, share)
  for name in (f"{HV_LXC}/driver.py", "storage/kpartx.py"):
    module = ganeti.top / name
    data = files.cache_of(module).read_bytes()
    status = module.stat()
    assert int.from_bytes(data[8:12], "little") == int(status.st_mtime)
    assert int.from_bytes(data[12:16], "little") == status.st_size
    assert str(module).encode() in data


def test_instances_are_found_by_their_groups(tmp_path: Path) -> None:
  groups = tmp_path / "cgroup/ganeti-lxc"
  for name, part, text in (
    ("inst1.lab", "payload", "17\n"),
    ("inst2.lab", "monitor", "18\n19\n"),
    ("inst3.lab", "payload", ""),
  ):
    (groups / name / part).mkdir(parents=True)
    (groups / name / part / "cgroup.procs").write_text(text)
  mounts = tmp_path / "mounts"
  mounts.write_text(
    f"proc /proc proc rw 0 0\ncgroup2 {tmp_path}/cgroup cgroup2 rw 0 0\n"
  )
  assert node.running(str(mounts)) == ["inst1.lab", "inst2.lab"]


def test_removal_is_refused_while_instances_run(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(node, "running", lambda: ["inst1.lab"])
  with pytest.raises(ToolError, match=r"run on this node: inst1\.lab\."):
    node.refuse_while_running()
  monkeypatch.setenv("GANETI_LXC_REMOVE", "anyway")
  node.refuse_while_running()
