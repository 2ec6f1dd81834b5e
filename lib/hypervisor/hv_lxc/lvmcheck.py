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

"""Whether LVM on a node keeps away from what is on guests' disks.

A guest is free to make volume groups on its disks, with any name and any
UUID.  LVM on the node looks for physical volumes on every block device that
its filters (lvm.conf(5)) let pass: loop devices, DRBD, partition maps.  It
then shows the guest's volume group beside its own, and with two of one name
it refuses to work on either: an error on a node that has logical volumes,
and a wish on one that has none yet.

"""

import json
import re
from collections.abc import Iterator

from .model import Problem
from .node import Check, Node

_TIMEOUT_S = 10.0
_LISTS = ("global_filter", "filter")
_DEVICES_FILE = "etc/lvm/devices/system.devices"
# One of each kind that a guest's disk, or a partition of it, appears as.
_GUESTS = ("/dev/loop0", "/dev/drbd0", "/dev/mapper/disk.ganeti1")
_FILTER = (
  '[ "r|^/dev/loop|", "r|^/dev/drbd|", "r|^/dev/mapper/.*[.]ganeti[0-9]+$|" ]'
)


def checks() -> Iterator[Check]:
  """What a node with volumes of its own cannot do without."""
  yield Check("LVM", _filter_of_volumes)


def wishes() -> Iterator[Check]:
  """What an administrator sets."""
  yield Check("LVM", _filter)


def _filter_of_volumes(node: Node) -> Problem | None:
  """A logical volume's uuid in device-mapper begins with "LVM-"."""
  uuids = (node.host.sys / "block").glob("dm-*/dm/uuid")
  has_volumes = any(node.read(path).startswith("LVM-") for path in uuids)
  return _filter(node) if has_volumes else None


def _filter(node: Node) -> Problem | None:
  if not node.has_program("lvmconfig"):
    return None
  names = [f"devices/{name}" for name in (*_LISTS, "use_devicesfile")]
  argv = ["lvmconfig", "--typeconfig", "full", *names]
  result = node.host.run(argv, timeout_s=_TIMEOUT_S)
  # A setting that this LVM does not know is an error, beside the others.
  settings = dict(
    line.split("=", 1) for line in result.stdout.splitlines() if "=" in line
  )
  listed = (node.root / _DEVICES_FILE).exists()
  if settings.get("use_devicesfile") == "1" and listed:
    return None
  filters = [_patterns(settings.get(name, "")) for name in _LISTS]
  seen = [
    path for path in _GUESTS if all(accepts(rules, path) for rules in filters)
  ]
  if not seen:
    return None
  return Problem(
    f"LVM on this node looks into guests' disks ({', '.join(seen)} pass its"
    " filter): a volume group in one with the name of the node's own would"
    " stop LVM from working on either",
    f"set global_filter = {_FILTER} in the section devices of"
    " /etc/lvm/lvm.conf, without those that hold volumes of the node",
  )


def _patterns(text: str) -> list[str]:
  """A setting of lvmconfig(8): one string, or several in brackets."""
  try:
    found = json.loads(text)
  except ValueError:
    return []
  return [str(found)] if isinstance(found, str) else [str(x) for x in found]


def accepts(patterns: list[str], path: str) -> bool:
  """Whether LVM would look at a device; the first pattern that fits decides.

  @param patterns: C{a} or C{r}, then a regular expression between two
    characters of any kind (lvm.conf(5), devices/filter)

  """
  for pattern in patterns:
    action, expression = pattern[:1], pattern[2:-1]
    try:
      fits = re.search(expression, path) is not None
    except re.error:
      continue
    if fits:
      return action != "r"
  return True
