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
"""What makes a guest this instance's own: names, addresses, test knobs."""

from .edits import Divert, Edit, Remove, WriteFile
from .request import Nic, Request

#: Where a hostile guest's symbolic links point, on the host.
HOSTILE_TARGET = "/var/tmp/ganeti-lxc-hostile"
_HOSTILE_PATHS = {
  "dev": "dev",
  "proc": "proc",
  "sys": "sys",
  "etc": "etc",
  "run": "run",
  "tmp": "tmp",
  "init": "sbin/init",
  "fstab": "etc/fstab",
}
_ABSENT_SWAP = "0d1f5a52-5f2e-4f0c-9d53-1c7d5a0c5a01"
_ABSENT_DATA = "0d1f5a52-5f2e-4f0c-9d53-1c7d5a0c5a02"

_EXITS = '#!/bin/sh\necho "init: nothing to do" >/dev/console\nexit 3\n'
_IGNORES = """\
#!/bin/sh
trap "" HUP INT QUIT USR1 USR2 TERM PWR WINCH RTMIN+3 RTMIN+4 RTMIN+5
echo "init: every signal is ignored" >/dev/console
while true; do sleep 3600; done
"""


def _fstab(request: Request) -> str:
  """An fstab as an installer leaves it in a virtual machine.

  Swap and data disk do not exist; neither entry says nofail.
  """
  kind = request.options["fs"]
  return (
    "# <file system> <mount point> <type> <options> <dump> <pass>\n"
    f"UUID={request.root_uuid()} / {kind} defaults 0 1\n"
    f"UUID={_ABSENT_SWAP} none swap sw 0 0\n"
    f"UUID={_ABSENT_DATA} /srv/data ext4 defaults 0 2\n"
    "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"
  )


def _interface(nic: Nic) -> str:
  """A stanza of interfaces(5) that ifupdown and busybox both read."""
  name = f"eth{nic.index}"
  lines = [
    f"auto {name}",
    f"iface {name} inet static",
    f"  address {nic.address.ip}",
    f"  netmask {nic.address.netmask}",
  ]
  if nic.routed:
    lines.append(f"  up ip route add default dev {name}")
  elif nic.gateway is not None:
    lines.append(f"  gateway {nic.gateway}")
  return "\n".join(lines) + "\n"


def _up(nic: Nic) -> str:
  """Commands for a guest whose ifup(8) fails for want of run-parts(8)."""
  name = f"eth{nic.index}"
  lines = [f"ip addr add {nic.address} dev {name}", f"ip link set {name} up"]
  if nic.routed:
    lines.append(f"ip route add default dev {name}")
  elif nic.gateway is not None:
    lines.append(f"ip route add default via {nic.gateway}")
  return "\n".join(lines) + "\n"


def _getty(kind: str) -> str:
  line = {
    "tty1": "tty1::respawn:/sbin/getty 38400 tty1\n",
    "console": "::respawn:/sbin/getty -L 115200 console vt100\n",
    "none": "",
  }[kind]
  return (
    "::sysinit:/etc/init.d/rcS\n"
    + line
    + "::ctrlaltdel:/sbin/reboot\n::shutdown:/etc/init.d/rcK\n"
    "::restart:/sbin/init\n"
  )


def hostname_edits(name: str) -> list[Edit]:
  """Host name and its entry in /etc/hosts."""
  short = name.partition(".")[0]
  names = name if short == name else f"{name} {short}"
  return [
    WriteFile("etc/hostname", f"{short}\n"),
    WriteFile("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {names}\n"),
  ]


def _init_edits(kind: str) -> list[Edit]:
  match kind:
    case "missing":
      return [Remove("sbin/init"), Remove("linuxrc")]
    case "exits":
      return [WriteFile("sbin/init", _EXITS, 0o755)]
    case "ignores":
      return [WriteFile("sbin/init", _IGNORES, 0o755)]
    case _:
      return []


def _hostile_edits(kind: str) -> list[Edit]:
  # etc is diverted last: what lies below it is then out of reach
  paths = [
    path for name, path in _HOSTILE_PATHS.items() if kind in (name, "all")
  ]
  return [
    Divert(path, f"{HOSTILE_TARGET}/{path}")
    for path in sorted(paths, key=lambda path: path == "etc")
  ]


def edits_for(request: Request) -> list[Edit]:
  """Everything that distinguishes the instance from the cached guest."""
  options = request.options
  stanzas = "\n".join(_interface(nic) for nic in request.nics)
  edits: list[Edit] = [
    *hostname_edits(request.name),
    WriteFile(
      "etc/network/interfaces", f"auto lo\niface lo inet loopback\n\n{stanzas}"
    ),
  ]
  if options["fstab"] == "vm":
    edits.append(WriteFile("etc/fstab", _fstab(request)))
  if request.os_name == "busybox":
    edits.append(WriteFile("etc/network/up", "".join(map(_up, request.nics))))
    if options["getty"] != "tty1":
      edits.append(WriteFile("etc/inittab", _getty(options["getty"])))
    edits += _init_edits(options["init"])
    edits += _hostile_edits(options["hostile"])
  return edits
