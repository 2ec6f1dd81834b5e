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

"""Disks: layouts and file systems, further disks, growth, other nodes."""

from collections.abc import Iterator

import pytest
from cluster.cluster import BUSYBOX_MIB, Cluster, wait_for

# 128 MiB lie before the root.
_CLOUD_MIB = BUSYBOX_MIB + 128
_XFS_MIB = 400
# constants.X509_CERT_CN
_CERTIFICATE_NAME = "ganeti.example.com"


@pytest.fixture
def transfers(cluster: Cluster) -> Iterator[None]:
  """Lets nodes send disks to each other.

  Ganeti 3.1.0~rc2 expects the name that a peer's address has in the
  certificate that all nodes share (impexpd, mended after 3.1), so that
  export and move fail wherever addresses have names.  A node's own address
  keeps its name: Ganeti looks that up to know itself.

  """
  for node in cluster.nodes:
    lines = "".join(
      f"{node.run('getent', 'hosts', n.host_name).split()[0]}"
      f" {_CERTIFICATE_NAME}\\n"
      for n in cluster.nodes
      if n != node
    )
    node.sh(
      "cp /etc/hosts /etc/hosts.story;"
      f" {{ printf '{lines}'; cat /etc/hosts.story; }} >/etc/hosts"
    )
  yield
  for node in cluster.nodes:
    node.sh("cat /etc/hosts.story >/etc/hosts; rm /etc/hosts.story")


def test_data_disks_are_mounted_or_handed_over(cluster: Cluster) -> None:
  mounted, handed = cluster.add_all(
    {
      "disks": (f"size={BUSYBOX_MIB}M", "size=32M"),
      "os_params": "data=ext4",
    },
    {"disks": (f"size={BUSYBOX_MIB}M", "size=32M")},
  )
  mounts = mounted.inside("cat /proc/mounts")
  line = next(m for m in mounts.splitlines() if " /mnt/disk1 " in m)
  assert " ext4 " in line
  assert "nodev" in line
  mounted.inside("echo there >/mnt/disk1/file")
  assert "gnt-disk1" not in mounted.inside("ls /dev")
  # Never both: the device below the file system cannot be opened.
  number = mounted.inside("stat -c %d /mnt/disk1").strip()
  major, minor = int(number) >> 8, int(number) & 0xFF
  mounted.inside(f"mknod /dev/below b {major} {minor}")
  assert "not permitted" in mounted.try_inside("head -c 1 /dev/below").output
  assert handed.inside("ls -l /dev/gnt-disk1").startswith("b")
  assert handed.inside("blockdev --getsize64 /dev/gnt-disk1").strip() == str(
    32 << 20
  )
  handed.inside("echo written >/dev/gnt-disk1")
  mounted.gnt("reboot", "--type=full")
  assert mounted.inside("cat /mnt/disk1/file").strip() == "there"
  # The administrator wants the device itself.
  mounted.gnt("modify", "-H", "disk_type=block")
  mounted.gnt("reboot", "--type=full")
  assert mounted.inside("ls -l /dev/gnt-disk1").startswith("b")
  assert " /mnt/disk1 " not in mounted.inside("cat /proc/mounts")


def test_read_only_disks(cluster: Cluster) -> None:
  mounted, handed = cluster.add_all(
    {
      "disks": (f"size={BUSYBOX_MIB}M", "size=32M,mode=ro"),
      "os_params": "data=ext4",
    },
    {"disks": (f"size={BUSYBOX_MIB}M", "size=32M,mode=ro")},
  )
  done = mounted.try_inside("echo x >/mnt/disk1/file")
  assert "Read-only" in done.output
  done = handed.try_inside("echo x >/dev/gnt-disk1")
  assert done.status != 0
  assert handed.inside("head -c 4 /dev/gnt-disk1 | wc -c").strip() == "4"


def test_diskless_is_refused(cluster: Cluster) -> None:
  instance = cluster.instance()
  argv = instance.add_argv(template="diskless", disks=("size=4M",))
  index = argv.index("--disk")
  del argv[index : index + 2]
  said = cluster.refused("instance", *argv)
  assert "disk" in said


@pytest.mark.parametrize(
  ("layout", "fs"),
  [
    ("gpt", "ext4"),
    ("bare", "ext4"),
    ("partitioned", "xfs"),
    ("gpt", "btrfs"),
  ],
)
def test_clones_run_side_by_side(
  cluster: Cluster, layout: str, fs: str
) -> None:
  """Both have the same file system UUID, as clones of an image have."""
  size = BUSYBOX_MIB if fs == "ext4" else _XFS_MIB
  wanted = {
    "disks": (f"size={size}M",),
    "os_params": f"layout={layout},fs={fs}",
    "on": cluster.master,
  }
  one, other = cluster.add_all(wanted, wanted)
  for instance in (one, other):
    mounts = instance.inside("cat /proc/mounts")
    assert f" / {fs} " in mounts
    instance.inside(f"echo {instance.name} >/root/name; sync")
  for instance in (one, other):
    assert instance.inside("cat /root/name").strip() == instance.name
  one.gnt("shutdown")
  assert other.inside("cat /root/name").strip() == other.name


def test_cloud_image_whose_root_is_the_last_on_the_disk(
  cluster: Cluster,
) -> None:
  """As Debian's: GPT, the root behind BIOS boot and the EFI system."""
  instance = cluster.add(
    disks=(f"size={_CLOUD_MIB}M",), os_params="layout=cloud,fstab=vm"
  )
  mounts = instance.inside("cat /proc/mounts").splitlines()
  (root,) = [line.split()[0] for line in mounts if " / ext4 " in line]
  assert root.endswith("p1")
  instance.inside("echo kept >/root/mark; sync")
  instance.gnt("failover", "-f")
  assert instance.inside("cat /root/mark").strip() == "kept"


def test_grow_a_disk_that_was_handed_over(cluster: Cluster) -> None:
  instance = cluster.add(disks=(f"size={BUSYBOX_MIB}M", "size=32M"))
  instance.cluster.gnt("instance", "grow-disk", instance.name, "1", "64M")
  size = instance.inside("blockdev --getsize64 /dev/gnt-disk1")
  assert int(size) == 96 << 20
  instance.gnt("reboot", "--type=full")
  size = instance.inside("blockdev --getsize64 /dev/gnt-disk1")
  assert int(size) == 96 << 20


@pytest.mark.vm  # ext4 asks for CAP_SYS_RESOURCE to be resized
def test_grow_the_disk_of_a_running_guest(cluster: Cluster) -> None:
  root, bare = cluster.add_all(
    {
      "disks": (f"size={BUSYBOX_MIB}M", "size=32M"),
      "os_params": "data=ext4",
    },
    {"os_params": "layout=bare"},
  )
  size = "df -m {} | awk 'NR>1 && NF>4 {{print $(NF-4)}}'"
  before = int(root.inside(size.format("/")))
  root.cluster.gnt("instance", "grow-disk", root.name, "0", "200M")
  assert int(root.inside(size.format("/"))) > before + 150
  before = int(root.inside(size.format("/mnt/disk1")))
  root.cluster.gnt("instance", "grow-disk", root.name, "1", "64M")
  assert int(root.inside(size.format("/mnt/disk1"))) > before + 40
  before = int(bare.inside(size.format("/")))
  bare.cluster.gnt("instance", "grow-disk", bare.name, "0", "200M")
  assert int(bare.inside(size.format("/"))) > before + 150
  root.gnt("reboot", "--type=full")
  assert int(root.inside(size.format("/"))) > 300


@pytest.mark.usefixtures("transfers")
def test_move_takes_the_instance_to_another_node(cluster: Cluster) -> None:
  instance = cluster.add(template="file")
  instance.inside("echo moved >/root/mark; sync")
  source = instance.node
  target = cluster.other(source)
  instance.gnt("move", "-f", "-n", target.host_name, timeout_s=300)
  assert instance.node == target
  assert instance.status == "running"
  assert instance.inside("cat /root/mark").strip() == "moved"


def test_failover_there_and_back(cluster: Cluster) -> None:
  instance = cluster.add()
  instance.inside("echo kept >/root/mark; sync")
  home = instance.node
  for target in (cluster.other(home), home):
    instance.gnt("failover", "-f", "-n", target.host_name)
    assert instance.node == target
    assert instance.status == "running"
    assert instance.inside("cat /root/mark").strip() == "kept"
    wait_for(
      lambda: (
        cluster.master.try_run("ping", "-c1", "-W1", instance.address).status
        == 0
      ),
      "an answer to ping",
    )


def test_rename_and_reinstall(cluster: Cluster) -> None:
  instance = cluster.add()
  instance.inside("echo old >/root/mark; sync")
  instance.gnt("shutdown")
  other = cluster.instance()
  cluster.gnt("instance", "rename", instance.name, other.name)
  other.gnt("startup")
  assert other.inside("hostname").strip() == other.name
  assert other.inside("cat /root/mark").strip() == "old"
  other.gnt("shutdown")
  other.gnt("reinstall", "-f")
  other.gnt("startup")
  assert other.try_inside("cat /root/mark").status != 0


@pytest.mark.usefixtures("transfers")
def test_export_and_import(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=2",))
  instance.inside("echo exported >/root/mark; sync")
  target = cluster.nodes[1].host_name
  try:
    cluster.gnt("backup", "export", "--long-sleep", "-n", target, instance.name)
    assert instance.status == "running"
    instance.gnt("remove", "-f")
    cluster.gnt(
      "backup", "import", "-n", cluster.master.host_name, "--src-node", target,
      "--src-dir", instance.name, "--no-name-check", "--no-ip-check",
      "-t", "sharedfile", instance.name,
    )  # fmt: skip
    if instance.status != "running":
      instance.gnt("startup")
    assert instance.inside("cat /root/mark").strip() == "exported"
    assert "num_ttys: 2" in instance.gnt("info")
  finally:
    cluster.master.try_run("gnt-backup", "remove", instance.name)


def test_activate_and_deactivate_disks(cluster: Cluster) -> None:
  instance = cluster.add(more=("--no-start",))
  instance.gnt("activate-disks")
  instance.gnt("deactivate-disks")
  instance.gnt("startup")
  said = instance.refused("deactivate-disks")
  assert "marked to be up" in said
  instance.gnt("activate-disks")
  assert instance.status == "running"


def test_disks_are_added_and_removed_cold(cluster: Cluster) -> None:
  instance = cluster.add()
  said = instance.gnt("modify", "--disk", "add:size=32M")
  assert "Traceback" not in said
  assert instance.status == "running"
  assert "gnt-disk1" not in instance.inside("ls /dev")
  instance.gnt("reboot", "--type=full")
  assert "gnt-disk1" in instance.inside("ls /dev")
  instance.gnt("shutdown")
  instance.gnt("modify", "--disk", "1:remove")
  instance.gnt("startup")
  assert "gnt-disk1" not in instance.inside("ls /dev")
