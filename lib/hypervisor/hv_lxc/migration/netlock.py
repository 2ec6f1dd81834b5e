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

"""Gives a guest back its network when CRIU was killed.

During a dump CRIU holds the guest's packets back by firewall rules in the
guest's own network namespace, and its TCP sockets are in repair mode, in
which the kernel sends nothing for them (tcp(7), TCP_REPAIR).  CRIU takes
both back when a dump fails; when it is killed both stay, and the guest is
cut off from the network for good.

"""

import contextlib
import ctypes
import json
import logging
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from .. import cgroup
from ..errors import Failed, one_line
from ..hierarchies import Hierarchies
from ..host import Host

_log = logging.getLogger(__name__)

# nftables.c: "inet CRIU-" and an identifier of the run.
_TABLE = re.compile(r"CRIU-[A-Za-z0-9-]{1,64}")
# netfilter.c, iptables_network_lock_internal
_CHAIN = "CRIU"
_SYS_PIDFD_GETFD = 438
_TCP_REPAIR = 19
_MAX_FDS = 100_000
_TIMEOUT_S = 20.0


def release(host: Host, trees: Hierarchies, name: str, init: int) -> None:
  """Takes away CRIU's rules, and repair mode from all TCP sockets.

  @param init: the guest's process 1
  @raise Failed: the rules cannot be taken away

  """
  _delete_rules(host, name, init)
  for pid in cgroup.processes(trees, name):
    _end_repair(host, pid)


def _delete_rules(host: Host, name: str, init: int) -> None:
  enter = ["nsenter", f"--net={host.proc}/{init}/ns/net"]
  for table in _tables(host, enter):
    result = host.run(
      [*enter, "nft", "delete", "table", "inet", table], timeout_s=_TIMEOUT_S
    )
    if result.failed:
      raise Failed(
        f"Instance {name} is cut off from its network",
        evidence=result.evidence(),
        remedy="take away the table with nft inside the instance",
      )
  for program in ("iptables", "ip6tables"):
    _delete_chain(host, name, [*enter, program, "-w"])


def _tables(host: Host, enter: list[str]) -> list[str]:
  """CRIU's tables; the guest may have made others of any name."""
  result = host.run([*enter, "nft", "-j", "list", "tables"])
  if result.failed:
    _log.info("%s", result.evidence())
    return []
  with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
    entries = json.loads(result.stdout)["nftables"]
    tables = [e["table"] for e in entries if "table" in e]
    names = [str(t["name"]) for t in tables if t["family"] == "inet"]
    return [n for n in names if _TABLE.fullmatch(n)]
  _log.warning("nft answered %s", one_line(result.stdout))
  return []


def _delete_chain(host: Host, name: str, tables: list[str]) -> None:
  if host.run([*tables, "-n", "-L", _CHAIN], timeout_s=_TIMEOUT_S).failed:
    return
  for base in ("INPUT", "OUTPUT"):
    host.run([*tables, "-D", base, "-j", _CHAIN], timeout_s=_TIMEOUT_S)
  host.run([*tables, "-F", _CHAIN], timeout_s=_TIMEOUT_S)
  result = host.run([*tables, "-X", _CHAIN], timeout_s=_TIMEOUT_S)
  if result.failed:
    raise Failed(
      f"Instance {name} is cut off from its network",
      evidence=result.evidence(),
      remedy="take away the chain CRIU with iptables inside the instance",
    )


def _end_repair(host: Host, pid: int) -> None:
  try:
    pidfd = os.pidfd_open(pid)
  except OSError:
    return
  try:
    for number in _sockets(host, pid):
      _end_repair_of(pidfd, number)
  finally:
    os.close(pidfd)


def _sockets(host: Host, pid: int) -> Iterable[int]:
  found: list[int] = []
  with contextlib.suppress(OSError), os.scandir(host.proc / f"{pid}/fd") as fds:
    for entry in fds:
      with contextlib.suppress(OSError):
        if str(Path(entry.path).readlink()).startswith("socket:"):
          found.append(int(entry.name))
      if len(found) >= _MAX_FDS:
        break
  return found


def _end_repair_of(pidfd: int, number: int) -> None:
  """Ends repair mode as CRIU does, by a duplicate of the descriptor."""
  libc = ctypes.CDLL(None, use_errno=True)
  # pidfd_getfd(2), Linux 5.6; Python has no function for it.
  fd = libc.syscall(
    ctypes.c_long(_SYS_PIDFD_GETFD),
    ctypes.c_int(pidfd),
    ctypes.c_int(number),
    ctypes.c_uint(0),
  )
  if fd < 0:
    return
  with contextlib.suppress(OSError), socket.socket(fileno=fd) as duplicate:
    if duplicate.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR) == 1:
      duplicate.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
