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

"""The node's own life: services restarted, power cut."""

import random

import pytest
from cluster.cluster import LXCPATH, Cluster, Instance, wait_for
from cluster.migration_faults import eyes
from cluster.migration_faults.acts import crashing
from cluster.migration_faults.campaign import Verdict, migrate
from cluster.migration_faults.injecting import Fault, Moment, Side, Where
from cluster.power import cut_power, turn_on

pytestmark = pytest.mark.vm  # systemd as the node's init; a node that boots


def test_services_are_restarted_and_guests_run_on(cluster: Cluster) -> None:
  instance = cluster.add(template="plain")
  init = instance.init_pid()
  for service in ("ganeti", "lxc"):
    cluster.master.run("systemctl", "restart", service)
    assert instance.init_pid() == init
  wait_for(lambda: instance.status == "running", "Ganeti to answer")
  instance.gnt("shutdown")
  cluster.master.run("systemctl", "restart", "lxc")
  # Ganeti starts instances, nobody else.
  assert instance.status == "ADMIN_down"
  assert instance.init_pid() == 0
  instance.gnt("startup")
  assert instance.status == "running"


@pytest.mark.lab("cuts the power of a virtual machine")
def test_six_guests_come_back_after_a_power_cut(cluster: Cluster) -> None:
  node, other = cluster.nodes[1], cluster.nodes[0]
  both = ("-n", f"{node.host_name}:{other.host_name}")
  plain = {"template": "plain", "on": node}
  instances = []
  for wanted in (plain, plain, {"template": "drbd", "more": both}):
    instances += cluster.add_all(wanted, wanted)
  for instance in instances:
    instance.inside("echo kept >/root/mark; sync")
  cut_power(node)
  turn_on(node)
  # Not before Ganeti's watcher has looked.
  assert not node.run("lxc-ls", "-P", LXCPATH, "-1", "--running").split()
  cluster.watch()
  wait_for(lambda: _all_run(cluster, instances), "all six", timeout_s=60)
  for instance in instances:
    assert instance.inside("cat /root/mark").strip() == "kept"


@pytest.mark.criu
@pytest.mark.lab("cuts the power of a virtual machine")
def test_a_guest_goes_on_when_the_node_it_was_moved_to_is_back(
  cluster: Cluster,
) -> None:
  """Nobody but cron does anything: the target had it and must give it back."""
  source, target = cluster.nodes[:2]
  both = ("-n", f"{source.host_name}:{target.host_name}")
  instance = cluster.add(template="drbd", more=both, hv=("num_ttys=0",))
  instance.inside("echo remembered >/dev/shm/mark")
  off = Fault("power cut", Moment(Where.TARGET, "owner"), crashing(Side.TARGET))
  verdict = Verdict(str(off))
  migrate(off, instance, source, random.Random(), verdict)
  for node in cluster.nodes:
    eyes.close(node)
  assert verdict.hit
  assert instance.init_pid() == 0, verdict.states
  for node in cluster.nodes:
    cluster.watch(node)
  wait_for(instance.init_pid, "the guest", timeout_s=60)
  assert instance.inside("cat /dev/shm/mark").strip() == "remembered"
  instance.gnt("migrate", "--cleanup", "-f")
  assert (instance.node, instance.status) == (source, "running")


def _all_run(cluster: Cluster, instances: list[Instance]) -> bool:
  found = cluster.statuses()
  return all(found[instance.name] == "running" for instance in instances)
