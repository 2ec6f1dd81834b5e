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


"""What each virtual machine of a lab is made of.

  - /dev/vda  overlay of the image's root file system
  - /dev/vdb  volume group xenvg
  - /dev/vdc  archive of the files that are this node's own, for first boot
  - /dev/vdd  the guests' file systems as they were at `up`, read-only;
    what `qa/lab guests` makes later is seen after the next `up`

The first node serves the shared-file directory to the others by NFS: the
cloud kernel has no 9p, and Debian 12 has no virtiofsd for its backported
QEMU. While the first node is down, the others wait for that directory, and
one that boots meanwhile is without it until it is mounted by hand.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil

from . import (
  command,
  guests,
  install,
  keys,
  lock,
  network,
  plan,
  state,
  vm_host,
  vm_image,
  vm_qemu,
)
from .errors import LabError
from .plan import BRIDGE, LabPlan
from .vm_image import VmImage
from .vm_node import VmNode

VOLUME_GROUP = "xenvg"
STORAGE = (
  "--enabled-disk-templates=plain,drbd,file,sharedfile,blockdev,ext,diskless",
  f"--vg-name={VOLUME_GROUP}",
  "--drbd-usermode-helper=/bin/true",
)
ROOT_DISK = "root.qcow2"
LVM_DISK = "lvm.qcow2"
SEED_DISK = "seed.tar"
# Ganeti wants 20 GiB that LVM leaves free.
_LVM_SIZE = "32G"
_GUESTS = "vm-guests"
_MACHINE = "qemu.json"
_MAC_PREFIX = "02:1a:b0:01:00"


@dataclasses.dataclass(frozen=True)
class Hardware:
  """What may differ between labs.

  @ivar memory: MiB
  @ivar slowness: of the clock, as vm_clock has it

  """

  memory: int
  slowness: int = 1


def guests_disk(directory: pathlib.Path, lab: LabPlan) -> pathlib.Path:
  """A disk with the guests' file systems of now, made when one has changed.

  Its size never changes, so that a saved machine can be given another one.

  @param lab: the lab it is for; while there are others, old disks stay

  """
  with lock.held("guests"):
    digest = hashlib.sha256(guests_listing(guests.CACHE).encode()).hexdigest()
    disk = directory / f"{_GUESTS}-{digest[:12]}.img"
    if not disk.exists():
      if set(state.labs()) <= {lab.name}:
        for stale in directory.glob(f"*{_GUESTS}-*"):
          stale.unlink()
      building = directory / f"building-{disk.name}"
      building.unlink(missing_ok=True)
      options = ["-q", "-O", "^has_journal", "-m", "0"]
      command.run(
        "disk of the guests",
        ["mkfs.ext4", *options, "-d", str(guests.CACHE), str(building), "4G"],
      )
      building.rename(disk)
  return disk


def guests_listing(directory: pathlib.Path) -> str:
  """Changes when a guest's file system does: their names have a hash."""
  return "\n".join(
    sorted(
      f"{path.name} {path.readlink() if path.is_symlink() else ''}"
      for path in directory.iterdir()
      if not path.name.startswith(".")
    )
  )


def make_disks(lab: LabPlan, name: str, stock: VmImage) -> None:
  """Disks for a first boot."""
  directory = lab.node_dir(name)
  upper = directory / "upper"
  keys.seed(lab, name)
  for path, text in network_files(lab, name).items():
    (upper / path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    (upper / path).write_text(text)
  names = sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))
  (directory / SEED_DISK).write_bytes(install.archive(upper, names))
  overlay = ["-F", "raw", "-b", str(stock.disk)]
  _qemu_img(*overlay, str(directory / ROOT_DISK))
  _qemu_img(str(directory / LVM_DISK), _LVM_SIZE)


def make_overlays(lab: LabPlan, name: str, saved: pathlib.Path) -> None:
  """Disks that go on from where those in a directory are."""
  directory = lab.node_dir(name)
  keys.seed(lab, name)
  shutil.copy(saved / SEED_DISK, directory / SEED_DISK)
  for disk in (ROOT_DISK, LVM_DISK):
    _qemu_img("-F", "qcow2", "-b", str(saved / disk), str(directory / disk))


def _qemu_img(*words: str) -> None:
  command.run("disk", ["qemu-img", "create", "-q", "-f", "qcow2", *words])


def network_files(lab: LabPlan, name: str) -> dict[str, str]:
  """What systemd-networkd reads on that node, by path without the slash.

  The bridge has an address of its own: without one it takes the lowest of
  its ports', and changes it when an instance comes or goes.

  """
  directory = "etc/systemd/network"
  index = lab.nodes.index(name)
  return {
    f"{directory}/10-{BRIDGE}.netdev": f"[NetDev]\nName={BRIDGE}\nKind=bridge\n"
    f"MACAddress={_MAC_PREFIX}:{index + 1:02x}\n"
    "[Bridge]\nForwardDelaySec=0\nSTP=no\n",
    f"{directory}/20-eth0.network": "[Match]\nName=eth0\n"
    f"[Network]\nBridge={BRIDGE}\nLinkLocalAddressing=no\n",
    f"{directory}/30-{BRIDGE}.network": f"[Match]\nName={BRIDGE}\n[Network]\n"
    f"Address={lab.address(name)}/24\nIPv6AcceptRA=no\n",
  }


def _accelerator(hardware: Hardware) -> str:
  found = vm_host.accelerator()
  if hardware.slowness != 1 and found != "tcg":
    raise LabError(
      f"machines are run by {found} here, whose clock is the processor's and"
      " cannot be slowed; nor need it be: leave --slow-clock out"
    )
  return found


def describe(
  lab: LabPlan,
  name: str,
  hardware: Hardware,
  stock: VmImage,
  shared: pathlib.Path,
) -> vm_qemu.Machine:
  """How the machine is started.

  @param shared: the disk of the guests
  @raise LabError: the clock of a processor that is not emulated is to be slow

  """
  node = VmNode(lab.name, name)
  directory = lab.node_dir(name)
  return vm_qemu.Machine(
    name=name,
    accelerator=_accelerator(hardware),
    memory=hardware.memory,
    kernel=stock.kernel,
    initrd=stock.initrd,
    disks=(
      vm_qemu.Disk(directory / ROOT_DISK, "qcow2"),
      vm_qemu.Disk(directory / LVM_DISK, "qcow2"),
      vm_qemu.Disk(directory / SEED_DISK, "raw", read_only=True),
      vm_qemu.Disk(shared, "raw", read_only=True),
    ),
    tap=_tap(name),
    mac=f"{_MAC_PREFIX}:{0x80 + lab.nodes.index(name):02x}",
    monitor=node.monitor,
    console=node.console,
    arguments=(f"systemd.hostname={name}",),
    slowness=hardware.slowness,
  )


def _tap(name: str) -> str:
  return f"tap-{name}"


def make_tap(lab: LabPlan, name: str) -> None:
  """The network's end of the machine's card."""
  tap = _tap(name)
  network.in_switch(lab, ["ip", "tuntap", "add", tap, "mode", "tap"])
  network.in_switch(lab, ["ip", "link", "set", tap, "master", "switch", "up"])


def machine_file(node: VmNode) -> pathlib.Path:
  """Holds QEMU's command line, the same each time the machine is started."""
  return plan.DATA_ROOT / node.lab / node.name / _MACHINE


def write_down(node: VmNode, machine: vm_qemu.Machine) -> None:
  """Keep how the machine is started."""
  machine_file(node).write_text(json.dumps(vm_qemu.argv(machine)))


def set_up_script(lab: LabPlan, name: str) -> str:
  """Run once in each node, in the first before the others."""
  shared = plan.SHARED_FILE_STORAGE
  lines = [f"vgcreate -q {VOLUME_GROUP} {vm_image.LVM_DEVICE}"]
  first = lab.nodes[0]
  if lab.node_count == 1:
    return lines[0]
  if name == first:
    export = f"{lab.network}.0/24(rw,sync,no_root_squash,no_subtree_check)"
    lines += [
      f"echo '{shared} {export}' >/etc/exports",
      "systemctl enable -q --now nfs-server",
    ]
  else:
    options = "nfs4 vers=4.2,hard,nofail,_netdev,retry=3 0 0"
    lines += [
      f"echo '{first}.{plan.DOMAIN}:{shared} {shared} {options}' >>/etc/fstab",
      "systemctl daemon-reload",
      # For the next boot: without it the mount is tried before an address.
      f"systemctl enable -q systemd-networkd-wait-online@{BRIDGE}.service",
      f"mount {shared}",
    ]
  return "\n".join(lines)
