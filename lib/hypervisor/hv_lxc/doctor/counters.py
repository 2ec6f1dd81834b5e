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

"""What the driver counts over the life of a node, in one small file.

It survives reboots and upgrades.  Counting never fails an operation: where
the file cannot be written (a process that is not root's), nothing is
counted; a damaged one begins anew.

"""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..host import Host, read_optional, write_file

_log = logging.getLogger(__name__)

MIGRATIONS = "migrations"
ERRORS = "driver_errors"
# What migrations came to: whole numbers of what the names below say.
SUMS = "migration_sums"
SENT_BYTES = "sent_bytes"
MICROSECONDS = "microseconds"
FROZEN_MICROSECONDS = "frozen_microseconds"

Counters = Mapping[str, Mapping[str, int]]


def path(host: Host) -> Path:
  """Beside the instances' directory, which holds nothing else."""
  return host.layout.data_dir.with_name("lxc-counters.json")


def increase(host: Host, name: str, outcome: str) -> None:
  """Counts one more.

  @param name: L{MIGRATIONS} or L{ERRORS}
  @param outcome: what came of it, in a word

  """
  add(host, name, {outcome: 1})


def add(host: Host, name: str, amounts: Mapping[str, int]) -> None:
  """Counts so many more of each.

  @param name: L{MIGRATIONS}, L{ERRORS} or L{SUMS}

  """
  try:
    with _locked(host):
      counters = {key: dict(value) for key, value in read(host).items()}
      group = counters.setdefault(name, {})
      for key, amount in amounts.items():
        group[key] = group.get(key, 0) + amount
      write_file(path(host), json.dumps(counters, sort_keys=True), mode=0o644)
  except OSError as err:
    _log.debug("Not counted, %s %s: %s", name, amounts, err)


def read(host: Host) -> Counters:
  """What was counted so far; nothing if that cannot be known."""
  try:
    data = json.loads(read_optional(path(host)) or "{}")
  except (OSError, ValueError):
    return {}
  if not isinstance(data, dict):
    return {}
  return {
    name: {
      outcome: count
      for outcome, count in group.items()
      if isinstance(count, int) and not isinstance(count, bool) and count >= 0
    }
    for name, group in data.items()
    if isinstance(group, dict)
  }


@contextlib.contextmanager
def _locked(host: Host) -> Iterator[None]:
  """The directory is locked, since the file is replaced."""
  flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
  fd = os.open(path(host).parent, flags)
  try:
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield
  finally:
    os.close(fd)
