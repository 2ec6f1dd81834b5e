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

"""What can be known before a migration changes anything.

Each check raises Refused with what stands in the way, and what to do.

"""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .. import blockers, nic_links, report
from ..command import SEARCH_PATH
from ..doctor import abilities, livecheck, reading
from ..errors import Refused
from ..host import Host, make_directory
from ..nics import NicRecord
from ..node import Node
from . import guest_network

_MIB = 1 << 20
# Images besides memory: descriptors, sockets, tmpfs of a small guest.
_IMAGES_EXTRA = 64 * _MIB
_NAMED = 3


def node_of(host: Host) -> Node:
  """The node as ganeti-lxc-doctor examines it."""
  return Node(host=host, search_path=SEARCH_PATH)


def check_criu(node: Node) -> None:
  """Whether this node has a CRIU that works on its kernel.

  @raise Refused: with what stands in the way

  """
  problem = livecheck.hindrance(node)
  if problem is not None:
    raise Refused(
      "This node cannot move running guests",
      evidence=problem.what,
      remedy=f"{problem.remedy}, or use gnt-instance failover",
    )


def check_guest(host: Host, node: Node, name: str) -> None:
  """Whether CRIU can save every process, and make every connection again.

  @raise Refused: with what stands in the way

  """
  guest_network.check(host, name, check_processes(host, node, name))


def check_processes(host: Host, node: Node, name: str) -> int:
  """Whether CRIU can save every process, and bring it back.

  @return: the guest's process 1
  @raise Refused: with what stands in the way

  """
  guest = reading.read_guest(host, name)
  found = blockers.find_blockers(guest, abilities.of_node(node))
  if not found:
    return guest.init
  told = [str(blocker) for blocker in found[:_NAMED]]
  if len(found) > _NAMED:
    told.append(f"and {len(found) - _NAMED} more")
  raise Refused(
    f"Instance {name} cannot be migrated live",
    evidence="; ".join(told),
    remedy=f"ganeti-lxc-doctor {name} on its node tells all; gnt-instance"
    " failover moves it with a restart",
  )


def check_nics(
  host: Host, records: Iterable[Mapping[str, Any]], name: str
) -> None:
  """Whether this node has what the instance's NICs are attached to.

  @raise Refused: with what it lacks

  """
  try:
    wanted = [NicRecord.from_dict(entry) for entry in records]
  except (ValueError, TypeError) as err:
    raise Refused(
      f"Instance {name} has a NIC that is not known of here",
      evidence=f"{err!r}",
      remedy="install the same version of the driver on both nodes",
    ) from err
  for nic in wanted:
    nic_links.check_place(host, name, nic)


def room(host: Host, name: str) -> int:
  """Bytes that an instance's images may take at the most."""
  used = report.memory_used(host, name)
  return used + _IMAGES_EXTRA


def check_room(host: Host, needed: int, name: str) -> None:
  """Whether the images can be kept on this node.

  @raise Refused: they cannot

  """
  make_directory(host.layout.migrations)
  space = os.statvfs(host.layout.migrations)
  free = space.f_bavail * space.f_frsize
  if free < needed:
    raise Refused(
      f"Instance {name} cannot be migrated: there is no room for its memory"
      " on a node",
      evidence=f"{needed // _MIB} MiB may be needed below"
      f" {host.layout.migrations}, {free // _MIB} MiB are free",
      remedy="make room in that file system",
    )
