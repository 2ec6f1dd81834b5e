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

"""A network of its own for a test: namespaces, a runner, a Host."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganeti.hypervisor.hv_lxc import command
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

# The new sysfs shows the new network; LXC looks for cgroups below it.
SETUP = """
set -e
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
ip link set lo up
echo ready
exec sleep infinity
"""


@dataclass(frozen=True)
class Network:
  """A network namespace, and a mount namespace with its sysfs."""

  pid: int
  host: Host

  def run(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = 30,
    env: Mapping[str, str] | None = None,
  ) -> command.Result:
    """As command.run, inside."""
    inside = ["nsenter", "-t", str(self.pid), "-n", "-m", "--", *argv]
    return command.run(inside, timeout_s=timeout_s, env=env)

  def do(self, line: str) -> str:
    """What a command prints that has to work; split at blanks."""
    result = self.run(line.split())
    assert not result.failed, result.evidence()
    return result.stdout


@contextlib.contextmanager
def network(tmp_path: Path) -> Iterator[Network]:
  """Makes the namespaces; they end with their holder."""
  cgroups = tmp_path / "cgroups"
  cgroups.mkdir()
  argv = ["unshare", "-n", "-m", "--propagation", "private"]
  argv += ["sh", "-c", SETUP, "holder", str(cgroups)]
  with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
    assert holder.stdout is not None
    try:
      assert holder.stdout.readline() == b"ready\n"
      yield _entered(holder.pid, tmp_path)
    finally:
      holder.kill()


def _entered(pid: int, tmp_path: Path) -> Network:
  def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
  ) -> command.Result:
    return inside.run(argv, timeout_s=timeout_s, env=env)

  layout = Layout.below(*(str(tmp_path / name) for name in "drlc"))
  host = Host(layout=layout, run=run, sys=Path(f"/proc/{pid}/root/sys"))
  inside = Network(pid, host)
  ours, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{pid}/ns/net")
  assert ours.readlink() != theirs.readlink()
  return inside
