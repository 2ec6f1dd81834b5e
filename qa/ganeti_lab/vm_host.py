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


"""What virtual machines need of this machine: a QEMU that works."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence

from . import command, host, lock, plan, vm_clock, vm_qemu
from .errors import LabError
from .progress import Progress

# 7.2, of Debian 12 itself, crashes emulated guests at random (a double
# fault at a cmpxchg16b of the kernel's allocator); 10.0 was not seen to.
_OLDEST_MAJOR = 8
_QEMU = ("qemu-system-x86", "qemu-utils")
_PROBE_SECONDS = 30
_PROBE_MEMORY = 512
_LOCK_WAIT = ("-o", "DPkg::Lock::Timeout=300")


def ensure(progress: Progress, slowness: int = 1) -> None:
  """Install QEMU unless a fit one is there, and what slows its clock.

  @raise LabError: when there is none to be had

  """
  if slowness != 1 and not vm_clock.is_there():
    _add((vm_clock.PACKAGE,), progress)
  if _fit():
    return
  _add(_QEMU, progress)
  if not _fit():
    raise LabError(
      f"{vm_qemu.PROGRAM} is older than {_OLDEST_MAJOR}.0, which crashes"
      " emulated machines; install a newer one, such as Debian's backport"
    )


def _add(packages: Sequence[str], progress: Progress) -> None:
  with progress.step(f"installing on this machine: {' '.join(packages)}"):
    install(packages, progress.note)


def _fit() -> bool:
  if shutil.which("qemu-img", path=command.SANE_PATH) is None:
    return False
  try:
    text = command.run("QEMU", [vm_qemu.PROGRAM, "--version"])
  except (LabError, OSError):
    return False
  return major_version(text) >= _OLDEST_MAJOR


def major_version(text: str) -> int:
  """Of what --version prints; 0 when it tells none."""
  match = re.search(r"version (\d+)\.", text)
  return int(match[1]) if match else 0


def install(packages: Sequence[str], note: Callable[[str], None]) -> None:
  """Install packages, from the backports where these have them.

  The host's own list of package sources is left as it is.

  """
  release = host.codename()
  mirrors = host.mirrors()
  with tempfile.TemporaryDirectory() as scratch:
    sources = pathlib.Path(scratch) / "sources.list"
    sources.write_text(sources_list(mirrors, release))
    lists = pathlib.Path(scratch) / "lists"
    (lists / "partial").mkdir(parents=True)
    with contextlib.suppress(LookupError, PermissionError):
      shutil.chown(lists / "partial", "_apt")
    options = [
      *_LOCK_WAIT,
      "-o",
      f"Dir::Etc::SourceList={sources}",
      "-o",
      "Dir::Etc::SourceParts=-",
      "-o",
      f"Dir::State::Lists={lists}",
    ]
    words = ["install", "--yes", "--no-install-recommends", *packages]
    target = ["-t", f"{release}-backports"] if release == "bookworm" else []
    for argv in (["update"], [*target, *words]):
      command.run(
        "packages of the host",
        ["apt-get", *options, *argv],
        note=note,
        env={"DEBIAN_FRONTEND": "noninteractive"},
        finish=True,
      )


def sources_list(mirrors: host.Mirrors, release: str) -> str:
  """The release's own archive and, where needed, its backports."""
  text = mirrors.sources(release)
  if release == "bookworm":
    text += f"deb {mirrors.main} {release}-backports main\n"
  return text


def accelerator() -> str:
  """How machines are run: "kvm" or "tcg"."""
  try:
    return _chosen().read_text()
  except FileNotFoundError:
    return "tcg"


def _chosen() -> pathlib.Path:
  return plan.STATE_ROOT / ".accelerator"


def choose_accelerator(
  kernel: pathlib.Path, initrd: pathlib.Path, progress: Progress
) -> None:
  """Find out once per boot of the host whether KVM runs this kernel.

  Within a virtual machine /dev/kvm may be there and yet hang a stock kernel.

  """
  if _chosen().exists():
    return
  found = "tcg"
  if os.access("/dev/kvm", os.R_OK | os.W_OK):
    with progress.step("trying whether /dev/kvm boots Debian's kernel"):
      found = "kvm" if boots("kvm", kernel, initrd) else "tcg"
  progress.say(f"machines are run by {found}")
  with lock.held("accelerator"):
    _chosen().write_text(found)


def run_to_end(
  what: str,
  argv: Sequence[str],
  limit_s: int,
  note: Callable[[str], None] | None = None,
) -> str:
  """Runs a machine until it turns itself off; returns what it printed.

  @param argv: QEMU's, with the console on standard output
  @param note: is given each line as it appears
  @raise LabCommandError: it failed, or took longer

  """
  # Else QEMU would outlive a timeout(1) that is killed with us.
  limited = ["timeout", str(limit_s), "setpriv", "--pdeathsig", "KILL"]
  return command.run(what, [*limited, *argv], note=note, shown=["qemu"])


def boots(how: str, kernel: pathlib.Path, initrd: pathlib.Path) -> bool:
  """Whether the kernel comes as far as its first process.

  That one ends at once, upon which the kernel panics, reboots, and QEMU ends.

  """
  with tempfile.TemporaryDirectory() as scratch:
    machine = vm_qemu.Machine(
      name="probe",
      accelerator=how,
      memory=_PROBE_MEMORY,
      kernel=kernel,
      initrd=initrd,
      disks=(),
      tap="",
      mac="",
      monitor=pathlib.Path(scratch) / "monitor",
      console=pathlib.Path("/dev/stdout"),
      arguments=("rdinit=/bin/true", "panic=-1"),
    )
    argv = [*vm_qemu.argv(machine), "-no-reboot"]
    try:
      text = run_to_end("probe", argv, _PROBE_SECONDS)
    except LabError:
      return False
  return "Run /bin/true as init process" in text
