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

"""A further cluster of one node, as a lab of its own beside the tests'."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator

from cluster.cluster import Cluster, Node

_LAB = pathlib.Path(__file__).resolve().parents[1] / "lab"
# An image that is built for it is built once.
_TIMEOUT_S = 1200


@contextlib.contextmanager
def cluster(name: str, *options: str) -> Iterator[Cluster]:
  """One that is there for a while.

  @param name: of its lab
  @param options: of "qa/lab up"

  """
  lab(name, "down")
  try:
    lab(name, "up", "--nodes", "1", *options)
    yield Cluster(name, (Node(name, "node1"),))
  finally:
    lab(name, "down")


def lab(name: str, *argv: str) -> None:
  """Runs qa/lab, which has to succeed."""
  done = subprocess.run(
    ["/usr/bin/python3", str(_LAB), "--name", name, *argv],
    capture_output=True,
    text=True,
    timeout=_TIMEOUT_S,
  )
  assert done.returncode == 0, done.stdout + done.stderr
