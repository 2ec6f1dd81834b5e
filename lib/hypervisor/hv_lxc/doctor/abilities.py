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

"""What this node's kernel and CRIU can do for a live migration.

Features are asked for where there is a way to ask: "criu check --feature",
files in /proc and /sys, a socket option.  Only what leaves no other trace
is told from CRIU's version.

"""

import contextlib
import errno
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from .. import freezer, hierarchies, versions
from ..command import Result
from ..errors import Failed
from ..node import Node
from .guest import Abilities

_TIMEOUT_S = 30.0
CAP_SYS_RESOURCE = 24
# The first CRIU that saves pidfds, and that asks for SO_PASSCRED only where
# there is such a thing; neither is a feature that "criu check" knows.
_PIDFDS = (4, 1)
_NO_PASSCRED = (4, 2)


@dataclass(frozen=True, slots=True)
class Criu:
  """CRIU on this node, one start of the program for each question."""

  node: Node

  @property
  def installed(self) -> bool:
    """Whether there is one."""
    return self.node.has_program("criu")

  def version(self) -> tuple[int, ...]:
    """As (4, 1, 1); () if it cannot be found out."""
    return tuple(versions.parse(self.ask("--version").stdout))

  def has(self, feature: str) -> bool:
    """Whether CRIU says that it and the kernel have a feature."""
    return not self.ask("check", "--feature", feature).failed

  def uses_libbpf(self) -> bool:
    """Whether the program is linked with libbpf (for maps of eBPF)."""
    path = shutil.which("criu", path=self.node.search_path)
    with contextlib.suppress(OSError):
      return b"libbpf.so" in Path(path or "").read_bytes()
    return False

  def ask(self, *arguments: str) -> Result:
    """How CRIU answers; a CRIU that cannot be started has failed."""
    argv = ("criu", *arguments)
    try:
      return self.node.host.run(argv, timeout_s=_TIMEOUT_S)
    except Failed as err:
      return Result(argv, 1, "", str(err))


def of_node(node: Node) -> Abilities:
  """What this node can do; without CRIU nothing is held against a guest.

  Starts CRIU twice (some 20 ms); to be called as root.

  """
  criu = Criu(node)
  version = _version(criu)
  return Abilities(
    sys_resource=has_capability(node, CAP_SYS_RESOURCE),
    inet_sockets=version >= _NO_PASSCRED or _passcred_everywhere(),
    raw_sockets=node.has_module("raw_diag", "CONFIG_INET_DIAG") is not False,
    packet_sockets=node.has_module("af_packet_diag", "CONFIG_PACKET_DIAG")
    is not False,
    bpf_maps=criu.uses_libbpf(),
    pidfds=version >= _PIDFDS,
    stopped_tasks=not freezer.is_old(hierarchies.find(node.host)),
    nested_mounts=not criu.installed or criu.has("move_mount_set_group"),
  )


def reads_inet_sockets(node: Node) -> bool:
  """Whether CRIU can save TCP and UDP sockets on this kernel."""
  return _version(Criu(node)) >= _NO_PASSCRED or _passcred_everywhere()


def _version(criu: Criu) -> tuple[int, ...]:
  """Of a CRIU that is not there or does not tell, nothing bad is said."""
  return (criu.version() if criu.installed else ()) or _NO_PASSCRED


def has_capability(node: Node, number: int) -> bool:
  """Whether a process like this one can have a capability."""
  _, _, rest = node.proc("self/status").partition("\nCapBnd:")
  text = rest.partition("\n")[0].strip()
  return not text or bool(int(text, 16) >> number & 1)


def _passcred_everywhere() -> bool:
  """Whether the kernel answers SO_PASSCRED on an INET socket."""
  with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
    try:
      probe.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)
    except OSError as err:
      return err.errno != errno.EOPNOTSUPP
  return True
