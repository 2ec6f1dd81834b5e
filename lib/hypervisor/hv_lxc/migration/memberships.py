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
"""Which multicast groups a guest's sockets have joined, and how they send.

CRIU saves neither: of a socket of IP its images have IP_TTL, IP_TOS, IP_PKTINFO
and the like (criu/sk-inet.c, dump_ip_opts; images/sk-inet.proto), and
memberships are those of packet sockets only (criu/sk-packet.c).  A restored
socket hears its group no more, and nobody says so: each of two routers with
VRRP takes itself for the master, mDNS and OSPF fall silent.  What it sends has
one hop to go, as by default, and whoever minds that it has 255 drops it.

In a guest that has joined no group no socket is looked at.  Left out is what
is in a network within the guest's, where interfaces have other indexes.

"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import cgroup, hierarchies, procfs
from ..cgtree import TooManyGroupsError
from ..errors import one_line
from ..host import Host, read_optional, write_file
from . import multicast_sockets, multicast_tables, sockets

_log = logging.getLogger(__name__)

# The process and the descriptor, as the guest numbers them and CRIU will.
Noted = tuple[int, int, multicast_sockets.Said]

_NOTE = "ganeti-multicast.json"
_SIOCGSKNS = 0x894C
_CLOSED = (errno.EBADF, errno.ENOTSOCK, errno.ESRCH)
# A guest may have any number of sockets.
_MOST_NOTED = 4 << 20
_MOST_S = 10.0


def save(host: Host, name: str, init: int, images: Path) -> None:
  """Notes it among CRIU's images; the guest may run.

  @param init: the guest's process 1
  @raise OSError: its network cannot be looked into

  """
  found: list[Noted] = []
  groups = multicast_tables.joined(host, init)
  left, deadline = _MOST_NOTED, time.monotonic() + _MOST_S
  for noted in _look(host, name, init, groups, deadline) if groups else ():
    left -= len(json.dumps(noted))
    if left < 0:
      break
    found.append(noted)
  if left < 0 or time.monotonic() >= deadline:
    _log.warning("Instance %s has too many sockets to keep their groups", name)
  write_file(images / _NOTE, json.dumps(found))


def _look(
  host: Host,
  name: str,
  init: int,
  groups: Sequence[multicast_tables.Group],
  deadline: float,
) -> Iterator[Noted]:
  network = _network(host, init)
  seen: set[str] = set()
  for pid, here in _processes(host, name, init).items():
    if time.monotonic() >= deadline:
      return
    with contextlib.suppress(OSError), sockets.of(host, here) as its:
      for number, which in its.names().items():
        if which in seen or time.monotonic() >= deadline:
          continue
        with contextlib.suppress(OSError), its.duplicate(number) as one:
          seen.add(which)
          said = multicast_sockets.ask(one, groups)
          if said and _is_in(one, network):
            yield pid, number, said


def restore(host: Host, name: str, init: int, images: Path) -> None:
  """Has sockets join again; they are there, and no process runs yet.

  That one cannot is no reason to fail.

  @param init: the guest's process 1

  """
  # An older driver's images have none.
  noted = json.loads(read_optional(images / _NOTE) or "[]")
  errors: list[OSError] = []
  try:
    errors += _tell(host, name, init, noted) if noted else ()
  except OSError as err:
    errors.append(err)
  if errors:
    _log.warning(
      "Instance %s: not all sockets hear the multicast groups that they had"
      " joined (%d errors): %s",
      name,
      len(errors),
      one_line(str(errors[0])),
    )


def _tell(
  host: Host, name: str, init: int, noted: Iterable[Any]
) -> Iterator[OSError]:
  network = _network(host, init)
  processes = _processes(host, name, init)
  for pid, number, words in noted:
    said = multicast_sockets.Said(*words)
    # The guest ran on: the process may have ended, or have something else.
    if pid not in processes:
      continue
    try:
      its = sockets.of(host, processes[pid])
      with its as found, found.duplicate(number) as one:
        is_it = multicast_sockets.kind(one) == said.kind
        if is_it and _is_in(one, network):
          yield from multicast_sockets.tell(one, said)
    except OSError as err:
      if err.errno not in _CLOSED:
        yield err


def _processes(host: Host, name: str, init: int) -> dict[int, int]:
  """By the guest's numbers those of this node."""
  numbers = procfs.status(host.proc, init).get("NSpid", [])
  try:
    pids = cgroup.processes(hierarchies.find(host), name) if numbers else []
  except TooManyGroupsError as err:
    _log.warning(
      "Instance %s has too many groups: %s", name, one_line(str(err))
    )
    return {}
  found: dict[int, int] = {}
  for pid in pids:
    its = procfs.status(host.proc, pid).get("NSpid", [])
    # LXC's own have none in the guest.
    if len(its) >= len(numbers):
      found[int(its[len(numbers) - 1])] = pid
  return found


def _network(host: Host, init: int) -> os.stat_result:
  return (host.proc / f"{init}/ns/net").stat()


def _is_in(one: socket.socket, network: os.stat_result) -> bool:
  fd = fcntl.ioctl(one, _SIOCGSKNS)
  try:
    return os.path.samestat(os.fstat(fd), network)
  finally:
    os.close(fd)
