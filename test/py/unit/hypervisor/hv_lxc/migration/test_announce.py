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

import ipaddress
import json
import struct

import pytest
from ganeti.hypervisor.hv_lxc.migration import announce

MAC = bytes.fromhex("aa0000123456")


def link(**changes: object) -> dict[str, object]:
  return {
    "ifname": "eth0",
    "link_type": "ether",
    "flags": ["BROADCAST", "UP"],
    "address": "aa:00:00:12:34:56",
    "addr_info": [{"local": "192.0.2.2"}, {"local": "2001:db8::2"}],
    **changes,
  }


def test_one_frame_for_each_address() -> None:
  words = list(announce.frames(json.dumps([link()])))
  assert len(words) == 2
  assert all(word.startswith("eth0=") for word in words)


@pytest.mark.parametrize(
  "changes", [{"link_type": "loopback"}, {"flags": []}, {"addr_info": []}]
)
def test_links_that_say_nothing(changes: dict[str, object]) -> None:
  assert not list(announce.frames(json.dumps([link(**changes)])))


def test_nothing_listed() -> None:
  assert not list(announce.frames(""))


def test_arp_asks_for_the_guests_own_address() -> None:
  frame = announce.frame(MAC, ipaddress.IPv4Address("192.0.2.2"))
  assert frame.hex() == (
    "ffffffffffff"
    "aa0000123456"
    "0806"
    "0001080006040001"
    "aa0000123456"
    "c0000202"
    "000000000000"
    "c0000202"
  )


def test_advertisement_has_a_right_checksum() -> None:
  address = ipaddress.IPv6Address("2001:db8::2")
  frame = announce.frame(MAC, address)
  assert frame[:6].hex() == "333300000001"
  assert frame[12:14].hex() == "86dd"
  length, protocol, hops = struct.unpack_from("!HBB", frame, 18)
  body = frame[54:]
  assert (length, protocol, hops) == (len(body), 58, 255)
  pseudo = frame[22:54] + struct.pack("!II", length, protocol)
  words = struct.unpack(f"!{len(pseudo + body) // 2}H", pseudo + body)
  total = sum(words)
  while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
  assert total == 0xFFFF
  assert body[0] == 136
  assert body[8:24] == address.packed
  assert body[26:32] == MAC
