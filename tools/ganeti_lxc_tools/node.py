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

"""What runs on this node, and the node daemon."""

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

from . import migrations
from .errors import ToolError

Path = pathlib.Path

DAEMON_UTIL = "/usr/lib/ganeti/daemon-util"
POLICY = "/usr/sbin/policy-rc.d"
NODED = "ganeti-noded"
FORCE = "GANETI_LXC_REMOVE"
# There from before something is changed until the daemon has loaded it, so
# that who is interrupted in between need only begin again.
DUE = Path("/run/ganeti-lxc-restart")
_NAMED = 5
# What policy-rc.d ends with where nothing may be started.
_FORBIDDEN = 101
_AGAIN = "run dpkg --configure -a, or ganeti-lxc-place --restart"


def running(mounts: str = "/proc/self/mounts") -> list[str]:
  """Instances that have processes on this node, told by control groups."""
  found = set()
  for line in Path(mounts).read_text().splitlines():
    _, mounted, kind, *_ = line.split()
    if kind not in ("cgroup", "cgroup2"):
      continue
    for procs in Path(mounted).glob("ganeti-lxc/*/*/cgroup.procs"):
      with contextlib.suppress(FileNotFoundError):
        if not _is_empty(procs):
          found.add(procs.parent.parent.name)
  return sorted(found)


def _is_empty(procs: Path) -> bool:
  try:
    return not procs.read_text().strip()
  except FileNotFoundError:
    raise
  except OSError:
    # EOPNOTSUPP: a guest made it a threaded group.
    return False


def refuse_while_running() -> None:
  """Without the driver nothing would know of the instances.

  @raise ToolError: some run

  """
  names = running()
  if names and os.environ.get(FORCE) != "anyway":
    more = ", ..." if len(names) > _NAMED else ""
    raise ToolError(
      f"LXC instances run on this node: {', '.join(names[:_NAMED])}{more}."
      " Without the driver Ganeti takes them for stopped and may start them"
      " a second time on another node. Stop them or move them away"
      f" (gnt-instance failover), or set {FORCE}=anyway"
    )


def note_restart() -> bool:
  """A restart will be due; whether one was before already."""
  was_due = DUE.exists()
  DUE.touch()
  return was_due


def forget_restart() -> None:
  """None is due any more."""
  DUE.unlink(missing_ok=True)


def wait_before_removal() -> None:
  """Migrations under way need the driver that is taken out.

  @raise ToolError: there is one still

  """
  if os.environ.get(FORCE) != "anyway":
    migrations.wait("the removal of the driver", "remove it again")


def wait_before_exchange() -> None:
  """Migrations under way end with the driver that they began with.

  Only where the node daemon is to be restarted, and so has to wait anyway:
  what works for a migration has all that it needs since its own start.

  @raise ToolError: there is one still

  """
  if is_noded_running():
    migrations.wait(f"the restart of {NODED}", _AGAIN)


def restart_noded(*, waits: bool = True) -> None:
  """Lets the node daemon load what was placed, if it runs.

  Only this daemon: jobs are new processes, and luxid has to stay for those
  that are running.  A request that noded has begun to serve has a process
  of its own, which is not stopped; but the next one of the same job is
  refused while it is away, so migrations are waited for.

  @param waits: False if that has been done
  @raise ToolError: it did not start again, or there is a migration still

  """
  if not is_noded_running():
    return
  if _is_forbidden():
    print(f"{POLICY} forbids to restart {NODED}; it has what it had loaded")
    return
  if waits:
    migrations.wait(f"the restart of {NODED}", _AGAIN)
  _call("stop")
  started = _call("start")
  if started.returncode != 0:
    raise ToolError(
      f"{DAEMON_UTIL} start {NODED} exited with status"
      f" {started.returncode}: {started.stdout.strip()}; see"
      " /var/log/ganeti/node-daemon.log"
    )
  print(f"{NODED} was restarted")


def is_noded_running() -> bool:
  """Whether Ganeti can call this node."""
  return os.access(DAEMON_UTIL, os.X_OK) and _call("check").returncode == 0


def _is_forbidden() -> bool:
  """What invoke-rc.d asks too; so in a chroot, for instance."""
  if not os.access(POLICY, os.X_OK):
    return False
  asked = subprocess.run([POLICY, "ganeti", "restart"], check=False)
  return asked.returncode == _FORBIDDEN


def _call(verb: str) -> "subprocess.CompletedProcess[str]":
  # A file, not a pipe, which the daemon could hold open.
  with _scratch() as output:
    done = subprocess.run(
      [DAEMON_UTIL, verb, NODED],
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=output,
      check=False,
    )
    os.lseek(output, 0, os.SEEK_SET)
    text = os.read(output, 4096).decode(errors="replace")
  return subprocess.CompletedProcess(done.args, done.returncode, text)


@contextlib.contextmanager
def _scratch() -> Iterator[int]:
  fd = os.memfd_create("output")
  try:
    yield fd
  finally:
    os.close(fd)
