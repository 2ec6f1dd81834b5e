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

"""NICs: names, LXC configuration, environment of Ganeti's scripts.

Each NIC is a veth pair.  LXC makes it and puts one end into the container;
its script.up hook (nic-up.sh) runs Ganeti's own kvm-ifup, which attaches
the host end to the bridge, the Open vSwitch or the routing table.  As the
hook belongs to the configuration, LXC runs it again when the guest reboots.
Everything here is a value; L{nic_links} looks at the node.

Ganeti configures no address inside a guest.  With mode=routed the guest's
own system must set the NIC's IP with a full prefix (/32 or /128) and a
default route through a gateway that is reached on the link, for instance

  ip addr add 192.0.2.9/32 dev eth0
  ip route add 169.254.1.1 dev eth0
  ip route add default via 169.254.1.1 dev eth0

The host answers ARP for every address that it has a route to by another
interface (net-common sets proxy_arp), so that any gateway address does as
long as table LINK, or the main one, has a default route.

"""

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import Refused
from .model import NicMode, NicSpec

# ganeti.constants.INSTANCE_COMMUNICATION_NIC_PREFIX
COMMUNICATION_NIC_PREFIX = "ganeti:communication:"
# net-common, GANETI_TAP
COMMUNICATION_LINK_PREFIX = "gnt.com."
# 15 characters hold seven digits.  KVM's instances take the number after the
# largest there is (hv_base.GenerateTapName), so room has to be left for them.
_COMMUNICATION_NUMBERS = 10**6
# Every name that hv_base.ConfigureNIC may set besides PATH
_SCRIPT_NAMES = (
  "INSTANCE",
  "MAC",
  "MODE",
  "INTERFACE",
  "INTERFACE_INDEX",
  "INTERFACE_UUID",
  "TAGS",
  "IP",
  "INTERFACE_NAME",
  "LINK",
  "VLAN",
  "BRIDGE",
  "NETWORK_NAME",
  "NETWORK_UUID",
  "NETWORK_TAGS",
  "NETWORK_SUBNET",
  "NETWORK_GATEWAY",
  "NETWORK_SUBNET6",
  "NETWORK_GATEWAY6",
  "NETWORK_MAC_PREFIX",
)

MAX_LINK_NAME = 15  # IFNAMSIZ with its terminating zero is 16
_NAME_HEX_DIGITS = MAX_LINK_NAME - len("tap")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PLAIN = "change the name, tag or parameter of the instance that has it"


@dataclass(frozen=True, slots=True, kw_only=True)
class NicRecord:
  """What must be known to take a NIC away again.

  @ivar link: bridge, Open vSwitch bridge or routing table
  @ivar uplinks: C{PORT:VLAN} of what goes from the bridge's other ports with
    the last NIC in the VLAN; see L{uplinks}

  """

  index: int
  uuid: str
  host_name: str
  mode: NicMode
  link: str
  vlan: str = ""
  uplinks: tuple[str, ...] = ()

  @classmethod
  def of(cls, nic: NicSpec) -> "NicRecord":
    """The record of a NIC that is about to be made."""
    return cls(
      index=nic.index,
      uuid=nic.uuid,
      host_name=nic.host_name,
      mode=nic.mode,
      link=nic.link,
      vlan=nic.vlan,
    )

  def to_dict(self) -> dict[str, object]:
    """Plain values, for JSON."""
    return {**asdict(self), "mode": self.mode.value}

  @classmethod
  def from_dict(cls, data: Mapping[str, object]) -> "NicRecord":
    """The record that L{to_dict} wrote; unknown entries are ignored.

    @raise ValueError: an entry is missing or wrong

    """
    try:
      return cls(
        index=int(str(data["index"])),
        uuid=str(data["uuid"]),
        host_name=str(data["host_name"]),
        mode=NicMode(str(data["mode"])),
        link=str(data["link"]),
        vlan=str(data.get("vlan", "")),
        uplinks=_strings(data.get("uplinks", ())),
      )
    except KeyError as err:
      raise ValueError(f"NIC record without {err}") from err


def _strings(value: object) -> tuple[str, ...]:
  if not isinstance(value, (list, tuple)):
    raise ValueError(f"{value!r} is no list")  # noqa: TRY004
  return tuple(map(str, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class IfupScript:
  """How nic-up.sh runs Ganeti's script.

  @ivar path: Ganeti's kvm-ifup
  @ivar override: the administrator's script that kvm-ifup runs instead,
      if it is there; what that one does with the interface is not checked
  @ivar log: file to which output is appended
  @ivar timeout_s: in seconds, after which the script is killed

  """

  path: Path
  override: Path
  log: Path
  timeout_s: int = 60


def host_name(nic_uuid: str, instance_uuid: str, index: int) -> str:
  """The name of the host end, 15 characters, the same on every node.

  It begins with "tap" since net-common takes every other port of a
  VLAN-aware bridge for an uplink.

  """
  return f"tap{_digest(nic_uuid, instance_uuid, index)[:_NAME_HEX_DIGITS]}"


def communication_names(
  nic_uuid: str, instance_uuid: str, index: int
) -> Iterator[str]:
  """All names for a communication NIC, the best one first.

  Instances that start at the same moment begin with different ones.

  """
  first = int(_digest(nic_uuid, instance_uuid, index), 16)
  for number in range(first, first + _COMMUNICATION_NUMBERS):
    yield f"{COMMUNICATION_LINK_PREFIX}{number % _COMMUNICATION_NUMBERS}"


def _digest(nic_uuid: str, instance_uuid: str, index: int) -> str:
  identity = nic_uuid or f"{instance_uuid}/{index}"
  text = identity.encode("utf-8", "backslashreplace")
  return hashlib.sha256(text).hexdigest()


def is_communication(nic_name: str | None) -> bool:
  """Whether a NIC is Ganeti's instance communication NIC."""
  return bool(nic_name) and str(nic_name).startswith(COMMUNICATION_NIC_PREFIX)


def script_env(
  nic: NicSpec,
  *,
  instance: str,
  tags: Iterable[str],
  network: Mapping[str, str] | None,
  path: str,
) -> dict[str, str]:
  """The environment that C{hv_base.ConfigureNIC} gives for the same NIC.

  @param tags: what C{instance.GetTags()} returns
  @param network: what C{Network.HooksDict()} returns, None without network
  @param path: this process's PATH

  """
  env = {
    "PATH": f"{path}:/sbin:/usr/sbin",
    "INSTANCE": instance,
    "MAC": nic.mac,
    "MODE": nic.mode.value,
    "INTERFACE": nic.host_name,
    "INTERFACE_INDEX": str(nic.index),
    "INTERFACE_UUID": nic.uuid,
    "TAGS": " ".join(tags),
    "VLAN": nic.vlan,
    **(network or {}),
  }
  if nic.ip:
    env["IP"] = nic.ip
  if nic.name:
    env["INTERFACE_NAME"] = nic.name
  if nic.link:
    env["LINK"] = nic.link
  if nic.mode is NicMode.BRIDGED:
    env["BRIDGE"] = nic.link
  return env


def render_env(env: Mapping[str, str], script: IfupScript) -> str:
  """The file that nic-up.sh and nic-down.sh source, for any POSIX shell.

  @raise Refused: a value that no environment can hold

  """
  lines = [f"unset {' '.join(_SCRIPT_NAMES)}"]
  for name, value in env.items():
    lines.append(f"export {_assignment(name, value)}")
  settings = {
    "hook_ifup": str(script.path),
    "hook_override": str(script.override),
    "hook_log": str(script.log),
    "hook_timeout": str(script.timeout_s),
  }
  lines.extend(_assignment(*setting) for setting in settings.items())
  return "\n".join(lines) + "\n"


def _assignment(name: str, value: str) -> str:
  if not _VARIABLE.fullmatch(name):
    raise Refused(
      f"{name!r} cannot be the name of an environment variable",
      remedy=_PLAIN,
    )
  try:
    value.encode("utf-8")
  except UnicodeEncodeError as err:
    raise Refused(
      f"Variable {name} for the network script is not valid Unicode",
      evidence=ascii(value),
      remedy=_PLAIN,
    ) from err
  if "\0" in value:
    raise Refused(
      f"Variable {name} for the network script holds a zero byte",
      evidence=ascii(value),
      remedy=_PLAIN,
    )
  # Within single quotes a POSIX shell gives no character a meaning but
  # the single quote itself (POSIX.1-2017, XCU 2.2.2).
  quoted = value.replace("'", "'\\''")
  return f"{name}='{quoted}'"


def config_lines(
  nic: NicSpec, *, up: Sequence[str], down: Sequence[str]
) -> list[tuple[str, str]]:
  """LXC's configuration of one NIC.

  There is no lxc.net.N.link: the script attaches the host end.

  @param up: words of the command for script.up; LXC appends "veth" and
      the name of the host end, and starts it by way of sh -c
  @param down: likewise for script.down

  """
  prefix = f"lxc.net.{nic.index}"
  lines = [
    (f"{prefix}.type", "veth"),
    (f"{prefix}.flags", "up"),
    (f"{prefix}.name", f"eth{nic.index}"),
    (f"{prefix}.hwaddr", nic.mac.lower()),
    (f"{prefix}.veth.pair", nic.host_name),
    (f"{prefix}.script.up", _command_line(up)),
    (f"{prefix}.script.down", _command_line(down)),
  ]
  if nic.mtu:
    lines.append((f"{prefix}.mtu", str(nic.mtu)))
  return lines


def no_network_lines() -> list[tuple[str, str]]:
  """LXC's configuration of a container that has no NIC at all.

  Without any lxc.net key the container would share the host's network
  (lxc.container.conf(5), NETWORK).  "up" is meant for its loopback.

  """
  return [("lxc.net.0.type", "empty"), ("lxc.net.0.flags", "up")]


def _command_line(words: Sequence[str]) -> str:
  # LXC strips a quote at the beginning and the end of a value, so that
  # quoted words cannot be written reliably.
  line = " ".join(words)
  if shlex.join(words) != line:
    raise Refused(
      "The path of a network hook has characters that a shell would act on",
      evidence=ascii(line),
      remedy="use a data directory with a plain name",
    )
  return line
