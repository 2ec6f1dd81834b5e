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


"""Whether LVM on a node looks into guests' disks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ganeti.hypervisor.hv_lxc import lvmcheck
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.node import Check, Node

EVERYTHING = '["a|.*|"]'
NO_GUESTS = (
  '["r|^/dev/loop|","r|^/dev/drbd|","r|^/dev/mapper/.*[.]ganeti[0-9]+$|"]'
)


def said(
  top: Path,
  global_filter: str = EVERYTHING,
  plain_filter: str = EVERYTHING,
  devices_file: str = "0",
  asked: Callable[[], Iterator[Check]] = lvmcheck.wishes,
) -> str:
  """What is advised on a node with LVM so configured; "" for nothing."""
  output = (
    f"global_filter={global_filter}\n"
    f"filter={plain_filter}\n"
    f"use_devicesfile={devices_file}\n"
  )
  program = top / "bin/lvmconfig"
  program.parent.mkdir()
  program.touch(0o755)
  node = Node(
    host=SimpleNamespace(  # type: ignore[arg-type]
      run=lambda argv, **_: Result(tuple(argv), 0, output, ""),
      sys=top / "sys",
    ),
    search_path=str(program.parent),
    root=top,
  )
  (check,) = asked()
  return str(check.examine(node) or "")


def test_debians_default_lets_lvm_look_into_guests(tmp_path: Path) -> None:
  advice = said(tmp_path)
  for path in ("/dev/loop0", "/dev/drbd0", "/dev/mapper/disk.ganeti1"):
    assert path in advice
  assert "set global_filter = [" in advice


@pytest.mark.parametrize(
  ("uuid", "is_error"),
  [("LVM-eRyM0yQ1", True), ("part1-loop", False), ("", False)],
)
def test_verify_complains_where_a_node_has_volumes_of_its_own(
  tmp_path: Path, uuid: str, is_error: bool
) -> None:
  if uuid:
    (tmp_path / "sys/block/dm-0/dm").mkdir(parents=True)
    (tmp_path / "sys/block/dm-0/dm/uuid").write_text(f"{uuid}\n")
  assert bool(said(tmp_path, asked=lvmcheck.checks)) is is_error


def test_what_is_advised_is_enough(tmp_path: Path) -> None:
  _, _, rest = said(tmp_path).partition("set global_filter = ")
  advised, _, _ = rest.partition(" in the section")
  assert advised.replace(" ", "") == NO_GUESTS


def test_a_node_that_follows_the_advice(tmp_path: Path) -> None:
  assert not said(tmp_path, global_filter=NO_GUESTS)


def test_a_filter_of_commands_counts_too(tmp_path: Path) -> None:
  assert not said(tmp_path, plain_filter='["a|^/dev/vd|","r|.*|"]')


def test_what_is_left_is_named(tmp_path: Path) -> None:
  advice = said(tmp_path, global_filter='["r/drbd/","r|/loop|"]')
  assert "(/dev/mapper/disk.ganeti1 pass" in advice


def test_a_list_of_devices_needs_no_filter(tmp_path: Path) -> None:
  (tmp_path / "etc/lvm/devices").mkdir(parents=True)
  (tmp_path / "etc/lvm/devices/system.devices").touch()
  assert not said(tmp_path, devices_file="1")


def test_a_list_that_is_not_there_is_no_list(tmp_path: Path) -> None:
  assert said(tmp_path, devices_file="1")


def test_a_node_without_lvm(tmp_path: Path) -> None:
  node = Node(
    host=SimpleNamespace(),  # type: ignore[arg-type]
    search_path=str(tmp_path),
    root=tmp_path,
  )
  (check,) = lvmcheck.wishes()
  assert check.examine(node) is None


@pytest.mark.parametrize(
  ("patterns", "path", "expected"),
  [
    ([], "/dev/sda", True),
    (["r|sda|", "a|.*|"], "/dev/sda", False),
    (["a|sda|", "r|.*|"], "/dev/sda", True),
    (["a|sda|", "r|.*|"], "/dev/sdb", False),
    (["r|[|"], "/dev/sda", True),
  ],
)
def test_the_first_pattern_that_fits_decides(
  patterns: list[str], path: str, expected: bool
) -> None:
  assert lvmcheck.accepts(patterns, path) is expected
