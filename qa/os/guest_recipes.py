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


"""Recipes of the root file systems that test guests are made of.

A guest is what a distribution's installer would leave behind, unmodified
otherwise: root password, host name, machine id.  Anything an instance needs
on top (address, fstab) is written by the OS definition's create script.
"""

import dataclasses
import hashlib
import json

#: Bumped when the builder itself changes what it makes of a recipe.
FORMAT = 1
#: The same in every clone, so that two clones of one guest on one node show
#: whether a driver confuses file systems by their UUID.
ROOT_UUID = "6a6e7469-0000-4c58-8c00-000000000001"
#: Size of the cached ext4 image; create grows a copy of it to the disk.
IMAGE_MIB = {"busybox": 128, "debian": 640}
ROOT_PASSWORD = "ganeti"

_MACHINE_ID = "6a6e746900004c588c00000000000001"
_DEBIAN_PACKAGES = (
  "cron",
  "e2fsprogs",
  "ifupdown",
  "iproute2",
  "iputils-ping",
  "kmod",
  "login",
  "netbase",
  "openssh-server",
  "passwd",
  "procps",
  "udev",
)

_CUSTOMIZE = (
  f'echo root:{ROOT_PASSWORD} | chroot "$1" chpasswd',
  'echo debian >"$1/etc/hostname"',
  f'echo {_MACHINE_ID} >"$1/etc/machine-id"',
  ': >"$1/etc/resolv.conf"',
  (
    "printf '\\nauto lo\\niface lo inet loopback\\n'"
    ' >>"$1/etc/network/interfaces"'
  ),
)

_BUSYBOX_RCS = """\
#!/bin/sh
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mount -a 2>/dev/null
hostname -F /etc/hostname
ip link set lo up
[ ! -f /etc/network/up ] || . /etc/network/up
[ -d /www ] && httpd -h /www
echo "busybox: boot complete"
"""

_BUSYBOX_RCK = """\
#!/bin/sh
echo "busybox: going down"
"""

_BUSYBOX_INITTAB = """\
::sysinit:/etc/init.d/rcS
tty1::respawn:/sbin/getty 38400 tty1
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
::restart:/sbin/init
"""

#: path -> (mode, text) of the busybox guest's files.
BUSYBOX_FILES = {
  "etc/fstab": (0o644, "# no file systems beside the root\n"),
  "etc/group": (0o644, "root:x:0:\nnogroup:x:65534:\n"),
  "etc/hostname": (0o644, "busybox\n"),
  "etc/hosts": (0o644, "127.0.0.1 localhost\n"),
  "etc/init.d/rcK": (0o755, _BUSYBOX_RCK),
  "etc/init.d/rcS": (0o755, _BUSYBOX_RCS),
  "etc/inittab": (0o644, _BUSYBOX_INITTAB),
  "etc/network/interfaces": (0o644, "auto lo\niface lo inet loopback\n"),
  "etc/passwd": (
    0o644,
    (
      "root:x:0:0:root:/root:/bin/sh\n"
      "nobody:x:65534:65534:nobody:/:/bin/false\n"
    ),
  ),
  "etc/profile": (0o644, "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"),
  "etc/resolv.conf": (0o644, ""),
  "etc/securetty": (
    0o644,
    "console\n" + "".join(f"tty{n}\npts/{n}\n" for n in range(10)),
  ),
  "www/index.html": (0o644, "busybox\n"),
}

BUSYBOX_DIRS = (
  "bin",
  "dev",
  "etc/network/if-down.d",
  "etc/network/if-post-down.d",
  "etc/network/if-pre-up.d",
  "etc/network/if-up.d",
  "home",
  "mnt",
  "proc",
  "root",
  "run",
  "sbin",
  "srv",
  "sys",
  "tmp",
  "usr/bin",
  "usr/sbin",
  "var",
)


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What one guest's root file system is built from.

  @ivar name: the guest's name, also its directory in the cache
  @ivar suite: Debian suite; for busybox the suite of the builder's own host
  @ivar packages: installed beside the essential set; empty for busybox
  @ivar customize: shell commands, C{$1} is the root file system

  """

  name: str
  suite: str = ""
  packages: tuple[str, ...] = ()
  customize: tuple[str, ...] = ()

  @property
  def family(self) -> str:
    """C{busybox} or C{debian}."""
    return self.name.partition("-")[0]

  def digest(self) -> str:
    """Names the result: equal recipes give equal digests."""
    content = {
      "format": FORMAT,
      "recipe": dataclasses.asdict(self),
      "image_mib": IMAGE_MIB[self.family],
      "uuid": ROOT_UUID,
    }
    if self.family == "busybox":
      content["files"] = BUSYBOX_FILES
      content["dirs"] = BUSYBOX_DIRS
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _debian(name: str, suite: str, *packages: str) -> Recipe:
  return Recipe(
    f"debian-{name}", suite, (*_DEBIAN_PACKAGES, *packages), _CUSTOMIZE
  )


RECIPES: dict[str, Recipe] = {
  recipe.name: recipe
  for recipe in (
    Recipe("busybox"),
    _debian(
      "bookworm",
      "bookworm",
      "systemd-sysv",
      "dbus",
      "libpam-systemd",
      "isc-dhcp-client",
    ),
    _debian(
      "trixie",
      "trixie",
      "systemd-sysv",
      "dbus",
      "libpam-systemd",
      "dhcpcd-base",
    ),
    _debian("sysvinit", "bookworm", "sysvinit-core", "isc-dhcp-client"),
    _debian("openrc", "trixie", "openrc", "sysvinit-core", "dhcpcd-base"),
  )
}
