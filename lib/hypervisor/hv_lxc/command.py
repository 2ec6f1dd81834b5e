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

"""The one door through which programs are started.

Everything else in this package is handed a L{Runner}; a test replaces it.

Output goes to an anonymous file, not to a pipe: a program that leaves a
daemon behind (lxc-start does) would otherwise keep its caller waiting for
the end of a pipe which the daemon holds open for as long as it lives.

"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from . import pidfd
from .errors import Failed

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_OUTPUT = 4 << 20
DEFAULT_TIMEOUT_S = 60.0
# What a program that is killed takes to end, unless it is in a system call
# that nothing interrupts: umount(2) of a dead device never returns.
_KILLED_S = 5.0
# Such programs, until somebody can collect their status.
_stuck: list["subprocess.Popen[bytes]"] = []


@dataclass(frozen=True, slots=True)
class Result:
  """How a program ended and what it printed.

  @ivar timed_out: it was killed
  @ivar stuck: even that did not end it

  """

  argv: tuple[str, ...]
  status: int
  stdout: str = ""
  stderr: str = ""
  timed_out: bool = False
  stuck: bool = False

  @property
  def failed(self) -> bool:
    return self.timed_out or self.status != 0

  @property
  def how(self) -> str:
    """The way it ended, as a phrase: "exited with status 1", ..."""
    if self.stuck:
      return (
        "did not end in time and cannot be killed: it waits for its device or"
        " a file server"
      )
    if self.timed_out:
      return "did not end in time and was killed"
    if self.status < 0:
      return f"was killed by signal {-self.status}"
    return f"exited with status {self.status}"

  @property
  def last_line(self) -> str:
    """The last line it printed, on stderr if there is one."""
    for text in (self.stderr, self.stdout):
      lines = [line for line in text.splitlines() if line.strip()]
      if lines:
        return lines[-1].strip()
    return ""

  def evidence(self) -> str:
    """Command, the way it ended, and its last words."""
    text = f"{' '.join(self.argv)} {self.how}"
    return f"{text}: {self.last_line}" if self.last_line else text


class Runner(Protocol):
  """Starts a program and waits for its end."""

  def __call__(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
  ) -> Result: ...


def run(
  argv: Sequence[str],
  *,
  timeout_s: float = DEFAULT_TIMEOUT_S,
  env: Mapping[str, str] | None = None,
) -> Result:
  """Runs a program in a session of its own and waits for its end.

  @param argv: program (found in a fixed PATH) and arguments
  @param timeout_s: after so many seconds it is killed with its session; if
      that does not end it, it is left alone
  @param env: added to a minimal environment (PATH, LC_ALL, HOME)
  @raise Failed: the program cannot be started at all

  """
  full_env = {
    "PATH": SEARCH_PATH,
    "LC_ALL": "C",
    "HOME": "/root",
    **(env or {}),
  }
  _collect_stuck()
  with contextlib.ExitStack() as stack:
    out = stack.enter_context(_anonymous_file())
    err = stack.enter_context(_anonymous_file())
    try:
      proc = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=full_env,
        cwd="/",
        start_new_session=True,
      )
    except OSError as exc:
      raise Failed(
        f"Cannot run {argv[0]}",
        evidence=str(exc.strerror),
        remedy=f"install the package that provides {argv[0]}",
      ) from exc
    timed_out = not _wait(proc, timeout_s)
    stuck = proc.returncode is None
    status = -signal.SIGKILL if stuck else proc.returncode
    return Result(tuple(argv), status, _read(out), _read(err), timed_out, stuck)


class Spawner(Protocol):
  """Starts a program that outlives its caller."""

  def __call__(
    self, argv: Sequence[str], *, log: Path, pass_fds: Sequence[int] = ()
  ) -> None: ...


def start_daemon(
  argv: Sequence[str], *, log: Path, pass_fds: Sequence[int] = ()
) -> None:
  """Starts a program in a session of its own and does not wait for it.

  setsid(1) forks and ends at once, so that the daemon is nobody's child:
  neither the node daemon's threads nor its forked children reap strangers.

  @param argv: program (found in a fixed PATH) and arguments
  @param log: where all that it prints is appended
  @param pass_fds: descriptors that it inherits under the same numbers
  @raise Failed: it cannot be started

  """
  flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
  with contextlib.closing(_Fd(os.open(log, flags, 0o600))) as output:
    status = subprocess.run(
      ["setsid", "--fork", *argv],
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=output,
      env={"PATH": SEARCH_PATH, "LC_ALL": "C", "HOME": "/root"},
      cwd="/",
      pass_fds=tuple(pass_fds),
      timeout=DEFAULT_TIMEOUT_S,
      check=False,
    ).returncode
  if status != 0:
    raise Failed(
      f"Cannot start {argv[0]}",
      evidence=f"setsid exited with status {status}",
      remedy=f"see {log}",
    )


def become(argv: Sequence[str]) -> NoReturn:
  """Replaces this process by a program (execvp(3)).

  @raise OSError: there is no such program

  """
  os.execvp(argv[0], list(argv))


def checked(result: Result, what: str, *, remedy: str = "") -> Result:
  """The result itself, or an error that carries its evidence.

  @raise Failed: the program failed

  """
  if result.failed:
    raise Failed(what, evidence=result.evidence(), remedy=remedy)
  return result


def _anonymous_file() -> "contextlib.AbstractContextManager[int]":
  return contextlib.closing(_Fd(os.memfd_create("output", os.MFD_CLOEXEC)))


class _Fd(int):
  """A descriptor that C{contextlib.closing} can close."""

  def close(self) -> None:
    os.close(self)


def _wait(proc: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
  """Waits for the end; False when it had to be killed.

  Popen.wait polls with growing pauses when given a timeout; a process
  descriptor wakes up at once.  Where even the kill does not end the program,
  its return code stays None: who waits on for it, with the instance's lock,
  lets nobody near the instance until the node is booted.

  """
  with pidfd.held(proc.pid) as process:
    poller = select.poll()
    poller.register(process, select.POLLIN)
    ended = bool(poller.poll(max(0.0, timeout_s) * 1000))
    if not ended:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(proc.pid, signal.SIGKILL)
      if not poller.poll(_KILLED_S * 1000):
        _stuck.append(proc)
        return False
  proc.wait()
  return ended


def _collect_stuck() -> None:
  """Leaves no zombies where this process lives for long."""
  _stuck[:] = [proc for proc in _stuck if proc.poll() is None]


def _read(fd: int) -> str:
  data = os.pread(fd, _MAX_OUTPUT, 0)
  return data.decode("utf-8", "backslashreplace")
