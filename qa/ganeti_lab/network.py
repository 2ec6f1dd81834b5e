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

"""The lab's own network: a switch that no one outside can see."""

from __future__ import annotations

import os
import pathlib
from typing import NoReturn

from . import cgroup, command, kernel, spawn
from .errors import LabError
from .node import Node
from .plan import BRIDGE, LabPlan

SWITCH = "switch"
_MAC_PREFIX = "02:1a:b0:00"


def start_switch(lab: LabPlan, log: pathlib.Path) -> None:
  """A process that holds a network namespace with a bridge in it."""
  group = cgroup.group(lab.name, SWITCH)
  cgroup.create(group)
  spawn.spawn("The lab's switch", group, kernel.CLONE_NEWNET, _hold, log)
  in_switch(lab, ["ip", "link", "add", "switch", "type", "bridge"])
  in_switch(lab, ["ip", "link", "set", "switch", "up"])


def _hold() -> NoReturn:
  os.execve(
    "/bin/sleep", ["ganeti-lab-switch", "infinity"], command.environment()
  )


def in_switch(lab: LabPlan, argv: list[str]) -> None:
  """Run a command in the lab's network, outside of the nodes.

  @raise LabError: when the network is not there or the command fails

  """
  pids = cgroup.processes(cgroup.group(lab.name, SWITCH))
  if not pids:
    raise LabError(
      f"The switch of lab {lab.name!r} is not running;"
      f" run: qa/lab --name {lab.name} down"
    )
  command.run(
    "network", ["nsenter", f"--net=/proc/{min(pids)}/ns/net", "--", *argv]
  )


def connect(lab: LabPlan, name: str) -> None:
  """Plug a running node into the switch; bring its bridge up.

  The pair is made in the switch's namespace with its other end in the
  node's: nothing of it ever exists in the host's.

  """
  node = Node(lab.name, name)
  port = f"port-{name}"
  in_switch(
    lab,
    [
      "ip",
      "link",
      "add",
      port,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      str(node.pid),
    ],
  )
  in_switch(lab, ["ip", "link", "set", port, "master", "switch", "up"])
  for line in node_commands(lab, name):
    node.run("network", line.split())


def node_commands(lab: LabPlan, name: str) -> list[str]:
  """What is run in a node to set its network up.

  The bridge has an address of its own: without one it takes the lowest of
  its ports', and changes it when an instance comes or goes.

  """
  index = lab.nodes.index(name)
  return [
    "ip link set lo up",
    (
      f"ip link add {BRIDGE} address {_MAC_PREFIX}:00:{index + 1:02x}"
      " type bridge forward_delay 0"
    ),
    f"ip link set eth0 master {BRIDGE} up",
    f"ip address add {lab.address(name)}/24 dev {BRIDGE}",
    f"ip link set {BRIDGE} up",
  ]
