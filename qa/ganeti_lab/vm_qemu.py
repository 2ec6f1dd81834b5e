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


"""One virtual machine as QEMU sees it: its command line and its monitor.

Nothing here knows of labs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import pathlib
import socket
from typing import Any

from . import vm_clock

# QEMU's own address translation: the guest is 10.0.2.15, its router 10.0.2.2
# and its name server 10.0.2.3.
USER_NETWORK = "user"
PROGRAM = "/usr/bin/qemu-system-x86_64"
_MONITOR_SECONDS = 10.0
# Emulated instructions are dear: a model without the many features of "max",
# for which udev loads a driver each.
_CPU = {"tcg": "Nehalem", "kvm": "host"}
# With a thread for each of two emulated processors a busy master does twice as
# much, but one stood still for 21 s again and again until the machine gave
# itself up; not where its clock was slow, nor on another day.
_ONE_THREAD, _A_THREAD_EACH = "tcg,thread=single", "tcg,thread=multi"
# A cluster's master has most of the work, and little of it in one process.
_PROCESSORS = "2"
_KERNEL_ARGUMENTS = (
  "root=/dev/vda",
  "rw",
  "console=ttyS0",
  "net.ifnames=0",
  "mitigations=off",
  "cryptomgr.notests",
  # A panic stays to be seen; the monitor tells of it by the device pvpanic.
  "panic=0",
)


class VmState(enum.StrEnum):
  """What becomes of a virtual machine, for `status`."""

  RUNNING = "running"
  STOPPED = "stopped"
  PAUSED = "paused"
  PANICKED = "panicked"
  CRASHED = "crashed"
  HUNG = "hung"


@dataclasses.dataclass(frozen=True)
class Disk:
  """A disk; kind is its format, "raw" or "qcow2"."""

  path: pathlib.Path
  kind: str
  read_only: bool = False


@dataclasses.dataclass(frozen=True)
class Machine:
  """All that one virtual machine is started with.

  @ivar disks: /dev/vda first
  @ivar memory: MiB
  @ivar accelerator: "tcg" or "kvm"
  @ivar monitor: socket of the QEMU machine protocol
  @ivar console: takes what the kernel and systemd print
  @ivar tap: the network's end of its card; no card when empty, and when it
    is USER_NETWORK one that reaches what the programs of this machine do
  @ivar arguments: of the kernel, besides those that every machine has
  @ivar slowness: seconds of the host in one of this machine's; only of one
    that is emulated

  """

  name: str
  accelerator: str
  memory: int
  kernel: pathlib.Path
  initrd: pathlib.Path
  disks: tuple[Disk, ...]
  tap: str
  mac: str
  monitor: pathlib.Path
  console: pathlib.Path
  arguments: tuple[str, ...] = ()
  slowness: int = 1


def argv(machine: Machine) -> list[str]:
  """QEMU's command line."""
  words = [
    *vm_clock.slowed(machine.slowness),
    PROGRAM,
    "-name",
    machine.name,
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-machine",
    "q35,hpet=off",
    "-accel",
    _accelerator(machine),
    "-cpu",
    _CPU[machine.accelerator],
    "-smp",
    _PROCESSORS,
    "-m",
    str(machine.memory),
    "-kernel",
    str(machine.kernel),
    "-initrd",
    str(machine.initrd),
    "-append",
    " ".join((*_KERNEL_ARGUMENTS, *machine.arguments)),
    "-qmp",
    f"unix:{machine.monitor},server=on,wait=off",
    "-chardev",
    f"file,id=console,path={machine.console},append=on",
    "-serial",
    "chardev:console",
    "-device",
    "virtio-rng-pci",
    "-device",
    "pvpanic-pci",
    "-action",
    "panic=pause",
  ]
  if machine.tap:
    words += _card(machine.tap, machine.mac)
  for index, disk in enumerate(machine.disks):
    words += _disk(index, disk)
  return words


def _accelerator(machine: Machine) -> str:
  if machine.accelerator == "kvm":
    return "kvm"
  return _ONE_THREAD if machine.slowness == 1 else _A_THREAD_EACH


def _card(tap: str, mac: str) -> list[str]:
  end = f"tap,id=net0,ifname={tap},script=no,downscript=no"
  if tap == USER_NETWORK:
    end = "user,id=net0,ipv6=off"
  return [
    "-netdev",
    end,
    "-device",
    f"virtio-net-pci,netdev=net0,mac={mac},romfile=",
  ]


def _disk(index: int, disk: Disk) -> list[str]:
  """A disk; its serial number shows in /dev/disk/by-id.

  Nothing of a lab outlives the host: no write need reach its disk.

  """
  name = f"disk{index}"
  options = [f"file={disk.path}", f"format={disk.kind}", "cache=unsafe"]
  if disk.read_only:
    options.append("read-only=on")
  return [
    "-drive",
    ",".join(["if=none", f"id={name}", "discard=unmap", *options]),
    "-device",
    f"virtio-blk-pci,drive={name},serial=lab{index}",
  ]


def ask(monitor: pathlib.Path, command: str, **arguments: Any) -> Any:
  """Run one command of the QEMU machine protocol.

  @return: its "return" value
  @raise OSError: when the monitor cannot be reached or does not answer
  @raise ValueError: when it answers with an error

  """
  with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
    connection.settimeout(_MONITOR_SECONDS)
    connection.connect(str(monitor))
    with connection.makefile("rw") as stream:
      stream.readline()
      answer = None
      for name, values in (("qmp_capabilities", {}), (command, arguments)):
        stream.write(json.dumps({"execute": name, "arguments": values}))
        stream.flush()
        answer = _answer(stream)
      return answer


def _answer(stream: Any) -> Any:
  """The next message that is no event."""
  for line in stream:
    message = json.loads(line)
    if "return" in message:
      return message["return"]
    if "error" in message:
      raise ValueError(message["error"]["desc"])
  raise ConnectionError("QEMU closed its monitor")


def run_state(monitor: pathlib.Path) -> VmState:
  """The state of a machine whose QEMU is running, as QEMU knows it."""
  try:
    status = ask(monitor, "query-status")["status"]
  except (OSError, ValueError):
    return VmState.HUNG
  return state_of(status)


def state_of(status: str) -> VmState:
  """Translate a RunState of the protocol (qapi/run-state.json)."""
  match status:
    case "running":
      return VmState.RUNNING
    case "guest-panicked":
      return VmState.PANICKED
    case "shutdown" | "internal-error" | "io-error":
      return VmState.HUNG
    case _:
      return VmState.PAUSED
