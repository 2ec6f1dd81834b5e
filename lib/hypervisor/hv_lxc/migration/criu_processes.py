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

"""CRIU's processes that work for a migration, found and ended."""

from collections.abc import Iterator
from pathlib import Path

from .. import cgroup, hierarchies, procfs
from ..errors import Incomplete
from ..host import Host, end_processes, read_optional
from . import delegation, held

_CRIU_END_S = 30.0
# Of procfs.stat_fields; none if the process is gone
_PARENT = slice(1, 2)
_AT_DUMP = "CRTOOLS_SCRIPT_ACTION=post-dump"
_AT_RESTORE = "CRTOOLS_SCRIPT_ACTION=post-restore"
# CRIU and what starts it, as /proc/PID/comm has them.
_NAMES = frozenset({"criu", "lxc-checkpoint", *delegation.PROGRAMS})


def end(host: Host, name: str) -> None:
  """Kills what CRIU still does for a migration, and waits for its end.

  @raise Incomplete: it does not end

  """
  left = end_processes(lambda: working(host, name), _CRIU_END_S)
  if left:
    raise Incomplete(
      f"CRIU still works on instance {name} and cannot be killed",
      evidence=f"processes {left}",
      remedy="repeat this",
    )


def is_held(host: Host, name: str) -> bool:
  """Whether CRIU, begun by this process, holds a guest it has dumped."""
  return any(True for _ in _scripts(host, name, _AT_DUMP))


def is_waiting(host: Host, name: str) -> bool:
  """Whether CRIU, begun by this process, waits to let a restored guest run.

  Its script alone tells nothing: it outlives CRIU.

  """
  for entry in _scripts(host, name, _AT_RESTORE):
    above = procfs.stat_fields(host.proc, entry.name)[_PARENT]
    if above and read_optional(host.proc / above[0] / "comm") == "criu\n":
      return True
  return False


def _scripts(host: Host, name: str, stage: str) -> Iterator[Path]:
  """Processes below this one that ask for a migration at a stage.

  The guest stands still meanwhile, so not all of the node's are looked at.

  """
  script = str(held.script_path(host.layout.migration(name)))
  for entry in _below(host.proc, "self"):
    if script not in (read_optional(entry / "cmdline") or "").split("\0"):
      continue
    if stage in (read_optional(entry / "environ") or "").split("\0"):
      yield entry


def _below(proc: Path, pid: str) -> Iterator[Path]:
  """All that descend from a process."""
  for child in procfs.children(proc, pid):
    yield proc / str(child)
    yield from _below(proc, str(child))


def working(host: Host, name: str) -> list[int]:
  """The processes of CRIU that have a directory of this migration."""
  images = str(host.layout.migration(name).images)
  # What restored a guest becomes its monitor.
  monitors = cgroup.monitor_pids(hierarchies.find(host), name)
  return [
    pid
    for pid, words in procfs.programs(host.proc, _NAMES)
    if pid not in monitors
    and any(f"{word}/".startswith(f"{images}/") for word in words)
    # What CRIU restores is in the instance's own group before it is a guest.
    and hierarchies.guest_of(host, pid) in (None, name)
  ]
