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

"""An upgrade of the package while an instance moves between the nodes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import packages
from cluster.cluster import Cluster, Instance, Node, wait_for
from cluster.packages import NEXT, Packages
from cluster.verify import problems

pytestmark = pytest.mark.criu

# So much memory at so many MiB/s takes longer than dpkg does.
_MIB = 160
_MIB_PER_S = 8
_RECORDS = "/var/lib/ganeti/lxc-migration"


@pytest.fixture
def slow(cluster: Cluster) -> Iterator[Cluster]:
  """The cluster, whose migrations take their time."""
  name = "lxc:migration_bandwidth"
  usual = 32
  changed = ("-H", f"{name}={_MIB_PER_S}")
  with cluster.modified(*changed, back=("-H", f"{name}={usual}")):
    yield cluster


def _filled(cluster: Cluster) -> Instance:
  """A guest with memory that cannot be compressed."""
  instance = cluster.add(hv=("num_ttys=0",), memory="memory=256M")
  instance.inside(
    "mount | grep -q ' /dev/shm ' || exit 9;"
    f" dd if=/dev/urandom of=/dev/shm/held bs=1M count={_MIB} 2>/dev/null"
  )
  return instance


def _sent(node: Node, instance: Instance) -> int:
  """Bytes that have left this node."""
  path = f"{_RECORDS}/{instance.name}/progress.json"
  text = node.try_run("cat", path).output
  return int(json.loads(text)["sent"]) if text.startswith("{") else 0


@pytest.mark.timeout(900)
def test_an_upgrade_of_both_nodes_waits_for_a_migration(
  slow: Cluster, releases: Packages
) -> None:
  """Ganeti's job asks the node daemons all the time; one away is a failure."""
  instance = _filled(slow)
  content = instance.inside("md5sum /dev/shm/held")
  source = instance.node
  target = slow.other(source)
  paths = {node: releases.put(node, releases.later) for node in slow.nodes}
  daemons = {n: packages.daemon_pid(n, "noded") for n in slow.nodes}
  with ThreadPoolExecutor(3) as pool:
    move = pool.submit(instance.gnt, "migrate", "-f")
    wait_for(lambda: _sent(source, instance) > 0, "the guest's memory to go")
    upgrades = {
      node: pool.submit(node.run, "dpkg", "--install", path)
      for node, path in paths.items()
    }
    move.result()
    # No daemon was away until the very end of the job.
    assert daemons == {n: packages.daemon_pid(n, "noded") for n in daemons}
    said = {node: upgrade.result() for node, upgrade in upgrades.items()}
  for node, other in ((source, "to"), (target, "from")):
    assert f"instance {instance.name} is being migrated {other}" in said[node]
    assert packages.version(node) == f"{NEXT} installed"
    assert packages.daemon_pid(node, "noded") != daemons[node]
  assert instance.node == target
  assert instance.status == "running"
  assert instance.inside("md5sum /dev/shm/held") == content
  assert problems(slow) == []


def test_an_upgrade_that_is_ended_while_it_waits_can_be_run_again(
  slow: Cluster, releases: Packages
) -> None:
  """As one that gives up after its ten minutes."""
  instance = _filled(slow)
  source = instance.node
  path = releases.put(source, releases.later)
  before = packages.daemon_pid(source, "noded")
  with ThreadPoolExecutor(2) as pool:
    move = pool.submit(instance.gnt, "migrate", "-f")
    wait_for(lambda: _sent(source, instance) > 0, "the guest's memory to go")
    said = f"{path}.said"
    script = f"dpkg --install {path} >{said} 2>&1"
    upgrade = pool.submit(source.try_run, "sh", "-c", script)
    wait_for(
      lambda: ": waiting, " in source.try_run("cat", said).output,
      "the upgrade to wait",
    )
    source.run("pkill", "-f", "ganeti-lxc-place --restart$")
    assert upgrade.result().status != 0
    # What runs is the release before, all of it.
    assert packages.version(source) == f"{NEXT} half-configured"
    found = source.try_run("grep", "-q", NEXT, f"{packages.DRIVER}/__init__.py")
    assert found.status == 1
    assert not move.done()
    move.result()
  assert packages.daemon_pid(source, "noded") == before
  source.run("dpkg", "--configure", "--pending")
  assert packages.version(source) == f"{NEXT} installed"
  assert packages.daemon_pid(source, "noded") != before
  assert instance.status == "running"
  assert problems(slow) == []
