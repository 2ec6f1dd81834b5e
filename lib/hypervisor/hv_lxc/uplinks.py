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


"""The VLANs of a bridge's uplinks: those that were added for our NICs.

Ganeti's net-common adds the VLANs of a NIC to every port of the bridge that
is not called C{tap*}, and nothing of Ganeti's takes one away again: the node
would go on getting what is flooded in the VLANs of guests that have left.  One
that the administrator has set up is not ours to remove; which of them it is
can be told before a NIC is made, and is kept in the NIC's record.

"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

from . import record
from .errors import Failed
from .host import Host
from .model import NicMode
from .nics import NicRecord

_PORTS = "lower_"  # as net-common finds them
_TAP = "tap"


def noted(host: Host, nic: NicRecord) -> NicRecord:
  """The record of a NIC that is about to be made, with what is ours then.

  That is what no uplink has yet, and what it has for another instance.  The
  other's record is read first: it goes after its VLANs have gone.

  @raise Failed: the VLANs cannot be listed

  """
  if not _concerned(nic):
    return replace(nic, uplinks=())
  claimed = set(_claimed(host))
  there = _vlans(host)
  names = (
    (f"{port}:{vlan}", vlan in there.get(port, ()))
    for port in _uplinks(host, nic.link)
    for vlan in _numbers(nic)
  )
  ours = (n for n, is_there in names if n in claimed or not is_there)
  return replace(nic, uplinks=tuple(ours))


def release(host: Host, nic: NicRecord) -> None:
  """Takes VLANs off the uplinks that no guest needs any more.

  The NIC itself must be gone.  Another may come meanwhile, and its VLAN is
  added to its own port first: so it is looked for once more afterwards.

  @raise Failed: the VLANs cannot be listed

  """
  for name in nic.uplinks:
    port, _, number = name.rpartition(":")
    vlan = int(number)
    there = _vlans(host)
    if vlan not in there.get(port, ()) or _wanted(host, nic.link, vlan, there):
      continue
    _change(host, "del", port, vlan)
    if _wanted(host, nic.link, vlan, _vlans(host)):
      _change(host, "add", port, vlan)


def _concerned(nic: NicRecord) -> bool:
  return nic.mode is NicMode.BRIDGED and bool(nic.vlan)


def _numbers(nic: NicRecord) -> list[int]:
  return [int(number) for number in re.findall("[0-9]+", nic.vlan)]


def _ports(host: Host, bridge: str) -> list[str]:
  found = (host.sys / "class/net" / bridge).glob(f"{_PORTS}*")
  return sorted(entry.name.removeprefix(_PORTS) for entry in found)


def _uplinks(host: Host, bridge: str) -> list[str]:
  return [p for p in _ports(host, bridge) if not p.startswith(_TAP)]


def _wanted(
  host: Host, bridge: str, vlan: int, there: dict[str, set[int]]
) -> bool:
  """Whether a guest's port, of any hypervisor, is in the VLAN."""
  return any(
    vlan in there.get(port, ())
    for port in _ports(host, bridge)
    if port.startswith(_TAP)
  )


def _vlans(host: Host) -> dict[str, set[int]]:
  """The VLANs of each port of all bridges."""
  result = host.run(["bridge", "-json", "-compressvlans", "vlan", "show"])
  try:
    return {
      entry["ifname"]: set(_of_port(entry))
      for entry in json.loads(result.stdout or "[]")
    }
  except (ValueError, KeyError, TypeError) as err:
    raise Failed(
      "The VLANs of the node's bridges cannot be listed",
      evidence=result.evidence(),
      remedy="run bridge -json vlan show to see why",
    ) from err


def _of_port(entry: dict[str, object]) -> Iterator[int]:
  vlans = entry["vlans"]
  assert isinstance(vlans, list)
  for vlan in vlans:
    first = int(vlan["vlan"])
    yield from range(first, int(vlan.get("vlanEnd", first)) + 1)


def _claimed(host: Host) -> Iterator[str]:
  """What the records of the instances of this node call ours."""
  for home in host.layout.data_dir.glob("*/"):
    known = record.load_or_none(host, host.layout.instance(home.name))
    for entry in known.nics if known else ():
      yield from map(str, entry.get("uplinks", ()))


def _change(host: Host, verb: str, port: str, vlan: int) -> None:
  argv = ["bridge", "vlan", verb, "dev", port, "vid", str(vlan), "master"]
  result = host.run(argv)
  if result.failed:
    # The port may have left the bridge, and its VLANs with it.
    logging.warning("%s", result.evidence())
