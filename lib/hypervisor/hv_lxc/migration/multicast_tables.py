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
"""Which multicast groups somebody in a guest has joined; by interface.

The kernel counts the sockets that have joined a group, and does not tell which
they are.  What it joins by itself, for each interface and for each address of
IPv6, is left out.

"""

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator

from ..host import Host

# Level of socket options, and a struct group_req (linux/in.h).
Group = tuple[int, bytes]

# The interface's index and a sockaddr_storage, which a long is aligned as.
REQUEST = struct.Struct("@I0l128s")
# A guest may have any number.
_LARGEST_TABLE = 4 << 20
_MOST = 1000
# Of all hosts, which the kernel joins for each interface.
_OF_ALL = {ipaddress.ip_address(a) for a in ("224.0.0.1", "ff01::1", "ff02::1")}
# One for each address (RFC 4291, 2.7.1).
_SOLICITED = ipaddress.ip_network("ff02::1:ff00:0/104")


def joined(host: Host, init: int) -> list[Group]:
  """What sockets can have joined in the guest's network.

  @param init: the guest's process 1

  """
  found = [
    *of_ipv4(_read(host, init, "igmp")),
    *of_ipv6(_read(host, init, "igmp6")),
  ]
  return found[:_MOST]


def _read(host: Host, init: int, table: str) -> str:
  """Its whole lines; none with a kernel that has no IPv6."""
  try:
    with (host.proc / f"{init}/net/{table}").open("rb") as stream:
      text = stream.read(_LARGEST_TABLE).decode("ascii", "replace")
  except OSError:
    return ""
  return text[: text.rfind("\n") + 1]


def of_ipv4(table: str) -> Iterator[Group]:
  """From /proc/net/igmp: a line for an interface, then one for each group."""
  index = 0
  for line in table.splitlines()[1:]:
    words = line.split()
    if line[:1].isdigit():
      index = int(words[0])
      continue
    # As this machine has the words of memory.
    group = int(words[0], 16).to_bytes(4, sys.byteorder)
    if _is_wanted(group, int(words[1])):
      address = struct.pack("@HH4s", socket.AF_INET, 0, group)
      yield socket.IPPROTO_IP, REQUEST.pack(index, address)


def of_ipv6(table: str) -> Iterator[Group]:
  """From /proc/net/igmp6: index, interface, group, users."""
  for line in table.splitlines():
    index, _, digits, users, *_ = line.split()
    group = bytes.fromhex(digits)
    if _is_wanted(group, int(users)):
      address = struct.pack("@HHI16s", socket.AF_INET6, 0, 0, group)
      yield socket.IPPROTO_IPV6, REQUEST.pack(int(index), address)


def _is_wanted(packed: bytes, users: int) -> bool:
  """Whether others than the kernel may have joined a group."""
  group = ipaddress.ip_address(packed)
  return users > 1 if group in _OF_ALL else group not in _SOLICITED
