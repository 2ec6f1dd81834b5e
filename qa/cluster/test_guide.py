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

"""Every command of the administrator's guide does what the guide says."""

import re
from collections.abc import Iterator

import pexpect
import pytest
from cluster import guide, packages
from cluster.cluster import (
  Cluster,
  CommandError,
  Instance,
  Node,
  why_nothing_moves,
)
from cluster.guide import Block
from cluster.packages import Packages
from cluster.test_disks import transfers
from cluster.verify import problems

__all__ = ["transfers"]

_SOURCE = "/usr/src/ganeti-lxc"
# The guide's instances.
_WEB = "web1.example.com"
_INSTANCES = (
  _WEB,
  "db1.example.com",
  "lv1.example.com",
  "mirror1.example.com",
)
_BLOCKS = guide.blocks()
_TIMEOUT_S = 300.0

# Examples in the guide -> what the cluster has.
Names = dict[str, str]


@pytest.fixture
def names(cluster: Cluster) -> Names:
  nodes = cluster.nodes[:2]
  return {
    **{example: cluster.instance().name for example in _INSTANCES},
    **{f"node{n}.example.com": o.host_name for n, o in enumerate(nodes, 1)},
    "debootstrap+default": "busybox",
    "br0": cluster.link,
  }


def _here(text: str, names: Names) -> str:
  examples = "|".join(map(re.escape, names))
  return re.sub(examples, lambda found: names[found[0]], text)


def _run(block: Block, names: Names, node: Node) -> None:
  script = _here(block.script, names)
  if block.place == "source":
    script = f"cd {_SOURCE}\n{script}"
  done = node.try_run("bash", "-euc", script, timeout_s=_TIMEOUT_S)
  assert "Traceback" not in done.output, f"{block}: {done.output}"
  if done.status != 0 and block.place != "any status":
    raise CommandError(
      f"{block} on {node.name} exited with {done.status}:\n{script}\n"
      f"{done.output}"
    )


def _on_terminal(block: Block, names: Names, cluster: Cluster) -> None:
  name = _here(block.script, names).split()[-1]
  argv = cluster.master.on_terminal("gnt-instance", "console", name)
  console = pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=30)
  console.expect("to enter Ctrl.a itself")
  console.send("\r")
  console.expect("login:|# ")
  console.send("\x01q")
  console.expect(pexpect.EOF)
  console.close()
  assert console.exitstatus == 0, block


def _expect_refusal(block: Block, names: Names, cluster: Cluster) -> None:
  script = _here(block.script, names)
  done = cluster.master.try_run("bash", "-euc", script, timeout_s=_TIMEOUT_S)
  said = " ".join(done.output.split())
  assert "This node cannot move running guests" in said, f"{block}: {said}"
  assert done.status != 0, block


def _perform(block: Block, names: Names, cluster: Cluster) -> None:
  if block.place == "live" and why_nothing_moves():
    _expect_refusal(block, names, cluster)
  elif block.place == "terminal":
    _on_terminal(block, names, cluster)
  elif block.place in ("source", "every node"):
    for node in cluster.nodes:
      _run(block, names, node)
  elif block.place.startswith("node"):
    _run(block, names, cluster.node(names[block.place]))
  else:
    _run(block, names, cluster.master)


def test_no_command_escapes() -> None:
  found = sum(block.script.count("\n") for block in _BLOCKS)
  continued = sum(block.script.count("\\\n") for block in _BLOCKS)
  assert found - continued == guide.commands_everywhere()


# Driver, hooks and rules are those of the package, which has placed them too.
_TAKE_AWAY = f"""
make -C {_SOURCE} uninstall GANETI_VERSIONS= hooksdir=/nowhere udevrulesdir=
rm -rf /etc/cron.d/ganeti-lxc-metrics /var/lib/prometheus /etc/ganeti/lxc
sysctl -q -w net.ipv4.ip_forward=0
"""


# What the guide's "make" begins with.
_CAN_BUILD = f"test -x {_SOURCE}/autogen.sh && which autoconf automake make"


@pytest.fixture
def as_found(cluster: Cluster) -> Iterator[None]:
  """Afterwards the nodes have nothing of what the guide installed."""
  for node in cluster.nodes if cluster.site else ():
    if node.try_run("sh", "-c", _CAN_BUILD).status != 0:
      pytest.skip(
        f"{node.name} does not have the driver's source in {_SOURCE}, or lacks"
        " autoconf, automake or make"
      )
  yield
  for node in cluster.nodes:
    node.sh(_TAKE_AWAY)


@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("transfers", "as_found")
def test_guide_from_beginning_to_end(cluster: Cluster, names: Names) -> None:
  for template in ("file", "sharedfile"):
    cluster.require("busybox", template)
  for block in _BLOCKS:
    if block.place not in ("vm", "another cluster"):
      print(f"== {block}")
      _perform(block, names, cluster)


# The packages are there already, and nobody is there to be asked.
_APT = """
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/nobody
cd /var/tmp/packages
"""


def _blocks_of_a_way(page: str) -> list[Block]:
  found = [b for b in _BLOCKS if b.place == "another cluster"]
  return [block for block in found if block.page == page]


@pytest.mark.lab("makes a second cluster, as a lab of its own")
@pytest.mark.timeout(900)
def test_the_way_in_and_out(stock: Cluster, built: Packages) -> None:
  """The other hypervisor is Ganeti's "fake" where the guide has KVM."""
  node = stock.master
  stock.gnt("cluster", "modify", "--enabled-hypervisors=fake")
  other = packages.add_fake(stock)
  built.put(node, built.now)
  way_in, way_out = map(_blocks_of_a_way, ("install", "upgrade"))
  assert way_in
  assert way_out

  for block in way_in:
    node.sh(_APT + block.script)
  assert packages.version(node).endswith(" installed")
  stock.gnt("cluster", "modify", "--enabled-hypervisors=fake,lxc")
  instance = stock.add()
  assert instance.status == "running"
  instance.gnt("remove", "-f")

  for block in way_out:
    node.sh(_APT + _here(block.script, {"kvm": "fake"}))
  assert packages.version(node) == "none"
  assert packages.loaded_from(node).endswith("/hv_lxc.py")
  assert problems(stock) == []
  assert packages.hypervisors(stock) == {other: ("fake", "running")}


@pytest.mark.vm
@pytest.mark.parametrize(
  "block", [b for b in _BLOCKS if b.place == "vm"], ids=str
)
def test_block_that_needs_another_kernel(
  block: Block, cluster: Cluster, names: Names
) -> None:
  template = re.search(r"gnt-instance add .*-t (\S+)", block.script)
  if template:
    cluster.require("busybox", template[1])
  else:
    Instance(cluster, names[_WEB]).add()
  _run(block, names, cluster.master)
