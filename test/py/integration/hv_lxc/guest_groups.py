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

"""Control groups as LXC makes them, with processes that are no containers.

A guest's program waits for a line on its standard input before it begins,
so that all of its memory is charged to its group.
"""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ganeti.hypervisor.hv_lxc import cgroup, cgtree
from ganeti.hypervisor.hv_lxc.errors import LxcError
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchies, Hierarchy
from ganeti.hypervisor.hv_lxc.host import Host, wait_until
from ganeti.hypervisor.hv_lxc.layout import Layout

WAIT_S = 10.0
START = "import sys; sys.stdin.readline()\n"
SLEEP = "import time; time.sleep(600)\n"


@dataclass
class Guest:
  """An instance's groups, and the processes put into them."""

  host: Host
  trees: Hierarchies
  name: str
  children: list["subprocess.Popen[str]"] = field(default_factory=list)

  def make_groups(self) -> None:
    for tree in self.trees.all:
      for group in (tree.payload(self.name), tree.monitor(self.name)):
        Path(group).mkdir(parents=True, exist_ok=True)
        self._enable(tree, group)

  def _enable(self, tree: Hierarchy, group: str) -> None:
    """What LXC does so that a group can be used at all."""
    inner = (tree.parent, tree.group(self.name))
    if self.trees.pure_v2:
      wanted = " ".join(f"+{c}" for c in tree.controllers)
      for path in (tree.base, *inner):
        cgtree.write(f"{path}/cgroup.subtree_control", wanted)
    elif "cpuset" in tree.controllers:
      for path in (*inner, group):
        for name in ("cpuset.cpus", "cpuset.mems"):
          cgtree.write(f"{path}/{name}", self.read(tree.base, name))

  @staticmethod
  def read(group: str, name: str) -> str:
    return (cgtree.read(f"{group}/{name}") or "").strip()

  def run(self, program: str, part: str = "payload") -> int:
    """Starts a Python program in "payload" or "monitor"."""
    return self.start([sys.executable, "-uc", START + program], part)

  def start(self, argv: list[str], part: str = "payload") -> int:
    child = subprocess.Popen(
      argv,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )
    self.children.append(child)
    for tree in self.trees.all:
      group = f"{tree.group(self.name)}/{part}"
      cgtree.write(f"{group}/cgroup.procs", str(child.pid))
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    return child.pid

  def said(self, index: int = -1) -> str:
    """The next line that a program prints."""
    stdout = self.children[index].stdout
    assert stdout is not None
    return stdout.readline().strip()

  def payload(self, controller: str) -> str:
    tree = self.trees.controller(controller)
    assert tree is not None
    return tree.payload(self.name)

  def reap(self) -> None:
    """Ends the programs and what they left in the groups."""
    with contextlib.suppress(LxcError):
      cgroup.thaw(self.trees, self.name)
    for pid in cgroup.processes(self.trees, self.name):
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in self.children:
      child.kill()
      child.communicate()

  def remove(self) -> None:
    self.reap()
    for tree in self.trees.all:
      assert wait_until(partial(cgtree.prune, tree.group(self.name)), WAIT_S)
    for tree in self.trees.all:
      # Busy: somebody else has instances there.
      with contextlib.suppress(OSError):
        Path(tree.parent).rmdir()


def make_host(top: Path) -> Host:
  return Host(
    layout=Layout(top / "lxc", top / "run", top / "log", top / "conf")
  )


@contextlib.contextmanager
def guest(top: Path) -> Iterator[Guest]:
  """An instance of its own name, gone afterwards."""
  host = make_host(top)
  name = f"test-{uuid.uuid4().hex[:12]}.example.com"
  made = Guest(host, cgroup.find(host), name)
  made.make_groups()
  try:
    yield made
  finally:
    made.remove()
