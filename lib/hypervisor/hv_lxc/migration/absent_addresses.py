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

"""

import contextlib
import ipaddress
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import Failed
from ..host import Host, read_optional, write_file
from . import netns

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Pair = tuple[Address, Address]

_NOTE = "ganeti-absent-addresses.json"
_TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6")
# Of a line in them (proc_pid_net(5)), counted from 0.
_LOCAL, _REMOTE, _INODE = 1, 2, 9
_WORD = 8
_ANY_PORT, _DISCARD_PORT = 0, 9
_TIMEOUT_S = 20.0


def save(host: Host, init: int, images: Path) -> None:
  """Notes them among CRIU's images.

  @param init: the guest's process 1
  @raise OSError: its network cannot be entered

  """
  pairs: set[Pair] = set()
  for table in _TABLES:
    text = read_optional(host.proc / f"{init}/net/{table}")
    pairs.update(connected(text or ""))
  found = netns.inside(host, init, lambda: sorted(set(_absent(pairs))))
  write_file(images / _NOTE, json.dumps(found))


def connected(table: str) -> Iterator[Pair]:
  """Local and remote address of what is connected and belongs to a process.

  @param table: text of /proc/PID/net/tcp, or of one that is like it

  """
  for line in table.splitlines()[1:]:
    words = line.split()
    if len(words) > _INODE and words[_INODE] != "0":
      local, remote = _address(words[_LOCAL]), _address(words[_REMOTE])
      if not remote.is_unspecified:
        yield local, remote


def _address(text: str) -> Address:
  """From the words of memory, as this machine writes them in hexadecimal."""
  digits, _, _ = text.partition(":")
  words = [digits[i : i + _WORD] for i in range(0, len(digits), _WORD)]
  packed = b"".join(socket.htonl(int(w, 16)).to_bytes(4) for w in words)
  address = ipaddress.ip_address(packed)
  mapped = getattr(address, "ipv4_mapped", None)
  return mapped or address


def _absent(pairs: Iterable[Pair]) -> Iterator[str]:
  """In the network of the calling thread."""
  for local, remote in pairs:
    # What these are is known with the interface only.
    if local.is_link_local or remote.is_link_local:
      continue
    is_old = local.version == remote.version == 4  # noqa: PLR2004
    family = socket.AF_INET if is_old else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
      try:
        probe.bind((str(local), _ANY_PORT))
      except OSError:
        yield str(local)
      try:
        probe.connect((str(remote), _DISCARD_PORT))
      except OSError:
        yield str(remote)


def make_local(host: Host, init: int, images: Path) -> None:
  """Has the guest's network take what was noted for its own.

  @raise Failed: it cannot be done

  """
  _change(host, init, images, "add")


def give_up(host: Host, init: int, images: Path) -> None:
  """Undoes C{make_local}.

  @raise Failed: it cannot be done

  """
  _change(host, init, images, "del")


def _change(host: Host, init: int, images: Path, verb: str) -> None:
  addresses: Sequence[str] = json.loads(read_optional(images / _NOTE) or "[]")
  if not addresses:
    return
  batch = images / "ganeti-routes"
  lines = (
    f"route {verb} local {ipaddress.ip_address(a)} dev lo table local\n"
    for a in addresses
  )
  write_file(batch, "".join(lines))
  argv = ["nsenter", f"--net={host.proc}/{init}/ns/net", "ip", "-batch"]
  try:
    done = host.run([*argv, str(batch)], timeout_s=_TIMEOUT_S)
  finally:
    with contextlib.suppress(FileNotFoundError):
      batch.unlink()
  if done.failed:
    raise Failed(
      "The network of a guest cannot be prepared for connections with"
      f" {', '.join(addresses[:3])}",
      evidence=done.evidence(),
    )
