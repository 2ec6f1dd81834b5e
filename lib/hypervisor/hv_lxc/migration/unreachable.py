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

"""What tells a peer that a segment of it was not delivered; no I/O.

A window probe, with which the kernel takes a restored connection up again
(tcp_send_window_probe, net/ipv4/tcp_output.c), is an acknowledgment without
data.  Its acknowledgment number is the first byte that never arrived, so
what the peer repeats begins there.  An ICMP message quotes that segment (RFC
792, RFC 4443 3.1: its headers, and the first 8 bytes of TCP's).

"""

import socket
import struct
from dataclasses import dataclass

from .checksum import checksum

_TCP = 6
_IPV4, _IPV6 = 4, 6
_IPV4_LEAST, _IPV6_LENGTH, _TCP_LEAST = 20, 40, 20
# Neither more fragments nor an offset.
_FRAGMENT = 0x3FFF
_FLAGS, _ACK = 0x3F, 0x10
_TTL = 64
_UNREACHABLE, _HOST = 3, 1
_UNREACHABLE6, _NO_ROUTE = 1, 0


@dataclass(frozen=True, slots=True)
class Connection:
  """Both ends of a TCP connection.

  @ivar guest: the guest's address, packed: 4 or 16 bytes
  @ivar peer: that of the other end

  """

  guest: bytes
  guest_port: int
  peer: bytes
  peer_port: int

  @property
  def family(self) -> socket.AddressFamily:
    """That of its addresses."""
    is_old = len(self.guest) == _IPV4
    return socket.AF_INET if is_old else socket.AF_INET6


@dataclass(frozen=True, slots=True)
class Probe:
  """What a guest acknowledges.

  @ivar missing: the sequence number that it waits for

  """

  connection: Connection
  missing: int


def probe_of(packet: bytes) -> Probe | None:
  """What a packet is, which the guest has sent.

  @param packet: from the header of IPv4 or IPv6 on; it may be anything
  @return: None if it is more than an acknowledgment, or something else

  """
  version = packet[0] >> 4 if packet else 0
  if version == _IPV4:
    return _probe4(packet)
  if version == _IPV6:
    return _probe6(packet)
  return None


def _probe4(packet: bytes) -> Probe | None:
  length = (packet[0] & 0xF) * 4
  if length < _IPV4_LEAST or len(packet) < length + _TCP_LEAST:
    return None
  total, _, fragment = struct.unpack_from("!HHH", packet, 2)
  if packet[9] != _TCP or fragment & _FRAGMENT:
    return None
  # What is behind it fills up the shortest frame.
  segment = packet[length:total]
  return _acknowledgment(packet[12:16], packet[16:20], segment)


def _probe6(packet: bytes) -> Probe | None:
  if len(packet) < _IPV6_LENGTH + _TCP_LEAST or packet[6] != _TCP:
    return None
  (length,) = struct.unpack_from("!H", packet, 4)
  segment = packet[_IPV6_LENGTH : _IPV6_LENGTH + length]
  return _acknowledgment(packet[8:24], packet[24:40], segment)


def _acknowledgment(guest: bytes, peer: bytes, segment: bytes) -> Probe | None:
  if len(segment) < _TCP_LEAST:
    return None
  ours, theirs, _, missing = struct.unpack_from("!HHII", segment)
  if (segment[12] >> 4) * 4 != len(segment) or segment[13] & _FLAGS != _ACK:
    return None
  return Probe(Connection(guest, ours, peer, theirs), missing)


def message(probe: Probe) -> bytes:
  """The ICMP message for a probe's peer, from its type on.

  "Host unreachable"; for IPv6 "no route", with a checksum of 0, which is for
  the kernel to make (RFC 3542, 3.1).

  """
  ends = probe.connection
  addresses = ends.peer + ends.guest
  quoted = struct.pack("!HHI", ends.peer_port, ends.guest_port, probe.missing)
  if ends.family == socket.AF_INET6:
    head = struct.pack("!IHBB", 6 << 28, _TCP_LEAST, _TCP, _TTL)
    original = head + addresses + quoted
    return struct.pack("!BBHI", _UNREACHABLE6, _NO_ROUTE, 0, 0) + original
  length = _IPV4_LEAST + _TCP_LEAST
  head = struct.pack("!BBHHHBB", 0x45, 0, length, 0, 0, _TTL, _TCP)
  check = checksum(head + bytes(2) + addresses)
  original = head + struct.pack("!H", check) + addresses + quoted
  check = checksum(struct.pack("!BBHI", _UNREACHABLE, _HOST, 0, 0) + original)
  return struct.pack("!BBHI", _UNREACHABLE, _HOST, check, 0) + original
