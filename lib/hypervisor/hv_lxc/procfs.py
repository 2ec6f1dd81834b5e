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

"""What the kernel tells of single processes."""

from collections.abc import Collection, Iterator
from pathlib import Path

from .host import read_optional


def stat_fields(proc: Path, pid: int | str) -> list[str]:
  """The fields of /proc/PID/stat from the state on, [] without a process.

  The program's name before them may hold blanks and brackets
  (proc_pid_stat(5)).

  """
  text = read_optional(proc / f"{pid}/stat") or ""
  return text.rpartition(")")[2].split()


def status(proc: Path, pid: int | str) -> dict[str, list[str]]:
  """The words of each line of /proc/PID/status, {} without a process."""
  text = read_optional(proc / f"{pid}/status") or ""
  lines = (line.partition(":") for line in text.splitlines())
  return {key: value.split() for key, _, value in lines}


def programs(
  proc: Path, names: Collection[str]
) -> Iterator[tuple[int, list[str]]]:
  """The processes that run one of these programs, with their arguments.

  @param names: as /proc/PID/comm has them

  """
  for entry in proc.iterdir():
    if not entry.name.isdigit():
      continue
    if (read_optional(entry / "comm") or "").strip() in names:
      words = (read_optional(entry / "cmdline") or "").split("\0")
      yield int(entry.name), words


def children(proc: Path, pid: int | str) -> Iterator[int]:
  """The processes below one, the dead that nobody has collected included.

  See proc_pid_task_children(5).

  """
  for path in (proc / f"{pid}/task").glob("*/children"):
    yield from map(int, (read_optional(path) or "").split())
