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

"""A node as seen from the host: find it, run programs in it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from . import cgroup, command
from .errors import LabError

# Enters the cgroups given before "--", then becomes the rest.
_ENTER = (
  'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done;'
  ' shift; exec "$@"'
)


@dataclasses.dataclass(frozen=True)
class Node:
  """One node of a lab, running or not."""

  lab: str
  name: str

  @property
  def group(self) -> cgroup.Group:
    """The group that all its processes are in."""
    return cgroup.group(self.lab, self.name)

  @property
  def pid(self) -> int | None:
    """The node's init as the host numbers it, or None.

    Found by its cgroup: a recorded number could be another process's.

    """
    return find_init(self.group)

  @property
  def state(self) -> str:
    """What `status` shows: "running" or "stopped"."""
    return "stopped" if self.pid is None else "running"

  def read_text(self, path: str) -> str | None:
    """The content of a file, None when it or the node cannot be read."""
    try:
      return pathlib.Path(f"/proc/{self.pid}/root{path}").read_text()
    except OSError:
      return None

  def argv(self, argv: Sequence[str]) -> list[str]:
    """The command that runs another one in the node.

    @raise LabError: when the node is not running

    """
    pid = self.pid
    if pid is None:
      raise LabError(
        f"{self.name} of lab {self.lab!r} is not running;"
        f" run: qa/lab --name {self.lab} up"
      )
    return entering(pid, self.group.procs_files, argv)

  def run(
    self,
    what: str,
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    note: Callable[[str], None] | None = None,
  ) -> str:
    """Like command.run, in the node.

    @raise LabError: when the node is not running or the command fails

    """
    return command.run(
      f"{self.name}: {what}",
      self.argv(argv),
      stdin=stdin,
      note=note,
      shown=argv,
    )

  def become(self, argv: Sequence[str]) -> NoReturn:
    """Replace this process by the command in the node.

    An interrupt typed at the terminal reaches the command itself, which
    then decides; the programs between it and us ignore it.
    A terminal stays the caller's: isatty(3) holds and its size is known,
    but it has no name in the node, so tty(1) there says "not a tty".

    """
    enter = self.argv(argv)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
      signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGQUIT):
      signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    # A file of this machine's that a guest inherited, by way of lxc-attach,
    # would keep it from being migrated.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.execvpe(enter[0], enter, command.environment())


def entering(
  pid: int, procs_files: Sequence[str], argv: Sequence[str]
) -> list[str]:
  """The command line that runs argv beside the process pid.

  The command gets SIGTERM when whoever started it is killed.

  """
  return [
    "/bin/sh",
    "-c",
    _ENTER,
    "enter",
    *procs_files,
    "--",
    "/usr/bin/nsenter",
    f"--target={pid}",
    "--mount",
    "--uts",
    "--ipc",
    "--net",
    "--pid",
    "--cgroup",
    "--",
    "/usr/bin/setpriv",
    "--pdeathsig",
    "TERM",
    "/usr/bin/env",
    "--default-signal=INT",
    "--default-signal=QUIT",
    *argv,
  ]


def find_init(group: cgroup.Group) -> int | None:
  """The process of the group that is number 1 of a namespace below ours."""
  own_depth = len(_namespace_pids("self"))
  for pid in sorted(cgroup.processes(group, recursive=False)):
    numbers = _namespace_pids(str(pid))
    if len(numbers) == own_depth + 1 and numbers[-1] == "1":
      return pid
  return None


def _namespace_pids(pid: str) -> list[str]:
  """NSpid of /proc/PID/status; empty when the process is gone."""
  try:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
  except OSError:
    return []
  for line in text.splitlines():
    if line.startswith("NSpid:"):
      return line.split()[1:]
  return []
