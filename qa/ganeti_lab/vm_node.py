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


"""A virtual machine as a node: programs run in it over ssh.

The ssh connection starts in the lab's network namespace, as does the network
of the machine: nothing of it can be reached from outside. One connection is
kept open per node and shared, since a key exchange takes an emulated
processor a second. Unlike in a namespaced node, a command whose caller is
killed (SIGKILL) goes on; one that ended by signal N gives status 128 + N.
"""

from __future__ import annotations

import pathlib
import re
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from . import cgroup, command, keys, vm_qemu
from .errors import LabCommandError, LabError
from .network import SWITCH
from .node import Node
from .plan import MACHINES, STATE_ROOT, LabPlan
from .vm_qemu import VmState

# What ssh ends with when it, and not the command, has failed (ssh(1)).
_SSH_FAILED = 255
# An emulated processor from which six instances were removed at once, on a
# machine with other work, was silent for more than 20.
_ANSWER_SECONDS = 60
_LAST_LINES = 5
# What systemd moves the cursor and colours its lines with (ECMA-48).
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[@-~]|\x1b.")
_MARK = "GANETI_LAB_EXEC"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)


class VmNode(Node):
  """One virtual machine of a lab, running or not."""

  @property
  def pid(self) -> int | None:
    """QEMU's number, or None."""
    for pid in sorted(cgroup.processes(self.group)):
      if _executable(pid) == vm_qemu.PROGRAM:
        return pid
    return None

  @property
  def monitor(self) -> pathlib.Path:
    """Socket of QEMU's monitor."""
    return STATE_ROOT / self.lab / f"{self.name}.qmp"

  @property
  def console(self) -> pathlib.Path:
    """What its kernel and systemd have printed."""
    return STATE_ROOT / self.lab / f"{self.name}.console"

  @property
  def exit_file(self) -> pathlib.Path:
    """Holds QEMU's exit status once it has ended."""
    return STATE_ROOT / self.lab / f"{self.name}.exit"

  @property
  def machine_state(self) -> VmState:
    """Like state, without asking the system in the machine."""
    if self.pid is not None:
      return vm_qemu.run_state(self.monitor)
    status = _read(self.exit_file).strip()
    return VmState.STOPPED if status in ("", "0") else VmState.CRASHED

  @property
  def state(self) -> str:
    """A VmState; a machine whose sshd does not answer in time is hung."""
    found = self.machine_state
    if found is VmState.RUNNING and not self.answers():
      found = VmState.HUNG
    return found.value

  def answers(self, seconds: int = _ANSWER_SECONDS) -> bool:
    """Whether sshd greets a new connection."""
    try:
      enter = self.in_network()
    except LabError:
      return False
    address = _plan(self).address(self.name)
    greeted = f"read -r line <>/dev/tcp/{address}/22 && [[ $line == SSH-* ]]"
    done = subprocess.run(
      [*enter, "timeout", str(seconds), "bash", "-c", greeted],
      stdin=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      check=False,
      env=command.environment(),
    )
    return done.returncode == 0

  def read_text(self, path: str) -> str | None:
    """The content of a file, None when it or the node cannot be read."""
    try:
      return self.run("read", ["cat", path])
    except LabError:
      return None

  def argv(self, argv: Sequence[str]) -> list[str]:
    """The command that runs another one in the node.

    @raise LabError: telling its state, when it is not running

    """
    self._require(self.machine_state)
    return self.ssh([remote(argv)])

  def ssh(self, words: Sequence[str], *options: str) -> list[str]:
    """An ssh command line to the node.

    @raise LabError: when the lab's network is not there

    """
    lab = _plan(self)
    return [
      *self.in_network(),
      *ssh_argv(lab, self.name, STATE_ROOT / self.lab, options),
      *words,
    ]

  def run(
    self,
    what: str,
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    note: Callable[[str], None] | None = None,
  ) -> str:
    """Like command.run, in the node.

    @raise LabError: when the node does not run or answer, or the command
      fails

    """
    try:
      return super().run(what, argv, stdin=stdin, note=note)
    except LabCommandError as err:
      if err.status == _SSH_FAILED:
        self._require(VmState(self.state), str(err))
      raise

  def become(self, argv: Sequence[str]) -> NoReturn:
    """Run the command in the node and end as it ends.

    A terminal is passed on; without one, signals to this process are sent
    to the command.

    @raise LabError: when the node does not run or answer

    """
    self._require(self.machine_state)
    sys.stdout.flush()
    if sys.stdin.isatty() and sys.stdout.isatty():
      status = self._foreground(self.ssh([remote(argv)], "-tt"))
    else:
      status = self._forwarding(argv)
    if status == _SSH_FAILED:
      self._require(VmState(self.state), f"ssh ended with status {status}")
    sys.exit(status if status >= 0 else 128 - status)

  def _foreground(self, argv: Sequence[str]) -> int:
    return subprocess.run(
      argv, check=False, env=command.environment()
    ).returncode

  def _forwarding(self, argv: Sequence[str]) -> int:
    mark = f"{_MARK}={uuid.uuid4()}"
    with subprocess.Popen(
      self.ssh([remote(argv, mark)]),
      env=command.environment(),
      # Else an interrupt typed at the terminal would end ssh alone.
      process_group=0,
    ) as process:

      def forward(number: int, _: FrameType | None) -> None:
        subprocess.run(
          self.ssh([kill_script(mark, number)]),
          stdin=subprocess.DEVNULL,
          check=False,
          env=command.environment(),
        )

      for number in _SIGNALS:
        signal.signal(number, forward)
      return process.wait()

  def in_network(self) -> list[str]:
    """The command that runs another one in the lab's network."""
    pids = cgroup.processes(cgroup.group(self.lab, SWITCH))
    if not pids:
      raise LabError(
        f"The network of lab {self.lab!r} is not there;"
        f" run: qa/lab --name {self.lab} up"
      )
    return ["nsenter", f"--net=/proc/{min(pids)}/ns/net", "--"]

  def _require(self, state: VmState, evidence: str = "") -> None:
    """Refuse to go on unless the machine runs."""
    if state is VmState.RUNNING:
      return
    tail = "\n".join(
      f"  | {line}" for line in last_lines(_read(self.console), _LAST_LINES)
    )
    because = f" ({evidence})" if evidence else ""
    raise LabError(
      f"{self.name} of lab {self.lab!r} is {state}{because}; its console,"
      f" {self.console}, ends with:\n{tail}\n  run: qa/lab --name"
      f" {self.lab} power {self.name} off, then on"
    )


def remote(argv: Sequence[str], mark: str = "") -> str:
  """What sshd's shell is given to run argv as in a namespaced node.

  The shell stays, to tell a signal from a failure of ssh.

  """
  settings = [
    f"{key}={value}"
    for key, value in command.environment().items()
    if key != "TERM" and not key.endswith("_proxy")
  ]
  words = ["/usr/bin/env", *settings, *([mark] if mark else []), *argv]
  return f"cd /; {shlex.join(words)}; exit $?"


def kill_script(mark: str, number: int) -> str:
  """Sends a signal to what has the mark in its environment."""
  return (
    "for process in $(grep --files-with-matches --null-data --line-regexp"
    f" --no-messages {shlex.quote(mark)} /proc/[0-9]*/environ); do"
    f' process=${{process#/proc/}}; kill -{number} "${{process%/environ}}";'
    " done"
  )


def ssh_argv(
  lab: LabPlan, name: str, sockets: pathlib.Path, options: Sequence[str] = ()
) -> list[str]:
  """The ssh command up to the words for the other side."""
  directory = keys.key_dir(lab)
  settings = {
    "ControlPath": sockets / f"{name}.ssh",
    "IdentitiesOnly": "yes",
    "UserKnownHostsFile": lab.node_dir(name) / "upper/etc/ssh/ssh_known_hosts",
    "GlobalKnownHostsFile": "/dev/null",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": _ANSWER_SECONDS,
    # An emulated machine under load may be silent for long.
    "ServerAliveInterval": 20,
    "ServerAliveCountMax": 6,
    "LogLevel": "ERROR",
    "BatchMode": "yes",
  }
  words = [f"-o{key}={value}" for key, value in settings.items()]
  return [
    "ssh",
    "-F",
    "/dev/null",
    "-i",
    str(directory / "id_ed25519"),
    *words,
    *options,
    f"root@{lab.address(name)}",
  ]


def last_lines(text: str, count: int) -> list[str]:
  """The last lines that are not blank, without control characters."""
  lines = []
  for line in _ESCAPE.sub("", text).splitlines():
    clean = "".join(c for c in line if c.isprintable()).strip()
    if clean:
      lines.append(clean)
  return lines[-count:]


def _plan(node: Node) -> LabPlan:
  """Enough nodes to hold this one: addresses do not depend on how many."""
  return LabPlan(node.lab, int(node.name.removeprefix("node")), MACHINES)


def _executable(pid: int) -> str:
  try:
    return str(pathlib.Path(f"/proc/{pid}/exe").readlink())
  except OSError:
    return ""


def _read(path: pathlib.Path) -> str:
  try:
    return path.read_text(errors="replace")
  except OSError:
    return ""
