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

"""Connections whose addresses the guest cannot reach or has no more.

They last: a lease ends, a temporary address of IPv6 is taken away, somebody
is banned by a "blackhole" route, and the connections stay as they are until
they time out.  A socket that is made again is bound and connected anew (CRIU,
soccr/soccr.c), and that fails for good, on either node, where the kernel finds
no way (EADDRNOTAVAIL, EINVAL, ENETUNREACH, EHOSTUNREACH, EACCES).  While
sockets are made the guest's network therefore has such addresses as its own.

Which ones these are is tried where sockets are about to be made, for there are
fewer ways than where the guest ran: interfaces have no carrier yet, which
ignore_routes_with_linkdown minds.  For some connections there is no way at all,
nor for sockets bound to some groups of IPv6 (L{check}).

"""

import ipaddress
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import Refused
from ..host import Host, read_optional, write_file
from . import netns

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Pair = tuple[Address, Address]

_NOTE = "ganeti-connections.json"
_MADE = "ganeti-absent-addresses.json"
_TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6")
# Of a line in them (proc_pid_net(5)), counted from 0.
_LOCAL, _REMOTE, _INODE = 1, 2, 9
_WORD = 8
_ANY_PORT, _DISCARD_PORT = 0, 9
_EVERYBODY = ipaddress.IPv4Address("255.255.255.255")
# RFC 4291, 2.7: interface-local and link-local.
_NEAR_SCOPES = (1, 2)
# Who has set a route (rtnetlink(7)); those below are in use or reserved.
_PROTOCOL = 239


def check(host: Host, name: str, init: int) -> set[Pair]:
  """Looks for sockets that CRIU can never make again.

  It connects before it sets options: that of a socket that may send to all
  (SO_BROADCAST), and an interface, which an address of one link needs.  It
  binds without one to a group of one link or interface (ff02::fb), which fails
  with EINVAL: what is to tell it that one is needed misses them by a mask
  (criu/sk-inet.c, needs_scope_id).  Single addresses are bound as they were.

  @param init: the guest's process 1
  @return: the addresses of all connections
  @raise Refused: there is one

  """
  found: set[Pair] = set()
  for table in _TABLES:
    for local, remote in _owned(host, init, table):
      if _is_near(local) and local.is_multicast:
        raise _refusal(name, f"its socket bound to {local}", table)
      if remote.is_unspecified:
        continue
      if is_hopeless(table, local, remote):
        what = f"its connection from {local} to {remote}"
        raise _refusal(name, what, table)
      found.add((local, remote))
  return found


def _refusal(name: str, what: str, table: str) -> Refused:
  return Refused(
    f"Instance {name} cannot be migrated live",
    evidence=f"CRIU cannot make again {what} (/proc/net/{table})",
    remedy="end it and try again; gnt-instance failover moves the instance"
    " with a restart",
  )


def is_hopeless(table: str, local: Address, remote: Address) -> bool:
  """Whether CRIU cannot make such a connection, whatever the network is.

  @param table: the name of the one in /proc/net that has it

  """
  if table.startswith("raw"):
    return False
  if remote.version == 4:  # noqa: PLR2004
    return remote == _EVERYBODY
  if table.startswith("tcp"):
    return _is_near(local) or _is_near(remote)
  # The interface is known from the local address.
  return _is_near(remote) and not _is_near(local)


def _is_near(address: Address) -> bool:
  """Whether it says nothing without an interface."""
  if address.version == 4:  # noqa: PLR2004
    return False
  scope = address.packed[1] & 0xF
  return address.is_link_local or (
    address.is_multicast and scope in _NEAR_SCOPES
  )


def save(host: Host, name: str, init: int, images: Path) -> None:
  """Notes the guest's connections among CRIU's images.

  @param init: the guest's process 1
  @raise Refused: one of them can never be made again

  """
  pairs = check(host, name, init)
  text = json.dumps([(str(local), str(remote)) for local, remote in pairs])
  write_file(images / _NOTE, text)


def _owned(host: Host, init: int, table: str) -> Iterator[Pair]:
  return owned(read_optional(host.proc / f"{init}/net/{table}") or "")


def owned(table: str) -> Iterator[Pair]:
  """Local and remote address of what belongs to a process.

  @param table: text of /proc/PID/net/tcp, or of one that is like it
  @return: what is not connected has no remote one (C{is_unspecified})

  """
  for line in table.splitlines()[1:]:
    words = line.split()
    if len(words) > _INODE and words[_INODE] != "0":
      yield _address(words[_LOCAL]), _address(words[_REMOTE])


def _address(text: str) -> Address:
  """From the words of memory, as this machine writes them in hexadecimal."""
  digits, _, _ = text.partition(":")
  words = [digits[i : i + _WORD] for i in range(0, len(digits), _WORD)]
  packed = b"".join(socket.htonl(int(w, 16)).to_bytes(4) for w in words)
  address = ipaddress.ip_address(packed)
  mapped = getattr(address, "ipv4_mapped", None)
  return mapped or address


def absent(pairs: Iterable[Pair]) -> list[str]:
  """What is to be the guest's own, in the network of the calling thread.

  Both ends: which one it is cannot be told where sockets may be bound to
  anything.  What is there already is not harmed by it.

  """
  found: set[str] = set()
  for pair in pairs:
    # What these are is known with the interface only.
    if not any(map(_is_near, pair)) and not _can_connect(*pair):
      found.update(str(end) for end in pair if not end.is_unspecified)
  return sorted(found)


def _can_connect(local: Address, remote: Address) -> bool:
  is_old = local.version == remote.version == 4  # noqa: PLR2004
  family = socket.AF_INET if is_old else socket.AF_INET6
  try:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
      probe.bind((str(local), _ANY_PORT))
      probe.connect((str(remote), _DISCARD_PORT))
  except OSError:
    return False
  return True


def make_local(host: Host, name: str, init: int, images: Path) -> None:
  """Has the guest's network take for its own what it finds no way for.

  That it does not work is no reason to fail: CRIU may do without.

  @raise OSError: its network cannot be entered

  """
  noted = json.loads(read_optional(images / _NOTE) or "[]")
  pairs = [
    (ipaddress.ip_address(local), ipaddress.ip_address(remote))
    for local, remote in noted
  ]
  found = netns.inside(host, init, lambda: absent(pairs)) if pairs else []
  write_file(images / _MADE, json.dumps(found))
  # Before others: there may be one, for a broadcast address for example.
  _change(host, name, init, images, "prepend")


def give_up(host: Host, name: str, init: int, images: Path) -> None:
  """Undoes C{make_local}."""
  _change(host, name, init, images, "del")


def _change(host: Host, name: str, init: int, images: Path, verb: str) -> None:
  addresses: Sequence[str] = json.loads(read_optional(images / _MADE) or "[]")
  lines = [
    f"route {verb} local {ipaddress.ip_address(a)} dev lo table local"
    f" proto {_PROTOCOL}"
    for a in addresses
  ]
  netns.ip_batch(host, name, init, images / "ganeti-routes", lines)
