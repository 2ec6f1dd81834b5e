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

"""Who uses a block device: mounts, device-mapper and md holders, open files.

For error messages and for refusing a disk which is in use.  Names of guests'
mount points and processes appear in the text only after their control
characters are taken out.

Sources: proc(5), section /proc/PID/mountinfo; Linux,
Documentation/ABI/testing/sysfs-block.

"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

_PROC = pathlib.Path("/proc")
_SYS_DEVICES = pathlib.Path("/sys/dev/block")
_MAX_NAMED = 5
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def devno_of(device_number: int) -> str:
  """Formats a device number as the kernel does in text, "MAJ:MIN"."""
  return f"{os.major(device_number)}:{os.minor(device_number)}"


def _clean(text: str) -> str:
  return _UNPRINTABLE.sub("?", text)[:200]


def _processes() -> Iterator[pathlib.Path]:
  return (entry for entry in _PROC.iterdir() if entry.name.isdigit())


def _mount_namespaces() -> Iterator[pathlib.Path]:
  """Yields the directory of one process for every mount namespace."""
  seen = set()
  for process in _processes():
    try:
      namespace = (process / "ns" / "mnt").readlink()
    except OSError:
      continue
    if namespace not in seen:
      seen.add(namespace)
      yield process


def _mounts_one(
  line: bytes, devnos: AbstractSet[bytes], paths: AbstractSet[bytes]
) -> bool:
  fields = line.split()
  # btrfs shows a number of its own instead of its device's
  return fields[2] in devnos or fields[fields.index(b"-") + 1 :][:2] in [
    [b"btrfs", path] for path in paths
  ]


def mounts(devices: Iterable[tuple[str, str]]) -> list[str]:
  """Returns where devices are mounted, in every mount namespace.

  @param devices: path and "MAJ:MIN" of each
  @return: "mounted on PATH (namespace of process PID)" for each

  """
  known = list(devices)
  devnos = {devno.encode() for (_, devno) in known}
  paths = {os.fsencode(path) for (path, _) in known}
  found: dict[str, str] = {}
  for process in _mount_namespaces():
    try:
      lines = (process / "mountinfo").read_bytes().splitlines()
    except OSError:
      continue
    for line in lines:
      if _mounts_one(line, devnos, paths):
        path = _clean(os.fsdecode(line.split()[4]))
        found.setdefault(
          path, f"mounted on {path} (namespace of process {process.name})"
        )
  return list(found.values())


def holders(devno: str) -> list[str]:
  """Returns the block devices stacked on one, as "held by NAME"."""
  try:
    entries = sorted((_SYS_DEVICES / devno / "holders").iterdir())
  except OSError:
    return []
  return [f"held by {_holder_name(entry)}" for entry in entries]


def _holder_name(holder: pathlib.Path) -> str:
  try:
    name = (holder / "dm" / "name").read_bytes()
  except OSError:
    return holder.name
  text = _clean(name.decode("ascii", "replace").strip())
  return f"device-mapper {text} ({holder.name})"


def _open_paths(process: pathlib.Path) -> Iterator[str]:
  try:
    for entry in (process / "fd").iterdir():
      with contextlib.suppress(FileNotFoundError):
        yield os.fspath(entry.readlink())
  except OSError:
    return


def open_files(paths: Iterable[str]) -> list[str]:
  """Returns which other processes have one of these paths open.

  By the text of the link alone: looking at what it leads to could hang on a
  dead network file system.

  @return: "open in process PID (NAME)" for each

  """
  wanted = set(paths)
  return [
    f"open in process {process.name} ({_command(process)})"
    for process in _processes()
    if process.name != str(os.getpid())
    and any(path in wanted for path in _open_paths(process))
  ]


def _command(process: pathlib.Path) -> str:
  try:
    name = (process / "comm").read_bytes()
  except OSError:
    return "gone"
  return _clean(name.decode("utf-8", "replace").strip())


def describe(devices: Iterable[tuple[str, str]]) -> str:
  """Says in one line who uses devices; empty if nobody was found.

  @param devices: path and "MAJ:MIN" of each

  """
  known = [(path, devno) for (path, devno) in devices if devno]
  evidence = mounts(known)
  for path, devno in known:
    evidence.extend(f"{path} {text}" for text in holders(devno))
  evidence.extend(open_files(path for (path, _) in known))
  if len(evidence) > _MAX_NAMED:
    evidence[_MAX_NAMED:] = ["and %s more" % (len(evidence) - _MAX_NAMED)]
  return ", ".join(evidence)
