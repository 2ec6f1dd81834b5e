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

"""A NIC with a real interface, and its hooks."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganeti.hypervisor.hv_lxc import nics
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.model import NicMode, NicSpec
from integration.hv_lxc.netns import Network

HOOKS = Path(__file__).parents[4] / "lib/hypervisor/hv_lxc"
KVM_IFUP = Path("/usr/lib/ganeti/kvm-ifup")
INSTANCE = "inst1.example.com"
UUID = "6f0f9b0e-95c8-4d5d-9c33-4b4b1c3d0c11"
TAP = nics.host_name(UUID, "", 0)
MAC = "aa:00:00:12:34:56"
PATH = os.environ["PATH"]
HOOKS_DICT = {"NETWORK_NAME": "net1", "NETWORK_TAGS": "a b"}


@dataclass(frozen=True)
class Nic:
  """A NIC whose interface exists, and its hooks."""

  net: Network
  home: Path
  spec: NicSpec
  script: nics.IfupScript

  @property
  def env_file(self) -> Path:
    return self.home / "nic0.env"

  @property
  def env(self) -> dict[str, str]:
    return nics.script_env(
      self.spec,
      instance=INSTANCE,
      tags=("t1", "t2"),
      network=HOOKS_DICT,
      path=PATH,
    )

  @property
  def record(self) -> nics.NicRecord:
    return nics.NicRecord.of(self.spec)

  def up(self) -> Result:
    self.env_file.write_text(nics.render_env(self.env, self.script))
    argv = ["sh", str(HOOKS / "nic-up.sh"), str(self.env_file), "veth", TAP]
    # net-common takes its directory from the environment, for tests.
    return self.net.run(argv, env={"SYSCONFDIR": str(self.home / "etc")})

  def down(self) -> Result:
    argv = ["sh", str(HOOKS / "nic-down.sh"), str(self.env_file), "veth", TAP]
    return self.net.run(argv)


def make_nic(net: Network, tmp_path: Path, **changes: Any) -> Nic:
  home = tmp_path / "home"
  home.mkdir(exist_ok=True)
  names = {"path", "timeout_s"} & set(changes)
  script_changes = {name: changes.pop(name) for name in names}
  script: dict[str, Any] = {
    "path": KVM_IFUP,
    "override": home / "etc/ganeti/kvm-vif-bridge",
    "log": home / "log",
    **script_changes,
  }
  values: dict[str, Any] = {
    "index": 0,
    "uuid": UUID,
    "mac": MAC,
    "mode": NicMode.BRIDGED,
    "link": "br0",
    "host_name": TAP,
    **changes,
  }
  spec = NicSpec(**values)
  net.do(f"ip link add {spec.host_name} type veth peer name guest0")
  return Nic(net, home, spec, nics.IfupScript(**script))


def write_script(path: Path, text: str) -> Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f"#!/bin/sh\n{text}\n")
  path.chmod(0o755)
  return path
