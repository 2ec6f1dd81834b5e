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

"""The cluster's configuration without the parameters that are not Ganeti's.

The driver that Ganeti ships refuses a parameter of LXC that it does not know,
and no command of Ganeti's takes one out of the configuration.  This does, by
WConfd, as a job would: nothing is stopped, and the other nodes get their
copies.  What is Ganeti's own is told by its table of defaults, which nobody
has changed here, since ganeti.hypervisor is not imported.

"""

import sys
from typing import Any

from .errors import ToolError

Params = dict[str, Any]


def _surplus(params: Params, known: set[str]) -> list[str]:
  return sorted(set(params) - known)


def strip(params: Params, known: set[str]) -> list[str]:
  """Takes out what is not known; its names."""
  names = _surplus(params, known)
  for name in names:
    del params[name]
  return names


def forget(share: str = "/usr/share/ganeti/default") -> list[str]:
  """Takes our parameters out; where they were and which, a line each.

  @param share: where the version of Ganeti in use has its modules
  @raise ToolError: this is not the master, or WConfd does not answer

  """
  sys.path.insert(0, share)
  try:
    from ganeti import constants, errors  # noqa: PLC0415
  except ImportError as err:
    raise ToolError(f"Ganeti's modules are not in {share}: {err}") from err
  try:
    return _forget(constants)
  except errors.GenericError as err:
    raise ToolError(
      f"Ganeti's configuration cannot be changed: {err}; this has to be run"
      " on the master, with ganeti-wconfd running"
    ) from err


def _forget(constants: Any) -> list[str]:
  from ganeti import config, ssconf  # noqa: PLC0415
  from ganeti.utils import livelock  # noqa: PLC0415

  ssconf.CheckMaster(debug=False)
  known = set(constants.HVC_DEFAULTS[constants.HT_LXC])
  lock = livelock.LiveLock("ganeti-lxc-forget-params")
  try:
    cfg = config.GetConfig(None, lock)
    return [
      *_of_cluster(cfg, known, constants.HT_LXC),
      *_of_instances(cfg, known, constants.HT_LXC),
    ]
  finally:
    lock.close()


def _of_cluster(cfg: Any, known: set[str], lxc: str) -> list[str]:
  cluster = cfg.GetClusterInfo()
  found = {"cluster": strip(cluster.hvparams.get(lxc, {}), known)}
  for name, by_hypervisor in cluster.os_hvp.items():
    found[f"OS {name}"] = strip(by_hypervisor.get(lxc, {}), known)
  lines = [f"{where}: {', '.join(n)}" for where, n in found.items() if n]
  if lines:
    cfg.Update(cluster, print)
  return lines


def _of_instances(cfg: Any, known: set[str], lxc: str) -> list[str]:
  lines = []
  for instance in cfg.GetAllInstancesInfo().values():
    if instance.hypervisor != lxc:
      continue
    names = strip(instance.hvparams, known)
    if names:
      cfg.Update(instance, print)
      lines.append(f"instance {instance.name}: {', '.join(names)}")
  return lines
