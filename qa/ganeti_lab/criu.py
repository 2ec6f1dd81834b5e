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

"""A CRIU for nodes in namespaces, which run on this machine's kernel.

Linux 6.16 took SO_PASSCRED from TCP sockets; CRIU 4.1 of Debian 13 asks for
it and cannot dump any of them ("Can't get 1:16 opt"). 4.2 can, and Debian's
next release has it. It is fetched by apt, which checks the signatures. A
virtual machine has Debian's own kernel and keeps Debian's own CRIU.

"""

from __future__ import annotations

from . import archive
from .node import Node
from .progress import Progress

# Nodes' releases on which its packages can be installed.
RELEASES = ("trixie",)
_PACKAGES = archive.Packages(
  "criu",
  "forky",
  ("criu=4.2.1*", "libcompel1=4.2.1*", "libnet9=1.3*", "libnl-3-200=3.12*"),
)


def reason_against(release: str, backend: str) -> str:
  """Why guests cannot be migrated live in such a lab; "" where they can."""
  if backend == "vm" or release in RELEASES:
    return ""
  return f"the CRIU of Debian {release} does not start on this machine's kernel"


def install(nodes: list[Node], release: str, progress: Progress) -> None:
  """Install it on nodes of a release, if they need it.

  @raise LabError: when apt-get fails, a node is not running, dpkg fails

  """
  if release not in RELEASES:
    return
  packages = _PACKAGES.ensure(progress)
  for node in nodes:
    archive.install(node, packages)
