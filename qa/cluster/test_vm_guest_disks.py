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
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""What a guest writes on its disks changes nothing on the node."""

from collections.abc import Iterator

import pytest
from cluster.cluster import BUSYBOX_MIB, LXCPATH, Cluster, Instance, Node

pytestmark = pytest.mark.vm  # udev, LVM, DRBD

_TEMPLATES = ("plain", "drbd", "sharedfile")
# Links by what is on a disk; by-id has LVM's own names, which come and go.
_LINKS = """
udevadm settle
cd /dev/disk
for kind in by-uuid by-label by-partuuid by-partlabel; do
  [ ! -d $kind ] || find $kind -type l -printf '%p %l\\n'
done | sort
"""
_SET_UUID = """
import subprocess, sys
sys.path.insert(0, "/usr/share/ganeti/default")
from ganeti.storage import kpartx

with kpartx.Mapped(sys.argv[1]) as disk:
  device = kpartx.FirstPartition(disk).device
  subprocess.run(["e2fsck", "-fy", device], stdout=subprocess.DEVNULL)
  subprocess.run(["tune2fs", "-U", sys.argv[2], device], check=True)
"""
_FILTER = "/etc/lvm/lvmlocal.conf"
_IMAGE = "/run/ganeti/story-volume-group"
# Nothing outside of the new /dev and /run is looked at or written to, so that
# the name may be one that is there.
_MAKE_GROUP = r"""
truncate -s 48M "$1"
loop=$(losetup -f --show "$1")
number=$(lsblk -dnro MAJ:MIN "$loop")
unshare --mount sh -euc '
  mount -t tmpfs none /dev; mount -t tmpfs none /run
  mknod /dev/disk b "${1%:*}" "${1#*:}"
  for name in null:3 zero:5 urandom:9; do
    mknod "/dev/${name%:*}" c 1 "${name#*:}"
  done
  set -- "$2" --config "devices { global_filter = [ \"a|.*|\" ]
    use_devicesfile = 0 obtain_device_list_from_udev = 0 }
    activation { udev_sync = 0 }"
  group=$1; shift
  vgcreate -q "$@" "$group" /dev/disk
  lvcreate -q -y -an -Wn -Zn "$@" -n root -L 8M "$group"
' sh "$number" "$2"
losetup -d "$loop"
"""
_LVM = """
udevadm settle
vgs --noheadings -o vg_name,vg_uuid,pv_count,lv_count 2>&1
pvs --noheadings -o pv_name,vg_name 2>&1
dmsetup ls | cut -f1 | grep -v '[.]ganeti[0-9]*$' | sort
"""


def _links(node: Node) -> str:
  return node.sh(_LINKS)


def _add(
  cluster: Cluster, template: str, *disks: str, hv: tuple[str, ...] = ()
) -> Instance:
  more: tuple[str, ...] = ()
  if template == "drbd":
    nodes = ":".join(node.host_name for node in cluster.nodes[:2])
    more = ("-n", nodes)
  sizes = (f"size={BUSYBOX_MIB}M", *disks)
  return cluster.add(template=template, disks=sizes, more=more, hv=hv)


@pytest.mark.parametrize("template", _TEMPLATES)
def test_a_file_system_with_the_uuid_of_the_nodes_root(
  cluster: Cluster, template: str
) -> None:
  node = cluster.master
  root = node.run("findmnt", "-no", "UUID", "/").strip()
  before = _links(node)
  assert f"by-uuid/{root} " in before
  instance = _add(cluster, template)
  instance.gnt("shutdown")
  instance.gnt("activate-disks")
  node.python(_SET_UUID, instance.disk_path(), root)
  assert _links(node) == before
  instance.gnt("startup")
  mounted = f"{LXCPATH}/{instance.name}/rootfs"
  device = node.run("findmnt", "-no", "SOURCE", mounted).strip()
  assert node.run("blkid", "-p", "-o", "value", "-s", "UUID", device) == (
    f"{root}\n"
  )
  assert _links(node) == before
  # As at boot, and as an administrator may do at any time
  node.run("udevadm", "trigger", "--subsystem-match=block")
  assert _links(node) == before


@pytest.fixture
def volume_group(cluster: Cluster) -> Iterator[str]:
  """Its name; its twin is in the file _IMAGE."""
  node = cluster.master
  group = node.run("vgs", "--noheadings", "-o", "vg_name").split()[0]
  node.run("bash", "-euc", _MAKE_GROUP, "sh", _IMAGE, group)
  yield group
  node.run("rm", _IMAGE)


@pytest.mark.parametrize("template", _TEMPLATES)
def test_a_volume_group_named_like_the_nodes(
  cluster: Cluster, volume_group: str, template: str
) -> None:
  node = cluster.master
  instance = _add(cluster, template, "size=64M", hv=("disk_type=block",))
  instance.gnt("shutdown")
  instance.gnt("activate-disks")
  before = node.sh(_LVM)
  path = instance.disk_path(1)
  node.run("dd", f"if={_IMAGE}", f"of={path}", "bs=1M", "conv=notrunc,fsync")
  assert node.sh(_LVM) == before
  instance.gnt("startup")
  assert instance.inside("head -c 1048576 /dev/gnt-disk1 | grep -c LVM2")
  # As at boot
  node.run("udevadm", "trigger", "--subsystem-match=block")
  node.sh("udevadm settle; pvscan -q --cache -aay")
  assert node.sh(_LVM) == before
  # LVM works on with the node's own group, whatever the guest's is called.
  node.sh(
    f"lvcreate -q -y -n story -L 4M {volume_group}"
    f" && lvremove -q -y {volume_group}/story"
  )


@pytest.mark.lab("its filter is in a file of its own")
def test_verify_tells_of_lvm_that_looks_into_guests(cluster: Cluster) -> None:
  node = cluster.master
  # A node without a volume is not affected yet.
  _add(cluster, "plain")
  node.run("mv", _FILTER, f"{_FILTER}.away")
  try:
    said = cluster.refused("cluster", "verify")
  finally:
    node.run("mv", f"{_FILTER}.away", _FILTER)
  assert "LVM on this node looks into guests' disks (/dev/loop0" in said
  assert "set global_filter = [" in said
  cluster.gnt("cluster", "verify")
