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

"""Waiting for live migrations to and from this node."""

import os
import sys
import time

from .errors import ToolError

SHARE = "/usr/share/ganeti/default"
FORCE = "GANETI_LXC_RESTART"
# Nobody who upgrades a node takes so long a silence for a program that hangs;
# a guest of 16 GiB moves in it at the default speed of 32 MiB/s.
LIMIT_S = 600.0
_LOOK_S = 1.0


def under_way(share: str = SHARE) -> list[str]:
  """What the driver says of them, one each; nothing if it cannot be asked.

  @param share: where the version of Ganeti in use has its modules

  """
  if share not in sys.path:
    sys.path.insert(0, share)
  try:
    from ganeti.hypervisor.hv_lxc.migration import underway  # noqa: PLC0415
    from ganeti.hypervisor.hv_lxc.this_node import (  # noqa: PLC0415
      local_host,
    )

    return [str(one) for one in underway.under_way(local_host(), time.time())]
  except Exception as err:  # noqa: BLE001 - nothing of it must stop dpkg
    print(
      f"Whether an instance is being migrated cannot be told: {err!r}",
      file=sys.stderr,
    )
    return []


def wait(purpose: str, again: str) -> None:
  """Returns when this node has a part in none.

  @param purpose: what is done then
  @param again: how it is begun anew
  @raise ToolError: there was one all the time

  """
  if os.environ.get(FORCE) == "anyway":
    return
  told: list[str] = []
  waited_s = 0.0
  while found := under_way():
    if waited_s >= LIMIT_S:
      raise ToolError(
        f"{'; '.join(found)}: still so after {_minutes(LIMIT_S)}, and {purpose}"
        " would make Ganeti give a migration up. The driver in use goes on as"
        f" it is. When that is over {again}, or set {FORCE}=anyway: the"
        " instance runs on, and gnt-instance migrate --cleanup brings Ganeti's"
        " view in order"
      )
    if found != told:
      left = _minutes(LIMIT_S - waited_s)
      print(
        f"{'; '.join(found)}: waiting, {left} at most, for {purpose}",
        flush=True,
      )
      told = found
    time.sleep(_LOOK_S)
    waited_s += _LOOK_S


def _minutes(seconds: float) -> str:
  whole = max(1, round(seconds / 60))
  return f"{whole} minute{'s' if whole > 1 else ''}"
