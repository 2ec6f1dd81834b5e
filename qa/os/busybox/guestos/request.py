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
"""What Ganeti asks of an OS script: its environment, made typed."""

import dataclasses
import ipaddress
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Self

CACHE = pathlib.Path("/var/cache/ganeti-lxc-lab/guests")

_COMMON: dict[str, tuple[str, ...]] = {
  "layout": ("partitioned", "gpt", "cloud", "bare"),
  "fs": ("ext4", "xfs", "btrfs"),
  "fstab": ("plain", "vm"),
  "data": ("empty", "ext4"),
  "errors": ("remount-ro", "continue", "panic"),
}
_BUSYBOX: dict[str, tuple[str, ...]] = {
  "getty": ("tty1", "console", "none"),
  "init": ("busybox", "missing", "exits", "ignores"),
  "hostile": (
    "no",
    "dev",
    "proc",
    "sys",
    "etc",
    "run",
    "tmp",
    "init",
    "fstab",
    "all",
  ),
}
#: OS name -> parameter -> accepted values, the default first.
PARAMETERS: dict[str, dict[str, tuple[str, ...]]] = {
  "busybox": {**_COMMON, **_BUSYBOX},
  "debian": _COMMON,
}


class RequestError(Exception):
  """The environment asks for something that cannot be done."""


@dataclasses.dataclass(frozen=True)
class Nic:
  """A guest interface's static address.

  @ivar index: N of the guest's ethN
  @ivar address: with the network's prefix length, or /32 when routed
  @ivar gateway: C{None} where there is none

  """

  index: int
  address: ipaddress.IPv4Interface
  gateway: ipaddress.IPv4Address | None
  routed: bool


@dataclasses.dataclass(frozen=True)
class Request:
  """One call of an OS script.

  @ivar guest: name of the cached root file system
  @ivar disks: paths of files or block devices, disk 0 first
  @ivar options: parameter -> value, complete

  """

  name: str
  os_name: str
  guest: str
  disks: tuple[pathlib.Path, ...]
  nics: tuple[Nic, ...]
  options: Mapping[str, str]

  @classmethod
  def from_environment(cls, env: Mapping[str, str]) -> Self:
    """Reads the variables of ganeti-os-interface(7).

    @raise RequestError: one is missing or has no meaning

    """
    os_name = os_of(env)
    return cls(
      name=_required(env, "INSTANCE_NAME"),
      os_name=os_name,
      guest=_guest(os_name, env.get("OS_VARIANT", "")),
      disks=tuple(
        pathlib.Path(_required(env, f"DISK_{index}_PATH"))
        for index in range(int(env.get("DISK_COUNT", "0")))
      ),
      nics=_nics(env),
      options=options_of(os_name, env),
    )

  def image(self) -> pathlib.Path:
    """Directory of the cached guest.

    @raise RequestError: it was not built

    """
    directory = CACHE / self.guest
    if not directory.is_dir():
      raise RequestError(
        f"{directory} does not exist; build it with"
        f" 'qa/os/build-guests {self.guest}'"
      )
    return directory.resolve()

  def root_uuid(self) -> str:
    """UUID of the root file system: the same in every clone."""
    recipe = json.loads((self.image() / "recipe.json").read_text())
    return str(recipe["root_uuid"])


def _required(env: Mapping[str, str], name: str) -> str:
  try:
    return env[name]
  except KeyError:
    raise RequestError(
      f"the variable {name} is not set; this script is started by Ganeti"
    ) from None


def os_of(env: Mapping[str, str]) -> str:
  """Name of the OS definition, without its variant."""
  name = env.get("OS_NAME") or _required(env, "INSTANCE_OS")
  name = name.partition("+")[0]
  if name not in PARAMETERS:
    raise RequestError(
      f"no OS definition {name!r} here; known: {', '.join(PARAMETERS)}"
    )
  return name


def _guest(os_name: str, variant: str) -> str:
  if os_name == "busybox":
    return "busybox"
  return f"{os_name}-{variant or 'bookworm'}"


def options_of(os_name: str, env: Mapping[str, str]) -> dict[str, str]:
  """Every parameter with its value (C{OSP_*}) or its default.

  @raise RequestError: a value is not among the accepted ones

  """
  options = {}
  for name, accepted in PARAMETERS[os_name].items():
    value = env.get(f"OSP_{name.upper()}") or accepted[0]
    if value not in accepted:
      raise RequestError(
        f"OS parameter {name}={value!r}: accepted are {', '.join(accepted)}"
      )
    options[name] = value
  return options


def _nics(env: Mapping[str, str]) -> tuple[Nic, ...]:
  found = []
  for index in range(int(env.get("NIC_COUNT", "0"))):
    ip = env.get(f"NIC_{index}_IP", "")
    if ip:
      found.append(_nic(env, index, ip))
  return tuple(found)


def _nic(env: Mapping[str, str], index: int, ip: str) -> Nic:
  prefix = f"NIC_{index}_"
  routed = env.get(f"{prefix}MODE") == "routed"
  subnet = env.get(f"{prefix}NETWORK_SUBNET", "")
  length = subnet.partition("/")[2] or "24"
  gateway = env.get(f"{prefix}NETWORK_GATEWAY", "")
  try:
    return Nic(
      index=index,
      address=ipaddress.IPv4Interface(f"{ip}/{32 if routed else length}"),
      gateway=ipaddress.IPv4Address(gateway) if gateway else None,
      routed=routed,
    )
  except ValueError as err:
    raise RequestError(f"NIC {index}: {err}") from err


def current() -> Request:
  """The request that this process was started with."""
  return Request.from_environment(os.environ)
