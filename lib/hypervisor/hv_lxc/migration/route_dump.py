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

"""Routes, as C{ip route save} writes them; no I/O.

Four bytes, and then the kernel's messages of routing (rtnetlink(7)): a header
of 16 bytes with the message's length, 12 bytes about the route (struct rtmsg),
and attributes.  Multiples of 4 bytes, in the order of this machine's bytes.

"""

import struct
from collections.abc import Iterator

_MAGIC = 4
_WORD = struct.Struct("=I")
_TABLE, _PROTOCOL, _FLAGS = 20, 21, 24
_ATTRIBUTES = 28
_ATTRIBUTE = struct.Struct("=HH")
_NEXT_HOP = struct.Struct("=HBBi")
_HOP_FLAGS = 2
_MULTIPATH, _NEXT_HOP_OBJECT = 9, 30
_TABLE_MAIN = 254
_PROTOCOL_KERNEL = 2
_DEAD, _LINKDOWN = 0x01, 0x10


def restorable(dump: bytes) -> bytes:
  """The same routes, without what the kernel does not let anybody say.

  That an interface has no carrier is a flag of each route over it, and a route
  with the flag is refused (EINVAL; net/ipv4/fib_semantics.c).  So is one over
  several interfaces of which one is down.  A route by way of a nexthop object
  says where it goes, too, and CRIU saves no such objects.

  """
  return dump[:_MAGIC] + b"".join(map(_restorable, _messages(dump)))


def further(dump: bytes) -> bytes:
  """Those that CRIU leaves out, and which the kernel does not make by itself.

  @param dump: the routes of all tables
  @return: empty if there is none

  """
  found = b"".join(
    message
    for message in _messages(dump)
    if message[_TABLE] != _TABLE_MAIN and message[_PROTOCOL] != _PROTOCOL_KERNEL
  )
  return restorable(dump[:_MAGIC] + found) if found else b""


def join(first: bytes, second: bytes) -> bytes:
  """Both as one dump."""
  return first + second[_MAGIC:] if first else second


def _messages(dump: bytes) -> Iterator[bytes]:
  at = _MAGIC
  while at + _ATTRIBUTES <= len(dump):
    (length,) = _WORD.unpack_from(dump, at)
    if length < _ATTRIBUTES:
      return
    yield dump[at : at + _aligned(length)]
    at += _aligned(length)


def _restorable(message: bytes) -> bytes:
  changed = bytearray(message[:_ATTRIBUTES])
  (flags,) = _WORD.unpack_from(changed, _FLAGS)
  _WORD.pack_into(changed, _FLAGS, flags & ~(_DEAD | _LINKDOWN))
  for kind, value in _attributes(message):
    if kind == _MULTIPATH:
      changed += _attribute(kind, _living(value))
    elif kind != _NEXT_HOP_OBJECT:
      changed += _attribute(kind, value)
  _WORD.pack_into(changed, 0, len(changed))
  return bytes(changed)


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
  at = _ATTRIBUTES
  while at + _ATTRIBUTE.size <= len(message):
    length, kind = _ATTRIBUTE.unpack_from(message, at)
    if length < _ATTRIBUTE.size:
      return
    yield kind, message[at + _ATTRIBUTE.size : at + length]
    at += _aligned(length)


def _attribute(kind: int, value: bytes) -> bytes:
  length = _ATTRIBUTE.size + len(value)
  padding = bytes(_aligned(length) - length)
  return _ATTRIBUTE.pack(length, kind) + value + padding


def _living(hops: bytes) -> bytes:
  """Of several ways those that there are; all, if there is none.

  Where a carrier is minded (ignore_routes_with_linkdown), one without is dead.

  """
  found = [bytearray(hop) for hop in _next_hops(hops)]
  living = [hop for hop in found if not hop[_HOP_FLAGS] & _DEAD] or found
  for hop in living:
    hop[_HOP_FLAGS] &= ~(_DEAD | _LINKDOWN)
  return b"".join(living)


def _next_hops(hops: bytes) -> Iterator[bytes]:
  at = 0
  while at + _NEXT_HOP.size <= len(hops):
    length = _NEXT_HOP.unpack_from(hops, at)[0]
    if length < _NEXT_HOP.size:
      return
    yield hops[at : at + _aligned(length)]
    at += _aligned(length)


def _aligned(length: int) -> int:
  return (length + 3) & ~3
