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

"""Stopping and rebooting: by Ganeti, and by the guest itself."""

import time
from collections.abc import Callable, Sequence

import pytest
from cluster import groups
from cluster.cluster import Cluster, Instance, Node, wait_for


def _boot_id(instance: Instance) -> int:
  """Another number after every boot of the guest."""
  return instance.init_pid()


def test_soft_stop_takes_seconds_and_is_clean(cluster: Cluster) -> None:
  instance = cluster.add()
  node = instance.node
  begin = time.monotonic()
  instance.gnt("shutdown")
  assert time.monotonic() - begin < 15
  # The guest was asked, not killed: its shutdown script has run.
  log = node.run("cat", f"/run/ganeti/lxc/{instance.name}.console")
  assert "busybox: going down" in log
  assert instance.status == "ADMIN_down"
  # Once more is no error.
  instance.gnt("shutdown")


@pytest.mark.parametrize("kind", ["soft", "hard", "full"])
def test_reboot(cluster: Cluster, kind: str) -> None:
  instance = cluster.add()
  before = _boot_id(instance)
  instance.gnt("reboot", f"--type={kind}")
  assert instance.status == "running"
  assert _boot_id(instance) not in (0, before)
  wait_for(
    lambda: instance.address in instance.inside("ip addr show eth0"),
    "the guest's address",
  )


def test_a_guest_that_ignores_is_killed_in_time(cluster: Cluster) -> None:
  instance = cluster.add(os_params="init=ignores")
  begin = time.monotonic()
  instance.gnt("shutdown", "--timeout=4")
  assert 4 <= time.monotonic() - begin < 20
  assert instance.status == "ADMIN_down"


def _states_until(
  instance: Instance, done: Callable[[], bool], timeout_s: float = 40
) -> set[str]:
  """The statuses seen while waiting for something."""
  seen = set()
  deadline = time.monotonic() + timeout_s
  while True:
    seen.add(instance.status)
    if done():
      return seen
    assert time.monotonic() < deadline, f"never came; status was {seen}"


def test_a_guest_that_reboots_itself_never_appears_down(
  cluster: Cluster,
) -> None:
  instance = cluster.add()
  before = _boot_id(instance)
  monitor = groups.processes(instance, "monitor")
  instance.inside("reboot")
  seen = _states_until(instance, lambda: _boot_id(instance) not in (0, before))
  seen |= _states_until(
    instance, lambda: instance.console_log().count("boot complete") >= 2
  )
  assert seen == {"running"}
  assert groups.processes(instance, "monitor") == monitor
  # NICs are there again, on the bridge, and so are terminals.
  cluster.master.run("ping", "-c1", "-W5", instance.address)
  instance.inside(
    "for i in 1 2 3 4 5 6 7 8; do (exec 3<>/dev/ptmx; sleep 3) & done;"
    " sleep 1; [ $(ls /dev/pts | grep -c .) -ge 8 ]"
  )


def test_a_guest_that_halts_is_error_down_and_started_again(
  cluster: Cluster,
) -> None:
  """The cluster does not allow users to shut down: the default."""
  instance = cluster.add_watched()
  instance.try_inside("poweroff")
  wait_for(lambda: instance.status == "ERROR_down", "ERROR_down")
  cluster.watch()
  wait_for(lambda: instance.status == "running", "the watcher's start")


def test_a_guest_that_halts_is_user_down(cluster: Cluster) -> None:
  with cluster.modified("--user-shutdown=yes", back=("--user-shutdown=no",)):
    instance = cluster.add()
    instance.try_inside("poweroff")
    wait_for(lambda: instance.status == "USER_down", "USER_down")
    # The watcher cleans up and does not start it.
    cluster.watch()
    wait_for(lambda: instance.status in ("USER_down", "ADMIN_down"), "clean-up")
    assert instance.init_pid() == 0
    instance.gnt("startup")
    assert instance.status == "running"


def _kill_init(instance: Instance) -> None:
  # The kernel lets no other signal end the init of a namespace.
  instance.node.run("kill", "-KILL", str(instance.init_pid()))


def _kill(node: Node, pids: Sequence[int]) -> None:
  # The shell's own succeeds if one was there: the first takes others along.
  node.sh(f"kill -KILL {' '.join(map(str, pids))}")


def _kill_monitor(instance: Instance) -> None:
  _kill(instance.node, groups.processes(instance, "monitor"))


def _kill_everything(instance: Instance) -> None:
  _kill(instance.node, groups.processes(instance, ""))


@pytest.mark.parametrize("crash", [_kill_init, _kill_monitor, _kill_everything])
def test_a_crashed_guest_is_error_down_and_started_again(
  cluster: Cluster, crash: Callable[[Instance], None]
) -> None:
  with cluster.modified("--user-shutdown=yes", back=("--user-shutdown=no",)):
    instance = cluster.add_watched()
    crash(instance)
    wait_for(lambda: instance.status == "ERROR_down", "ERROR_down")
    cluster.watch()
    wait_for(lambda: instance.status == "running", "the watcher's start")
    assert instance.inside("echo alive").strip() == "alive"


def test_stop_by_name_alone(cluster: Cluster) -> None:
  """How ganeti-watcher stops what runs on a node that is offline."""
  instance = cluster.add()
  instance.node.python(
    """
import sys
sys.path.insert(0, "/usr/share/ganeti/default")
from ganeti import hypervisor
driver = hypervisor.GetHypervisor("lxc")
driver.StopInstance(None, force=True, name=sys.argv[1])
assert sys.argv[1] not in driver.ListInstances(hvparams={})
""",
    instance.name,
  )
  assert instance.status == "ERROR_down"
  assert instance.name not in instance.node.run("ls", "/var/lib/ganeti/lxc")


def test_without_sys_boot_a_soft_reboot_says_what_to_change(
  cluster: Cluster,
) -> None:
  drop = (
    r"mac_admin\,mac_override\,sys_admin\,sys_module\,sys_rawio\,sys_time"
    r"\,syslog\,bpf\,perfmon\,sys_boot"
  )
  instance = cluster.add(hv=(f"drop_capabilities={drop}",))
  # Ganeti itself stops and starts the instance when the driver fails.
  said = instance.gnt("reboot", "--type=hard")
  assert instance.status == "running", said
  said = cluster.master.try_run(
    "gnt-instance", "reboot", "--type=soft", instance.name
  ).output
  assert "drop_capabilities" in " ".join(said.split())
  assert instance.status == "running"
