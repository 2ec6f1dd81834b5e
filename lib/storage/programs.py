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

"""The one door of these modules to programs, each with a limit of time.

Neither utils.RunCmd nor timeout(1) will do: they wait, without a limit, for the
end of what they have killed.  A program that reads a disk which does not answer
does not end by that (state D, see ps(1)), and whoever waits for it keeps
everybody else from the disk's instance until the node is booted.  Given a
limit, RunCmd also looks but once a second (_WaitForProcess in
ganeti.utils.process).

Output goes to files without names: a pipe would have to be emptied meanwhile.

"""

import contextlib
import dataclasses
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence

from ganeti import errors

_LIMIT = 60.0
# What a killed program takes to end, unless nothing ends it
_KILLED = 5.0
_MAX_OUTPUT = 4 << 20
# Programs that nothing ended, until their status can be collected
_stuck: list["subprocess.Popen[bytes]"] = []


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
  """How a program ended and what it printed.

  @ivar status: its exit status, or the negative number of a signal
  @ivar how: the way it ended, for people

  """

  argv: tuple[str, ...]
  status: int
  how: str
  stdout: str = ""
  stderr: str = ""

  def check(self) -> None:
    """Raises unless the program succeeded.

    @raise errors.BlockDeviceError: with the last thing that it said

    """
    if self.status:
      said = (self.stderr.strip() or self.stdout.strip()).splitlines()
      message = (
        f"'{shlex.join(self.argv)}' {self.how}: {(said or ['no output'])[-1]}"
      )
      raise errors.BlockDeviceError(message)


def run(
  argv: Sequence[str], stdin: bytes = b"", limit: float | None = None
) -> Result:
  """Runs a program in a session of its own and waits for its end.

  @param limit: after so many seconds (default: a minute) it is killed with its
      session; if that does not end it, it is left alone
  @raise errors.BlockDeviceError: it cannot be started

  """
  _stuck[:] = [process for process in _stuck if process.poll() is None]
  with contextlib.ExitStack() as stack:
    given, out, err = (stack.enter_context(_file()) for _ in range(3))
    os.pwrite(given, stdin, 0)
    try:
      process = subprocess.Popen(
        argv,
        stdin=given,
        stdout=out,
        stderr=err,
        env={**os.environ, "LC_ALL": "C"},
        cwd="/",
        start_new_session=True,
      )
    except OSError as error:
      message = f"Can't run {argv[0]}: {error.strerror}; is it installed?"
      raise errors.BlockDeviceError(message) from error
    status, how = _wait(process, _LIMIT if limit is None else limit)
    return Result(tuple(argv), status, how, _read(out), _read(err))


def checked(
  argv: Sequence[str], stdin: bytes = b"", limit: float | None = None
) -> Result:
  """As L{run}, of a program that must succeed.

  @raise errors.BlockDeviceError: it did not

  """
  result = run(argv, stdin, limit)
  result.check()
  return result


def _wait(process: "subprocess.Popen[bytes]", limit: float) -> tuple[int, str]:
  """Returns the status, and how the program ended.

  A descriptor of the process tells of its end at once; Popen.wait with a limit
  looks again and again, with growing pauses.

  """
  with _held(process.pid) as end:
    late = not end.poll(limit * 1000)
    if late:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
      if not end.poll(_KILLED * 1000):
        _stuck.append(process)
        how = (
          f"did not end within {limit:g} seconds and cannot be killed (it"
          " waits for its disk, see the last lines of dmesg)"
        )
        return -signal.SIGKILL, how
  status = process.wait()
  if late:
    return status, f"did not end within {limit:g} seconds and was killed"
  if status < 0:
    return status, f"was killed by signal {-status}"
  return status, f"failed (exited with exit code {status})"


@contextlib.contextmanager
def _held(pid: int) -> Iterator[select.poll]:
  """Waits for the end of a child that was not waited for yet."""
  fd = os.pidfd_open(pid)
  try:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    yield poller
  finally:
    os.close(fd)


@contextlib.contextmanager
def _file() -> Iterator[int]:
  fd = os.memfd_create("program")
  try:
    yield fd
  finally:
    os.close(fd)


def _read(fd: int) -> str:
  return os.pread(fd, _MAX_OUTPUT, 0).decode("utf-8", "backslashreplace")
