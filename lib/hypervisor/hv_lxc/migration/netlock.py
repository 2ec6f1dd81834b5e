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

"""Gives a guest back its network where CRIU does not.

During a dump CRIU holds the guest's packets back by firewall rules in the
guest's own network namespace, and its TCP sockets are in repair mode, in
which the kernel sends nothing for them (tcp(7), TCP_REPAIR).  CRIU takes
both back when a dump fails; when it is killed both stay, and the guest is
cut off from the network for good.

What CRIU up to 4.0 has locked by nftables stays locked after a restore: the
table is dumped and restored with the guest's own, and has the number that
process 1 had on the other node in its name, but CRIU deletes the table with
the number of this node (mended in 4.1 by its commit f83931542).

"""

import contextlib
import json
import logging
import re
import socket
from pathlib import Path

from .. import cgroup
from ..errors import Failed, one_line
from ..hierarchies import Hierarchies
from ..host import Host
from . import netns, sockets

_log = logging.getLogger(__name__)

# nftables.c: "inet CRIU-" and an identifier of the run.
_TABLE = re.compile(r"CRIU-[A-Za-z0-9-]{1,64}")
# What CRIU up to 4.0 called it, in what nft printed at the dump.
_OLD_TABLE = re.compile(rb"^table inet (CRIU-[0-9]{1,10}) \{", re.MULTILINE)
_OLD_IMAGES = "nftables-*.img"
_LARGEST_RULES = 16 << 20
# A guest may have made some that are named so.
_MOST_TABLES = 8
# netfilter.c, iptables_network_lock_internal
_CHAIN = "CRIU"
_TCP_REPAIR = 19
_TIMEOUT_S = 20.0


def release(host: Host, trees: Hierarchies, name: str, init: int) -> None:
  """Takes away CRIU's rules, and repair mode from all TCP sockets.

  @param init: the guest's process 1
  @raise Failed: the rules cannot be taken away

  """
  _delete_rules(host, name, init)
  for pid in cgroup.processes(trees, name):
    _end_repair(host, pid)


def end_restored(host: Host, images: Path, name: str, init: int) -> None:
  """Takes away the rules that an old CRIU has restored and forgotten.

  @param images: what was restored
  @param init: the guest's process 1
  @raise Failed: they cannot be taken away

  """
  for table in _old_tables(images)[:_MOST_TABLES]:
    _delete_table(host, name, netns.nsenter(host, init), table)


def _old_tables(images: Path) -> list[str]:
  found: list[str] = []
  for path in images.glob(_OLD_IMAGES):
    with path.open("rb") as rules:
      text = rules.read(_LARGEST_RULES)
    found += [table.decode() for table in _OLD_TABLE.findall(text)]
  return found


def _delete_rules(host: Host, name: str, init: int) -> None:
  enter = netns.nsenter(host, init)
  for table in _tables(host, enter):
    _delete_table(host, name, enter, table)
  for program in ("iptables", "ip6tables"):
    _delete_chain(host, name, [*enter, program, "-w"])


def _delete_table(host: Host, name: str, enter: list[str], table: str) -> None:
  result = host.run(
    [*enter, "nft", "delete", "table", "inet", table], timeout_s=_TIMEOUT_S
  )
  if result.failed:
    raise Failed(
      f"Instance {name} is cut off from its network",
      evidence=result.evidence(),
      remedy="take away the table with nft inside the instance",
    )


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
  """Ends repair mode as CRIU does, by duplicates of the descriptors."""
  with contextlib.suppress(OSError), sockets.of(host, pid) as found:
    for number in found.names():
      with contextlib.suppress(OSError), found.duplicate(number) as duplicate:
        if duplicate.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR) == 1:
          duplicate.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
