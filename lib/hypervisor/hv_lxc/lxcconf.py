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

"""LXC's configuration file as text: a pure function of values.

Only keys that LXC 5, 6 and 7 all know are written (a key that is not known
makes every lxc-* tool refuse the container): lxc.container.conf(5).

"""

from collections.abc import Iterable, Sequence

from .errors import Refused
from .layout import InstancePaths
from .model import ContainerSpec, InitKind, MountedDisk

Line = tuple[str, str]

# The console log is rotated by the monitor at this size: this much twice.
_CONSOLE_LOG_BYTES = "128KB"
# Linux' limit (uname(2), __NEW_UTS_LEN).
_MAX_HOST_NAME = 64
# A container whose tty or console came from the guest's own devpts cannot
# be restored from a checkpoint; see start-host.sh for the other half.
_PTYS = "1"
MAX_PTYS = 1024

# A guest without CAP_SYS_ADMIN cannot mount these for itself; systemd exits
# at once without /run.  Sizes are those that systemd and sysvinit choose.
#
# create=dir only where the directory above is LXC's own: it follows links of
# the guest (seen with LXC 5.0.2), also when LXC mounts again at the guest's
# reboot, and would make directories on the node.  The mount itself does not
# follow them (open_without_symlink).
_TMPFS = (
  ("run", "mode=755,nosuid,nodev,size=20%"),
  ("run/lock", "mode=1777,nosuid,nodev,noexec,size=5m,create=dir"),
  ("dev/shm", "mode=1777,nosuid,nodev,create=dir"),
)
_TMP = ("tmp", "mode=1777,nosuid,nodev,size=50%")


def render(lines: Iterable[Line]) -> str:
  """The lines as LXC reads them.

  @raise Refused: a value that would end its line

  """
  text = []
  for key, value in lines:
    if any(c in value for c in "\n\r\0"):
      raise Refused(
        f"The LXC configuration key {key} cannot have a line break",
        evidence=ascii(value),
        remedy="take it out of the parameter that this comes from",
      )
    text.append(f"{key} = {value}\n")
  return "".join(text)


def base_lines(spec: ContainerSpec, paths: InstancePaths) -> list[Line]:
  """Everything but cgroups and network."""
  return [
    ("lxc.uts.name", host_name(spec.name)),
    *_rootfs(spec, paths),
    *_terminals(spec, paths),
    *_mounts(spec, paths),
    *_security(spec, paths),
    *_clock(spec),
    ("lxc.hook.version", "1"),
    ("lxc.hook.start-host", str(paths.start_host_hook)),
    ("lxc.hook.post-stop", str(paths.post_stop_hook)),
    # Ganeti starts instances, never lxc.service (lxc-autostart(1)).
    ("lxc.start.auto", "0"),
  ]


def host_name(name: str) -> str:
  """The instance's name as a host name; its first label if too long."""
  if len(name) <= _MAX_HOST_NAME:
    return name
  return name.split(".", 1)[0][:_MAX_HOST_NAME]


def _clock(spec: ContainerSpec) -> list[Line]:
  """A time namespace, which LXC makes where there is an offset.

  Of two nodes one was booted before the other.  For a guest that has moved,
  CLOCK_MONOTONIC goes on only in a namespace, to which CRIU gives the
  difference; else systemd takes a leap for services that do not answer, and
  restarts them (WatchdogSec=).

  """
  return [("lxc.time.offset.monotonic", "1ns")] if spec.own_clock else []


def _rootfs(spec: ContainerSpec, paths: InstancePaths) -> list[Line]:
  lines = [
    ("lxc.rootfs.path", f"dir:{paths.rootfs}"),
    # Never let lxc-destroy remove what is mounted there.
    ("lxc.rootfs.managed", "0"),
  ]
  if spec.root_read_only:
    lines.append(("lxc.rootfs.options", "ro"))
  return lines


def _terminals(spec: ContainerSpec, paths: InstancePaths) -> list[Line]:
  lines = [
    ("lxc.tty.max", str(spec.num_ttys)),
    ("lxc.pty.max", _PTYS),
    ("lxc.console.logfile", str(paths.console_log)),
    ("lxc.console.size", _CONSOLE_LOG_BYTES),
    ("lxc.console.rotate", "1"),
  ]
  if spec.init is InitKind.BUSYBOX:
    # It does not open /dev/console unless told to (console_init in its
    # init/init.c), and lxc-start -d gives it /dev/null.
    lines.append(("lxc.environment", "CONSOLE=/dev/console"))
  return lines


def _mounts(spec: ContainerSpec, paths: InstancePaths) -> list[Line]:
  tmpfs = (*_TMPFS, _TMP) if spec.tmp_on_tmpfs else _TMPFS
  lines = [
    ("lxc.autodev", "1"),
    ("lxc.mount.auto", "proc:mixed sys:mixed cgroup:mixed"),
  ]
  lines += [
    ("lxc.mount.entry", f"tmpfs {where} tmpfs {options} 0 0")
    for where, options in tmpfs
  ]
  # "optional": a guest that has no such file, or a link there (which LXC
  # never follows), keeps what it has.
  fstab = f"{paths.fstab} etc/fstab none bind,ro,optional 0 0"
  lines.append(("lxc.mount.entry", fstab))
  lines += [("lxc.mount.entry", _bind(disk)) for disk in spec.mounted_disks]
  return lines


def _bind(disk: MountedDisk) -> str:
  mode = "ro" if disk.read_only else "rw"
  return f"{disk.source} {disk.target} none bind,{mode} 0 0"


def _security(spec: ContainerSpec, paths: InstancePaths) -> list[Line]:
  lines = [("lxc.seccomp.profile", str(paths.seccomp))]
  if spec.drop_capabilities:
    lines.append(("lxc.cap.drop", " ".join(spec.drop_capabilities)))
  if spec.apparmor_profile:
    lines.append(("lxc.apparmor.profile", spec.apparmor_profile))
  if spec.halt_signal:
    lines.append(("lxc.signal.halt", spec.halt_signal))
  if spec.reboot_signal:
    lines.append(("lxc.signal.reboot", spec.reboot_signal))
  return lines


def with_memory(text: str, files: Sequence[Line]) -> str:
  """The instructions for start-host.sh with limits set while it runs.

  LXC's monitor knows those of the start only, and would go back to them
  when the guest reboots itself.

  @param text: the instructions as they are
  @param files: (path, value), memory before memory and swap; on v1 neither
      order is right both for growing and shrinking, so the first is tried
      once more than the others

  """
  kept = [
    line
    for line in text.splitlines()
    if not line.startswith(("try ", "write "))
  ]
  first, *rest = files
  orders = [("try", *first), *(("write", *f) for f in (*rest, first))]
  return "".join(f"{line}\n" for line in (*kept, *map(" ".join, orders)))


def hook_lines(spec: ContainerSpec) -> str:
  """The instructions for start-host.sh.

  Host-made nodes are all below /dev, which is LXC's own tmpfs then.

  """
  lines = [f"ptys {MAX_PTYS}"]
  for node in spec.nodes:
    numbers = f"{node.kind} {node.major} {node.minor} {node.mode:o}"
    lines.append(f"node {numbers} {node.path}")
  for disk in spec.block_disks:
    mode = 0o440 if disk.read_only else 0o660
    numbers = f"b {disk.major} {disk.minor} {mode:o}"
    lines.append(f"node {numbers} {disk.node}")
  return "".join(f"{line}\n" for line in lines)
