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
"""What one socket says of multicast, and what it is told.

The kernel does not list the groups that a socket has joined.  It tells whether
it has joined one, with the sources that it wants to hear or not
(MCAST_MSFILTER; ip_mc_gsfget in net/ipv4/igmp.c, ip6_mc_msfget in
net/ipv6/mcast.c).

To which interface a socket of IPv4 sends that was told an index cannot be
known: the kernel tells an address only (IP_MULTICAST_IF,
net/ipv4/ip_sockglue.c).

"""

import contextlib
import ctypes
import errno
import functools
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .multicast_tables import REQUEST, Group

# Level and number.
Option = tuple[int, int]

_LIBC = ctypes.CDLL(None)
_MCAST_JOIN_GROUP, _MCAST_MSFILTER = 42, 48
# A struct group_filter is a request, this, and sources: whether these are the
# ones to hear, and how many there are.
_MODE = struct.Struct("@II")
_HEADER = REQUEST.size + _MODE.size
_SOURCE = 128
# More cannot be set: net.core.optmem_max has long been 20 KiB.
_MOST_SOURCES = 150
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_TYPES = (socket.SOCK_DGRAM, socket.SOCK_RAW)
# The interface, hops, whether what is sent comes back, and whether groups are
# heard that another socket has joined (linux/in.h, linux/in6.h).
_OPTIONS = (
  *((socket.IPPROTO_IP, option) for option in (32, 33, 34, 49)),
  *((socket.IPPROTO_IPV6, option) for option in (17, 18, 19, 29)),
)


class Said(NamedTuple):
  """What is not as with a new socket.

  @ivar kind: family, type and protocol
  @ivar options: level, number, value
  @ivar groups: level, and a struct group_filter in hexadecimal

  """

  kind: Sequence[int]
  options: Sequence[tuple[int, int, int]]
  groups: Sequence[tuple[int, str]]


def ask(one: socket.socket, groups: Sequence[Group]) -> Said | None:
  """None if there is nothing to say.

  @param groups: what it may have joined

  """
  if one.family not in _FAMILIES or one.type not in _TYPES:
    return None
  usual = _usual(one.family)
  options = [
    (*option, value)
    for option, value in _values(one).items()
    if usual.get(option, value) != value
  ]
  joined = [
    (level, found.hex())
    for level, group in groups
    if (found := _membership(one, level, group))
  ]
  return Said(kind(one), options, joined) if options or joined else None


def kind(one: socket.socket) -> list[int]:
  """Family, type and protocol."""
  return [one.family, one.type, one.proto]


@functools.cache
def _usual(family: int) -> Mapping[Option, int]:
  """By family: a new one of IPv6 does not hear IPv4 that others joined."""
  with socket.socket(family, socket.SOCK_DGRAM) as new:
    return _values(new)


def _values(one: socket.socket) -> dict[Option, int]:
  found: dict[Option, int] = {}
  for option in _OPTIONS:
    # One of IPv4 has none of IPv6, and a raw one of IPv6 none of IPv4.
    with contextlib.suppress(OSError):
      found[option] = one.getsockopt(*option)
  return found


def _membership(one: socket.socket, level: int, group: bytes) -> bytes | None:
  """A struct group_filter; None if it has not joined the group.

  Python's getsockopt gives the kernel nothing to read.

  """
  size = _HEADER + _MOST_SOURCES * _SOURCE
  asked = group + _MODE.pack(0, _MOST_SOURCES)
  answer = ctypes.create_string_buffer(asked, size)
  length = ctypes.c_uint(size)
  refused = _LIBC.getsockopt(
    ctypes.c_int(one.fileno()),
    ctypes.c_int(level),
    ctypes.c_int(_MCAST_MSFILTER),
    answer,
    ctypes.byref(length),
  )
  if refused:
    return None
  _, count = _MODE.unpack_from(answer, REQUEST.size)
  return answer.raw[: _HEADER + min(count, _MOST_SOURCES) * _SOURCE]


def tell(one: socket.socket, said: Said) -> Iterator[OSError]:
  """Has it be as it was; yields what was refused."""
  for level, text in said.groups:
    try:
      _join(one, level, bytes.fromhex(text))
    except OSError as err:
      # It has joined.
      if err.errno != errno.EADDRINUSE:
        yield err
  for level, option, value in said.options:
    try:
      one.setsockopt(level, option, value)
    except OSError as err:
      yield err


def _join(one: socket.socket, level: int, wanted: bytes) -> None:
  one.setsockopt(level, _MCAST_JOIN_GROUP, wanted[: REQUEST.size])
  if len(wanted) > _HEADER:
    one.setsockopt(level, _MCAST_MSFILTER, wanted)
