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

"""The package: into a cluster, from release to release, and out again."""

import json
import threading
from collections.abc import Iterator

import pytest
from cluster import packages
from cluster.cluster import Cluster, Node, wait_for
from cluster.packages import NEXT, Packages
from cluster.verify import problems

_STOCK_PARAMS = {
  "cpu_mask", "devices", "drop_capabilities", "extra_cgroups",
  "extra_config", "num_ttys", "startup_timeout",
}  # fmt: skip
_TRACES = r"""
find / -xdev \( -path /proc -o -path /var/tmp -o -path /usr/src \) -prune -o \
  \( -name '*ganeti-lxc*' -o -path '*/ganeti/lxc*' -o -path '*hv_lxc/*' \
  -o -name 'hv_lxc.new*' -o -name '11-ganeti*' -o -name 'kpartx*.py*' \) -print
"""


def _stored(cluster: Cluster) -> set[str]:
  """The parameters of LXC in the cluster's configuration."""
  script = 'print(open("/var/lib/ganeti/config.data").read())'
  stored = json.loads(cluster.master.python(script))
  return set(stored["cluster"]["hvparams"]["lxc"])


def _traces(node: Node) -> set[str]:
  return set(node.sh(_TRACES).split())


@pytest.mark.lab("makes a second cluster, as a lab of its own")
@pytest.mark.timeout(900)
def test_into_a_cluster_with_another_hypervisor_and_out(
  stock: Cluster, built: Packages
) -> None:
  node = stock.master
  traces = _traces(node)
  stock.gnt("cluster", "modify", "--enabled-hypervisors=fake")
  other = packages.add_fake(stock)
  assert _stored(stock) == _STOCK_PARAMS
  assert problems(stock) == []

  built.install(node, built.now)
  assert packages.hypervisors(stock) == {other: ("fake", "running")}
  stock.gnt("cluster", "modify", "--enabled-hypervisors=fake,lxc")
  # The one that the stock driver's default deserves.
  assert all("sys_boot" in p for p in problems(stock)), problems(stock)
  instance = stock.add(hv=("migration_downtime=500",))
  found = packages.hypervisors(stock)
  assert found == {
    other: ("fake", "running"),
    instance.name: ("lxc", "running"),
  }
  assert _stored(stock) > _STOCK_PARAMS

  # A running instance would be lost from sight.
  said = node.try_run("ganeti-lxc-forget-params")
  assert said.status == 1
  assert f"instances run on this node: {instance.name}." in said.output
  assert packages.loaded_from(node).endswith("/hv_lxc/driver.py")

  # A stopped one may stay, and Ganeti's driver can read what is stored.
  instance.gnt("shutdown")
  said = node.try_run("ganeti-lxc-forget-params")
  assert said.status == 0, said.output
  assert "migration_mode" in said.output
  assert f"instance {instance.name}: migration_downtime" in said.output
  assert _stored(stock) == _STOCK_PARAMS
  instance.gnt("modify", "-H", "num_ttys=2")
  instance.gnt("remove", "-f")
  stock.gnt("cluster", "modify", "--enabled-hypervisors=fake")
  assert packages.purge(node).status == 0
  assert packages.loaded_from(node).endswith("/hv_lxc.py")
  assert problems(stock) == []
  assert packages.hypervisors(stock) == {other: ("fake", "running")}
  assert _stored(stock) == _STOCK_PARAMS
  assert _traces(node) - traces == set()


@pytest.mark.timeout(900)
def test_upgrade_under_running_instances(
  cluster: Cluster, releases: Packages
) -> None:
  """What the release before has started is managed by the next one."""
  first, last = cluster.nodes
  instances = cluster.add_all(
    {"on": first, "memory": "minmem=48M,maxmem=64M"},
    {"on": last},
    {"on": first, "more": ("--no-start",)},
  )
  running, other, stopped = instances
  inits = [i.init_pid() for i in instances]
  daemons = {
    name: packages.daemon_pid(first, name) for name in ("luxid", "noded")
  }
  releases.install(first, releases.later)
  assert packages.version(first) == f"{NEXT} installed"
  assert packages.version(last) != packages.version(first)
  assert packages.daemon_pid(first, "luxid") == daemons["luxid"]
  assert packages.daemon_pid(first, "noded") != daemons["noded"]
  # One node has the next release, the other one does not.
  assert problems(cluster) == []
  assert [i.init_pid() for i in instances] == inits
  other.gnt("failover", "-f")
  assert other.node == first
  releases.install(last, releases.later)
  assert running.init_pid() == inits[0]
  assert [i.status for i in instances] == ["running", "running", "ADMIN_down"]
  running.gnt("modify", "-m", "48M")
  assert running.inside("echo ok").strip() == "ok"
  running.gnt("reboot", "--type=soft")
  running.gnt("failover", "-f")
  stopped.gnt("startup")
  for instance in instances:
    assert instance.status == "running"
    instance.gnt("shutdown")
  assert problems(cluster) == []


def test_back_to_the_release_before(
  cluster: Cluster, releases: Packages
) -> None:
  for node in cluster.nodes:
    releases.install(node, releases.later)
  instance = cluster.add()
  init = instance.init_pid()
  for node in cluster.nodes:
    releases.install(node, releases.now)
  assert instance.init_pid() == init
  assert problems(cluster) == []
  instance.gnt("shutdown")
  instance.gnt("startup")
  assert instance.status == "running"


def test_package_is_not_mixed_up_with_what_make_install_left(
  cluster: Cluster, releases: Packages
) -> None:
  """A tool in /usr/local, which comes first for root, places its own driver."""
  node = cluster.master
  older = "/usr/local/sbin/ganeti-lxc-place"
  node.sh(f"printf '#!/bin/sh\\nexit 0\\n' >{older}; chmod 755 {older}")
  before = packages.daemon_pid(node, "noded")
  try:
    releases.install(node, releases.later)
    assert packages.daemon_pid(node, "noded") != before
    node.run("grep", "-q", NEXT, f"{packages.DRIVER}/__init__.py")
  finally:
    node.run("rm", older)


def test_a_job_goes_on_while_the_package_is_upgraded(
  cluster: Cluster, releases: Packages
) -> None:
  """The request that noded serves is not cut off."""
  instance = cluster.add(os_params="init=ignores")
  said = []

  def shut_down() -> None:
    said.append(instance.gnt("shutdown", "--timeout=20"))

  job = threading.Thread(target=shut_down)
  before = packages.daemon_pid(cluster.master, "noded")
  path = releases.put(cluster.master, releases.later)
  job.start()
  try:
    # It is being served as soon as the driver has written it down.
    record = f"/var/lib/ganeti/lxc/{instance.name}/record.json"
    wait_for(
      lambda: "stopping" in cluster.master.try_run("cat", record).output,
      "the driver to be stopping the guest",
    )
    cluster.master.run("dpkg", "--install", path)
    assert packages.daemon_pid(cluster.master, "noded") != before
    assert not said, "the job was over too soon to tell"
  finally:
    job.join()
  assert said
  assert instance.status == "ADMIN_down"


def test_a_half_configured_package_is_the_old_one(
  cluster: Cluster, releases: Packages
) -> None:
  """Unpacked and no more: Ganeti does not read any of it."""
  node = cluster.master
  instance = cluster.add()
  init = instance.init_pid()
  path = releases.put(node, releases.later)
  node.run("dpkg", "--unpack", path)
  assert packages.version(node) == f"{NEXT} unpacked"
  # Even a restart of everything.
  for verb in ("stop", "start"):
    node.run("/usr/lib/ganeti/daemon-util", verb, "ganeti-noded")
  assert problems(cluster) == []
  assert instance.init_pid() == init
  assert instance.status == "running"
  instance.gnt("reboot")
  assert instance.status == "running"
  node.run("dpkg", "--configure", "--pending")
  assert packages.version(node) == f"{NEXT} installed"
  assert instance.status == "running"


@pytest.fixture
def beside(cluster: Cluster) -> Iterator[str]:
  """An instance of another hypervisor, which stands for KVM."""
  both = "--enabled-hypervisors=fake,lxc"
  with cluster.modified(both, back=("--enabled-hypervisors=lxc",)):
    name = packages.add_fake(cluster)
    yield name
    cluster.gnt("instance", "remove", "-f", name)


# dpkg renames its own notes first, then one file of the package after the
# other.
@pytest.mark.parametrize("renames", [60, 150])
def test_a_half_unpacked_package_leaves_all_instances_manageable(
  cluster: Cluster, releases: Packages, beside: str, renames: int
) -> None:
  """The power fails while dpkg puts the files in place."""
  node = cluster.master
  instance = cluster.add()
  path = releases.put(node, releases.later)
  cut = f"inject=rename:signal=KILL:when={renames}"
  traced = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=rename")
  done = node.try_run(*traced, "-e", cut, "dpkg", "--unpack", path)
  assert done.status != 0
  assert packages.version(node).endswith(" half-installed")
  assert ".dpkg-new" in node.run("ls", "-R", "/usr/share/ganeti-lxc")
  for verb in ("stop", "start"):
    node.run("/usr/lib/ganeti/daemon-util", verb, "ganeti-noded")
  for verb in ("shutdown", "startup", "reboot"):
    cluster.gnt("instance", verb, beside)
    instance.gnt(verb)
  assert packages.hypervisors(cluster) == {
    beside: ("fake", "running"),
    instance.name: ("lxc", "running"),
  }
  assert problems(cluster) == []
  node.run("dpkg", "--install", path)
  assert packages.version(node) == f"{NEXT} installed"


def test_a_damaged_package_changes_nothing(
  cluster: Cluster, releases: Packages
) -> None:
  node = cluster.master
  instance = cluster.add()
  before = packages.version(node)
  path = releases.put(node, releases.later)
  node.sh(f"truncate -s $(($(stat -c %s {path}) * 2 / 3)) {path}")
  noded = packages.daemon_pid(node, "noded")
  assert node.try_run("dpkg", "--install", path).status != 0
  assert packages.version(node) == before
  assert packages.daemon_pid(node, "noded") == noded
  assert problems(cluster) == []
  instance.gnt("reboot")
  assert instance.status == "running"


def test_removal_is_refused_while_instances_run(
  cluster: Cluster, releases: Packages
) -> None:
  node = cluster.master
  instance = cluster.add()
  init = instance.init_pid()
  done = node.try_run("dpkg", "--remove", packages.PACKAGE)
  assert done.status != 0
  assert f"instances run on this node: {instance.name}." in done.output
  assert instance.init_pid() == init
  assert instance.status == "running"
  assert problems(cluster) == []
  # The package is whole; what dpkg was asked for is forgotten.
  releases.install(node, releases.now)
  assert instance.init_pid() == init


@pytest.fixture
def version_package(cluster: Cluster) -> Iterator[str]:
  """A package of the node that is a further version of Ganeti."""
  node = cluster.master
  path = "/var/tmp/packages/ganeti-made-up.deb"
  node.sh(
    f"""
    top=$(mktemp -d)
    chmod 755 "$top"
    modules=$top/usr/share/ganeti/{packages.other_ganeti(node)}/ganeti
    mkdir -p "$modules" "$top/DEBIAN" {path.rpartition("/")[0]}
    cp -r /usr/share/ganeti/default/ganeti/hypervisor \
      /usr/share/ganeti/default/ganeti/storage "$modules/"
    rm -rf "$modules/hypervisor/hv_lxc"
    find "$modules" -name __pycache__ -exec rm -r {{}} +
    while read -r name; do
      case $name in storage/*) rm -f "$modules/$name" ;; esac
    done <{packages.DRIVER}/MANIFEST
    printf '%s\n' 'Package: ganeti-made-up' 'Version: 1' \
      'Architecture: all' 'Maintainer: Nobody <nobody@example.com>' \
      'Description: made up' >"$top/DEBIAN/control"
    dpkg-deb --build "$top" {path}
    rm -r "$top"
    """
  )
  yield path
  node.run("dpkg", "--purge", "ganeti-made-up")
  node.run("rm", "-rf", "/var/tmp/packages")


def test_a_further_version_of_ganeti_gets_the_driver(
  cluster: Cluster, version_package: str
) -> None:
  node = cluster.master
  version = packages.other_ganeti(node)
  driver = packages.DRIVER_IN.format(version)
  noded = packages.daemon_pid(node, "noded")
  node.run("dpkg", "--install", version_package)
  node.run("test", "-f", f"{driver}/driver.py")
  node.run("diff", "-r", "-x", "__pycache__", packages.DRIVER, driver)
  # The version in use has not changed.
  assert packages.daemon_pid(node, "noded") == noded
  node.run("dpkg", "--remove", "ganeti-made-up")
  node.run("test", "!", "-e", f"/usr/share/ganeti/{version}")
  assert problems(cluster) == []


def test_what_is_in_the_way_is_named(
  cluster: Cluster, releases: Packages, version_package: str
) -> None:
  """Another version cannot be served; the one in use can."""
  node = cluster.master
  foreign = packages.DRIVER_IN.format(packages.other_ganeti(node))
  node.run("dpkg", "--install", version_package)
  node.sh(f"rm -r {foreign}; mkdir {foreign}; echo mine >{foreign}/driver.py")
  path = releases.put(node, releases.later)
  try:
    done = node.try_run("dpkg", "--install", path)
    assert done.status != 0
    assert f"{foreign} exists but was not installed by" in done.output
    assert packages.version(node) == f"{NEXT} half-configured"
    assert problems(cluster) == []
    assert cluster.add().status == "running"
  finally:
    node.run("rm", "-r", foreign)
  node.run("dpkg", "--configure", "--pending")
  assert packages.version(node) == f"{NEXT} installed"


def test_without_any_ganeti(
  cluster: Cluster, releases: Packages, foreign: Node
) -> None:
  """Installed first, the driver waits for Ganeti.

  Containers of the administrator's are not in the way.

  """
  node = cluster.master
  init = node.run("lxc-info", "-n", "foreign", "-p", "-H")
  assert packages.purge(node).status == 0
  assert packages.loaded_from(node).endswith("/hv_lxc.py")
  path = releases.put(node, releases.now)
  said = node.run(
    "unshare", "--mount", "sh", "-ec",
    'mount -t tmpfs none /usr/share/ganeti; dpkg --install "$1"', "sh", path,
  )  # fmt: skip
  assert "No Ganeti (3.0, 3.1) below /usr/share/ganeti" in said
  assert packages.loaded_from(node).endswith("/hv_lxc.py")
  # What dpkg does when it has installed a Ganeti.
  ganeti = f"ganeti-{packages.ganeti(node)}"
  node.run("dpkg-trigger", f"--by-package={ganeti}", "/usr/share/ganeti")
  node.run("dpkg", "--triggers-only", "--pending")
  assert packages.loaded_from(node).endswith("/hv_lxc/driver.py")
  assert problems(cluster) == []
  cluster.add().gnt("remove", "-f")
  assert packages.purge(node).status == 0
  assert node.run("lxc-info", "-n", "foreign", "-p", "-H") == init
  assert foreign.run("test", "-d", "/var/lib/lxc/foreign/rootfs") == ""
  releases.install(node, releases.now)
