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

"""CRIU's command lines, and what its log says about a failure.

A dump is made by C{criu dump} itself: lxc-checkpoint does not find the
freezer of a container that was restored before (LXC 5 and 6).  The options
are those of liblxc (criu.c, exec_criu), so that C{lxc-checkpoint -r} can
restore what they make.

"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import Failed, Refused
from ..host import Host

# What liblxc always passes.
_COMMON = (
  "--tcp-established",
  "--file-locks",
  "--link-remap",
  "--manage-cgroups=full",
  "--ext-mount-map",
  "auto",
  "--enable-external-sharing",
  "--enable-external-masters",
  "--enable-fs",
  "hugetlbfs",
  "--enable-fs",
  "tracefs",
)
RESTORE_LOG = "restore.log"
# Deleted files that are still open go with the images, up to this size each;
# CRIU's own limit of 1 MiB is too small for many a log or temporary file.
_GHOST_LIMIT = "64M"
# A tail of the log is enough: it ends with what went wrong.
_MAX_LOG = 4 << 20

# The field of a mount entry with its options (fstab(5)).
_OPTIONS = 3

_LINE = re.compile(r"\((\d+\.\d+)\)\s+(?:\d+: )?(.*)")
_ERROR = re.compile(r"Error \(([^)]+)\):\s*(.*)")
_SEIZED = re.compile(r"SEIZE (\d+) \(comm (.*)\):")
_PID_AT_END = re.compile(r" for (\d+)$")
_TASK = re.compile(r"Dumping task \(pid: (\d+) comm: (.*)\)")
# What follows is about the guest as a whole.
_ALL_DUMPED = "Dumping mountpoints"
# Said in dumps and restores that succeed, or after every failure.
_NOISE = (
  "Can't setup RLIMIT_NOFILE",
  "Address already assigned",
  "recv req error",
  "Dumping FAILED",
  "Restoring FAILED",
)
# What is said, and what to do about it.
_REMEDIES = {
  r"Can't get rlimit": (
    "the node lacks the capability CAP_SYS_RESOURCE, without which CRIU can"
    " dump only processes of root"
  ),
  r"Can't get 1:\d+ opt": (
    "this CRIU is too old for the node's kernel; install 4.2 or later"
  ),
  r"nested \w+ namespace": (
    "a program in the guest has a namespace of its own; stop it, or have"
    " its service not ask for one (ProtectHostname=, PrivateNetwork=, ...)"
  ),
  r"anon_inode:\[?bpf|bpf-prog|bpf-map": (
    "a program in the guest has an eBPF program open; stop it, or take the"
    " capability bpf from the guest"
  ),
  r"anon_inode:\[?io_uring": (
    "a program in the guest uses io_uring; stop it, or have it not do so"
  ),
  r"tty: (Unable to find a master|Found dangling)": (
    "a program in the guest holds a terminal that belongs to the node; end"
    " lxc-attach sessions, and set num_ttys to 0"
  ),
  r"ctty inheritance": (
    "a shell on the guest's console holds its terminal open as /dev/tty; log"
    " out there"
  ),
  r"FS mnt .* unsupported": "unmount that file system in the guest",
  r"External socket is used|unix: .*external": (
    "a program in the guest is connected to one outside; stop it"
  ),
  r"ghost file .* increase limit": (
    "a program in the guest holds a large file open that was deleted;"
    " restart it"
  ),
  r"Control messages in queue": (
    "a program in the guest does not read messages that others send it; see"
    " what it does, or restart it"
  ),
  r"Timeout reached|Unable to freeze|freeze .* failed": (
    "a process of the guest waits for a device or a file server and cannot"
    " be stopped; wait for it and try again"
  ),
}


class PassingError(Failed):
  """What stood in the way may be gone in a moment; the guest runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpOrder:
  """What one run of C{criu dump} or C{criu pre-dump} is told.

  @ivar pid: process 1 of the guest as the node numbers it
  @ivar log: a file; it is overwritten
  @ivar freezer: the directory of the group that is frozen
  @ivar roots: CONTROLLERS:PATH of the guest's group in each tree
  @ivar mounts: bind mounts from outside, as paths without the first slash
  @ivar tty: the console as "tty[RDEV:DEV]", "" when there is none
  @ivar lock: "nftables" or "iptables"
  @ivar parent: images of a pre-dump to build upon, relative to C{images}
  @ivar track: let the kernel note what is written from now on

  """

  pid: int
  images: Path
  log: Path
  freezer: str
  roots: tuple[str, ...]
  mounts: tuple[str, ...] = ()
  tty: str = ""
  lock: str = "nftables"
  script: Path | None = None
  parent: str = ""
  track: bool = False

  def based_on(self, parent: Path | None) -> "DumpOrder":
    """The same on top of a pre-dump's images."""
    if parent is None:
      return self
    return replace(
      self, parent=os.path.relpath(parent, self.images), track=True
    )


def dump_argv(order: DumpOrder) -> list[str]:
  """The final dump: the guest's tasks end unless the script forbids it."""
  argv = _argv("dump", order)
  if order.script is not None:
    argv += ["--action-script", str(order.script)]
  return argv


def pre_dump_argv(order: DumpOrder) -> list[str]:
  """A copy of the guest's memory; it runs on."""
  return _argv("pre-dump", replace(order, track=True))


def _argv(action: str, order: DumpOrder) -> list[str]:
  argv = ["criu", action, *_COMMON]
  argv += ["-D", str(order.images), "-o", str(order.log), "-v4"]
  for root in order.roots:
    argv += ["--cgroup-root", root]
  for mount in order.mounts:
    argv += ["--ext-mount-map", f"/{mount}:{mount}"]
  argv += ["-t", str(order.pid), "--skip-in-flight"]
  argv += ["--freeze-cgroup", order.freezer]
  if order.tty:
    argv += ["--ext-mount-map", "/dev/console:console"]
    argv += ["--external", order.tty]
  if order.parent:
    argv += ["--prev-images-dir", order.parent]
  if order.track:
    argv.append("--track-mem")
  argv += ["--ghost-limit", _GHOST_LIMIT]
  return [*argv, "--force-irmap", "--network-lock", order.lock]


def restore_argv(
  lxcpath: Path, name: str, images: Path, script: Path, log: Path
) -> list[str]:
  """LXC's own restore: it alone can make a monitor for the container."""
  return [
    "lxc-checkpoint", "-P", str(lxcpath), "-n", name, "-r", "-v",
    "-D", str(images), "-A", str(script), "-o", str(log), "-l", "DEBUG",
  ]  # fmt: skip


def has_feature(host: Host, feature: str) -> bool:
  """Whether CRIU and the kernel can do something (criu check --feature)."""
  return not host.run(["criu", "check", "--feature", feature]).failed


def _is_there(host: Host, program: str) -> bool:
  return not host.run(["sh", "-c", f"command -v {program}"]).failed


def network_lock(host: Host) -> str:
  """How CRIU can keep a guest's connections quiet on this node.

  By itself it would need no nft for nftables, but what it leaves behind can
  be taken away by nothing else (netlock.py).

  @raise Refused: in no way

  """
  if _is_there(host, "nft") and has_feature(host, "network_lock_nftables"):
    return "nftables"
  if _is_there(host, "iptables-restore"):
    return "iptables"
  raise Refused(
    "A guest cannot be checkpointed on this node",
    evidence="CRIU has no way to hold back the guest's network packets",
    remedy="install nftables or iptables",
  )


# What is gone when the guest has run on for a moment: a message, with who has
# sent it, that its receiver had not read when all processes were stopped.
# Daemons of systemd send such ones all the time.
_PASSING = re.compile(r"Control messages in queue")


@dataclass(frozen=True, slots=True)
class Trouble:
  """What CRIU's log tells about a failure; "" where it does not tell.

  @ivar message: the first error, which names the cause
  @ivar process: the guest's process it was about, as "httpd (process 12)"
  @ivar remedy: what to do

  """

  message: str
  process: str = ""
  remedy: str = ""

  @property
  def passes(self) -> bool:
    """Whether the same may well succeed in a moment."""
    return _PASSING.search(self.message) is not None

  def __str__(self) -> str:
    return f"{self.process}: {self.message}" if self.process else self.message


def trouble(text: str) -> Trouble | None:
  """Finds the cause of a failure in a log of CRIU's; None when none is told.

  The first error is the cause; those that follow are its consequences.

  """
  process = ""
  names: dict[str, str] = {}
  for line in text.splitlines():
    match = _LINE.match(line)
    said = match[2] if match else line
    if seized := _SEIZED.search(said):
      names[seized[1]] = seized[2]
    elif task := _TASK.search(said):
      process = f"{task[2]} (process {task[1]})"
    elif _ALL_DUMPED in said:
      process = ""
    elif (error := _ERROR.search(said)) and not _is_noise(error[2]):
      message = error[2].strip()
      named = _PID_AT_END.search(message)
      if named and named[1] in names:
        process = f"{names[named[1]]} (process {named[1]})"
      return Trouble(message, process, _remedy(message))
  return None


def _is_noise(message: str) -> bool:
  return any(noise in message for noise in _NOISE)


def _remedy(message: str) -> str:
  for pattern, remedy in _REMEDIES.items():
    if re.search(pattern, message):
      return remedy
  return ""


def read_log(path: Path) -> str:
  """The end of a log, "" when there is none."""
  try:
    with path.open("rb") as stream:
      size = stream.seek(0, os.SEEK_END)
      stream.seek(max(0, size - _MAX_LOG))
      return stream.read().decode("utf-8", "replace")
  except FileNotFoundError:
    return ""


def seconds_since(text: str, said: str) -> float:
  """From a message in a log to the log's end, in seconds; 0 without it."""
  first = last = None
  for line in text.splitlines():
    match = _LINE.match(line)
    if match is None:
      continue
    last = float(match[1])
    if first is None and said in match[2]:
      first = last
  return last - first if first is not None and last is not None else 0.0


def mapped_mounts(config: Sequence[tuple[str, str]]) -> tuple[str, ...]:
  """Where a configuration mounts something of the node, as liblxc tells it.

  It names the bind mounts alone (exec_criu, parse_mntopts_legacy).

  """
  found = []
  for key, value in config:
    fields = value.split()
    if key != "lxc.mount.entry" or len(fields) <= _OPTIONS:
      continue
    if {"bind", "rbind"}.intersection(fields[_OPTIONS].split(",")):
      found.append(fields[1].lstrip("/"))
  return tuple(found)
