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


"""The disk, kernel and initial RAM disk that virtual machines boot from.

Built once per release and recipe: the namespaced nodes' root file system
plus what makes a whole machine of it, all of it Debian's packages.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Callable

from . import (
  command,
  host,
  image,
  plan,
  vm_host,
  vm_qemu,
)
from .errors import LabError
from .kept import Kept, remove_tree
from .progress import Progress

_RECIPE_VERSION = 1
_PACKAGES = (
  "linux-image-cloud-amd64",
  "initramfs-tools",
  "systemd",
  "systemd-sysv",
  "dbus",
  "libpam-systemd",
  "udev",
  "drbd-utils",
  "openvswitch-switch",
  "apparmor",
  "apparmor-utils",
  "ganeti-instance-debootstrap",
  "dnsmasq-base",
  "nfs-kernel-server",
  "nfs-common",
  "thin-provisioning-tools",
)
_DISK_SIZE = "16G"
# All that the initial RAM disk needs: the fewer, the sooner it is unpacked.
_MODULES = ("virtio_pci", "virtio_blk", "ext4")
# They would compete with the tests for an emulated processor.
_MASKED = (
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
  "fstrim.timer",
  "man-db.timer",
  # NFS is served to the other nodes in version 4 alone.
  "rpcbind.service",
  "rpcbind.socket",
  "rpc-statd.service",
  "rpc-statd-notify.service",
  "rpc-gssd.service",
  "nfs-blkmap.service",
  "systemd-networkd-wait-online.service",
  "systemd-pcrlock-make-policy.service",
)
# The first node alone has it.
_DISABLED = ("nfs-server.service",)
_ENABLED = (
  "lab-seed.service",
  "lab-seal.service",
  "systemd-networkd.service",
  "ssh.service",
)
_SEAL_SECONDS = 1800
_SEAL_MEMORY = 1024
LVM_DEVICE = "/dev/vdb"
SEED_DEVICE = "/dev/vdc"
GUESTS_DEVICE = "/dev/vdd"
_SEED_SERVICE = f"""\
[Unit]
Description=Files of this node of the lab
DefaultDependencies=no
Wants=network-pre.target
After=systemd-remount-fs.service
Before=sysinit.target network-pre.target systemd-networkd.service
ConditionPathExists={SEED_DEVICE}
ConditionPathExists=!/var/lib/lab-seeded

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/tar --extract --preserve-permissions --keep-directory-symlink \
--file={SEED_DEVICE} --directory=/
ExecStart=/bin/touch /var/lib/lab-seeded

[Install]
WantedBy=sysinit.target
"""
# At the end of the first boot, which the build makes once for all nodes: what
# each would do anew, such as compiling AppArmor's profiles, takes minutes.
_SEAL_SERVICE = """\
[Unit]
Description=End of the image's build
ConditionKernelCommandLine=lab.seal
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c ': >/etc/machine-id; rm -f /var/lib/dbus/machine-id \
/var/lib/systemd/random-seed; sync; systemctl --no-block poweroff'

[Install]
WantedBy=multi-user.target
"""
_FSTAB = f"""\
/dev/vda / ext4 errors=remount-ro 0 1
{GUESTS_DEVICE} {plan.CACHE_ROOT}/guests ext4 \
ro,nofail,x-systemd.device-timeout=10min 0 0
"""
# What Ganeti's documentation tells the administrator to set (install.rst).
_DRBD = "options drbd minor_count=128 usermode_helper=/bin/true\n"
_FILES = {
  "etc/fstab": _FSTAB,
  "etc/modprobe.d/drbd.conf": _DRBD,
  "etc/modules-load.d/ganeti.conf": "drbd\n",
  "etc/systemd/system/lab-seed.service": _SEED_SERVICE,
  "etc/systemd/system/lab-seal.service": _SEAL_SERVICE,
  "etc/initramfs-tools/modules": "\n".join(_MODULES) + "\n",
  "etc/initramfs-tools/conf.d/lab.conf": "MODULES=list\nCOMPRESS=zstd\n",
  # The driver has no use for LXC's own bridge, which takes seconds to make.
  "etc/default/lxc-net": 'USE_LXC_BRIDGE="false"\n',
  # Guests' disks are none of the node's business: ganeti-lxc-doctor.
  "etc/lvm/lvmlocal.conf": """\
devices {
  global_filter = [ "r|^/dev/loop|", "r|^/dev/drbd|",
                    "r|^/dev/mapper/.*[.]ganeti[0-9]+$|" ]
}
""",
  "etc/nfs.conf.d/lab.conf": "[nfsd]\nvers3=n\nthreads=4\n",
  # Nothing but the console log could show what happens before sshd runs.
  "etc/systemd/system.conf.d/lab.conf": "[Manager]\nShowStatus=error\n",
  "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nForwardToConsole=yes\n"
  "MaxLevelConsole=warning\nStorage=volatile\n",
}


@dataclasses.dataclass(frozen=True)
class VmImage:
  """The files of one finished image."""

  directory: pathlib.Path

  @property
  def disk(self) -> pathlib.Path:
    """Raw ext4 root file system; nodes stand on overlays of it."""
    return self.directory / "root.img"

  @property
  def kernel(self) -> pathlib.Path:
    """Debian's stock kernel."""
    return self.directory / "vmlinuz"

  @property
  def initrd(self) -> pathlib.Path:
    """What mounts the root file system."""
    return self.directory / "initrd.img"


def kept(release: str) -> Kept:
  """The image of this recipe, built or not.

  The recipe has that of what it builds on.

  """
  recipe = [
    _RECIPE_VERSION,
    image.kept(release).key,
    sorted(_PACKAGES),
    sorted(_MASKED),
    sorted((*_ENABLED, *_DISABLED)),
    sorted(_FILES.items()),
    _DISK_SIZE,
  ]
  return Kept(f"vm-{release}", recipe)


def of(release: str) -> VmImage:
  """The image of this recipe, built or not."""
  return VmImage(kept(release).directory)


def ensure(release: str, progress: Progress) -> VmImage:
  """Build the image unless it is there.

  @raise LabError: when the release is unknown or the build fails

  """
  root = image.ensure(release, progress)
  target = VmImage(
    kept(release).ensure(
      f"virtual machine image {release}, built once",
      lambda building: _build(release, root, building, progress),
      progress,
    )
  )
  vm_host.choose_accelerator(target.kernel, target.initrd, progress)
  return target


def _build(
  release: str,
  lower: pathlib.Path,
  building: pathlib.Path,
  progress: Progress,
) -> None:
  root = building / "root"
  with progress.step("  copying the nodes' root file system"):
    command.run("copy", ["cp", "-a", "--reflink=auto", str(lower), str(root)])
  _write_files(root)
  with progress.step("  kernel, systemd and tools"):
    image.install_packages(
      release, root, _PACKAGES, host.mirrors(), progress.note
    )
  _settle(root)
  # The packages' scripts may have written them again.
  _write_files(root)
  for name in ("vmlinuz", "initrd.img"):
    shutil.copy(newest(root / "boot", name), building / name)
  with progress.step("  file system"):
    make_disk(root, building / "root.img")
  remove_tree(root)
  stock = VmImage(building)
  vm_host.choose_accelerator(stock.kernel, stock.initrd, progress)
  with progress.step("  first boot"):
    _seal(stock, progress.note)


def _seal(stock: VmImage, note: Callable[[str], None]) -> None:
  """Boot the image itself, without network, until it turns itself off.

  @raise LabError: with the console's last lines when it does not

  """
  machine = vm_qemu.Machine(
    name="seal",
    accelerator=vm_host.accelerator(),
    memory=_SEAL_MEMORY,
    kernel=stock.kernel,
    initrd=stock.initrd,
    disks=(vm_qemu.Disk(stock.disk, "raw"),),
    tap="",
    mac="",
    monitor=stock.directory / "monitor",
    console=pathlib.Path("/dev/stdout"),
    arguments=("lab.seal",),
  )
  argv = ["nice", *vm_qemu.argv(machine)]
  text = vm_host.run_to_end("first boot", argv, _SEAL_SECONDS, note)
  if "Power down" not in text:
    raise LabError(
      "The image's first boot ended before the system turned itself off; its"
      f" console ends with: {text[-800:]}"
    )
  machine.monitor.unlink(missing_ok=True)


def _write_files(root: pathlib.Path) -> None:
  image.write_files(root, _FILES)
  for name in (
    plan.FILE_STORAGE,
    plan.SHARED_FILE_STORAGE,
    f"{plan.CACHE_ROOT}/guests",
  ):
    (root / name.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)


def _settle(root: pathlib.Path) -> None:
  """Which services start; no password, no host key, no identity."""
  systemctl = ["systemctl", f"--root={root}"]
  command.run("services", [*systemctl, "enable", *_ENABLED])
  command.run("services", [*systemctl, "disable", *_DISABLED])
  command.run("services", [*systemctl, "mask", *_MASKED])
  (root / "etc/machine-id").write_text("")
  (root / "etc/resolv.conf").write_text("")
  # Else the first boot does again what the packages' scripts have done:
  # systemd.unit(5), ConditionNeedsUpdate.
  for name in ("etc", "var"):
    (root / name / ".updated").touch()


def newest(boot: pathlib.Path, name: str) -> pathlib.Path:
  """The kernel, or its initial RAM disk, that a package has left.

  @raise LabError: there is none

  """
  found = sorted(boot.glob(f"{name}-*"))
  if not found:
    raise LabError(
      f"The kernel package left no {name}-* in {boot}: its installation"
      " has changed, and so must the image's recipe"
    )
  return found[-1]


def make_disk(root: pathlib.Path, disk: pathlib.Path) -> None:
  """An ext4 made from a directory: no mount, no loop device."""
  command.run(
    "file system",
    [
      "mkfs.ext4",
      "-q",
      "-L",
      "lab-root",
      "-E",
      "lazy_itable_init=1,lazy_journal_init=1",
      "-d",
      str(root),
      str(disk),
      _DISK_SIZE,
    ],
  )
