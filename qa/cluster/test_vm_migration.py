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

"""An unmodified Debian guest with systemd moves while a client counts."""

import pytest
from cluster import echoing, groups, mirror
from cluster.cluster import Cluster, Instance, wait_for
from cluster.stream import Stream

# Processes of other users, cgroup v2, AppArmor.
pytestmark = [pytest.mark.vm, pytest.mark.criu]

_UNITS = "dbus ssh cron echo systemd-journald systemd-logind"
_WATCHED = ("echo", "systemd-journald", "systemd-logind")


def _booted(cluster: Cluster, **wanted: object) -> Instance:
  """A guest that has finished booting and sends back what it is sent."""
  instance = cluster.add(memory="memory=256M", hv=("num_ttys=0",), **wanted)
  done = instance.try_inside("systemctl is-system-running --wait")
  assert done.output.strip() == "running"
  echoing.by_systemd(instance)
  return instance


def _facts(instance: Instance) -> dict[str, object]:
  """What has to be the same afterwards."""
  init = instance.init_pid()
  label = instance.node.run("cat", f"/proc/{init}/attr/current")
  return {
    "state": instance.inside("systemctl is-system-running"),
    "processes": instance.inside(
      f"systemctl show -p MainPID,ActiveState {_UNITS}"
    ),
    "users": instance.inside("ps -o user= -C perl,dbus-daemon | sort -u"),
    "limits": groups.limits(instance),
    "devices": instance.try_inside(
      "rm -f /x; mknod /x b 254 0; : </x; mknod /y c 1 3; : </y; rm /x /y"
    ).output,
    "profile": label.strip("\0\n"),
    "capabilities": instance.inside("grep -E 'Cap|Sec' /proc/1/status"),
  }


def _migrate(instance: Instance) -> str:
  before = instance.node
  said = instance.gnt("migrate", "-f")
  assert instance.node != before, said
  assert instance.status == "running"
  return said


def _last_heard(instance: Instance) -> dict[str, str]:
  """When systemd last took a unit's word that it lives."""
  return {
    unit: instance.inside(
      f"systemctl show -P WatchdogTimestampMonotonic {unit}"
    )
    for unit in _WATCHED
  }


def _is_heard_by_systemd(instance: Instance) -> None:
  """A daemon's own signs of life count still."""
  before = _last_heard(instance)["echo"]
  wait_for(lambda: _last_heard(instance)["echo"] != before, "a sign of life")


def _template(cluster: Cluster, name: str) -> dict[str, object]:
  nodes = ":".join(node.host_name for node in cluster.nodes[:2])
  more = ("-n", nodes) if name == "drbd" else ()
  return {"template": name, "more": more}


def _own_release(cluster: Cluster) -> str:
  """The Debian that the nodes have.

  CRIU 3.17 of Debian 12 cannot save the pidfds that systemd of Debian 13 holds.

  """
  return cluster.master.sh(". /etc/os-release; echo $VERSION_CODENAME").strip()


@pytest.mark.parametrize(
  "template", ["sharedfile", pytest.param("drbd", marks=pytest.mark.core)]
)
def test_the_nodes_debian_moves_there_and_back_as_a_guest(
  cluster: Cluster, template: str
) -> None:
  instance = _booted(
    cluster,
    os=f"debian+{_own_release(cluster)}",
    **_template(cluster, template),
  )
  if template == "drbd":
    mirror.wait_until_alike(instance)
  before = _facts(instance)
  assert "www-data" in str(before["users"])
  with Stream(
    cluster.master, instance.address, echoing.PORT, pause_s=0.2
  ) as stream:
    for _ in cluster.nodes[:2]:
      heard = _last_heard(instance)
      _migrate(instance)
      stream.expect_progress()
      # Of what they said in the meantime systemd may have refused the last.
      late = _last_heard(instance).items() & heard.items()
      assert not late
      _is_heard_by_systemd(instance)
      assert _facts(instance) == before
    report = stream.end()
  assert report is not None
  print(report)
  assert report.lost == report.repeated == 0
  assert not report.error
  # What CRIU does not bring back makes systemd spin.
  share = groups.processor_share(instance, 10)
  assert share < 0.5, instance.inside("ps -eo pid,user,time,args --sort=-time")
  instance.inside("systemctl restart cron")
  instance.gnt("shutdown")
  assert instance.status == "ADMIN_down"
