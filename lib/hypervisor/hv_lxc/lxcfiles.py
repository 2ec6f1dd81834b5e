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

"""The files in an instance's directory that LXC reads or runs.

All are written at each start, scripts included: LXC runs them again when
the guest reboots itself, and a package that was upgraded or removed in the
meantime must not matter.

"""

import os
import re
from pathlib import Path

from . import cgroup, hierarchies, limits, lxcconf, nics, packaged, seccomp
from .errors import Refused
from .hierarchies import Hierarchies
from .host import Host, read_optional, write_file
from .layout import InstancePaths
from .model import ContainerSpec, Limits
from .request import StartRequest

_SYS_ADMIN = "sys_admin"
# In both files: "lxc.cgroup2.memory.max = 1048576", "write PATH 1048576".
_MEMORY = re.compile(
  r"[./]memory\.(?:limit_in_bytes|max)(?: =)? (\d+)$", re.MULTILINE
)


def write(
  groups: Hierarchies,
  request: StartRequest,
  spec: ContainerSpec,
  paths: InstancePaths,
) -> None:
  """Writes all that LXC reads now or at a reboot of the guest."""
  cgroup.prepare(groups, spec.name)
  lines = [
    *lxcconf.base_lines(spec, paths),
    *hierarchies.config_lines(spec.name),
    *limits.config_lines(groups, spec),
    *_network(request, paths),
    *spec.extra,
  ]
  may = _SYS_ADMIN not in spec.drop_capabilities
  _write(paths.seccomp, seccomp.profile(may_set_host_name=may))
  _write(paths.log_name, f"{paths.log_file}\n")
  hook_text = lxcconf.hook_lines(spec)
  if request.paused:
    hook_text += _hold_line(groups, spec.name)
    _write(paths.hold_flag, "")
    _copy("hold.py", paths.hold_program)
  _write(paths.start_host_data, hook_text)
  copy_scripts(paths)
  _write(paths.config, lxcconf.render(lines))


def copy_scripts(paths: InstancePaths) -> None:
  """Puts the scripts that LXC runs, but for those of NICs, in place."""
  _copy("start-host.sh", paths.start_host_hook)
  _copy("post-stop.sh", paths.post_stop_hook)
  _copy("start-again.sh", paths.start_again)


def keep_memory(host: Host, name: str, memory_mib: int) -> None:
  """Makes a limit of memory last when the guest reboots itself."""
  data = host.layout.instance(name).start_host_data
  text = read_optional(data)
  if text is not None:
    wanted = Limits(memory_mib=memory_mib)
    files = limits.memory_files(hierarchies.find(host), name, wanted)
    write_file(data, lxcconf.with_memory(text, files))


def kept_memory(host: Host, name: str) -> int | None:
  """The limit of memory that the guest's next boot will have.

  @return: in bytes; None if the instance's files do not tell

  """
  paths = host.layout.instance(name)
  for path in (paths.start_host_data, paths.config):
    found = _MEMORY.findall(read_optional(path) or "")
    if found:
      return int(found[-1])
  return None


def _hold_line(groups: Hierarchies, name: str) -> str:
  tree = groups.controller("freezer")
  if tree is None:
    raise Refused(
      f"Instance {name} cannot be started paused on this node",
      evidence="there is no freezer control group",
      remedy="start it without --paused",
    )
  if tree.version == 1:
    return f"hold {tree.payload(name)}/freezer.state FROZEN\n"
  return f"hold {tree.payload(name)}/cgroup.freeze 1\n"


def _write(path: Path, text: str, *, mode: int = 0o600) -> None:
  """Writes a file that nobody reads yet.

  LXC is started when all are there, and after a start that was killed all
  are removed, so none has to be replaced at once, which takes half as long
  again.

  """
  flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
  with os.fdopen(os.open(path, flags, mode), "w", encoding="utf-8") as stream:
    # noded runs with umask 077, so the mode is set again.
    os.fchmod(stream.fileno(), mode)
    stream.write(text)


def _copy(source: str, target: Path) -> None:
  _write(target, packaged.text(source), mode=0o700)


def _network(
  request: StartRequest, paths: InstancePaths
) -> list[tuple[str, str]]:
  if not request.nics:
    return nics.no_network_lines()
  _copy("nic-up.sh", paths.nic_hook("up"))
  _copy("nic-down.sh", paths.nic_hook("down"))
  lines = []
  for nic in request.nics:
    env_file = paths.nic_env(nic.index)
    text = nics.render_env(dict(nic.script_env), request.ifup)
    _write(env_file, text)
    lines += nics.config_lines(
      nic,
      up=[str(paths.nic_hook("up")), str(env_file)],
      down=[str(paths.nic_hook("down")), str(env_file)],
    )
  return lines
