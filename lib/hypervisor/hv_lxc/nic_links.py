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

"""The host ends of NICs: what must be there, how they are, removal."""

import errno
import ipaddress
import logging
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import uplinks
from .command import Result
from .errors import Failed, Incomplete, LxcError, Refused
from .host import Host, read_optional, wait_until
from .model import NicMode, NicSpec
from .nics import COMMUNICATION_LINK_PREFIX, MAX_LINK_NAME, NicRecord

_log = logging.getLogger(__name__)

# What nic-up.sh writes into the interface's alias, before the NIC's UUID
_ALIAS_PREFIX = "ganeti-lxc:"

_OVS_TIMEOUT_S = 10
_OVS_DAEMON = "ovs-vswitchd"
_REMOVE_TIMEOUT_S = 5.0
# nic-up.sh itself ends Ganeti's script before that (IfupScript.timeout_s).
_IFUP_TIMEOUT_S = 90.0
_OVS_NO_SUCH_BRIDGE = 2  # ovs-vsctl(8), br-exists
_MAX_RULES = 100
_MAX_VLAN = 4094  # IEEE 802.1Q

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE | re.ASCII)
_VLAN = re.compile(r"(\.?[0-9]{1,4})?(:[0-9]{1,4})*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
  """The host end of a NIC.

  @ivar up: administratively up
  @ivar carrier: the other end is up too
  @ivar master: bridge (or "ovs-system") it is a port of, or ""
  @ivar mtu: in bytes
  @ivar alias: L{_ALIAS_PREFIX}, NIC's UUID, ":", instance; or ""

  """

  up: bool
  carrier: bool
  master: str
  mtu: int
  alias: str


def free_name(
  host: Host, names: Iterable[str], taken: Collection[str] = ()
) -> str:
  """The first name that no interface has.

  LXC makes the interface much later, and nothing is locked until then: whoever
  starts at the same moment has to come with other names.

  @param taken: names that were given but are not there yet

  """
  return next(n for n in names if n not in taken and not exists(host, n))


def bridge_mtu(host: Host, link: str) -> int | None:
  """The MTU of a bridge in bytes, None when there is no such interface.

  net-common gives it to the host end; the guest's end must agree.

  """
  if not _valid_link_name(link):
    return None
  text = _attribute(host, link, "mtu")
  return int(text) if text else None


def check(host: Host, instance: str, nic: NicSpec) -> None:
  """Whether a NIC can be set up on this node.

  @raise Refused: it cannot

  """
  whose = f"NIC {nic.index} of instance {instance}"
  _check_mac(whose, nic.mac)
  _check_vlan(whose, nic.vlan)
  if nic.mode is NicMode.ROUTED:
    _check_routed(whose, nic)
  check_place(host, instance, nic)


def check_place(host: Host, instance: str, nic: NicSpec | NicRecord) -> None:
  """Whether this node has what a NIC is to be attached to.

  @raise Refused: it has not

  """
  if nic.mode is NicMode.ROUTED:
    return
  whose = f"NIC {nic.index} of instance {instance}"
  if not _valid_link_name(nic.link):
    raise Refused(
      f"{whose} has a link that cannot be an interface's name",
      evidence=repr(nic.link),
      remedy="set another link with gnt-instance modify --net",
    )
  if nic.mode is NicMode.OVS:
    _check_ovs(host, whose, nic.link)
  else:
    _check_bridge(host, whose, nic)


def _check_mac(whose: str, mac: str) -> None:
  remedy = "set another one with gnt-instance modify --net N:mac=generate"
  if not _MAC.fullmatch(mac):
    raise Refused(
      f"{whose} has a bad MAC address", evidence=repr(mac), remedy=remedy
    )
  if int(mac[:2], 16) & 1 or not int(mac.replace(":", ""), 16):
    raise Refused(
      f"{whose} has a MAC address that is not a unicast one",
      evidence=mac,
      remedy=remedy,
    )


def _check_vlan(whose: str, vlan: str) -> None:
  numbers = [int(number) for number in re.findall("[0-9]+", vlan)]
  if not _VLAN.fullmatch(vlan) or not all(
    0 < number <= _MAX_VLAN for number in numbers
  ):
    raise Refused(
      f"{whose} has a bad VLAN",
      evidence=repr(vlan),
      remedy="write .ID, :ID:ID or .ID:ID with numbers from 1 to 4094",
    )


def _check_routed(whose: str, nic: NicSpec) -> None:
  try:
    ipaddress.ip_address(nic.ip or "")
  except ValueError as err:
    raise Refused(
      f"{whose} is routed and needs an IP address",
      evidence=f"it has {nic.ip!r}",
      remedy="set one with gnt-instance modify --net N:ip=ADDRESS",
    ) from err


def _check_bridge(host: Host, whose: str, nic: NicSpec | NicRecord) -> None:
  bridge = _link_path(host, nic.link) / "bridge"
  if not bridge.is_dir():
    what = "is not a bridge" if exists(host, nic.link) else "does not exist"
    raise Refused(
      f"{whose} needs the bridge {nic.link}, which {what} on this node",
      remedy=f"ip link add {nic.link} type bridge, or choose another link",
    )
  filtering = _attribute(host, nic.link, "bridge/vlan_filtering")
  if nic.vlan and filtering != "1":
    raise Refused(
      f"{whose} has VLAN {nic.vlan} but VLAN filtering is off on bridge"
      f" {nic.link}",
      evidence=f"bridge/vlan_filtering is {filtering or 'not there'}",
      remedy=f"ip link set {nic.link} type bridge vlan_filtering 1",
    )


def _check_ovs(host: Host, whose: str, link: str) -> None:
  try:
    result = _ovs(host, "br-exists", link)
  except LxcError as err:
    raise Refused(
      f"{whose} needs Open vSwitch",
      evidence=str(err),
      remedy="install openvswitch-switch",
    ) from err
  if result.status == _OVS_NO_SUCH_BRIDGE:
    raise Refused(
      f"{whose} needs the Open vSwitch bridge {link}, which does not exist",
      remedy=f"ovs-vsctl add-br {link}, or choose another link",
    )
  # The database answers without the daemon that makes ports of its entries,
  # for which kvm-ifup then waits for ever.
  if not result.failed:
    result = host.run(
      [
        "ovs-appctl",
        f"--timeout={_OVS_TIMEOUT_S}",
        "-t",
        _OVS_DAEMON,
        "version",
      ]
    )
  if result.failed:
    raise Refused(
      f"{whose} needs Open vSwitch, which does not answer",
      evidence=result.evidence(),
      remedy="start openvswitch-switch",
    )


def exists(host: Host, name: str) -> bool:
  """Whether there is an interface of this name in the host's network."""
  return _link_path(host, name).exists()


def state(host: Host, name: str) -> LinkState | None:
  """The state of an interface, None when there is none of this name."""
  flags = _attribute(host, name, "flags")
  mtu = _attribute(host, name, "mtu")
  if not flags or not mtu:
    return None
  return LinkState(
    up=bool(int(flags, 16) & 1),  # IFF_UP
    carrier=_attribute(host, name, "operstate") == "up",
    master=_master(host, name),
    mtu=int(mtu),
    alias=_attribute(host, name, "ifalias") or "",
  )


def _master(host: Host, name: str) -> str:
  try:
    return (_link_path(host, name) / "master").readlink().name
  except FileNotFoundError:
    return ""


def configure(host: Host, hook: Path, env_file: Path) -> None:
  """Runs nic-up.sh where LXC does not: after a restore, for a new NIC.

  @raise Failed: the interface is not configured

  """
  result = host.run(["sh", str(hook), str(env_file)], timeout_s=_IFUP_TIMEOUT_S)
  if result.failed:
    raise Failed(
      "Cannot configure the network of an instance",
      evidence=ifup_error(env_file) or result.evidence(),
      remedy="see that the bridge or the table of routes is there, and run"
      " gnt-cluster verify",
    )


def ifup_error(env_file: Path) -> str:
  """Why nic-up.sh failed at its last run, "" if it did not fail."""
  text = read_optional(env_file.with_name(f"{env_file.name}.error"))
  return (text or "").strip()


def cut_off(host: Host, records: Iterable[NicRecord]) -> None:
  """Lets nothing reach a guest any more whose processes are about to die.

  The kernel takes a network namespace apart in steps, and CRIU's firewall goes
  before the interface does: a packet in between would be refused, and the peer
  give up a connection that lives on elsewhere.

  """
  for record in records:
    if _is_ours(host, record):
      result = host.run(["ip", "link", "set", "dev", record.host_name, "down"])
      if result.failed and exists(host, record.host_name):
        _log.warning("%s", result.evidence())


def teardown(host: Host, records: Iterable[NicRecord]) -> None:
  """Takes away what is left of the NICs of a container that has ended.

  LXC and nic-down.sh have done so already, unless they were killed.

  @raise Incomplete: something is left

  """
  left = []
  for record in records:
    try:
      _teardown(host, record)
    except LxcError as err:
      left.append(f"{record.host_name}: {err}")
  if left:
    raise Incomplete(
      "Cannot remove the network configuration of a stopped instance",
      evidence="; ".join(left),
      remedy="remove it with ip and ovs-vsctl",
    )


def _teardown(host: Host, record: NicRecord) -> None:
  name = record.host_name
  communication = name.startswith(COMMUNICATION_LINK_PREFIX)
  if record.mode is NicMode.OVS:
    result = _ovs(host, "--if-exists", "del-port", name)
    if result.failed:
      # Without ovs-vswitchd it waits in vain; the database does have it.
      result = _ovs(host, "--no-wait", "--if-exists", "del-port", name)
    if result.failed:
      raise Failed("Port not removed", evidence=result.evidence())
  if record.mode is NicMode.ROUTED and not communication:
    _delete_rules(host, name)
  if _is_ours(host, record):
    _delete_link(host, name)
  uplinks.release(host, record)


def _delete_link(host: Host, name: str) -> None:
  result = host.run(["ip", "link", "del", "dev", name])
  # It may have been on its way out already: the kernel forgets the name
  # before it removes the directory.
  if not wait_until(lambda: not exists(host, name), _REMOVE_TIMEOUT_S):
    raise Failed(
      "Interface not removed",
      evidence=result.evidence(),
      remedy=f"see who uses it: ip -d link show {name}",
    )


def _delete_rules(host: Host, name: str) -> None:
  """Rules name their device as a text and survive it (ip-rule(8))."""
  for family in ("-4", "-6"):
    argv = ["ip", family, "rule", "del", "dev", name]
    for _ in range(_MAX_RULES):
      if host.run(argv).failed:
        break


def _is_ours(host: Host, record: NicRecord) -> bool:
  """Whether the interface of the recorded name is the recorded NIC.

  A number of gnt.com.N is used again, by KVM's instances too.

  """
  found = state(host, record.host_name)
  if found is None:
    return False
  if found.alias:
    return found.alias.startswith(f"{_ALIAS_PREFIX}{record.uuid}:")
  return not record.host_name.startswith(COMMUNICATION_LINK_PREFIX)


def _ovs(host: Host, *words: str) -> Result:
  # Without a timeout it waits for ever when ovsdb-server does not run.
  return host.run(["ovs-vsctl", f"--timeout={_OVS_TIMEOUT_S}", *words])


def _valid_link_name(name: str) -> bool:
  """As dev_valid_name() in the kernel's net/core/dev.c."""
  size = len(name.encode("utf-8", "backslashreplace"))
  bad = any(char in "/:" or char.isspace() for char in name)
  return 0 < size <= MAX_LINK_NAME and name not in (".", "..") and not bad


def _link_path(host: Host, name: str) -> Path:
  return host.sys / "class/net" / name


def _attribute(host: Host, name: str, attribute: str) -> str | None:
  try:
    text = read_optional(_link_path(host, name) / attribute)
  except OSError as err:
    # An interface that is being unregistered (netdev_show() in the kernel's
    # net/core/net-sysfs.c), as when a killed container's namespace ends.
    if err.errno == errno.EINVAL:
      return None
    raise
  return None if text is None else text.strip()
