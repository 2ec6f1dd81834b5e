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


"""A slower clock for machines whose processors are emulated.

What waits for an answer gives it up after some seconds: Ganeti a node's
daemon that has not taken a connection in five (_RPC_CONNECT_TIMEOUT in
ganeti/rpc/node.py). An emulated processor that has something else to do needs
longer. Where the clocks of all machines of a lab run N times slower than the
host's, each is a machine N times as fast in a network N times as slow, and no
such limit has to be changed.

QEMU takes what it tells its machine of the time from clock_gettime(2), where
libfaketime can stand between, but for the TSC, which is the host's: a Linux
measures it by the other clocks when it boots, and a saved machine goes on
only with the clock it was booted with.
"""

from __future__ import annotations

import pathlib
import time

PACKAGE = "libfaketime"
_LIBRARY = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


def is_there() -> bool:
  """Whether the host has what it takes."""
  return _LIBRARY.exists()


def slowed(slowness: int) -> list[str]:
  """What stands before a program whose clock is to be slower.

  @param slowness: the host's seconds in one of the program's

  """
  if slowness == 1:
    return []
  rate = f"FAKETIME=+0 x{1 / slowness:.6f}"
  return ["/usr/bin/env", f"LD_PRELOAD={_LIBRARY}", rate]


def now(slowness: int, begun: float) -> float:
  """What the clocks of a lab's machines show, in seconds since the epoch.

  @param begun: when the lab was, by the host's clock

  """
  return begun + (time.time() - begun) / slowness
