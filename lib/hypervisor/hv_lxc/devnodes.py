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

"""The nodes in the guest's /dev for the devices that it may use.

LXC makes the usual ones (null, zero, full, random, urandom, tty, console,
ptmx: lxc_setup_dev_symlinks and lxc_fill_autodev in conf.c); these are the
others that the allow-list names one by one.

"""

import re
from collections.abc import Iterable

from .devices import DeviceRule
from .host import Host, read_optional
from .model import DeviceNode

# mem (1:3 null ... 1:9 urandom) and tty (5:0 tty, 5:1 console, 5:2 ptmx).
_MADE_BY_LXC = frozenset(
  ("c", major, minor)
  for major, minors in ((1, (3, 5, 7, 8, 9)), (5, (0, 1, 2)))
  for minor in minors
)
_NAME = re.compile(r"[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)*")
_DEFAULT_MODE = 0o660


def nodes_for(
  host: Host, rules: Iterable[DeviceRule]
) -> tuple[DeviceNode, ...]:
  """A node for each rule that names one device which the kernel knows.

  Names and modes are the kernel's (DEVNAME and DEVMODE in sysfs' uevent),
  so a guest finds net/tun and kvm where it looks for them.

  """
  nodes = []
  for rule in rules:
    if rule.major is None or rule.minor is None:
      continue
    if (rule.kind, rule.major, rule.minor) in _MADE_BY_LXC:
      continue
    node = _node(host, rule.kind, rule.major, rule.minor)
    if node is not None:
      nodes.append(node)
  return tuple(nodes)


def _node(host: Host, kind: str, major: int, minor: int) -> DeviceNode | None:
  directory = "char" if kind == "c" else "block"
  path = host.sys / "dev" / directory / f"{major}:{minor}" / "uevent"
  text = read_optional(path)
  if text is None:
    return None
  values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
  name = values.get("DEVNAME", "")
  if not _NAME.fullmatch(name) or ".." in name:
    return None
  mode = int(values.get("DEVMODE", f"{_DEFAULT_MODE:o}"), 8)
  return DeviceNode(path=name, kind=kind, major=major, minor=minor, mode=mode)
