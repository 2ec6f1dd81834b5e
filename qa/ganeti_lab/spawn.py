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

"""Start a process in a cgroup and in namespaces of its own."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from . import cgroup, kernel
from .cgroup import Group
from .errors import LabError


def spawn(
  what: str,
  group: Group,
  namespaces: int,
  main: Callable[[], NoReturn],
  log: pathlib.Path,
) -> int:
  """Run main() in a new session, detached from the caller.

  The middle process enters the cgroups first, so that a new cgroup
  namespace has them as its root, and everything that is ever started can
  be found and killed by its cgroup.

  @param namespaces: CLONE_NEW* flags
  @param main: ends with an exec; what it raises before is reported here
  @param log: takes its standard output and error
  @return: the process number, seen from here
  @raise LabError: when it did not come as far as its exec

  """
  read_end, write_end = os.pipe()
  middle = os.fork()
  if middle == 0:
    os.close(read_end)
    _middle(group, namespaces, main, log, write_end)
  os.close(write_end)
  with os.fdopen(read_end, "r", errors="replace") as report:
    answer = report.read()
  os.waitpid(middle, 0)
  first, _, error = answer.partition("\n")
  if error or not first.isdigit():
    raise LabError(f"{what} could not be started: {error or answer}")
  cgroup.delegate(group)
  return int(first)


def _middle(
  group: Group,
  namespaces: int,
  main: Callable[[], NoReturn],
  log: pathlib.Path,
  report: int,
) -> NoReturn:
  try:
    _detach(log)
    _enter(group.top_procs_files)
    kernel.unshare(namespaces)
    _enter(group.procs_files)
    child = os.fork()
    if child != 0:
      os.write(report, f"{child}\n".encode())
      os._exit(0)
    main()
  except BaseException as err:  # noqa: BLE001 reported to the parent
    traceback.print_exc()
    sys.stderr.flush()
    os.write(report, f"\n{err}".encode())
  finally:
    os._exit(1)


def _enter(procs_files: Sequence[str]) -> None:
  for path in procs_files:
    pathlib.Path(path).write_text("0")


def _detach(log: pathlib.Path) -> None:
  os.setsid()
  null = os.open(os.devnull, os.O_RDWR)
  output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
  os.dup2(null, 0)
  os.dup2(output, 1)
  os.dup2(output, 2)
  for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
  os.umask(0o022)
