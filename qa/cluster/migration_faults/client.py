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


"""Starts the witness in the lab's network, outside of both nodes."""

import contextlib
import json
import pathlib
import subprocess
import sys
import time
from dataclasses import dataclass

from cluster.cluster import Cluster
from cluster.migration_faults import eyes
from cluster.migration_faults.acts import switch_argv
from ganeti_lab import command

_NUMBER = 250
_PAUSE_S = 0.01
# With the pause of above, answering took a third of an emulated processor.
_PAUSE_IN_MACHINE_S = 0.1


@dataclass(frozen=True)
class Account:
  """What the witness saw; see there."""

  connections: int
  received: int
  wrong: int
  stall: float
  error: str


class Client:
  """The witness."""

  def __init__(self, cluster: Cluster, address: str, port: int):
    own = f"{address.rpartition('.')[0]}.{_NUMBER}/24"
    # It has the address from the last run already.
    with contextlib.suppress(subprocess.CalledProcessError):
      subprocess.run(
        switch_argv(
          cluster.lab, ["ip", "address", "add", own, "dev", "switch"]
        ),
        check=True,
        capture_output=True,
        env=command.environment(),
      )
    in_machine = eyes.is_machine(cluster.master)
    pause_s = _PAUSE_IN_MACHINE_S if in_machine else _PAUSE_S
    program = str(pathlib.Path(__file__).with_name("witness.py"))
    argv = [sys.executable, "-u", program, address, str(port), str(pause_s)]
    self.longest = 0.0
    self._process = subprocess.Popen(
      switch_argv(cluster.lab, argv),
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def account(self) -> Account:
    """What was seen so far."""
    assert self._process.stdin
    assert self._process.stdout
    self._process.stdin.write("tell\n")
    self._process.stdin.flush()
    found = Account(**json.loads(self._process.stdout.readline()))
    self.longest = max(self.longest, found.stall)
    return found

  def goes_on(self, since: Account, within_s: float) -> bool:
    """Whether more comes back than there was."""
    deadline = time.monotonic() + within_s
    while self.account().received <= since.received + 1:
      if time.monotonic() > deadline:
        return False
      time.sleep(0.2)
    return True

  def end(self) -> None:
    """No more."""
    assert self._process.stdin
    self._process.stdin.close()
    self._process.wait(10)
    if self._process.stdout:
      self._process.stdout.close()
