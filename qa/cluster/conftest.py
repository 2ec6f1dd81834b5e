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
# SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

"""Every story begins with an empty cluster and must leave nothing behind."""

import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from cluster import leaks, packages, second
from cluster.cluster import (
  Cluster,
  Node,
  of_environment,
  why_nothing_moves,
)
from cluster.packages import Packages
from cluster.two_at_once import TwoAtOnce

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
  item: pytest.Item,
) -> Generator[None, Any, None]:
  """Lets the fixture below know how the test went."""
  # A result of pluggy's, which has no public name in Debian 12's.
  outcome = yield
  report = outcome.get_result()
  if report.when == "call":
    item.stash[_FAILED] = report.failed


def pytest_runtest_setup(item: pytest.Item) -> None:
  """Leaves out what moves a running guest where that cannot be done."""
  if item.get_closest_marker("criu"):
    reason = why_nothing_moves()
    if reason:
      pytest.skip(reason)


@pytest.fixture(scope="session")
def lab() -> Iterator[tuple[Cluster, TwoAtOnce]]:
  """The lab named by GANETI_LAB, watched all the time."""
  found = of_environment()
  watch = TwoAtOnce(found.nodes)
  watch.start()
  yield found, watch
  watch.stop()


@pytest.fixture
def cluster(
  lab: tuple[Cluster, TwoAtOnce], request: pytest.FixtureRequest
) -> Iterator[Cluster]:
  """The cluster; afterwards nothing of the test may be left."""
  found, watch = lab
  found.remove_all()
  found.used = 0
  watch.seen.clear()
  leak_watch = leaks.Watch(found)
  begin = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
  try:
    yield found
  finally:
    failed = request.node.stash.get(_FAILED, True)
    if failed:
      print(leaks.evidence(found.nodes, begin))
    leak_watch.learn_disks()
    found.remove_all()
    complaints = leak_watch.complaints()
    complaints += [f"ran on two nodes at once: {n}" for n in watch.seen]
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def stock(cluster: Cluster) -> Iterator[Cluster]:
  """A cluster of one node, made with Ganeti's own driver, of another name."""
  with second.cluster(f"{cluster.lab}-out", "--no-driver") as made:
    yield made


@pytest.fixture(scope="module")
def built() -> Packages:
  """Both releases of the package."""
  return packages.build()


@pytest.fixture
def releases(cluster: Cluster, built: Packages) -> Iterator[Packages]:
  """Both; before and afterwards all nodes have the present one."""
  with built.in_turn(cluster):
    yield built


@pytest.fixture
def foreign(cluster: Cluster) -> Iterator[Node]:
  """A container of the node's administrator, running on node1."""
  node = cluster.master
  node.sh(
    """
    mkdir -p /var/lib/lxc/foreign/rootfs/bin /var/lib/lxc/foreign/rootfs/sbin
    cd /var/lib/lxc/foreign
    mkdir -p rootfs/proc rootfs/sys rootfs/dev rootfs/etc
    image=$(mktemp -d)
    debugfs -R "dump /bin/busybox rootfs/bin/busybox" \\
      /var/cache/ganeti-lxc-lab/guests/busybox/root.ext4 2>/dev/null
    rmdir "$image"
    chmod 755 rootfs/bin/busybox
    ln -sf busybox rootfs/bin/sh
    printf '#!/bin/busybox sh\\nexec /bin/busybox sleep 100000\\n' \\
      >rootfs/sbin/init
    chmod 755 rootfs/sbin/init
    cat >config <<END
lxc.uts.name = foreign
lxc.rootfs.path = dir:/var/lib/lxc/foreign/rootfs
lxc.net.0.type = empty
lxc.mount.auto = proc sys
END
    lxc-start -n foreign -d
    lxc-wait -n foreign -s RUNNING -t 10
    """
  )
  try:
    yield node
  finally:
    node.sh(
      "lxc-stop -k -n foreign; rm -rf /var/lib/lxc/foreign"
      " /run/lxc/lock/var/lib/lxc; find /sys/fs/cgroup -depth -type d"
      " -name 'lxc.*foreign*' -exec rmdir {} \\; || true"
    )
