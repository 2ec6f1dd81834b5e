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

"""From Ganeti's objects to this package's values.

Objects are read by their attributes only, so this module needs no Ganeti;
which attributes are there is the business of rpc/node.py (_InstDict).

"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import limits, nic_links, nics
from .errors import Refused
from .host import Host
from .model import DiskSpec, Limits, NicMode, NicSpec, Params
from .request import StartRequest

BlockDevice = tuple[Any, str | None, str | None]


def disk_specs(
  name: str, block_devices: Sequence[BlockDevice]
) -> tuple[DiskSpec, ...]:
  """What backend.StartInstance hands over: (disk, link, URI) by index.

  The link is resolved at once, since Ganeti re-points it at another disk
  while an instance runs (grow-disk and attach number disks from 0).

  @raise Refused: a disk that the kernel of this node does not show

  """
  specs = []
  for index, (disk, link, uri) in enumerate(block_devices):
    if not link:
      raise Refused(
        f"Disk {index} of instance {name} is no device of this node",
        evidence=f"only the userspace address {uri} is known",
        remedy="set its disk parameter access=kernelspace",
      )
    specs.append(
      DiskSpec(
        index=index,
        uuid=disk.uuid,
        path=Path(os.path.realpath(link)),
        read_only=disk.mode == "ro",
        size_mib=disk.size,
      )
    )
  return tuple(specs)


def nic_spec(
  host: Host,
  *,
  instance: Any,
  index: int,
  nic: Any,
  network: Mapping[str, str] | None,
  taken: Iterable[str],
) -> NicSpec:
  """A NIC with its name on the host and its script's environment.

  @param network: Network.HooksDict() of the NIC's network
  @param taken: host names given to other NICs of this instance

  """
  parameters = nic.nicparams
  mode, link = NicMode(parameters["mode"]), parameters["link"] or ""
  identity = nic.uuid or "", instance.uuid, index
  host_name = nics.host_name(*identity)
  if nics.is_communication(nic.name):
    names = nics.communication_names(*identity)
    host_name = nic_links.free_name(host, names, tuple(taken))
  plain = NicSpec(
    index=index,
    uuid=nic.uuid or "",
    mac=nic.mac,
    mode=mode,
    link=link,
    vlan=parameters.get("vlan") or "",
    ip=nic.ip,
    name=nic.name,
    host_name=host_name,
    mtu=None if mode is NicMode.ROUTED else nic_links.bridge_mtu(host, link),
  )
  env = nics.script_env(
    plain,
    instance=instance.name,
    tags=instance.GetTags(),
    network=network,
    path=os.environ.get("PATH", os.defpath),
  )
  return NicSpec(**{**_fields(plain), "script_env": tuple(env.items())})


def _fields(value: NicSpec) -> dict[str, Any]:
  return {name: getattr(value, name) for name in value.__slots__}


def start_limits(
  host: Host, beparams: Mapping[str, Any], params: Params, memory_mib: int
) -> Limits:
  """What the instance may use at its start.

  @param memory_mib: between minmem and maxmem, as the node has it free

  """
  return Limits(
    memory_mib=memory_mib,
    vcpus=int(beparams["vcpus"]),
    cpuset=limits.cpuset(host, params.cpu_mask),
  )


def start_request(
  host: Host,
  *,
  instance: Any,
  block_devices: Sequence[BlockDevice],
  networks: Sequence[Mapping[str, str] | None],
  params: Params,
  memory_mib: int,
  ifup: nics.IfupScript,
  paused: bool,
) -> StartRequest:
  """All that a start needs to know.

  @param networks: Network.HooksDict() for each NIC, or None

  """
  taken: list[str] = []
  specs = []
  for index, (nic, network) in enumerate(
    zip(instance.nics, networks, strict=True)
  ):
    spec = nic_spec(
      host,
      instance=instance,
      index=index,
      nic=nic,
      network=network,
      taken=taken,
    )
    taken.append(spec.host_name)
    specs.append(spec)
  return StartRequest(
    name=instance.name,
    uuid=instance.uuid,
    params=params,
    limits=start_limits(host, instance.beparams, params, memory_mib),
    disks=disk_specs(instance.name, block_devices),
    nics=tuple(specs),
    ifup=ifup,
    paused=paused,
  )
