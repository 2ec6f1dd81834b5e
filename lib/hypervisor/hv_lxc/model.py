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

"""What a container is: values, no I/O.

The driver turns Ganeti's objects into these at its door; nothing below it
knows C{ganeti.objects}.

"""

import enum
from dataclasses import dataclass, field
from pathlib import Path

from .devices import DeviceRule


class NicMode(enum.StrEnum):
  """Ganeti's NIC modes (C{nicparams["mode"]})."""

  BRIDGED = "bridged"
  ROUTED = "routed"
  OVS = "openvswitch"


class InitKind(enum.StrEnum):
  """The init programs whose manners we know."""

  SYSTEMD = "systemd"
  SYSVINIT = "sysvinit"
  OPENRC = "openrc"
  BUSYBOX = "busybox"
  OTHER = "other"


class DiskUse(enum.StrEnum):
  """What the guest gets of a disk: either a mount or a device."""

  ROOT = "root"
  MOUNT = "mount"
  BLOCK = "block"


class RunState(enum.StrEnum):
  """What Ganeti is told about an instance."""

  RUNNING = "running"
  SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
  """A disk as Ganeti hands it over.

  @ivar path: regular file or block device, links resolved
  @ivar size_mib: in MiB

  """

  index: int
  uuid: str
  path: Path
  read_only: bool = False
  size_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSpec:
  """A NIC as Ganeti hands it over, plus its name on the host.

  @ivar host_name: host end of the veth, at most 15 characters
  @ivar mtu: in bytes, None for the kernel's default
  @ivar script_env: the full environment for Ganeti's ifup script

  """

  index: int
  uuid: str
  mac: str
  mode: NicMode
  link: str
  vlan: str = ""
  ip: str | None = None
  name: str | None = None
  host_name: str = ""
  mtu: int | None = None
  script_env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
  """What the guest may use.

  @ivar memory_mib: in MiB
  @ivar swap_mib: in MiB, on top of memory_mib
  @ivar vcpus: CPU time of so many CPUs at most
  @ivar cpuset: kernel list format ("0-1,4"), "" for all CPUs

  """

  memory_mib: int
  swap_mib: int = 0
  vcpus: int = 1
  cpuset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedDisk:
  """A further disk that the guest finds mounted."""

  index: int
  source: Path
  target: str
  read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDisk:
  """A further disk that the guest finds as a block device.

  @ivar node: name below the guest's /dev

  """

  index: int
  node: str
  major: int
  minor: int
  read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
  """A node that is made in the guest's /dev.

  @ivar path: relative to /dev
  @ivar mode: permission bits

  """

  path: str
  kind: str
  major: int
  minor: int
  mode: int = 0o660


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
  """Everything that the LXC configuration is made of."""

  name: str
  uuid: str
  limits: Limits
  nics: tuple[NicSpec, ...] = ()
  drop_capabilities: tuple[str, ...] = ()
  devices: tuple[DeviceRule, ...] = ()
  nodes: tuple[DeviceNode, ...] = ()
  mounted_disks: tuple[MountedDisk, ...] = ()
  block_disks: tuple[BlockDisk, ...] = ()
  root_read_only: bool = False
  tmp_on_tmpfs: bool = False
  num_ttys: int = 0
  init: InitKind = InitKind.OTHER
  halt_signal: str = ""
  reboot_signal: str = ""
  apparmor_profile: str = ""
  own_clock: bool = False
  extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
  """What an instance uses now.

  @ivar memory_mib: the current limit (not the usage), in MiB
  @ivar vcpus: CPUs that it may use
  @ivar cpu_seconds: CPU time used since its start

  """

  name: str
  state: RunState
  init_pid: int = -1
  memory_mib: int = 0
  vcpus: int = 0
  cpu_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
  """Something that a node lacks, and the remedy."""

  what: str
  remedy: str = ""

  def __str__(self) -> str:
    return f"{self.what} ({self.remedy})" if self.remedy else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
  """The hypervisor parameters in typed form.

  @ivar startup_timeout_s: in seconds

  """

  cpu_mask: str = ""
  devices: tuple[DeviceRule, ...] = ()
  drop_capabilities: tuple[str, ...] = ()
  extra_cgroups: tuple[str, ...] = ()
  extra_config: str = ""
  num_ttys: int = 0
  startup_timeout_s: int = 30
  apparmor_profile: str = ""
  block_disks: bool = False
  raw: dict[str, object] = field(default_factory=dict)
