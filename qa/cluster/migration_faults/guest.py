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


"""The guest whose migrations are disturbed."""

from dataclasses import dataclass

from cluster import echoing, mirror
from cluster.cluster import Cluster, Instance
from cluster.migration_faults import eyes

PORT = echoing.PORT
_MARK = """
FAULTS_BOOT=$(cat /proc/sys/kernel/random/uuid)
export FAULTS_BOOT FAULTS_GUEST=$(hostname)
"""
_BY_INITTAB = f"""
cat >/sbin/faults <<'END'
#!/bin/sh
{_MARK}
exec busybox nc -ll -p {PORT} -e /bin/cat
END
chmod 755 /sbin/faults
grep -q faults /etc/inittab || echo ::respawn:/sbin/faults >>/etc/inittab
kill -HUP 1
"""
_BY_SYSTEMD = f"""
cat >/sbin/faults <<'END'
#!/bin/sh
{_MARK}
exec perl {echoing.PERL}
END
chmod 755 /sbin/faults
cat >/etc/systemd/system/faults.service <<'END'
[Service]
User=www-data
ExecStart=/sbin/faults
Restart=always
[Install]
WantedBy=multi-user.target
END
systemctl enable --now faults
"""


@dataclass(frozen=True)
class Kind:
  """What is moved.

  @ivar os: the OS definition, with its variant
  @ivar template: of the disk

  """

  os: str = "busybox"
  template: str = "sharedfile"

  def __str__(self) -> str:
    return f"{self.os} on {self.template}"


def make(cluster: Cluster, kind: Kind) -> Instance:
  """A guest that answers, and whose processes tell one boot from the next.

  The one that an earlier campaign has left goes on.

  """
  name = next(iter(cluster.names()), None)
  is_busybox = kind.os == "busybox"
  if name is None:
    both = ":".join(node.host_name for node in cluster.nodes[:2])
    instance = cluster.add(
      os=kind.os,
      template=kind.template,
      hv=("num_ttys=0",),
      memory="memory=128M" if is_busybox else "memory=256M",
      more=("-n", both) if kind.template == "drbd" else (),
    )
  else:
    instance = Instance(cluster, name)
    # A campaign that was ended may have left it in the middle of a move.
    cluster.master.try_run("gnt-instance", "startup", name)
  make_alike(instance, kind)
  if is_busybox:
    instance.inside(_BY_INITTAB)
  else:
    instance.try_inside("systemctl is-system-running --wait")
    echoing.write_program(instance)
    instance.inside(_BY_SYSTEMD)
  return instance


def make_alike(instance: Instance, kind: Kind) -> None:
  """Both halves of a mirrored disk; the fault before may have parted them.

  A node that Ganeti could not reach when it gave the migration up goes on
  with allow-two-primaries, and DRBD does not connect such a half to one
  without it.

  """
  if kind.template != "drbd" or mirror.are_alike(instance):
    return
  instance.gnt("migrate", "--cleanup", "-f")
  instance.gnt("activate-disks")
  mirror.wait_until_alike(instance)


def disk_of(instance: Instance) -> str:
  """Its disk, as the scanner is told of it."""
  path = instance.disk_path()
  return path if path.startswith("/dev/") else path.rpartition("/")[2]


def where(cluster: Cluster) -> str:
  """What the nodes are."""
  if not eyes.is_machine(cluster.master):
    return "namespaces"
  return "machines" if eyes.clock(cluster.master) == 1 else "slow machines"
