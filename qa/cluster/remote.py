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

"""A node of any cluster: programs run in it over ssh.

One connection per node is kept open and shared, in a directory that only we
can enter.  As with a virtual machine of the lab's, a command whose caller is
killed goes on, and one that ended by signal N gives status 128 + N.
"""

import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Sequence

from cluster.site import Site
from ganeti_lab import cgroup
from ganeti_lab.errors import LabCommandError, LabError
from ganeti_lab.node import Node
from ganeti_lab.vm_node import remote

_CONNECT_SECONDS = 20


@functools.cache
def _sockets() -> tempfile.TemporaryDirectory[str]:
  """Holds the sockets of the shared connections until we end."""
  return tempfile.TemporaryDirectory(prefix="ganeti-lxc-qa-")


@dataclasses.dataclass(frozen=True)
class SshNode(Node):
  """A node that is not a lab's, so that nothing but ssh leads to it.

  @ivar name: as Ganeti knows it

  """

  site: Site

  @property
  def group(self) -> cgroup.Group:
    """Not to be had.

    @raise LabError: always

    """
    raise LabError(
      f"{self.name} is reached by ssh: its host's control groups cannot be"
      " seen, and no story that looks at them should have been begun"
    )

  @property
  def pid(self) -> int | None:
    """None: the node is another machine."""
    return None

  @property
  def state(self) -> str:
    """Whether it answers."""
    try:
      self.run("answer", ["true"])
    except LabCommandError:
      return "stopped"
    return "running"

  def read_text(self, path: str) -> str | None:
    """The content of a file, None when it or the node cannot be read."""
    try:
      return self.run("read", ["cat", path])
    except LabCommandError:
      return None

  def argv(self, argv: Sequence[str]) -> list[str]:
    """The command that runs another one in the node."""
    sockets = pathlib.Path(_sockets().name)
    return [*self.ssh(sockets), self._address(), remote(argv)]

  def on_terminal(self, argv: Sequence[str]) -> list[str]:
    """The same with the caller's terminal."""
    sockets = pathlib.Path(_sockets().name)
    return [*self.ssh(sockets), "-tt", self._address(), remote(argv)]

  def ssh(self, sockets: pathlib.Path) -> list[str]:
    """The ssh command with its options.

    What the operator says of ssh comes first, since it obeys the first of
    two settings of one name (ssh_config(5)).

    """
    access = self.site.access
    settings = [
      *access.options,
      "BatchMode=yes",
      f"ConnectTimeout={_CONNECT_SECONDS}",
      "ControlMaster=auto",
      f"ControlPath={sockets}/%C",
      "ControlPersist=60",
      "EscapeChar=none",
      "LogLevel=ERROR",
      "ServerAliveCountMax=6",
      "ServerAliveInterval=20",
    ]
    return [*access.enter, "ssh", *(f"-o{one}" for one in settings)]

  def _address(self) -> str:
    return f"{self.site.access.user}@{self.site.host(self.name).address}"
