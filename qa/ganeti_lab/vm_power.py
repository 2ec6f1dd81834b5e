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


"""Turn a virtual machine on and off, and wait until it can be used."""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from . import (
  cgroup,
  command,
  plan,
  spawn,
  state,
  vm_clock,
  vm_machine,
  wait,
)
from .errors import LabError
from .progress import Progress
from .state import State
from .vm_node import VmNode, last_lines

LOG = "lab.log"
_BOOT_SECONDS = 600.0
_MASTER_SECONDS = 60.0
_SSH = "ssh"
# Ganeti gives up a call after 5 s (RPC_CONNECT_TIMEOUT), which an emulated
# node passes when others keep the processors busy: a live migration failed at
# a load of 7. A group counts as one process among those beside it.
_SHARE_OF_PROCESSORS = 20
# QEMU's status outlives it: that of a crash must not look like a shutdown.
_SUPERVISE = '"$@"; echo $? >"$0"'


def power_on(node: VmNode, memory: pathlib.Path | None = None) -> None:
  """Start QEMU; the system is still to boot.

  @param memory: file of a saved machine; it is loaded and then waits for
    the monitor's "cont"
  @raise LabError: when the lab has no such machine or it runs already

  """
  if node.pid is not None:
    raise LabError(f"{node.name} of lab {node.lab!r} runs already")
  try:
    qemu = json.loads(vm_machine.machine_file(node).read_text())
  except FileNotFoundError as err:
    raise LabError(f"{node.name} of lab {node.lab!r} was never made") from err
  qemu += _rtc(node)
  if memory is not None:
    qemu += ["-incoming", f"file:{memory}"]
  node.exit_file.unlink(missing_ok=True)
  enter = node.in_network()
  argv = ["/bin/sh", "-c", _SUPERVISE, str(node.exit_file), *enter, *qemu]
  _fresh(node.group)
  cgroup.favour(cgroup.group(node.lab), _SHARE_OF_PROCESSORS)
  log = plan.STATE_ROOT / node.lab / LOG
  what = f"{node.name} of lab {node.lab!r}"
  spawn.spawn(what, node.group, 0, _become(argv), log)


def boot(node: VmNode, progress: Progress) -> None:
  """Turn a machine on and wait until it can be used.

  @raise LabError: when it runs already or does not boot

  """
  with progress.step(f"booting {node.name}"):
    power_on(node)
    await_boot(node, progress.note)


def power_off(node: VmNode) -> None:
  """Cut the power: nothing in the machine is told.

  @raise LabError: when its processes do not end

  """
  cgroup.kill(node.group)
  close_connection(node)


def close_connection(node: VmNode) -> None:
  """End the connection that commands use, if there is one."""
  cgroup.kill(_ssh_group(node))


def _fresh(group: cgroup.Group) -> None:
  """An empty group that can be entered.

  One that an earlier run has left hands controllers to its children, and
  cannot: EBUSY, cgroups(7).

  """
  cgroup.kill(group)
  cgroup.remove(group)
  cgroup.create(group)


def _become(argv: list[str]) -> Callable[[], NoReturn]:
  def become() -> NoReturn:
    os.execvpe(argv[0], argv, command.environment())

  return become


def await_boot(node: VmNode, note: Callable[[str], None]) -> None:
  """Wait for sshd and open the connection that commands use.

  @raise LabError: with the last lines of its console when it does not come

  """
  lines: list[str] = []

  def up() -> bool:
    lines[:] = last_lines(_console(node), 5)
    if lines:
      note(f"{node.name}: {lines[-1]}")
    check_alive(node)
    return node.answers()

  wait.until(
    f"sshd on {node.name}",
    up,
    _BOOT_SECONDS,
    lambda: "\n".join(["; its console ends with:", *lines]),
  )
  _open_connection(node)
  _set_clock(node)


def _rtc(node: VmNode) -> list[str]:
  """Not to be ahead of the other machines, whose slow clocks have gone on."""
  record = state.load(node.lab)
  if record is None or record.slowness == 1:
    return []
  now = datetime.fromtimestamp(_now(record), UTC)
  return ["-rtc", f"base={now:%Y-%m-%dT%H:%M:%S}"]


def _now(record: State | None) -> float:
  if record is None:
    return time.time()
  return vm_clock.now(record.slowness, record.begun)


def _set_clock(node: VmNode) -> None:
  """Give the machine the lab's time.

  One that was saved has slept; one that boots on a busy host measures its
  clock badly and was seen to be two minutes ahead.

  """
  now = _now(state.load(node.lab))
  node.run("set the clock", ["date", "--utc", f"--set=@{now:.3f}"])


def check_alive(node: VmNode) -> None:
  """Find out whether QEMU has ended.

  @raise LabError: when it has

  """
  if node.exit_file.exists():
    raise LabError(
      f"QEMU of {node.name} ended with status"
      f" {node.exit_file.read_text().strip()}; see"
      f" {plan.STATE_ROOT / node.lab / LOG}"
    )


def _console(node: VmNode) -> str:
  try:
    return node.console.read_text(errors="replace")
  except FileNotFoundError:
    return ""


def _ssh_group(node: VmNode) -> cgroup.Group:
  return cgroup.group(node.lab, f"{_SSH}-{node.name}")


def _open_connection(node: VmNode) -> None:
  """Keep one ssh connection for all that follow."""
  socket = plan.STATE_ROOT / node.lab / f"{node.name}.ssh"
  log = plan.STATE_ROOT / node.lab / f"{node.name}.ssh-log"
  group = _ssh_group(node)
  _fresh(group)
  socket.unlink(missing_ok=True)
  argv = node.ssh([], "-N", "-M")
  spawn.spawn(f"ssh to {node.name}", group, 0, _become(argv), log)
  wait.until(
    f"an ssh connection to {node.name}",
    socket.exists,
    _MASTER_SECONDS,
    lambda: f"; see {log}",
  )
