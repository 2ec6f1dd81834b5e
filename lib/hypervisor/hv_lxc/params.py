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

"""The hypervisor parameters: syntax, defaults, what an instance may ask.

Nothing here needs Ganeti; C{paramtable} turns this into its tables.  Every
value is read with a default, so that neither a cluster whose configuration
the stock driver wrote nor a node with another version of this driver makes
a difference.

The names beyond the stock seven are names that Ganeti's command line knows
already, for other hypervisors: it refuses any that it does not know.

"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from . import capabilities, cpus, devices, extraconf
from . import paramvalues as values
from .errors import Refused
from .host import Host
from .model import Params
from .paramvalues import Values

# Ganeti's own default, as most clusters have it stored.
STOCK_DROP = frozenset(
  {"mac_override", "sys_boot", "sys_module", "sys_time", "sys_admin"}
)

UNCONFINED = "unconfined"
# What LXC installs for ordinary containers; "" is LXC's choice of the two.
ORDINARY_PROFILES = frozenset(
  {"", "lxc-container-default", "lxc-container-default-cgns"}
)
# lxc-start's own profile lets it change to nothing but lxc-* and unconfined
# (abstractions/lxc/start-container).
_PROFILE = re.compile(r"lxc-[A-Za-z0-9._-]{1,120}")
_CGROUP = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationParams:
  """What the parameters say about live migration.

  @ivar live: whether "gnt-instance migrate" is live unless told otherwise
  @ivar prepared: the instance is to be started so that it can be migrated
  @ivar port: TCP port of the receiving node
  @ivar bandwidth_mib: in MiB/s
  @ivar downtime_ms: how long the last round may take, in milliseconds

  """

  live: bool
  prepared: bool
  port: int
  bandwidth_mib: int
  downtime_ms: int


def parse(hvparams: Values) -> Params:
  """The parameters in typed form, their syntax checked.

  @param hvparams: as Ganeti has them; numbers may be strings (ssconf)
  @raise Refused: names parameter, value and what is allowed

  """
  check_reserved(hvparams)
  parse_migration(hvparams)
  mask = values.text(hvparams, values.CPU_MASK)
  values.about(values.CPU_MASK, mask, cpus.from_mask)
  extra = values.text(hvparams, values.EXTRA_CONFIG)
  values.about(values.EXTRA_CONFIG, extra, extraconf.parse)
  disk_type = values.choice(hvparams, values.DISK_TYPE, ("auto", "block"))
  timeout_s = values.number(
    hvparams, values.STARTUP_TIMEOUT, 0, values.MAX_TIMEOUT_S
  )
  return Params(
    cpu_mask=mask,
    devices=values.parsed(hvparams, values.DEVICES, devices.parse),
    drop_capabilities=values.parsed(
      hvparams, values.DROP_CAPABILITIES, capabilities.parse
    ),
    extra_cgroups=values.parsed(hvparams, values.EXTRA_CGROUPS, _cgroups),
    extra_config=extra,
    num_ttys=values.number(hvparams, values.NUM_TTYS, 0, values.MAX_TTYS),
    # The stock driver accepted 0, on which lxc-wait would not wait at all.
    startup_timeout_s=timeout_s or values.DEFAULT_TIMEOUT_S,
    apparmor_profile=values.parsed(hvparams, values.SECURITY_DOMAIN, _profile),
    block_disks=disk_type == "block",
    raw=dict(hvparams),
  )


def parse_migration(hvparams: Values) -> MigrationParams:
  """The parameters of live migration.

  @raise Refused: as L{parse}

  """
  mode = values.choice(hvparams, values.MIGRATION_MODE, ("live", "non-live"))
  return MigrationParams(
    live=mode == "live",
    prepared=values.choice(hvparams, values.MIGRATION_CAPS, ("", "live"))
    == "live",
    port=values.number(hvparams, values.MIGRATION_PORT, 1, (1 << 16) - 1),
    bandwidth_mib=values.number(
      hvparams, values.MIGRATION_BANDWIDTH, 1, 1 << 20
    ),
    downtime_ms=values.number(hvparams, values.MIGRATION_DOWNTIME, 1, 600_000),
  )


def check_reserved(hvparams: Values) -> None:
  """Refuses what only a newer release could honour.

  @raise Refused: such a parameter has a value

  """
  for name in sorted(values.RESERVED & hvparams.keys()):
    if str(hvparams[name]) not in values.NEUTRAL:
      raise Refused(
        f"Parameter {name} ({hvparams[name]!r}) is not supported for lxc by"
        " this release of the driver",
        remedy=f"leave it out, or set it to nothing with -H {name}=",
      )


def check_within_cluster(
  wanted: Params, cluster_hvparams: Mapping[str, str] | None
) -> None:
  """Refuses what goes beyond the cluster's own parameters.

  This is for mistakes, and for those who may create or change instances and
  nothing else.  Whoever writes through RAPI can set the cluster's as well
  (R_2_cluster_modify).  The capability sys_boot is everybody's.

  @param cluster_hvparams: from ssconf; None if unknown, which stands for
    C{paramvalues.defaults}
  @raise Refused: names the parameter and what is too much

  """
  known: Values = cluster_hvparams or {}
  _check_capabilities(wanted, known)
  allowed = values.parsed(known, values.DEVICES, devices.parse)
  beyond = devices.not_covered(wanted.devices, allowed)
  if beyond:
    raise Refused(
      "Parameter devices allows what the cluster's does not",
      evidence=", ".join(map(str, beyond)),
      remedy=_beyond(values.DEVICES),
    )
  _check_profile(
    wanted.apparmor_profile, values.parsed(known, values.SECURITY_DOMAIN, str)
  )


def _check_capabilities(wanted: Params, cluster: Values) -> None:
  dropped = values.parsed(cluster, values.DROP_CAPABILITIES, capabilities.parse)
  kept = set(dropped) - set(wanted.drop_capabilities) - {"sys_boot"}
  if kept:
    raise Refused(
      "Parameter drop_capabilities leaves the instance capabilities that the"
      " cluster's takes away",
      evidence=", ".join(sorted(kept)),
      remedy=_beyond(values.DROP_CAPABILITIES),
    )


def _check_profile(wanted: str, cluster: str) -> None:
  both_ordinary = {wanted, cluster} <= ORDINARY_PROFILES
  if cluster not in {wanted, UNCONFINED} and not both_ordinary:
    raise Refused(
      f"Parameter security_domain ({wanted!r}) is not the cluster's"
      f" ({cluster!r})",
      remedy=f"{_beyond(values.SECURITY_DOMAIN)}, or have"
      " lxc.apparmor.profile in a file that extra_config names",
    )


def _beyond(name: str) -> str:
  return (
    "change the instance, or let all instances have it: gnt-cluster modify"
    f" -H lxc:{name}=..."
  )


def check_on_node(host: Host, wanted: Params) -> None:
  """Checks what can be checked on a node alone: files in extra_config.

  @raise Refused: such a file is missing or cannot be trusted

  """
  extraconf.load(host, wanted.extra_config)


def advice(hvparams: Values) -> list[str]:
  """What is valid and yet not good, each on a line; never raises."""
  try:
    wanted = parse(hvparams)
  except Refused as err:
    return [str(err)]
  found = verify_cluster_params(hvparams)
  fatal = sorted(capabilities.FATAL - set(wanted.drop_capabilities))
  if fatal:
    found.append(
      f"drop_capabilities does not have {' and '.join(fatal)}: the root of a"
      " guest can take over the node"
    )
  lacking = devices.missing(wanted.devices)
  if lacking:
    found.append(
      "devices keeps guests from what every guest needs:"
      f" {', '.join(f'/dev/{name}' for name in lacking)}"
    )
  if "=" in wanted.extra_config:
    found.append(
      'extra_config of the cluster has a "=", which ganeti-watcher cannot'
      " read when maintain_node_health is on: put the keys in a file and set"
      " extra_config to file:NAME"
    )
  if wanted.num_ttys and parse_migration(hvparams).prepared:
    found.append(
      "num_ttys is not 0 although migration_caps is live: CRIU cannot dump a"
      " container that has LXC's terminals"
    )
  return found


def verify_cluster_params(hvparams: Values) -> list[str]:
  """What a cluster that stored the stock default has to be told."""
  try:
    dropped = values.parsed(
      hvparams, values.DROP_CAPABILITIES, capabilities.parse
    )
  except Refused as err:
    return [str(err)]
  if "sys_boot" not in dropped:
    return []
  better = [name for name in dropped if name != "sys_boot"]
  if set(dropped) == STOCK_DROP:
    better = list(capabilities.DEFAULT_DROP)
  names = r"\,".join(better)
  text = (
    "drop_capabilities has sys_boot, which makes a halt of a guest's reboot"
    " and protects nothing, as reboot(2) is local to a container; change it"
    f" with: gnt-cluster modify -H 'lxc:drop_capabilities={names}'"
  )
  return [text]


def _cgroups(text: str) -> tuple[str, ...]:
  """The controllers named in extra_cgroups, separated by commas."""
  names = [name.strip() for name in text.split(",") if name.strip()]
  for name in names:
    if not _CGROUP.fullmatch(name):
      raise Refused(
        f"{name!r} is no cgroup controller",
        remedy="name controllers as /proc/cgroups or cgroup.controllers do",
      )
  return tuple(dict.fromkeys(names))


def _profile(text: str) -> str:
  if text in ("", UNCONFINED) or _PROFILE.fullmatch(text):
    return text
  raise Refused(
    f"{text!r} is no AppArmor profile that LXC may change to",
    remedy=f"name one that begins with lxc-, or {UNCONFINED}, or leave it"
    " empty for LXC's own",
  )
