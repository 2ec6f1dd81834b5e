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

"""What LXC wrote to its log: the evidence of a failed start.

A line looks like C{lxc-start NAME 20260101120000.123 ERROR    conf -
../src/lxc/conf.c:lxc_setup:3940 - Failed to ...} (log.c, log_append_logfile).

"""

import os
from pathlib import Path

from .host import make_directory

# One start writes about 40 KiB at level DEBUG; one older file is kept.
_ROTATE_BYTES = 1 << 20
_MAX_READ = 1 << 20
_LEVELS = (" ERROR ", " FATAL ", " CRIT ", " ALERT ", " EMERG ")
# Said after every failure; the line before says why.
_NOISE = (
  "lxc_container_state",
  "wait_on_daemonized_start",
  "Received container state",
  "Failed to spawn container",
  "__lxc_start",
)


def prepare(log: Path) -> int:
  """Makes sure that the log can be written; rotates a large one.

  @return: its size in bytes; what comes behind is of this start

  """
  make_directory(log.parent, 0o750)
  try:
    size = log.stat().st_size
  except FileNotFoundError:
    return 0
  if size < _ROTATE_BYTES:
    return size
  log.replace(log.with_name(f"{log.name}.1"))
  return 0


def first_error(log: Path, offset: int) -> str:
  """The message of the first error since an offset, "" if there is none.

  The first one names the cause; those that follow are its consequences.  A
  log that is shorter now was emptied in between (start-host.sh).

  """
  try:
    with log.open("rb") as stream:
      size = stream.seek(0, os.SEEK_END)
      stream.seek(offset if offset <= size else 0)
      text = stream.read(_MAX_READ).decode("utf-8", "replace")
  except OSError:
    return ""
  errors = [line for line in text.splitlines() if _is_error(line)]
  telling = [e for e in errors if not any(n in e for n in _NOISE)]
  for line in telling or errors:
    return line.split(" - ", 2)[-1].strip()
  return ""


def _is_error(line: str) -> bool:
  head = line.partition(" - ")[0]
  return any(level in f"{head} " for level in _LEVELS)
