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
"""Live migration after something was changed: disks, devices, directions."""

import pytest
from cluster.cluster import Cluster, Instance, why_nothing_moves
from cluster.stream import Stream
from cluster.test_migration import (
  _DOES_NOT_START,
  _HIDING,
  ECHO_PORT,
  _limits,
  _listening,
  _migrate,
)

# LXC_DEVICES_DEFAULT of Ganeti's constants.
_STORED = "1:3 1:5 1:7 1:8 1:9 1:10 5:0 5:1 5:2 136:*"
_DEVICES = r"\,".join(f"c {number} rw" for number in _STORED.split())


@pytest.mark.criu
def test_a_guest_with_the_devices_that_ganeti_has_stored(
  cluster: Cluster,
) -> None:
  """It was lost: no node of its /dev could be made at the restore."""
  instance = _listening(cluster, hv=(f"devices={_DEVICES}",))
  before = _limits(instance)
  for _ in range(2):
    _migrate(instance)
    assert _limits(instance) == before
    instance.inside("head -c 1 /dev/urandom >/dev/null")


@pytest.mark.criu
def test_disks_that_were_changed_while_it_ran(cluster: Cluster) -> None:
  """They count at the next start; the guest has those of the last one."""
  instance = _listening(cluster)
  instance.gnt("modify", "--disk", "add:size=32M")
  _migrate(instance)
  assert "gnt-disk1" not in instance.inside("ls /dev")
  instance.gnt("reboot", "--type=full")
  assert "gnt-disk1" in instance.inside("ls /dev")


@pytest.mark.criu
def test_a_disk_that_was_taken_from_a_running_guest(cluster: Cluster) -> None:
  instance = _listening(cluster)
  pid, uuid = instance.init_pid(), instance.listed("disk.uuid/0")
  instance.gnt("modify", "--disk", "add:size=200M")
  instance.gnt("modify", "--disk", "0:detach")
  try:
    said = instance.refused("migrate", "-f")
    assert f"disk 0 of its last start, {uuid}" in said
    assert instance.init_pid() == pid
  finally:
    instance.gnt("modify", "--disk", f"0:attach,uuid={uuid}")
  _migrate(instance)


@pytest.mark.criu
def test_a_guest_that_has_banned_the_peer_of_a_connection(
  cluster: Cluster,
) -> None:
  """It was lost: its connection could be made again on neither node."""
  instance = _listening(cluster)
  way = cluster.master.run("ip", "route", "get", instance.address).split()
  ban = ("blackhole", way[way.index("src") + 1])
  with Stream(cluster.master, instance.address, ECHO_PORT) as stream:
    stream.expect_progress()
    _routes(instance, "add", *ban)
    _migrate(instance)
    assert " ".join(ban) in _routes(instance, "show")
    assert "proto 239" not in _routes(instance, "show", "table", "all")
    _routes(instance, "del", *ban)
    stream.expect_progress()


def _routes(instance: Instance, *words: str) -> str:
  """By the node's ip(8), in the guest's network."""
  enter = ("nsenter", "-t", str(instance.init_pid()), "-n")
  return instance.node.run(*enter, "ip", "route", *words)


@pytest.mark.criu
def test_failover_to_the_node_that_it_left_after_a_refused_way_back(
  cluster: Cluster,
) -> None:
  """It was refused: that node waited for an answer of one that was silent."""
  instance = _listening(cluster)
  left = instance.node
  _migrate(instance)
  if not why_nothing_moves():
    left.write(_HIDING, _DOES_NOT_START, "755")
  try:
    instance.refused("migrate", "-f")
  finally:
    left.run("rm", "-f", _HIDING)
  instance.gnt("failover", "-f")
  assert instance.node == left
  assert instance.status == "running"
