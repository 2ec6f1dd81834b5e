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

"""To which nodes a guest could be moved: the others tell their facts by ssh.

They are reached as "gnt-cluster command" reaches them (ssh.py, BuildCmd), by
the cluster's own host key; so from nodes that are master candidates.  Which
of them have the disks stands in the cluster's configuration, which the same
nodes have.

"""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .. import ssconf
from ..errors import LxcError
from ..host import Host, read_optional
from ..migration import peer
from ..model import Problem
from ..node import Node
from . import facts
from .facts import Facts

_AT_ONCE = 16
_TIMEOUT_S = 60.0
_CONNECT_S = 10
# Ganeti's DTS_NOT_MIRROR, without disks that are none.
_ON_ONE_NODE = frozenset({"file", "plain"})
_MIRRORED = "drbd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
  """Another node, and what speaks against it.

  @ivar unknown: why it could not be asked, "" if it could

  """

  node: str
  problems: tuple[Problem, ...] = ()
  unknown: str = ""

  @property
  def fits(self) -> bool | None:
    """None where nobody knows."""
    if self.problems:
      return False
    return None if self.unknown else True


def destinations(node: Node, mine: Facts, name: str) -> tuple[Destination, ...]:
  """All nodes that are not marked offline, but this one.

  @param mine: this node's
  @param name: of the instance

  """
  others = [other for other, _ in peer.other_nodes(node.host)]
  if not others:
    return ()
  disks = _Disks.of(node.host, name)

  def one(other: str) -> Destination:
    told = _ask(node.host, other)
    missing = disks.problem(other)
    found = (missing,) if missing else ()
    if isinstance(told, str):
      return Destination(node=other, problems=found, unknown=told)
    different = facts.differences(mine, told)
    return Destination(node=other, problems=(*found, *different))

  with ThreadPoolExecutor(min(len(others), _AT_ONCE)) as pool:
    return tuple(pool.map(one, others))


def ssh_argv(host: Host, other: str, *command: str) -> tuple[str, ...]:
  """The command that runs another one on another node."""
  alias = (ssconf.text(host, "cluster_name") or "").strip()
  port = dict(ssconf.pairs(host, "ssh_ports")).get(other, "22")
  return (
    "ssh",
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=yes",
    f"-oGlobalKnownHostsFile={host.layout.known_hosts}",
    "-oUserKnownHostsFile=/dev/null",
    "-oCheckHostIp=no",
    f"-oConnectTimeout={_CONNECT_S}",
    f"-oHostKeyAlias={alias}",
    f"-oPort={port}",
    "-oLogLevel=ERROR",
    f"root@{other}",
    *command,
  )


def _ask(host: Host, other: str) -> Facts | str:
  """Its facts, or why they could not be had."""
  argv = ssh_argv(host, other, "ganeti-lxc-doctor", "--facts")
  try:
    result = host.run(argv, timeout_s=_TIMEOUT_S)
  except LxcError as err:
    return str(err)
  if result.failed:
    return result.evidence()
  try:
    return facts.from_text(result.stdout)
  except ValueError as err:
    return f"what ganeti-lxc-doctor says there cannot be read: {err}"


@dataclass(frozen=True, slots=True)
class _Disks:
  """What the cluster's configuration says of an instance's disks.

  @ivar kind: their template, "" if it is not known
  @ivar nodes: those that have them, if not all do

  """

  kind: str = ""
  nodes: frozenset[str] = frozenset()

  @classmethod
  def of(cls, host: Host, name: str) -> "_Disks":
    text = read_optional(host.layout.cluster_config) or "{}"
    try:
      return cls._from(json.loads(text), name)
    except (ValueError, LookupError, TypeError, AttributeError):
      return cls()

  @classmethod
  def _from(cls, config: Mapping[str, Any], name: str) -> "_Disks":
    """As "gnt-instance add" wrote it (objects.py, Disk)."""
    instances = config["instances"].values()
    (known,) = [i for i in instances if i["name"] == name]
    disks = [config["disks"][uuid] for uuid in known["disks"]]
    local = [d for d in disks if d["dev_type"] in {*_ON_ONE_NODE, _MIRRORED}]
    if not local:
      return cls()
    kind = local[0]["dev_type"]
    uuids = local[0]["logical_id"][:2] if kind == _MIRRORED else []
    names = (config["nodes"][uuid]["name"] for uuid in uuids)
    return cls(kind, frozenset(names))

  def problem(self, other: str) -> Problem | None:
    if not self.kind or other in self.nodes:
      return None
    remedy = f"gnt-instance replace-disks -n {other} brings them there"
    if self.kind in _ON_ONE_NODE:
      remedy = "gnt-instance move takes it there while it is stopped"
    return Problem(
      f"The target does not have the instance's disks ({self.kind})", remedy
    )
