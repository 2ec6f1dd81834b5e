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

import struct

import pytest
from ganeti.hypervisor.hv_lxc.migration import route_dump

MAGIC = b"\x24\x12\x31\x45"
MAIN, LOCAL, OTHER = 254, 255, 100
KERNEL, BOOT = 2, 3
DEAD, LINKDOWN = 1, 16
GATEWAY, MULTIPATH, NEXT_HOP_OBJECT = 5, 9, 30
ONLINK = 4


def route(
  *attributes: bytes, table: int = OTHER, protocol: int = BOOT, flags: int = 0
) -> bytes:
  """As the kernel writes it (rtnetlink(7))."""
  body = struct.pack("=8BI", 2, 24, 0, 0, table, protocol, 0, 1, flags)
  body += b"".join(attributes)
  return struct.pack("=IHHII", 16 + len(body), 24, 2, 7, 4711) + body


def attribute(kind: int, value: bytes) -> bytes:
  padding = bytes(-len(value) % 4)
  return struct.pack("=HH", 4 + len(value), kind) + value + padding


def hop(flags: int, interface: int) -> bytes:
  gateway = attribute(GATEWAY, bytes((192, 0, 2, interface)))
  return struct.pack("=HBBi", 8 + len(gateway), flags, 0, interface) + gateway


def test_only_routes_that_nobody_else_makes() -> None:
  wanted = route(attribute(GATEWAY, b"abcd"))
  local = route(table=LOCAL)
  dump = MAGIC + route(table=MAIN) + wanted + local
  dump += route(table=LOCAL, protocol=KERNEL)
  assert route_dump.further(dump) == MAGIC + wanted + local


def test_nothing_to_do() -> None:
  assert route_dump.further(MAGIC + route(table=MAIN)) == b""
  assert route_dump.further(b"") == b""


def test_an_interface_without_carrier_is_not_told() -> None:
  dump = MAGIC + route(flags=LINKDOWN | DEAD | ONLINK)
  assert route_dump.restorable(dump) == MAGIC + route(flags=ONLINK)


def test_of_several_ways_those_that_there_are() -> None:
  dump = MAGIC + route(attribute(MULTIPATH, hop(LINKDOWN, 3) + hop(DEAD, 4)))
  wanted = MAGIC + route(attribute(MULTIPATH, hop(0, 3)))
  assert route_dump.restorable(dump) == wanted


def test_all_ways_where_there_is_none_at_present() -> None:
  dead = DEAD | LINKDOWN
  dump = MAGIC + route(attribute(MULTIPATH, hop(dead, 3) + hop(dead, 4)))
  wanted = MAGIC + route(attribute(MULTIPATH, hop(0, 3) + hop(0, 4)))
  assert route_dump.restorable(dump) == wanted


def test_an_object_that_is_not_saved_is_not_asked_for() -> None:
  gateway = attribute(GATEWAY, b"abcd")
  dump = MAGIC + route(attribute(NEXT_HOP_OBJECT, b"\5\0\0\0"), gateway)
  assert route_dump.restorable(dump) == MAGIC + route(gateway)


def test_what_is_restorable_stays_as_it_is() -> None:
  # A value of three bytes, which is padded.
  dump = MAGIC + route(attribute(3, b"abc")) + route(table=MAIN)
  assert route_dump.restorable(dump) == dump
  assert route_dump.restorable(route_dump.restorable(dump)) == dump


def test_two_dumps_as_one() -> None:
  one, other = MAGIC + route(), MAGIC + route(table=LOCAL)
  assert route_dump.join(one, other) == one + route(table=LOCAL)
  assert route_dump.join(b"", other) == other
  assert route_dump.join(one, b"") == one


@pytest.mark.parametrize("cut", [1, 3, 20, 36])
def test_a_dump_that_was_cut_off(cut: int) -> None:
  dump = MAGIC + route() + route(attribute(GATEWAY, b"abcd"))
  found = route_dump.restorable(dump[:-cut])
  assert found.startswith(MAGIC + route())


def test_lengths_that_cannot_be() -> None:
  empty = struct.pack("=IHHII", 0, 24, 2, 7, 4711) + bytes(12)
  assert route_dump.restorable(MAGIC + empty) == MAGIC
  odd = route(struct.pack("=HH", 0, GATEWAY))
  assert route_dump.restorable(MAGIC + odd) == MAGIC + route()
  hops = attribute(MULTIPATH, struct.pack("=HBBi", 0, 0, 0, 3))
  wanted = MAGIC + route(attribute(MULTIPATH, b""))
  assert route_dump.restorable(MAGIC + route(hops)) == wanted
