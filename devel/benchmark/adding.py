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

"""gnt-instance add of the busybox guest as a whole."""

from collections.abc import Callable

from . import instance
from .figures import Figure, shares


def measure(rounds: int, progress: Callable[[str], None]) -> list[Figure]:
  """Adds, starts and removes an instance so many times."""
  spent, steps = [], []
  for number in range(rounds):
    progress(f"gnt-instance add {number + 1}/{rounds}")
    try:
      spent.append(instance.add(start=True))
      steps.append(instance.last_job())
    finally:
      instance.remove()
  parts = ", ".join(f"{n} {value:.2f}" for n, value in shares(steps).items())
  return [
    Figure(
      name="gnt-instance add -o busybox",
      unit="s",
      ours=tuple(spent),
      aim="below 3 s",
      limits=f"the job's steps in s: {parts}; the rest is the command itself",
    )
  ]
