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

"""The nodes of a cluster: of a lab, or reached by ssh."""

import dataclasses
import subprocess

import suite
from cluster.remote import SshNode
from cluster.site import Site
from ganeti_lab import command
from ganeti_lab import lab as whole_lab
from ganeti_lab import node as lab_node
from ganeti_lab.vm_node import VmNode, remote

TIMEOUT_S = 180.0 * suite.SLOWNESS
DOMAIN = "lab"


class CommandError(AssertionError):
  """A command ended otherwise than it should; holds all it printed."""


@dataclasses.dataclass(frozen=True)
class Done:
  """How a command ended; C{output} is both streams."""

  status: int
  output: str


@dataclasses.dataclass(frozen=True)
class Node:
  """A node; commands run there as with "qa/lab exec".

  @ivar lab: name of its lab, "" if it is none of a lab
  @ivar name: the short one in a lab, the full one elsewhere
  @ivar site: the cluster that is not a lab

  """

  lab: str
  name: str
  site: Site | None = None

  @property
  def host_name(self) -> str:
    return self.name if self.site else f"{self.name}.{DOMAIN}"

  @property
  def seen(self) -> lab_node.Node:
    """The node as the program that reaches it knows it."""
    if self.site:
      return SshNode(self.lab, self.name, self.site)
    return whole_lab.node(self.lab, self.name)

  def on_terminal(self, *argv: str) -> list[str]:
    """The command that runs another one in the node, on a terminal."""
    seen = self.seen
    if isinstance(seen, VmNode):
      return seen.ssh([remote(argv)], "-tt")
    if isinstance(seen, SshNode):
      return seen.on_terminal(argv)
    return seen.argv(argv)

  def try_run(
    self,
    *argv: str,
    stdin: str = "",
    timeout_s: float = TIMEOUT_S,
  ) -> Done:
    """Runs a command in the node, whatever comes of it."""
    try:
      done = subprocess.run(
        self.seen.argv(argv),
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=command.environment(),
        text=True,
        errors="replace",
        timeout=timeout_s,
      )
    except subprocess.TimeoutExpired as err:
      raise CommandError(
        f"{self.name}: {' '.join(argv)} took more than {timeout_s:.0f} s;"
        f" until then it printed: {err.stdout!r}"
      ) from err
    return Done(done.returncode, done.stdout)

  def run(
    self, *argv: str, stdin: str = "", timeout_s: float = TIMEOUT_S
  ) -> str:
    """Runs a command that has to succeed; returns what it printed."""
    done = self.try_run(*argv, stdin=stdin, timeout_s=timeout_s)
    if done.status != 0:
      raise CommandError(
        f"{self.name}: {' '.join(argv)} exited with status"
        f" {done.status}:\n{done.output}"
      )
    return done.output

  def sh(self, script: str, timeout_s: float = TIMEOUT_S) -> str:
    """Runs a shell script that has to succeed."""
    return self.run("bash", "-euc", script, timeout_s=timeout_s)

  def python(self, script: str, *argv: str) -> str:
    """Runs a Python script with the node's interpreter."""
    return self.run("/usr/bin/python3", "-", *argv, stdin=script)

  def write(self, path: str, text: str, mode: str = "644") -> None:
    """Writes a file of root's."""
    script = 'mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"'
    self.run("sh", "-euc", script, "write", path, mode, stdin=text)
