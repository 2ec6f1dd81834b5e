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

"""Whether udev on a node keeps away from what is on guests' disks.

udev looks for file systems on block devices and makes links to them, by UUID
and by label.  A guest may give its file system the UUID of the host's root.
57-ganeti-kpartx.rules has it leave guests' disks alone; a disk that is a file
is known by its directory, and which directories there are is the cluster's
choice (file-storage-paths of Ganeti's).

"""

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

from .model import Problem
from .node import Check, Node

# In the order in which a file in one hides those in the next (udev(7))
_DIRECTORIES = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
_RULES = re.compile(r"\d+-ganeti-kpartx\.rules")
# Those that name the devices of device-mapper
_NAMING = re.compile(r"\d+-dm\.rules")
_LOOPS = re.compile(
  r'^KERNEL=="loop\*".*loop/backing_file\}=="([^"]*)"', re.MULTILINE
)
_PATHS = Path("etc/ganeti/file-storage-paths")


def wishes() -> Iterator[Check]:
  """What an administrator sets."""
  yield Check("udev", _rules)


def _rules(node: Node) -> Problem | None:
  if not (node.root / "run/udev/control").exists():
    return None
  files = _rule_files(node)
  ours = [name for name in files if _RULES.fullmatch(name)]
  if not ours:
    return Problem(
      "udev on this node looks into guests' disks: it has no rules for them",
      "run apt-get install --reinstall ganeti-lxc",
    )
  late = [n for n in files if _NAMING.fullmatch(n) and n > max(ours)]
  if late:
    return Problem(
      f"udev on this node looks into guests' disks: {max(ours)} comes before"
      f" {late[0]}, which names the devices",
      f"move it behind {late[0]}; see the comment in it",
    )
  return _directories(node, files[max(ours)])


def _rule_files(node: Node) -> dict[str, Path]:
  found: dict[str, Path] = {}
  for directory in _DIRECTORIES:
    for path in (node.root / directory / "udev/rules.d").glob("*.rules"):
      found.setdefault(path.name, path)
  return found


def _directories(node: Node, rules: Path) -> Problem | None:
  """Whether the rules know where this cluster's files are."""
  known = [
    pattern
    for text in _LOOPS.findall(node.read(rules))
    for pattern in text.split("|")
  ]
  lines = map(str.strip, node.read(node.root / _PATHS).splitlines())
  unknown = [
    line
    for line in lines
    if line.startswith("/")
    and not any(fnmatch.fnmatchcase(f"{line}/disk", p) for p in known)
  ]
  if not unknown:
    return None
  return Problem(
    f"udev on this node looks into guests' disks below {', '.join(unknown)}",
    f"copy {rules} to /etc/udev/rules.d and add the directory to its line of"
    " the loop devices, as |DIRECTORY/*; then run udevadm control --reload",
  )
