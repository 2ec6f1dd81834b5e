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

"""What has to be alike on two nodes for a live migration, and what differs.

A node can only tell about itself.  So it prints its facts, and those of
another node, printed there, can be compared with them.

"""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from .. import apparmor, versions
from ..errors import LxcError
from ..model import Problem
from ..node import Node
from . import abilities
from .abilities import Criu

FORMAT = 1
# Asked of CRIU one by one; all that make a difference to what it can do.
_FEATURES = (
  "mem_dirty_track",
  "get_rseq_conf",
  "move_mount_set_group",
  "network_lock_nftables",
)
_FLAGS = re.compile(r"^(?:flags|Features)\s*:\s*(.*)$", re.MULTILINE)
_MODEL = re.compile(r"^model name\s*:\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
  """What matters of a node.

  @ivar kernel: as uname -r prints it
  @ivar lxc: version, "" if LXC is not there
  @ivar criu: version, "" if CRIU is not there
  @ivar cgroup: "v1", "hybrid", "v2" or "none"
  @ivar cpu_flags: of /proc/cpuinfo, sorted

  """

  kernel: str
  lxc: str
  criu: str
  criu_features: tuple[str, ...]
  cgroup: str
  apparmor: bool
  cpu_model: str
  cpu_flags: tuple[str, ...]
  inet_sockets: bool
  sys_resource: bool
  format: int = FORMAT


def of_node(node: Node) -> Facts:
  """This node's facts.  Starts CRIU some five times; call as root."""
  criu = Criu(node)
  version = criu.version() if criu.installed else ()
  cpuinfo = node.proc("cpuinfo")
  flags, model = _FLAGS.search(cpuinfo), _MODEL.search(cpuinfo)
  found = [f for f in _FEATURES if criu.installed and criu.has(f)]
  return Facts(
    kernel=node.release,
    lxc=_lxc(node),
    criu=".".join(map(str, version)),
    criu_features=tuple(found),
    cgroup=_cgroup(node),
    apparmor=apparmor.enabled(node.host),
    cpu_model=model[1] if model else "",
    cpu_flags=tuple(sorted(flags[1].split())) if flags else (),
    inet_sockets=abilities.reads_inet_sockets(node),
    sys_resource=abilities.has_capability(node, abilities.CAP_SYS_RESOURCE),
  )


def to_text(facts: Facts) -> str:
  """As JSON, the same for the same facts."""
  return json.dumps(asdict(facts), indent=1, sort_keys=True) + "\n"


def from_text(text: str) -> Facts:
  """Facts that L{to_text} wrote, here or on another node.

  @raise ValueError: these are no facts, or those of another release

  """
  data = json.loads(text)
  if not isinstance(data, dict) or data.get("format") != FORMAT:
    raise ValueError("not written by ganeti-lxc-doctor --facts of this release")
  values: dict[str, Any] = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in data.items()
  }
  try:
    return Facts(**values)
  except TypeError as err:
    raise ValueError(str(err)) from err


def differences(source: Facts, target: Facts) -> tuple[Problem, ...]:
  """What speaks against moving a guest from one node to the other."""
  found = [
    _flags(source, target),
    _older("CRIU", source.criu, target.criu, "install the source's version"),
    _older("LXC", source.lxc, target.lxc, "install the source's version"),
    _older("Linux", source.kernel, target.kernel, "boot the source's kernel"),
    _unlike("control groups", source.cgroup, target.cgroup),
    _unlike("AppArmor", _on(source.apparmor), _on(target.apparmor)),
    _features(source, target),
  ]
  return tuple(problem for problem in found if problem)


def _lxc(node: Node) -> str:
  """Asked anew: the driver's note of the answer is root's to write."""
  try:
    result = node.host.run(versions.LXC.argv)
  except LxcError:
    return ""
  return ".".join(map(str, versions.parse(result.stdout)))


def _cgroup(node: Node) -> str:
  trees = node.trees
  if trees.hybrid:
    return "hybrid"
  if trees.pure_v2:
    return "v2"
  return "v1" if trees.v1 else "none"


def _on(value: bool) -> str:  # noqa: FBT001 - the only argument
  return "on" if value else "off"


def _flags(source: Facts, target: Facts) -> Problem | None:
  """A program may use whatever the CPU had when it was started."""
  missing = sorted(set(source.cpu_flags) - set(target.cpu_flags))
  if not missing:
    return None
  return Problem(
    f"The target's CPU ({target.cpu_model}) lacks what the source's has:"
    f" {' '.join(missing)}",
    "migrate to a node with the same CPU, or use gnt-instance failover",
  )


def _older(what: str, source: str, target: str, remedy: str) -> Problem | None:
  if not target:
    return Problem(f"{what} is not on the target", remedy)
  mine, other = versions.parse(source), versions.parse(target)
  if not mine or mine[:2] <= other[:2]:
    return None
  return Problem(
    f"{what} {target} on the target is older than {source}", remedy
  )


def _unlike(what: str, source: str, target: str) -> Problem | None:
  if source == target:
    return None
  return Problem(
    f"{what} differ: {source} here, {target} on the target",
    "boot both nodes alike",
  )


def _features(source: Facts, target: Facts) -> Problem | None:
  missing = sorted(set(source.criu_features) - set(target.criu_features))
  if not missing:
    return None
  return Problem(
    f"CRIU on the target cannot do {', '.join(missing)}",
    "run ganeti-lxc-doctor there for the reason",
  )
