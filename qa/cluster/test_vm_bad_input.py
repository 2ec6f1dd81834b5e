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

"""Storage that is not as it should be; a node that dies over it."""

import threading
from collections.abc import Iterator

import pytest
from cluster import block_traces, mirror
from cluster.cluster import Cluster, Instance, Node, wait_for
from cluster.power import cut_power, turn_on
from cluster.verify import problems

pytestmark = pytest.mark.vm  # device-mapper, DRBD, udev

# Between a volume's name and the number, in the name of a partition's map.
_DELIMITER = ".ganeti"


@pytest.fixture(autouse=True)
def _as_before(cluster: Cluster) -> Iterator[None]:
  """Nothing is mapped, attached, mounted or replicated that was not."""
  before = {node: block_traces.of(node) for node in cluster.nodes}
  yield
  cluster.remove_all()
  for node, traces in before.items():
    assert block_traces.of(node) == traces


def _runs(instance: Instance) -> None:
  assert instance.status == "running"
  assert instance.inside("cat /root/mark").strip() == "kept"


def _marked(instance: Instance) -> Instance:
  instance.inside("echo kept >/root/mark; sync")
  return instance


def _mapper_name(volume: str) -> str:
  """The name that device-mapper has for /dev/GROUP/VOLUME."""
  return "-".join(p.replace("-", "--") for p in volume.split("/")[2:])


def test_maps_that_a_crashed_predecessor_left(cluster: Cluster) -> None:
  instance = _marked(cluster.add(template="plain"))
  volume = instance.disk_path()
  instance.gnt("shutdown")
  instance.node.run("kpartx", "-a", "-s", "-p", _DELIMITER, volume)
  instance.gnt("startup")
  _runs(instance)


def test_a_map_of_that_name_which_is_something_else(cluster: Cluster) -> None:
  """It is not taken for the guest's partition, nor taken away."""
  instance = _marked(cluster.add(template="plain"))
  volume = instance.disk_path()
  name = f"{_mapper_name(volume)}{_DELIMITER}1"
  instance.gnt("shutdown")
  node = instance.node
  node.run("dmsetup", "create", name, "--table", f"0 64 linear {volume} 8")
  said = instance.refused("startup")
  assert name in said
  assert "0 64 linear" in node.run("dmsetup", "table", name)
  node.run("dmsetup", "remove", "--retry", name)
  instance.gnt("shutdown")
  instance.gnt("startup")
  _runs(instance)


def test_a_volume_named_like_the_map_of_another_ones_partition(
  cluster: Cluster,
) -> None:
  """It is left alone, and the other one refused."""
  cluster.require("busybox", "blockdev")
  model = _marked(cluster.add(template="plain"))
  volume, node = model.disk_path(), cluster.master
  group = volume.split("/")[2]
  model.gnt("shutdown")
  names = ("pair", f"pair{_DELIMITER}1")
  for name in names:
    node.sh(
      f"size=$(blockdev --getsize64 {volume});"
      f" lvcreate -q -y -n {name} -L $((size / 1048576))M {group};"
      f" dd if={volume} of=/dev/{group}/{name} bs=4M status=none"
    )
  model.gnt("remove", "-f")
  first, other = (_mapper_name(f"/dev/{group}/{name}") for name in names)
  links = "/dev/disk/by-id/dm-name-"
  try:
    instance = cluster.instance()
    said = instance.add_refused(
      template="blockdev", on=node, disks=(f"adopt={links}{first}",)
    )
    assert other in said
    instance.gnt("remove", "-f")
    # Both hold what was copied to them.
    node.run("cmp", *(f"/dev/{group}/{name}" for name in names))
    assert " linear " in node.run("dmsetup", "table", other)
  finally:
    for name in names:
      node.try_run("lvremove", "-q", "-y", f"{group}/{name}")


def test_udev_is_not_running(cluster: Cluster) -> None:
  instance = _marked(cluster.add(template="plain"))
  instance.gnt("shutdown")
  units = ("systemd-udevd-control.socket", "systemd-udevd-kernel.socket")
  node = instance.node
  node.run("systemctl", "stop", *units, "systemd-udevd.service")
  try:
    instance.gnt("startup")
    _runs(instance)
    instance.gnt("shutdown")
  finally:
    node.run("systemctl", "start", *units, "systemd-udevd.service")


def test_a_volume_that_fails_under_a_guest(cluster: Cluster) -> None:
  instance = _marked(cluster.add(template="plain"))
  node, volume = instance.node, instance.disk_path()
  name = _mapper_name(volume)
  table = node.run("dmsetup", "table", name).strip()
  sectors = table.split()[1]

  def becomes(text: str) -> None:
    node.run("dmsetup", "load", name, "--table", text)
    node.run("dmsetup", "suspend", "--noflush", "--nolockfs", name)
    node.run("dmsetup", "resume", name)

  becomes(f"0 {sectors} error")
  try:
    assert instance.status == "running"
    instance.gnt("shutdown")
    assert instance.refused("startup")
    instance.gnt("shutdown")
  finally:
    becomes(table)
  instance.gnt("startup")
  _runs(instance)


def test_a_volume_that_was_deactivated(cluster: Cluster) -> None:
  instance = _marked(cluster.add(template="plain"))
  instance.gnt("shutdown")
  instance.node.run("lvchange", "-q", "-an", instance.disk_path())
  instance.gnt("startup")
  _runs(instance)


@pytest.mark.lab("cuts the power of a virtual machine")
def test_the_mirrors_other_half_cannot_be_reached(cluster: Cluster) -> None:
  """At stop, and at start; afterwards both halves are alike again."""
  home, other = cluster.nodes[:2]
  both = f"{home.host_name}:{other.host_name}"
  instance = _marked(cluster.add(template="drbd", more=("-n", both)))
  mirror.wait_until_alike(instance)
  cut_power(other)
  _runs(instance)
  instance.gnt("shutdown")
  cluster.gnt("node", "modify", "--offline=yes", "-f", other.host_name)
  instance.gnt("startup", "--force")
  _runs(instance)
  turn_on(other)
  cluster.gnt("node", "modify", "--offline=no", "-f", other.host_name)
  instance.gnt("activate-disks")
  mirror.wait_until_alike(instance)
  instance.gnt("failover", "-f")
  assert instance.node == other
  _runs(instance)
  assert problems(cluster) == []


@pytest.mark.lab("cuts the power of a virtual machine")
def test_the_node_dies_while_a_disk_is_mapped(cluster: Cluster) -> None:
  node = cluster.nodes[1]
  instance = _marked(cluster.add(template="plain", on=node))
  volume = instance.disk_path()
  instance.gnt("shutdown")
  start = threading.Thread(target=instance.refused, args=("startup",))
  start.start()
  _wait_for_map(node, f"{_mapper_name(volume)}{_DELIMITER}1")
  cut_power(node)
  turn_on(node)
  # Ganeti would wait a quarter of an hour for the call that nobody serves.
  jobs = cluster.gnt("job", "list", "--running", "--no-headers", "-o", "id")
  cluster.gnt("job", "cancel", "--kill", "--yes-do-it", *jobs.split())
  start.join()
  wait_for(lambda: instance.status != "ERROR_nodedown", "the node to answer")
  if instance.status != "running":
    instance.gnt("startup")
  _runs(instance)
  assert problems(cluster) == []


def _wait_for_map(node: Node, name: str) -> None:
  """Returns as soon as it is there."""
  node.sh(f"until [ -e /dev/mapper/{name} ]; do :; done")
