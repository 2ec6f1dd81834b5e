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


"""The disks of an instance whose record is damaged.

They stayed attached on the node that it was failed over from, and what the
guest had written to a file on a file server was not there yet.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc import starting, stopping
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.migration.acts import NodeActs
from ganeti.hypervisor.hv_lxc.migration.journal import Journal
from ganeti.hypervisor.hv_lxc.migration.states import Act
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  """One on which the guest has ended, whose second disk was a device."""
  node = FakeLxc(tmp_path)
  attached = [node.disk(0), node.disk(1, fs_type=None)]
  starting.start(node.host, node.storage, fakes.request(attached))
  node.depopulate()
  node.paths().record.write_text('{"disks": [{"ind')
  return node


def hard_stop(node: FakeLxc) -> None:
  stopping.hard_stop(node.host, node.storage, NAME)


def clean_up(node: FakeLxc) -> None:
  stopping.clean_up_stopped(node.host, node.storage, NAME)


def hand_over(node: FakeLxc) -> None:
  """As a migration does before the other node may have the guest."""
  acts = NodeActs(host=node.host, storage=node.storage, name=NAME)
  acts.perform(Act.RELEASE_DISKS, Journal(name=NAME, id="m1"))


@pytest.mark.parametrize("stop", [hard_stop, clean_up, hand_over])
def test_are_taken_away_by_each_stop(
  node: FakeLxc, stop: Callable[[FakeLxc], None]
) -> None:
  stop(node)
  assert node.left() == {}


def test_fail_the_stop_if_they_are_in_use(node: FakeLxc) -> None:
  node.storage.stuck = True
  with pytest.raises(Incomplete, match="is in use"):
    clean_up(node)
  assert node.paths().record.exists()
  node.storage.stuck = False
  clean_up(node)
  assert node.left() == {}


def test_are_not_free_while_one_is_still_being_mounted(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A mount(8) that waits for its device outlives whoever started it."""
  monkeypatch.setattr("ganeti.hypervisor.hv_lxc.mounts._MOUNT_END_S", 0.01)
  pid = (1 << 22) + 9
  node.write(f"proc/{pid}/comm", "mount\n")
  argv = ("mount", "-t", "ext4", "/dev/drbd0", str(node.paths().rootfs))
  node.write(f"proc/{pid}/cmdline", "\0".join(argv))
  with pytest.raises(Incomplete, match=rf"still being mounted.*process {pid}"):
    clean_up(node)


def test_are_not_taken_for_those_of_another(node: FakeLxc) -> None:
  root = dataclasses.replace(node.disk(2), index=0)
  request = fakes.request([root], name="web2.example.com")
  starting.start(node.host, node.storage, request)
  clean_up(node)
  assert node.storage.attached == [str(root.path)]


def test_that_are_devices_are_those_that_ganeti_links_to(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(
    pathlib.Path,
    "is_block_device",
    lambda path: "/dev/" in str(path.readlink()),
  )
  links = node.layout.run_dir.parent / "instance-disks"
  links.mkdir()
  for name, target in (
    (f"{NAME}:0", "/dev/drbd0"),
    (f"{NAME}:1", "/srv/disk1"),
    (f"{NAME}.org:0", "/dev/drbd1"),
  ):
    (links / name).symlink_to(target)
  seen: list[list[str]] = []
  monkeypatch.setattr(
    node.storage, "detach_lost", lambda _, devices: seen.append(devices)
  )
  clean_up(node)
  assert seen == [[str(links / f"{NAME}:0")]]
