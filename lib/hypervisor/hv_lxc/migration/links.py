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

"""A guest's interfaces, of which CRIU does not make all again.

It knows the driver's by the name that they had at the start, takes a macvlan
for one that somebody else makes, and has the kernel refuse a bridge without
hardware address (criu/net.c), which a bridge has not whose last port is gone.

"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import record
from ..errors import Failed, Refused
from ..host import Host, read_optional
from ..nics import NicRecord
from . import netns

Link = Mapping[str, Any]

_NO_ADDRESS = "00:00:00:00:00:00"
_TIMEOUT_S = 10.0


def check(host: Host, name: str, init: int) -> list[Link]:
  """Whether CRIU can make them again.

  @param init: the guest's process 1
  @return: what C{ip -details -json link} says
  @raise Refused: not this one

  """
  links = _links(host, name, init)
  for what in (*hindrances(links), *_renamed(host, name, links)):
    raise Refused(
      f"Instance {name} cannot be migrated live",
      evidence=what,
      remedy="change it back and try again; gnt-instance failover moves the"
      " instance with a restart",
    )
  return links


def mend(host: Host, name: str, init: int, batch: Path) -> None:
  """Gives bridges an address that have none; the guest runs.

  @param batch: a file for the commands
  @raise Refused: see check

  """
  links = check(host, name, init)
  lines = list(addresses(links, os.urandom(5).hex(":")))
  netns.ip_batch(host, name, init, batch, lines)


def hindrances(links: Iterable[Link]) -> Iterator[str]:
  """What CRIU cannot make.

  @param links: what C{ip -details -json link} says

  """
  for link in links:
    kind = link.get("linkinfo", {}).get("info_kind")
    if kind == "macvlan":
      yield f"CRIU cannot make its interface {link['ifname']}, a {kind}, again"


def is_other(link: Link | None, host_index: int) -> bool:
  """Whether an interface of the driver's is not what it was at the start.

  @param link: what has its name now
  @param host_index: the number of its other end, on the node

  """
  return link is None or link.get("link_index") != host_index


def addresses(links: Iterable[Link], random: str) -> Iterator[str]:
  """Commands for C{ip -batch}.

  @param random: five bytes

  """
  for link in links:
    is_bridge = link.get("linkinfo", {}).get("info_kind") == "bridge"
    interface = str(link["ifname"])
    has_none = is_bridge and link.get("address") == _NO_ADDRESS
    if has_none and netns.INTERFACE.fullmatch(interface):
      yield f"link set dev {interface} address 02:{random}"


def _renamed(host: Host, name: str, links: Iterable[Link]) -> Iterator[str]:
  noted = record.load_or_none(host, host.layout.instance(name))
  by_name = {str(link["ifname"]): link for link in links}
  for entry in noted.nics if noted else ():
    nic = NicRecord.from_dict(entry)
    path = host.sys / "class/net" / nic.host_name / "ifindex"
    index = int(read_optional(path) or 0)
    inner = f"eth{nic.index}"
    if index and is_other(by_name.get(inner), index):
      yield f"its NIC {nic.index} is not its interface {inner} any more"


def _links(host: Host, name: str, init: int) -> list[Link]:
  argv = [*netns.nsenter(host, init), "ip", "-details", "-json", "link"]
  done = host.run(argv, timeout_s=_TIMEOUT_S)
  with contextlib.suppress(ValueError):
    if not done.failed:
      return list(json.loads(done.stdout or "[]"))
  raise Failed(
    f"The interfaces of instance {name} cannot be looked at",
    evidence=done.evidence(),
  )
