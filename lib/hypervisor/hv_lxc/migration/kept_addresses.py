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

"""Has a guest keep its IPv6 addresses without asking whether they are taken.

The kernel asks for a second, from when the interface has a carrier, and until
then an address is "tentative" (RFC 4862, 5.4): nothing can be sent from it.
It would ask anew on the target, while the guest's peers wait.  An address with
the flag "nodad" is not asked for, and CRIU saves flags as they are.  So the
guest's get it before a dump; it was asked for each when it was set.

"""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import LxcError, one_line
from ..host import Host, write_file

_log = logging.getLogger(__name__)

# The names of the others may be read as something else by "ip -batch".
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
# It may be in use elsewhere, or has the flag.
_NOT = ("tentative", "dadfailed", "nodad")
# What a change takes away if it does not name it (inet6_addr_modify).
_FLAGS = ("home", "mngtmpaddr", "noprefixroute")
_TIMEOUT_S = 10.0


def keep(host: Host, name: str, init: int, batch: Path) -> None:
  """Sets the flag; that it does not work is no reason to fail.

  @param init: the guest's process 1
  @param batch: a file for the commands

  """
  enter = ["nsenter", f"--net={host.proc}/{init}/ns/net", "ip"]
  try:
    listed = host.run([*enter, "-json", "-6", "addr"], timeout_s=_TIMEOUT_S)
    lines = list(changes(listed.stdout))
    if not lines:
      return
    write_file(batch, "".join(f"{line}\n" for line in lines))
    done = host.run([*enter, "-force", "-batch", str(batch)])
    if done.failed:
      _log.warning("Instance %s: %s", name, done.evidence())
  except (LxcError, OSError, ValueError, KeyError, TypeError) as err:
    _log.warning("Instance %s: %s", name, one_line(repr(err)))
  finally:
    batch.unlink(missing_ok=True)


def changes(addresses: str) -> Iterator[str]:
  """What C{ip -batch} is to do, line by line.

  @param addresses: what C{ip -json -6 addr} says

  """
  for link in json.loads(addresses or "[]"):
    interface = str(link.get("ifname", ""))
    if "LOOPBACK" in link.get("flags", ()) or not _INTERFACE.fullmatch(
      interface
    ):
      continue
    for entry in link.get("addr_info", ()):
      if not any(entry.get(flag) for flag in _NOT) and "address" not in entry:
        yield _change(interface, entry)


def _change(interface: str, entry: dict[str, Any]) -> str:
  valid, preferred = entry["valid_life_time"], entry["preferred_life_time"]
  flags = " ".join(flag for flag in _FLAGS if entry.get(flag))
  return (
    f"addr change {entry['local']}/{entry['prefixlen']} dev {interface}"
    f" valid_lft {int(valid)} preferred_lft {int(preferred)} nodad {flags}"
  ).rstrip()
