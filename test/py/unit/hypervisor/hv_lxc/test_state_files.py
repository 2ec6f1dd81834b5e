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

"""State files that are damaged, not readable, or no files at all.

Whatever is in their place, the node goes on telling what runs, and an
operation that cannot do without says which file and what to do.
"""

import pathlib
from collections.abc import Callable

import pytest
from ganeti import errors
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc
from unit.hypervisor.hv_lxc.test_driver import block_devices, instance

Damage = Callable[[pathlib.Path], None]


def remove(path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.unlink(missing_ok=True)


def garbage(path: pathlib.Path) -> None:
  remove(path)
  path.write_bytes(b"\0\xff{[garbage")


def empty(path: pathlib.Path) -> None:
  remove(path)
  path.touch()


def directory(path: pathlib.Path) -> None:
  remove(path)
  path.mkdir()


def full_directory(path: pathlib.Path) -> None:
  directory(path)
  (path / "x").touch()


def loop(path: pathlib.Path) -> None:
  """A link that cannot be followed: as unreadable to root as anything."""
  remove(path)
  path.symlink_to(path.name)


DAMAGES: tuple[Damage, ...] = (
  garbage,
  empty,
  directory,
  full_directory,
  loop,
)


def files_of(node: FakeLxc) -> dict[str, pathlib.Path]:
  paths = node.paths()
  return {
    "record": paths.record,
    "ended": paths.ended,
    "config": paths.config,
    "console": paths.console_log,
    "lock": node.layout.lock(NAME),
    "hook": paths.start_host_data,
  }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
  "which", ["record", "ended", "config", "console", "lock", "hook"]
)
class TestOneFile:
  """Every file in turn."""

  def test_node_tells_what_runs(
    self, hv: LXCHypervisor, node: FakeLxc, which: str, damage: Damage
  ) -> None:
    hv.StartInstance(instance(), block_devices(node), False)
    damage(files_of(node)[which])
    assert hv.ListInstances() == [NAME]
    assert [info.name for info in hv.GetAllInstancesInfo()] == [NAME]
    assert hv.GetInstanceInfo(NAME).name == NAME

  def test_node_tells_what_does_not_run(
    self, hv: LXCHypervisor, node: FakeLxc, which: str, damage: Damage
  ) -> None:
    damage(files_of(node)[which])
    assert hv.ListInstances() == []
    assert hv.GetAllInstancesInfo() == []
    assert hv.GetInstanceInfo(NAME) is None

  def test_stop_says_what_is_wrong_or_stops(
    self, hv: LXCHypervisor, node: FakeLxc, which: str, damage: Damage
  ) -> None:
    hv.StartInstance(instance(), block_devices(node), False)
    path = files_of(node)[which]
    damage(path)
    attempt(
      path,
      lambda: hv.StopInstance(instance(), force=True),
      lambda: hv.CleanupInstance(NAME),
    )

  def test_start_says_what_is_wrong_or_starts(
    self, hv: LXCHypervisor, node: FakeLxc, which: str, damage: Damage
  ) -> None:
    path = files_of(node)[which]
    damage(path)
    attempt(
      path, lambda: hv.StartInstance(instance(), block_devices(node), False)
    )


def attempt(path: pathlib.Path, *calls: Callable[[], object]) -> None:
  """Each works, or ends in a sentence about the file, with a remedy."""
  for call in calls:
    try:
      call()
    except (errors.HypervisorError, errors.OpExecError) as err:
      text = str(err)
      assert str(path) in text
      # The last resort for what nobody thought of.
      assert "see the node daemon's log" not in text
      assert text.endswith(")"), f"no remedy: {text}"


def test_file_in_place_of_an_instances_directory(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  home = node.paths().home
  home.parent.mkdir(parents=True)
  home.touch()
  assert hv.GetAllInstancesInfo() == []
  attempt(
    home, lambda: hv.StartInstance(instance(), block_devices(node), False)
  )


def test_file_in_place_of_the_driver_s_directory(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  node.layout.data_dir.parent.mkdir(parents=True, exist_ok=True)
  node.layout.data_dir.touch()
  assert hv.GetAllInstancesInfo() == []
  assert hv.GetInstanceInfo(NAME) is None
