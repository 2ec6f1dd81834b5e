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


"""A command of the checkout, run in a new Debian as a newcomer would.

The system is what debootstrap makes, with the stock kernel and the package
sources of this machine; nothing that the project needs is installed, and the
checkout is what git has committed. It is a virtual machine that is thrown
away when the command has ended.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import pathlib
import re
import shlex
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable

from . import checkout, command, host, image, kept, vm_host, vm_image
from . import vm_qemu as qemu
from .errors import LabError
from .progress import Progress
from .vm_image import VmImage

_PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv")
_MEMORY = 4096
_LIMIT_S = 3 * 3600
_MAC = "02:1a:b0:02:00:01"
_SOURCE = "ganeti-lxc"
_DEFAULT = ("devel/demo",)
ENDED = re.compile(r"^fresh-vm: status (\d+)\s*$")
_SERVICE = f"""\
[Unit]
Description=The command
Wants=network-online.target
After=multi-user.target network-online.target

[Service]
Type=oneshot
TimeoutStartSec=infinity
Environment=HOME=/root
ExecStartPre=/bin/tar --extract --file=/dev/vdb --directory=/root
ExecStart=/bin/sh -c 'cd /root/{_SOURCE}; {{ echo; sh ../command </dev/null \
2>&1; echo "fresh-vm: status $?"; }} | cat >/dev/ttyS0; sync; \
systemctl --no-block poweroff'

[Install]
WantedBy=multi-user.target
"""
_NETWORK = """\
[Match]
Name=eth0
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
IPv6AcceptRA=no
"""
_FILES = {
  "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
  "etc/hostname": "fresh\n",
  "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 fresh\n",
  "etc/resolv.conf": "nameserver 10.0.2.3\n",
  "etc/systemd/network/20-eth0.network": _NETWORK,
  "etc/systemd/system/command.service": _SERVICE,
  "etc/systemd/system.conf.d/fresh.conf": "[Manager]\nShowStatus=error\n",
}
_ENABLED = ("systemd-networkd.service", "command.service")
# It would write between the command's lines.
_MASKED = ("serial-getty@ttyS0.service",)


def main() -> int:
  """The program; the status of the command, 125 for a machine that failed."""
  options = _parse()
  # The machine's directory is taken away then too.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  host.require_root()
  try:
    return run(options.release, options.command or list(_DEFAULT), Progress())
  except LabError as err:
    print(f"qa/fresh-vm: {err}", file=sys.stderr)
    return 125


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="qa/fresh-vm", description=(__doc__ or "").partition("\n\n")[0]
  )
  parser.add_argument("--release", choices=image.RELEASES, default="trixie")
  parser.add_argument(
    "command",
    nargs="*",
    help=f"run by a shell in the checkout (default: {' '.join(_DEFAULT)})",
  )
  return parser.parse_args()


def run(release: str, words: list[str], progress: Progress) -> int:
  """Runs the command, and prints what it prints.

  @return: its status
  @raise LabError: the machine cannot be made or does not come to the end

  """
  host.prepare(progress)
  vm_host.ensure(progress)
  stock = ensure(release, progress)
  print(_heading(release, words), flush=True)
  with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="fresh-vm-") as home:
    status = _boot(stock, pathlib.Path(home), words)
  if status is None:
    raise LabError("The machine ended before the command did")
  return status


def _heading(release: str, words: list[str]) -> str:
  now = dt.datetime.now(dt.UTC)
  commit = checkout.git("describe", "--always").decode().strip()
  return (
    f"date: {now:%Y-%m-%d %H:%M} UTC\ncommit: {commit}\n"
    f"command: {shlex.join(words)}\n"
    f"machine: new Debian {release}, {vm_host.accelerator()}\n"
  )


def _boot(stock: VmImage, home: pathlib.Path, words: list[str]) -> int | None:
  """One life of a machine; the command's status, None without one."""
  disk, seed = home / "root.qcow2", home / "seed.tar"
  source = checkout.git(
    "archive", "--format=tar", f"--prefix={_SOURCE}/", "HEAD"
  )
  seed.write_bytes(seed_of(source, words))
  overlay = ["-f", "qcow2", "-F", "raw", "-b", str(stock.disk), str(disk)]
  command.run("disk", ["qemu-img", "create", "-q", *overlay])
  machine = qemu.Machine(
    name="fresh",
    accelerator=vm_host.accelerator(),
    memory=_MEMORY,
    kernel=stock.kernel,
    initrd=stock.initrd,
    disks=(qemu.Disk(disk, "qcow2"), qemu.Disk(seed, "raw", read_only=True)),
    tap=qemu.USER_NETWORK,
    mac=_MAC,
    monitor=home / "monitor",
    console=pathlib.Path("/dev/stdout"),
    arguments=("quiet",),
  )
  found: list[int] = []

  def show(line: str) -> None:
    print(line.rstrip(), flush=True)
    if match := ENDED.match(line):
      found.append(int(match[1]))

  vm_host.run_to_end("machine", qemu.argv(machine), _LIMIT_S, show)
  return found[-1] if found else None


def seed_of(source: bytes, words: list[str]) -> bytes:
  """An archive of the source and of the command, the size of a disk.

  @param source: an archive

  """
  buffer = io.BytesIO(source)
  text = shlex.join(words).encode() + b"\n"
  with tarfile.open(fileobj=buffer, mode="a") as tar:
    entry = tarfile.TarInfo("command")
    entry.size = len(text)
    tar.addfile(entry, io.BytesIO(text))
  return buffer.getvalue()


def ensure(release: str, progress: Progress) -> VmImage:
  """The new Debian, built once.

  @raise LabError: when it cannot be built

  """
  recipe = [sorted(_FILES.items()), _PACKAGES, _ENABLED, _MASKED]
  target = VmImage(
    kept.Kept(f"fresh-{release}", recipe).ensure(
      f"new Debian {release}, built once",
      lambda building: _build(release, building, progress.note),
      progress,
    )
  )
  vm_host.choose_accelerator(target.kernel, target.initrd, progress)
  return target


def _build(
  release: str, building: pathlib.Path, note: Callable[[str], None]
) -> None:
  root, mirrors = building / "root", host.mirrors()
  image.debootstrap(release, root, mirrors, note, variant="-")
  image.install_packages(release, root, _PACKAGES, mirrors, note)
  image.write_files(root, _FILES)
  (root / "etc/apt/apt.conf.d/90host").write_text(mirrors.apt_conf)
  systemctl = ["systemctl", f"--root={root}"]
  command.run("services", [*systemctl, "enable", *_ENABLED])
  command.run("services", [*systemctl, "mask", *_MASKED])
  for name in ("vmlinuz", "initrd.img"):
    vm_image.newest(root / "boot", name).rename(building / name)
  vm_image.make_disk(root, building / "root.img")
  kept.remove_tree(root)
