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


"""Puts other managers of containers on a node of a lab, from Debian.

Nodes see no network but their own; so apt runs with a node's files and the
machine's network.

"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "qa"))
from ganeti_lab import command, host, lab

PACKAGES = ("podman", "runc", "netavark", "incus")
# The lab's CRIU brought one library of the next release (ganeti_lab/criu.py),
# and whatever belongs to it has to be of the same version.
_NEXT = "forky"
_OF_NEXT = f"libnl-route-3-200/{_NEXT}"
_INSTALL = ("apt-get", "-q", "-y", "--no-install-recommends", "install")
_PREPARE = """
cat >/etc/apt/apt.conf.d/90bench
echo "deb $1 $2 main" >/etc/apt/sources.list.d/bench.list
printf 'Package: *\\nPin: release n=%s\\nPin-Priority: 100\\n' "$2" \
  >/etc/apt/preferences.d/bench
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
"""


def install(lab_name: str, node_name: str) -> str:
  """Installs them; returns the last line of what went wrong, "" if nothing."""
  node = lab.node(lab_name, node_name)
  node.run(
    "settings of apt",
    ["sh", "-euc", _PREPARE, "prepare", host.mirrors().main, _NEXT],
    stdin=host.mirrors().apt_conf.encode(),
  )
  for argv in (
    ["apt-get", "-q", "update"],
    [*_INSTALL, _OF_NEXT, *PACKAGES],
  ):
    wanted = node.argv(["env", "DEBIAN_FRONTEND=noninteractive", *argv])
    done = subprocess.run(
      [word for word in wanted if word != "--net"],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      env={**command.environment(), **host.mirrors().proxies()},
      text=True,
    )
    if done.returncode:
      return done.stdout.strip().splitlines()[-1]
  return ""
