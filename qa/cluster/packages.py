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

"""The driver's package on a node: two releases of it, in and out."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

from cluster.cluster import Cluster, Done, Node
from ganeti_lab import checkout, package
from ganeti_lab.progress import Progress

NEXT = "0.1.0+next"
PACKAGE = "ganeti-lxc"
# In the version that is in use, and in another.
DRIVER = "/usr/share/ganeti/default/ganeti/hypervisor/hv_lxc"
DRIVER_IN = "/usr/share/ganeti/{}/ganeti/hypervisor/hv_lxc"
_VERSIONS = ("3.0", "3.1")
_DIRECTORY = "/var/tmp/packages"
# Which file a job, which imports all hypervisors, takes the driver from.
_WHERE = """
import sys
sys.path.insert(0, "/usr/share/ganeti/default")
from ganeti import hypervisor
cls = hypervisor.GetHypervisorClass("lxc")
print(sys.modules[cls.__module__].__file__)
"""


@dataclasses.dataclass(frozen=True)
class Packages:
  """Two releases of the package, on this machine.

  @ivar later: differs in nothing but its version and a comment

  """

  now: pathlib.Path
  later: pathlib.Path

  @property
  def version(self) -> str:
    """Of the present one."""
    return self.now.name.split("_")[1]

  def put(self, node: Node, which: pathlib.Path) -> str:
    """Copies one to a node; where it is there."""
    path = f"{_DIRECTORY}/{which.name}"
    node.seen.run(
      "copy a package",
      ["sh", "-ec", 'mkdir -p "${1%/*}"; cat >"$1"', "put", path],
      stdin=which.read_bytes(),
    )
    return path

  def install(self, node: Node, which: pathlib.Path) -> str:
    """What dpkg says of installing it, which has to succeed."""
    return node.run("dpkg", "--install", self.put(node, which))

  def ensure(self, cluster: Cluster) -> None:
    """All nodes have the present one from now on."""
    for node in cluster.nodes:
      if version(node) != f"{self.version} installed":
        self.install(node, self.now)

  @contextlib.contextmanager
  def in_turn(self, cluster: Cluster) -> Iterator[None]:
    """Before and afterwards all nodes have the present one."""
    self.ensure(cluster)
    yield
    self.ensure(cluster)
    for node in cluster.nodes:
      node.run("rm", "-rf", _DIRECTORY)


def build() -> Packages:
  """Both releases of this checkout."""
  names = checkout.files()

  def of(version: str) -> pathlib.Path:
    return package.ensure(checkout.TOP, names, Progress(), version)

  return Packages(of(""), of(NEXT))


def version(node: Node) -> str:
  """Which release is there, in which state: "0.1.0 installed"."""
  form = "${Version} ${db:Status-Status}"
  done = node.try_run("dpkg-query", "-W", "-f", form, PACKAGE)
  return done.output if done.status == 0 else "none"


def purge(node: Node) -> Done:
  """Takes package and traces away."""
  return node.try_run("dpkg", "--purge", PACKAGE)


def ganeti(node: Node) -> str:
  """The version of Ganeti that is in use, such as "3.1"."""
  path = node.run("readlink", "-f", "/usr/share/ganeti/default").strip()
  return path.rpartition("/")[2]


def other_ganeti(node: Node) -> str:
  """The version that there is besides, but not on this node."""
  (found,) = set(_VERSIONS) - {ganeti(node)}
  return found


def loaded_from(node: Node) -> str:
  """The file that Ganeti takes its LXC driver from."""
  return node.python(_WHERE).strip()


def daemon_pid(node: Node, name: str) -> str:
  """The process of one of Ganeti's daemons."""
  return node.run("cat", f"/run/ganeti/ganeti-{name}.pid").strip()


def add_fake(cluster: Cluster) -> str:
  """An instance of another hypervisor, which runs; its name.

  It stands for virtual machines, which the lab's nodes cannot have.

  """
  name = cluster.instance().name
  cluster.gnt(
    "instance", "add", "-H", "fake", "-t", "diskless", "-o", "busybox",
    "--no-install", "--no-name-check", "--no-ip-check", "--no-nics",
    "-B", "memory=64M", "-n", cluster.master.host_name, name,
  )  # fmt: skip
  cluster.gnt("instance", "startup", name)
  return name


def hypervisors(cluster: Cluster) -> dict[str, tuple[str, str]]:
  """Hypervisor and status of each instance."""
  out = cluster.gnt(
    "instance", "list", "--no-headers", "--separator=|",
    "-o", "name,hypervisor,status",
  )  # fmt: skip
  rows = (line.split("|") for line in out.splitlines() if "|" in line)
  return {name: (kind, status) for name, kind, status in rows}
