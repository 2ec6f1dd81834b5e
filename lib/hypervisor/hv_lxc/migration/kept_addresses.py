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

"""Has a guest keep its IPv6 addresses without asking whether they are taken.

The kernel asks for a second, from when the interface has a carrier, and until
then an address is "tentative" (RFC 4862, 5.4): nothing can be sent from it.
It would ask anew on the target, while the guest's peers wait.  An address with
the flag "nodad" is not asked for, and CRIU saves flags as they are.  So the
guest's get it before a dump; it was asked for each when it was set.

A change of an address makes the route to its prefix anew (inet6_addr_modify)
where somebody has taken it away, or never was one: the prefix of a router
advertisement need not be on the link (RFC 4861, 6.3.4).  So the address is told
to have none; but not one that lasts, which would take away what the guest has
put in its place.  Such a one is asked for again.

"""

import ipaddress
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LxcError, one_line
from ..host import Host
from . import netns

_log = logging.getLogger(__name__)

# The names of the others may be read as something else by "ip -batch".
# It may be in use elsewhere, or has the flag.
_NOT = ("tentative", "dadfailed", "nodad")
# What a change takes away if it does not name it (inet6_addr_modify).
_NO_ROUTE = "noprefixroute"
_FLAGS = ("home", "mngtmpaddr", _NO_ROUTE)
_FOREVER = 0xFFFFFFFF
_TIMEOUT_S = 10.0


def keep(host: Host, name: str, init: int, batch: Path) -> None:
  """Sets the flag; that it does not work is no reason to fail.

  @param init: the guest's process 1
  @param batch: a file for the commands

  """
  enter = [*netns.nsenter(host, init), "ip"]
  try:
    listed = host.run([*enter, "-json", "-6", "addr"], timeout_s=_TIMEOUT_S)
    show = ("-json", "-6", "route", "show", "table", "all", "proto", "kernel")
    routes = host.run([*enter, *show], timeout_s=_TIMEOUT_S)
    lines = list(changes(listed.stdout, routes.stdout))
  except (LxcError, ValueError, KeyError, TypeError) as err:
    _log.warning("Instance %s: %s", name, one_line(repr(err)))
    return
  netns.ip_batch(host, name, init, batch, lines)


def changes(addresses: str, routes: str) -> Iterator[str]:
  """What C{ip -batch} is to do, line by line.

  @param addresses: what C{ip -json -6 addr} says
  @param routes: what C{ip -json -6 route} says of those of the kernel

  """
  known = set(_prefixes(routes))
  for link in json.loads(addresses or "[]"):
    interface = str(link.get("ifname", ""))
    if "LOOPBACK" in link.get("flags", ()) or not netns.INTERFACE.fullmatch(
      interface
    ):
      continue
    # The route to a prefix ends with the address that was changed last.
    for entry in sorted(link.get("addr_info", ()), key=_lifetime):
      if any(entry.get(flag) for flag in _NOT) or "address" in entry:
        continue
      has_route = (interface, _prefix(entry)) in known
      if has_route or entry.get(_NO_ROUTE) or _lifetime(entry) < _FOREVER:
        yield _change(interface, entry, has_route=has_route)


def _prefixes(routes: str) -> Iterator[tuple[str, ipaddress.IPv6Network]]:
  for route in json.loads(routes or "[]"):
    # Those to the guest itself, and to groups, have a type.
    if "type" not in route and route["dst"] != "default":
      yield str(route.get("dev")), ipaddress.IPv6Network(route["dst"])


def _prefix(entry: dict[str, Any]) -> ipaddress.IPv6Network:
  text = f"{entry['local']}/{entry['prefixlen']}"
  return ipaddress.IPv6Network(text, strict=False)


def _lifetime(entry: dict[str, Any]) -> int:
  return int(entry["valid_life_time"])


def _change(interface: str, entry: dict[str, Any], *, has_route: bool) -> str:
  preferred = int(entry["preferred_life_time"])
  flags = [flag for flag in _FLAGS if entry.get(flag)]
  if not has_route and _NO_ROUTE not in flags:
    flags.append(_NO_ROUTE)
  return " ".join(
    [
      f"addr change {entry['local']}/{entry['prefixlen']} dev {interface}",
      f"valid_lft {_lifetime(entry)} preferred_lft {preferred} nodad",
      *flags,
    ]
  )
