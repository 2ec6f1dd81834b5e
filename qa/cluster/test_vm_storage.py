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

"""Disk templates: all that is done to disks, and nothing of it left over."""

import dataclasses
import re
import shlex
from collections.abc import Iterator

import pytest
from cluster import block_traces, mirror
from cluster.cluster import BUSYBOX_MIB, Cluster, Instance, Node
from cluster.test_disks import transfers  # noqa: F401

pytestmark = pytest.mark.vm  # device-mapper, DRBD

_MIRRORED = ("drbd", "sharedfile", "ext")
_PROVIDER = "story"
# A provider of volumes that all nodes reach: files in the shared directory.
_SCRIPTS = {
  "create": 'mkdir -p "$volumes"; truncate -s "${VOL_SIZE}M" "$file"',
  "attach": 'found=$(losetup -n -O NAME -j "$file");'
  ' [ -n "$found" ] || found=$(losetup -f --show "$file"); echo "$found"',
  "detach": 'for found in $(losetup -n -O NAME -j "$file");'
  ' do losetup -d "$found"; done',
  "remove": 'rm -f "$file"; rmdir --ignore-fail-on-non-empty "$volumes"',
  "grow": 'truncate -s "${VOL_NEW_SIZE}M" "$file";'
  ' for found in $(losetup -n -O NAME -j "$file");'
  ' do losetup -c "$found"; done',
  "setinfo": ":",
  "verify": ":",
}


@dataclasses.dataclass(frozen=True)
class Places:
  """Where the cluster has what the stories touch.

  @ivar shared: the directory that all nodes reach
  @ivar provider: the directory of our provider of volumes

  """

  shared: str
  provider: str


def _places(cluster: Cluster) -> Places:
  text = cluster.gnt("cluster", "info")

  def told(key: str) -> str:
    found = re.search(rf"^ *{key}: (\S+?),?(?: |$)", text, re.MULTILINE)
    assert found, f"gnt-cluster info does not tell the {key}"
    return found[1]

  providers = told("ExtStorage Providers search path")
  return Places(told("shared file storage path"), f"{providers}/{_PROVIDER}")


def _install_provider(node: Node, places: Places) -> None:
  volumes = shlex.quote(f"{places.shared}/.ext")
  # Ganeti does not make the directory of its logs.
  lines = [
    "mkdir -p /var/log/ganeti/extstorage",
    f"mkdir -p {places.provider}; cd {places.provider}; : >parameters.list",
  ]
  for name, script in _SCRIPTS.items():
    text = f"#!/bin/sh\nset -eu\nvolumes={volumes}\n"
    text += f'file="$volumes/${{VOL_NAME-}}"\n{script}\n'
    lines.append(f"printf %s {shlex.quote(text)} >{name}; chmod 755 {name}")
  node.sh("\n".join(lines))


@pytest.fixture(autouse=True)
def _as_before(cluster: Cluster) -> Iterator[None]:
  """Nothing is mapped, attached, mounted or replicated that was not."""
  places = _places(cluster)
  for node in cluster.nodes:
    _install_provider(node, places)
  before = {node: block_traces.of(node) for node in cluster.nodes}
  yield
  cluster.remove_all()
  for node, traces in before.items():
    assert block_traces.of(node) == traces
    above = places.provider.rpartition("/")[0]
    node.sh(
      f"rm -r {places.provider}; rmdir --ignore-fail-on-non-empty {above}"
    )


def _both(cluster: Cluster) -> str:
  return ":".join(node.host_name for node in cluster.nodes[:2])


def _add(
  cluster: Cluster,
  template: str,
  size_mib: int = BUSYBOX_MIB,
  os_params: str = "",
) -> Instance:
  size = f"size={size_mib}M"
  more: tuple[str, ...] = ()
  if template == "ext":
    # Its volumes are there.
    cluster.require("busybox", "sharedfile")
    size += f",provider={_PROVIDER}"
  if template == "drbd":
    more = ("-n", _both(cluster))
  instance = cluster.add(
    template=template, disks=(size,), os_params=os_params, more=more
  )
  if template == "drbd":
    mirror.wait_until_alike(instance)
  instance.inside("echo kept >/root/mark; sync")
  return instance


def _is_kept(instance: Instance) -> None:
  assert instance.status == "running"
  assert instance.inside("cat /root/mark").strip() == "kept"


def _size_mib(instance: Instance) -> int:
  text = instance.inside("df -m / | awk 'NR>1 && NF>4 {print $(NF-4)}'")
  return int(text)


@pytest.mark.parametrize(
  "template",
  [
    "plain",
    pytest.param("drbd", marks=pytest.mark.core),
    "file",
    "sharedfile",
    "ext",
  ],
)
def test_the_whole_life_of_a_disk(cluster: Cluster, template: str) -> None:
  instance = _add(cluster, template)
  before = _size_mib(instance)
  cluster.gnt("instance", "grow-disk", instance.name, "0", "96M")
  assert _size_mib(instance) > before + 70
  if template in _MIRRORED:
    for _ in cluster.nodes[:2]:
      node = instance.node
      if template == "drbd":
        mirror.wait_until_alike(instance)
      instance.gnt("failover", "-f")
      assert instance.node != node
      _is_kept(instance)
  instance.gnt("shutdown")
  instance.gnt("activate-disks")
  instance.gnt("deactivate-disks")
  before += 96
  cluster.gnt("instance", "grow-disk", instance.name, "0", "64M")
  instance.gnt("startup")
  _is_kept(instance)
  # What grew while it was stopped is taken in when it grows while it runs.
  cluster.gnt("instance", "grow-disk", instance.name, "0", "32M")
  assert _size_mib(instance) > before + 70
  instance.gnt("remove", "-f")


@pytest.mark.parametrize("template", ["plain", "drbd"])
def test_a_cloud_image_on_a_block_device(
  cluster: Cluster, template: str
) -> None:
  """GPT, the root behind BIOS boot and the EFI system; it can grow."""
  instance = _add(cluster, template, BUSYBOX_MIB + 128, "layout=cloud")
  before = _size_mib(instance)
  cluster.gnt("instance", "grow-disk", instance.name, "0", "96M")
  assert _size_mib(instance) > before + 70
  instance.gnt("reboot", "--type=hard")
  _is_kept(instance)


def test_from_plain_to_drbd_and_back(cluster: Cluster) -> None:
  cluster.require("busybox", "drbd")
  instance = _add(cluster, "plain")
  home = instance.node
  instance.gnt("shutdown")
  secondary = cluster.other(home).host_name
  instance.gnt("modify", "-t", "drbd", "-n", secondary)
  instance.gnt("startup")
  mirror.wait_until_alike(instance)
  instance.gnt("failover", "-f")
  assert instance.node != home
  _is_kept(instance)
  instance.gnt("shutdown")
  instance.gnt("modify", "-t", "plain")
  instance.gnt("startup")
  _is_kept(instance)


def test_halves_of_a_mirror_are_replaced_while_it_runs(
  cluster: Cluster,
) -> None:
  instance = _add(cluster, "drbd")
  init = instance.init_pid()
  for half in ("-p", "-s"):
    instance.gnt("replace-disks", half)
    mirror.wait_until_alike(instance)
  _is_kept(instance)
  assert instance.init_pid() == init


def test_a_lost_disk_is_made_anew(cluster: Cluster) -> None:
  instance = _add(cluster, "plain")
  volume = instance.disk_path()
  instance.gnt("shutdown")
  instance.node.run("lvremove", "-q", "-y", volume)
  assert instance.refused("startup")
  # It is marked to be up now.
  instance.gnt("shutdown")
  instance.gnt("recreate-disks")
  instance.gnt("reinstall", "-f")
  instance.gnt("startup")
  assert instance.status == "running"
  assert instance.try_inside("cat /root/mark").status != 0


@pytest.mark.usefixtures("transfers")
def test_exported_from_a_volume_and_imported(cluster: Cluster) -> None:
  instance = _add(cluster, "plain")
  target = cluster.nodes[1].host_name
  try:
    cluster.gnt("backup", "export", "--long-sleep", "-n", target, instance.name)
    instance.gnt("remove", "-f")
    cluster.gnt(
      "backup", "import", "-n", cluster.master.host_name, "--src-node", target,
      "--src-dir", instance.name, "--no-name-check", "--no-ip-check",
      "-t", "plain", instance.name,
    )  # fmt: skip
    if instance.status != "running":
      instance.gnt("startup")
    _is_kept(instance)
  finally:
    cluster.master.try_run("gnt-backup", "remove", instance.name)


def test_an_adopted_block_device(cluster: Cluster) -> None:
  cluster.require("busybox", "blockdev")
  model = _add(cluster, "plain")
  volume = model.disk_path()
  group = volume.split("/")[2]
  model.gnt("shutdown")
  node = cluster.master
  node.sh(
    f"size=$(blockdev --getsize64 {volume});"
    f" lvcreate -q -y -n adopted -L $((size / 1048576))M {group};"
    f" dd if={volume} of=/dev/{group}/adopted bs=4M"
    " status=none; udevadm settle"
  )
  model.gnt("remove", "-f")
  # In a name of device-mapper's a dash of LVM's is doubled.
  path = f"/dev/disk/by-id/dm-name-{group.replace('-', '--')}-adopted"
  try:
    instance = cluster.add(template="blockdev", disks=(f"adopt={path}",))
    _is_kept(instance)
    instance.gnt("reboot", "--type=hard")
    _is_kept(instance)
    instance.gnt("remove", "-f")
  finally:
    node.run("lvremove", "-q", "-y", f"{group}/adopted")
