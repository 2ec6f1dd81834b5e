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

"""Tells the network that a guest is to be found at another place now.

Switches and bridges learn where an address is from the frames that come
from it.  A guest that waits to be spoken to sends none, so one is sent for
each of its addresses, from inside its network: a gratuitous ARP (RFC 5227,
section 3) and an unsolicited Neighbor Advertisement (RFC 4861, 7.2.6).

"""

import ipaddress
import json
import logging
import struct
from collections.abc import Iterator
from pathlib import Path

from ..errors import LxcError, one_line
from ..host import Host
from . import netns
from .checksum import checksum

_log = logging.getLogger(__name__)

_BROADCAST = b"\xff" * 6
_ETHERTYPE_ARP = 0x0806
_ETHERTYPE_IPV6 = 0x86DD
_ALL_NODES = ipaddress.IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ICMPV6 = 58
_ADVERTISEMENT = 136
_OVERRIDE = 0x20000000
_TARGET_MAC = 2
_HOPS = 255
_IPV4 = 4
_MAX_FRAMES = 64
_TIMEOUT_S = 10.0
_PROGRAM = "send_frames.py"


def announce(host: Host, name: str, init: int) -> None:
  """Sends the frames; that it does not work is no reason to fail.

  @param init: the guest's process 1

  """
  enter = netns.nsenter(host, init)
  try:
    listed = host.run([*enter, "ip", "-json", "addr"], timeout_s=_TIMEOUT_S)
    words = list(frames(listed.stdout))[:_MAX_FRAMES]
    if not words:
      return
    program = str(Path(__file__).with_name(_PROGRAM))
    sent = host.run(
      [*enter, "/usr/bin/python3", "-I", program, *words],
      timeout_s=_TIMEOUT_S,
    )
    if sent.failed:
      _log.warning("Instance %s: %s", name, sent.evidence())
  except (LxcError, ValueError, KeyError, TypeError) as err:
    _log.warning("Instance %s is not announced: %s", name, one_line(repr(err)))


def frames(addresses: str) -> Iterator[str]:
  """INTERFACE=FRAME in hexadecimal for each address.

  @param addresses: what C{ip -json addr} says

  """
  for link in json.loads(addresses or "[]"):
    if link.get("link_type") != "ether" or "UP" not in link["flags"]:
      continue
    mac = bytes.fromhex(link["address"].replace(":", ""))
    for entry in link["addr_info"]:
      address = ipaddress.ip_address(entry["local"])
      yield f"{link['ifname']}={frame(mac, address).hex()}"


def frame(
  mac: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> bytes:
  """The Ethernet frame that says: this address is at this MAC."""
  if isinstance(address, ipaddress.IPv4Address):
    head = _BROADCAST + mac + struct.pack("!H", _ETHERTYPE_ARP)
    # Ethernet, IPv4, lengths of both, request; the sender asks for itself.
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, _IPV4, 1)
    return head + arp + mac + address.packed + bytes(6) + address.packed
  head = _ALL_NODES_MAC + mac + struct.pack("!H", _ETHERTYPE_IPV6)
  option = struct.pack("!BB", _TARGET_MAC, 1) + mac
  body = struct.pack("!I", _OVERRIDE) + address.packed + option
  check = checksum(
    address.packed
    + _ALL_NODES.packed
    + struct.pack("!II", 4 + len(body), _ICMPV6)
    + struct.pack("!BBH", _ADVERTISEMENT, 0, 0)
    + body
  )
  message = struct.pack("!BBH", _ADVERTISEMENT, 0, check) + body
  ip = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, _HOPS)
  return head + ip + address.packed + _ALL_NODES.packed + message
