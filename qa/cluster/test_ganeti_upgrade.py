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

"""From Ganeti 3.0 to 3.1, with what Debian 12 and its backports have."""

from collections.abc import Iterator

import pytest
from cluster import packages, second
from cluster.cluster import Cluster
from cluster.verify import problems
from ganeti_lab import archive
from ganeti_lab.progress import Progress

_OLD = ("ganeti-3.0", "ganeti-haskell-3.0", "ganeti-htools-3.0")
_NEW = archive.Packages(
  "ganeti-3.1",
  "bookworm-backports",
  ("ganeti", "ganeti-3.1", "ganeti-haskell-3.1", "ganeti-htools-3.1"),
)


@pytest.fixture
def older(cluster: Cluster) -> Iterator[Cluster]:
  """A node of Debian 12 with Ganeti 3.0 and the driver."""
  with second.cluster(f"{cluster.lab}-old", "--release", "bookworm") as made:
    yield made


def _change(cluster: Cluster, version: str) -> None:
  """The last that it does is to verify, which complains of the lab."""
  done = cluster.master.try_run("gnt-cluster", "upgrade", "--to", version)
  assert "Verifying cluster." in done.output, done.output
  said = cluster.gnt("cluster", "version").splitlines()[0]
  assert said.startswith(f"Software version: {version}."), said


@pytest.mark.lab("makes a second cluster, as a lab of its own")
@pytest.mark.timeout(1800)
def test_the_driver_is_kept_from_ganeti_3_0_to_3_1_and_back(
  older: Cluster,
) -> None:
  node = older.master
  running, stopped = older.add_all(
    {"memory": "minmem=48M,maxmem=64M"}, {"more": ("--no-start",)}
  )
  noded = packages.daemon_pid(node, "noded")

  said = archive.install(node.seen, _NEW.ensure(Progress()))
  # dpkg's trigger; the version in use is the one before.
  driver = "/usr/share/ganeti/{}/ganeti/hypervisor/hv_lxc"
  assert f"Ganeti 3.1: the driver is in {driver.format('3.1')}" in said
  assert packages.daemon_pid(node, "noded") == noded
  running.gnt("reboot")
  assert running.status == "running"
  init = running.init_pid()

  for version in ("3.1", "3.0", "3.1"):
    _change(older, version)
    assert problems(older) == []
    assert running.init_pid() == init
    assert (running.status, stopped.status) == ("running", "ADMIN_down")
    running.gnt("modify", "-m", "48M")
    stopped.gnt("startup")
    stopped.gnt("shutdown")

  node.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--purge", *_OLD)
  assert node.try_run("test", "-e", driver.format("3.0")).status == 1
  assert packages.loaded_from(node).endswith("/hv_lxc/driver.py")
  assert running.init_pid() == init
  running.gnt("shutdown")
  running.gnt("startup")
  assert running.status == "running"
  assert problems(older) == []
