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

"""What stands in the tables of a guest's network and CRIU leaves out.

It saves the routes of the table "main", and the rules of IPv4 that say which
table is asked (criu/net.c: C{ip route save}, C{ip rule save}).  Not the routes
of other tables, the rules of IPv6, and neighbours whose hardware address
somebody has set.

Nor can it make again what it saves if an interface has no carrier: a bridge
of the guest's own with nothing on it, as Docker's is.  See route_dump.py.

"""

import ipaddress
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LxcError, one_line
from ..host import Host, read_optional, write_file
from . import netns, route_dump

_log = logging.getLogger(__name__)

_NOTE = "ganeti-net-tables.json"
_ROUTES = ("ganeti-routes-4", "ganeti-routes-6")
_RULES = "ganeti-rules-6"
_FURTHER = "ganeti-further-routes"
_OF_CRIU = ("route-*.img", "route6-*.img")
# Each of the last three prints a line.
_SAVE = f"""\
cd "$1" || exit
ip -4 route save table all >{_ROUTES[0]}
ip -6 route save table all >{_ROUTES[1]}
ip -6 rule save >{_RULES}
ip -6 -json rule show
ip -json neigh show nud permanent
ip -json neigh show proxy
"""
_RESTORE_ROUTES = f'ip route restore <"$1"/{_FURTHER}'
# As CRIU does with those of IPv4: the kernel takes the same rule twice.
_RESTORE_RULES = f"""\
ip -6 rule flush && ip -6 rule delete table local
ip -6 rule restore <"$1"/{_RULES}
"""
_USUAL_RULES = [
  {"priority": 0, "src": "all", "table": "local"},
  {"priority": 32766, "src": "all", "table": "main"},
]
_HARDWARE = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2})*")
_TIMEOUT_S = 20.0


def save(host: Host, name: str, init: int, images: Path) -> None:
  """Notes them among CRIU's images; that it does not work is no reason to fail.

  @param init: the guest's process 1
  @raise OSError: nothing can be written

  """
  said = _run(host, name, init, _SAVE, images)
  try:
    rules, fixed, proxies = map(json.loads, said.splitlines())
    note = {
      "rules": rules != _USUAL_RULES,
      "neighbours": [*neighbours(fixed), *neighbours(proxies)],
    }
  except (ValueError, KeyError, TypeError) as err:
    _log.warning("Instance %s: %s", name, one_line(repr(err)))
    return
  write_file(images / _NOTE, json.dumps(note))


def mend_images(images: Path) -> None:
  """Before CRIU reads them: has routes that the kernel does not refuse.

  @raise OSError: it cannot be done

  """
  for pattern in _OF_CRIU:
    for path in images.glob(pattern):
      path.write_bytes(route_dump.restorable(path.read_bytes()))


def restore(host: Host, name: str, init: int, images: Path) -> None:
  """Interfaces are there, with their addresses and what CRIU has made.

  That it does not work is no reason to fail: the guest would be lost.

  @raise OSError: the images cannot be read

  """
  # An older driver's images have none.
  note = json.loads(read_optional(images / _NOTE) or "{}")
  if _put_further(images):
    _run(host, name, init, _RESTORE_ROUTES, images)
  if note.get("rules"):
    _run(host, name, init, _RESTORE_RULES, images)
  lines = [f"neigh replace {entry}" for entry in note.get("neighbours", ())]
  netns.ip_batch(host, name, init, images / "ganeti-neighbours", lines)


def neighbours(shown: list[dict[str, Any]]) -> Iterator[str]:
  """As C{ip neigh replace} wants them.

  @param shown: what C{ip -json neigh} says

  """
  for entry in shown:
    interface = str(entry["dev"])
    if not netns.INTERFACE.fullmatch(interface):
      continue
    address = f"{ipaddress.ip_address(entry['dst'])} dev {interface}"
    router = " router" if "router" in entry else ""
    if "proxy" in entry:
      yield f"proxy {address}{router}"
    elif _HARDWARE.fullmatch(str(entry.get("lladdr"))):
      yield f"{address} lladdr {entry['lladdr']} nud permanent{router}"


def _put_further(images: Path) -> bool:
  """Whether there are routes of other tables than "main"."""
  found = b""
  for file in _ROUTES:
    path = images / file
    if path.exists():
      found = route_dump.join(found, route_dump.further(path.read_bytes()))
  if found:
    (images / _FURTHER).write_bytes(found)
  return bool(found)


def _run(host: Host, name: str, init: int, script: str, images: Path) -> str:
  argv = [*netns.nsenter(host, init), "sh", "-c", script, "sh", str(images)]
  try:
    done = host.run(argv, timeout_s=_TIMEOUT_S)
  except LxcError as err:
    _log.warning("Instance %s: %s", name, one_line(repr(err)))
    return ""
  if done.failed or done.stderr.strip():
    _log.warning("Instance %s: %s", name, one_line(done.evidence()))
  return done.stdout
