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

import socket
import struct

import pytest
from ganeti.hypervisor.hv_lxc.migration import unreachable
from ganeti.hypervisor.hv_lxc.migration.checksum import checksum
from ganeti.hypervisor.hv_lxc.migration.unreachable import Connection, Probe
from hypothesis import given
from hypothesis import strategies as st

GUEST4, PEER4 = bytes([192, 0, 2, 2]), bytes([192, 0, 2, 9])
GUEST6 = socket.inet_pton(socket.AF_INET6, "2001:db8::2")
PEER6 = socket.inet_pton(socket.AF_INET6, "2001:db8::9")
ACK, PSH_ACK, RST_ACK, SYN_ACK = 0x10, 0x18, 0x14, 0x12
# Timestamps, as the kernel sends them with everything.
OPTIONS = bytes.fromhex("0101080a0000000100000002")


def segment(
  flags: int = ACK, options: bytes = OPTIONS, data: bytes = b""
) -> bytes:
  offset = (20 + len(options)) // 4 << 4
  head = struct.pack(
    "!HHIIBBHHH", 7000, 40000, 5, 4_000_000_000, offset, flags, 500, 0, 0
  )
  return head + options + data


def packet4(
  payload: bytes, protocol: int = 6, fragment: int = 0x4000, more: bytes = b""
) -> bytes:
  words = (5 + len(more) // 4) | 0x40
  length = 20 + len(more) + len(payload)
  head = struct.pack(
    "!BBHHHBBH", words, 0, length, 7, fragment, 64, protocol, 0
  )
  return head + GUEST4 + PEER4 + more + payload


def packet6(payload: bytes, protocol: int = 6) -> bytes:
  head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
  return head + GUEST6 + PEER6 + payload


ENDS4 = Connection(GUEST4, 7000, PEER4, 40000)
ENDS6 = Connection(GUEST6, 7000, PEER6, 40000)


@pytest.mark.parametrize(
  ("packet", "ends"),
  [
    (packet4(segment()), ENDS4),
    (packet4(segment(options=b"")), ENDS4),
    (packet4(segment(), more=bytes(8)), ENDS4),
    # An Ethernet frame has 46 bytes at least.
    (packet4(segment(options=b"")) + bytes(6), ENDS4),
    (packet6(segment()), ENDS6),
  ],
)
def test_an_acknowledgment_without_data(
  packet: bytes, ends: Connection
) -> None:
  assert unreachable.probe_of(packet) == Probe(ends, 4_000_000_000)


@pytest.mark.parametrize(
  "packet",
  [
    b"",
    packet4(segment())[:39],
    packet6(segment())[:59],
    packet4(segment(data=b"x")),
    packet6(segment(data=b"x")),
    packet4(segment(flags=PSH_ACK)),
    packet4(segment(flags=RST_ACK)),
    packet4(segment(flags=SYN_ACK)),
    packet4(segment(), protocol=17),
    packet6(segment(), protocol=17),
    packet4(segment(), fragment=0x2000),
    packet4(segment(), fragment=1),
    b"\x41" + packet4(segment())[1:],
  ],
)
def test_what_else_a_guest_sends_says_nothing(packet: bytes) -> None:
  assert unreachable.probe_of(packet) is None


@given(st.binary(max_size=128))
def test_a_guest_may_send_anything(packet: bytes) -> None:
  unreachable.probe_of(packet)


def test_host_unreachable_quotes_the_segment_that_is_missing() -> None:
  text = unreachable.message(Probe(ENDS4, 4_000_000_000))
  assert text[:2] == bytes([3, 1])
  quoted = text[8:]
  assert checksum(text) == 0
  assert checksum(quoted[:20]) == 0
  assert quoted[12:20] == PEER4 + GUEST4
  assert struct.unpack("!HHI", quoted[20:]) == (40000, 7000, 4_000_000_000)


def test_no_route_for_ipv6() -> None:
  text = unreachable.message(Probe(ENDS6, 17))
  assert text[:2] == bytes([1, 0])
  quoted = text[8:]
  assert quoted[8:40] == PEER6 + GUEST6
  assert struct.unpack("!HHI", quoted[40:]) == (40000, 7000, 17)
