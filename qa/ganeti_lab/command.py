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

"""Run programs on the host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence

from .errors import LabCommandError

# A killed run of the lab command leaves no program behind that still writes.
_DIES_WITH_US = ("/usr/bin/setpriv", "--pdeathsig", "KILL")
SANE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
  """What programs see: nothing of the caller's but terminal and proxies."""
  kept = {
    key: os.environ[key]
    for key in ("TERM", "http_proxy", "https_proxy", "no_proxy")
    if key in os.environ
  }
  return {
    "PATH": SANE_PATH,
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LC_ALL": "C.UTF-8",
    **kept,
    **(extra or {}),
  }


def run(
  what: str,
  argv: Sequence[str],
  *,
  stdin: bytes | None = None,
  note: Callable[[str], None] | None = None,
  env: Mapping[str, str] | None = None,
  shown: Sequence[str] | None = None,
  finish: bool = False,
) -> str:
  """Run a program to its end.

  @param what: the step, named in the error
  @param note: is given each line of output as it appears
  @param finish: let it end its work even when this process is killed
  @param shown: the command to name in the error, if not argv itself
  @return: standard output and standard error together
  @raise LabCommandError: on any other status than 0

  """
  started = argv if finish else [*_DIES_WITH_US, *argv]
  if stdin is not None:
    done = subprocess.run(
      started,
      input=stdin,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      env=environment(env),
      check=False,
    )
    return _checked(
      what, shown or argv, done.returncode, done.stdout.decode(errors="replace")
    )
  lines = []
  with subprocess.Popen(
    started,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    env=environment(env),
    text=True,
    errors="replace",
  ) as process:
    assert process.stdout is not None
    for line in process.stdout:
      lines.append(line)
      if note is not None:
        note(line)
  return _checked(what, shown or argv, process.returncode, "".join(lines))


def _checked(what: str, argv: Sequence[str], status: int, output: str) -> str:
  if status != 0:
    raise LabCommandError(what, argv, status, output)
  return output
