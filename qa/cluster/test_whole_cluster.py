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

"""What concerns the cluster as a whole: verify, modify, other containers."""

import json
from functools import partial

import pytest
from cluster import groups, second
from cluster.cluster import Cluster, Instance, Node, wait_for
from cluster.verify import problems

# Files that the defaults of KVM's parameters name.
_KVM = ("/usr/bin/kvm", "/boot/vmlinuz-3-kvmU")


def test_verify_is_clean_with_instances(cluster: Cluster) -> None:
  assert problems(cluster) == []
  cluster.add_all({"on": cluster.nodes[0]}, {"on": cluster.nodes[1]}, {
    "more": ("--no-start",)})  # fmt: skip
  assert problems(cluster) == []


def test_a_foreign_container_is_no_business_of_ours(
  cluster: Cluster, foreign: Node
) -> None:
  seen = ("lxc-info", "-n", "foreign", "-s", "-p", "-H")
  before = foreign.run(*seen)
  files = "find /var/lib/lxc/foreign -xdev -printf '%p %m %U %T@\\n' | sort"
  listed = foreign.sh(files)
  instance = cluster.add()
  assert problems(cluster) == []
  assert "foreign" not in cluster.gnt("instance", "list", "-o", "name,status")
  counts = cluster.gnt(
    "node", "list", "--no-headers", "-o", "pinst_cnt", foreign.host_name
  )
  assert counts.split() == ["1"]
  figures = foreign.run("ganeti-lxc-metrics")
  assert f'"{instance.name}"' in figures
  assert "foreign" not in figures
  assert "foreign" not in foreign.run("ganeti-lxc-doctor", "--json")
  asked = foreign.try_run("ganeti-lxc-doctor", "foreign")
  assert asked.status == 2
  assert "Instance foreign does not run on this node" in asked.output
  instance.gnt("reboot")
  instance.gnt("remove", "-f")
  assert foreign.run(*seen) == before
  assert foreign.sh(files) == listed


def test_verify_bears_leftovers(cluster: Cluster) -> None:
  """Remains of a container below our directory and in our cgroups."""
  node = cluster.master
  left = "/var/lib/ganeti/lxc/gone.lab"
  group = f"{groups.instances(node)}/gone.lab"
  node.sh(
    f"mkdir -p {left}/rootfs {group}/payload; echo garbage >{left}/record.json"
  )
  try:
    assert problems(cluster) == []
    assert "gone.lab" not in cluster.gnt("instance", "list", "-o", "name")
  finally:
    node.sh(
      f"rm {left}/record.json; rmdir {left}/rootfs {left} {group}/payload"
      f" {group} || true"
    )


def test_another_hypervisor_beside_ours(cluster: Cluster) -> None:
  """The literal sequence of the manual."""
  for node in cluster.nodes:
    # KVM's parameters are checked against the node's files.
    for path in _KVM:
      text = "#!/bin/sh\necho QEMU emulator version 7.2.0\n"
      node.write(path, text, "755")
  try:
    cluster.gnt(
      "cluster", "modify", "--enabled-hypervisors=kvm,lxc",
      "--nic-parameters", f"mode=bridged,link={cluster.link}",
    )  # fmt: skip
    # Complaints about a missing qemu are kvm's own.
    ours = [line for line in problems(cluster) if "lxc" in line.lower()]
    assert ours == []
    instance = cluster.instance()
    argv = instance.add_argv()
    argv[argv.index("-H") + 1] = "lxc"
    cluster.gnt("instance", *argv)
    assert instance.status == "running"
    instance.gnt("remove", "-f")
  finally:
    cluster.gnt("cluster", "modify", "--enabled-hypervisors=lxc")
    for node in cluster.nodes:
      node.run("rm", *_KVM)


def test_advice_about_the_stock_capabilities(cluster: Cluster) -> None:
  stock = r"mac_override\,sys_boot\,sys_module\,sys_time\,sys_admin"
  ours = (
    r"mac_admin\,mac_override\,sys_admin\,sys_module\,sys_rawio\,sys_time"
    r"\,syslog\,bpf\,perfmon"
  )
  with cluster.modified(
    "-H", f"lxc:drop_capabilities={stock}",
    back=("-H", f"lxc:drop_capabilities={ours}"),
  ):  # fmt: skip
    out = cluster.master.try_run("gnt-cluster", "verify").output
    assert "sys_boot" in out
    instance = cluster.add()
    assert instance.status == "running"


def test_a_hidden_command_is_told_by_verify(cluster: Cluster) -> None:
  node = cluster.nodes[1]
  node.sh("mv /usr/bin/lxc-start /usr/bin/lxc-start.hidden")
  try:
    found = problems(cluster)
  finally:
    node.sh("mv /usr/bin/lxc-start.hidden /usr/bin/lxc-start")
  assert any("lxc-start" in p and node.host_name in p for p in found)
  assert not any(cluster.master.host_name in p for p in found)


def _has_getty(instance: Instance) -> bool:
  return "getty" in instance.inside("ps")


@pytest.mark.lab("makes a second cluster, as a lab of its own")
@pytest.mark.timeout(900)
def test_a_cluster_of_the_stock_driver_goes_on(cluster: Cluster) -> None:
  """Initialised with Ganeti's own driver; then ours is installed."""
  name = f"{cluster.lab}-stock"
  with second.cluster(name, "--no-driver") as other:
    script = 'print(open("/var/lib/ganeti/config.data").read())'
    stored = json.loads(other.master.python(script))
    assert "migration_mode" not in stored["cluster"]["hvparams"]["lxc"]
    # Which that driver cannot start on a current LXC.
    older = other.add(more=("--no-start",))
    before = problems(other)
    second.lab(name, "install")
    found = [p for p in problems(other) if p not in before]
    # The one that the stock driver's default deserves.
    assert all("sys_boot" in p for p in found), found
    newer = other.add()
    older.gnt("startup")
    for instance in (older, newer):
      assert instance.status == "running"
      wait_for(partial(_has_getty, instance), "the getty")
      instance.gnt("shutdown")
      instance.gnt("startup")
      instance.gnt("remove", "-f")
