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

"""gnt-instance console: which terminal of the guest, and how to get there.

Ganeti runs this on the node, through ssh and with a terminal (see
C{console_main.py}).  A guest whose getty sits on the console is met there,
one with a getty on tty1 at tty1; one with neither gets a root shell, as
whoever may open the console is root on the node anyway.

"""

import os
from dataclasses import dataclass
from pathlib import Path

from . import cgroup, freezer, hierarchies, lxccli, procfs
from .host import Host, read_optional, wait_until

CONSOLE = 0
_FIRST_TTY = 1
# Of the fields of /proc/PID/stat (proc(5)), counted from the state.
_TTY_NR = 4
_START_TIME = 19
_SHELL = ("/bin/sh", "-l")
# A guest that has started so recently may open its terminals yet.
_BOOTING_S = 20.0
# After lxc-console was started, until a held guest goes on: its first
# lines shall be seen.  Nothing tells when lxc-console has connected.
_RESUME_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
  """What to run, and what to say before.

  @ivar argv: the program that takes over
  @ivar size_of: process 1 of a guest whose console must be told the size
      of this terminal, or None

  """

  argv: list[str]
  size_of: int | None = None
  notice: str = ""


def choose(host: Host, name: str) -> Choice:
  """How to reach a running instance."""
  groups = hierarchies.find(host)
  init = cgroup.init_pid(host, groups, name)
  if init is None or freezer.is_frozen(groups, name):
    return Choice(lxccli.console_argv(host, name, CONSOLE), init)
  pids = [p for p in cgroup.processes(groups, name) if p != init]
  used = {path for pid in pids for path in _terminal(host, pid)}
  for tty, path in ((CONSOLE, "/dev/console"), (_FIRST_TTY, "/dev/tty1")):
    if path in used:
      size_of = init if tty == CONSOLE else None
      return Choice(lxccli.console_argv(host, name, tty), size_of)
  if _age_s(host, init) < _BOOTING_S:
    return Choice(lxccli.console_argv(host, name, CONSOLE), init)
  return Choice(
    lxccli.attach_argv(host, name, *_SHELL),
    notice=f"No login prompt runs on the console of {name}; this is a root"
    " shell in it.  Leave it with exit.",
  )


def _terminal(host: Host, pid: int) -> list[str]:
  """The path in the guest of a process's terminal, if it has one.

  Device numbers do not tell: console and tty1 can have the same one, being
  in two instances of devpts.  The link's text is read, never followed.

  """
  fields = procfs.stat_fields(host.proc, pid)
  if not fields or fields[_TTY_NR] == "0":
    return []
  try:
    return [str((host.proc / str(pid) / "fd/0").readlink())]
  except OSError:
    return []


def _age_s(host: Host, pid: int) -> float:
  """How long ago a process was started, in seconds."""
  fields = procfs.stat_fields(host.proc, pid)
  uptime = read_optional(host.proc / "uptime")
  if not fields or not uptime:
    return 0.0
  started = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
  return float(uptime.split()[0]) - started


def resume_soon(host: Host, name: str) -> None:
  """Lets a guest that was started with --paused go on in a moment.

  A child does it, as this process becomes lxc-console meanwhile.

  """
  groups = hierarchies.find(host)
  if not freezer.is_frozen(groups, name) or os.fork():
    return
  try:
    wait_until(lambda: False, _RESUME_AFTER_S)
    freezer.thaw(groups, name)
  finally:
    os._exit(0)


def main_program() -> list[str]:
  """The command that Ganeti is to run on the node, before the name."""
  return ["/usr/bin/python3", str(Path(__file__).with_name("console_main.py"))]
