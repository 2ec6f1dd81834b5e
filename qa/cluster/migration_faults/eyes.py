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


"""How a node is looked at: from this machine, or by a program there."""

import functools
import json
import pathlib
import subprocess
import threading
import time
from typing import Any, cast

from cluster.cluster import CommandError, Node
from cluster.migration_faults.looking import Looking
from ganeti_lab import command, state
from ganeti_lab.errors import LabError
from ganeti_lab.vm_node import VmNode

# A node whose power was cut has to boot before it can be asked.
_BOOT_S = 900.0
_AGAIN_S = 2.0
_SLOWNESS = 3


def is_machine(node: Node) -> bool:
  """Whether it has a kernel of its own."""
  return isinstance(node.seen, VmNode)


def is_off(node: Node) -> bool:
  """Whether its power is cut."""
  return is_machine(node) and node.seen.pid is None


def clock(node: Node) -> int:
  """How much slower its clock runs than that of this program."""
  record = state.load(node.seen.lab) if is_machine(node) else None
  return record.slowness if record else 1


def slowness(node: Node) -> int:
  """How much longer all takes on an emulated processor.

  What computes does not for a slow clock, and what sleeps does for that alone.

  """
  return _SLOWNESS + clock(node) - 1 if is_machine(node) else 1


def program(name: str) -> str:
  """A module of this directory as text: the node's own copy may be older."""
  return pathlib.Path(__file__).with_name(f"{name}.py").read_text()


def resident(node: Node, name: str, *argv: str) -> "subprocess.Popen[str]":
  """Starts a module of this directory in a node; it ends with its input."""
  return subprocess.Popen(
    node.seen.argv(["python3", "-uc", program(name), *argv]),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=command.environment(),
    text=True,
  )


class _Asking:
  """Has a program in the node do it; begins it anew when it is gone."""

  def __init__(self, node: Node):
    self._node = node
    self._process: subprocess.Popen[str] | None = None
    self._one_at_a_time = threading.RLock()

  def __getattr__(self, name: str) -> Any:
    return functools.partial(self._ask, name)

  def _ask(self, method: str, *given: object) -> Any:
    deadline = time.monotonic() + _BOOT_S
    line = json.dumps([method, given])
    with self._one_at_a_time:
      while True:
        answer = self._try(line)
        if answer:
          return json.loads(answer)[0]
        if time.monotonic() > deadline:
          raise CommandError(f"{self._node.name} cannot be asked: {line}")
        time.sleep(_AGAIN_S)

  def _try(self, line: str) -> str:
    """Returns nothing if the node does not answer."""
    try:
      if self._process is None:
        self._process = resident(self._node, "looking")
      assert self._process.stdin
      assert self._process.stdout
      self._process.stdin.write(f"{line}\n")
      self._process.stdin.flush()
      answer = self._process.stdout.readline()
    except (OSError, LabError):
      answer = ""
    if not answer:
      self.end()
    return answer

  def end(self) -> None:
    """Ends the program; a next question begins it anew."""
    process, self._process = self._process, None
    if process is not None:
      process.kill()
      process.wait()


def close(node: Node) -> None:
  """Leaves nothing in the node that looks."""
  looking = look(node)
  if isinstance(looking, _Asking):
    looking.end()


@functools.cache
def look(node: Node) -> Looking:
  """What looks at a node."""
  if is_machine(node):
    return cast(Looking, _Asking(node))
  pid = node.seen.pid
  assert pid is not None, f"{node.name} does not run"
  return Looking(pid, f"/proc/{pid}/root")
