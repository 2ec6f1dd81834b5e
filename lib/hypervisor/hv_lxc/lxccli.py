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

"""The lxc-* tools: what is asked of them and what they answer.

Every call names our own lxcpath: without C{-P} a container would be looked
for among the administrator's own in /var/lib/lxc.  None of them is asked
whether an instance runs; cgroup.py answers that without a program.

"""

from .command import Result
from .host import Host

# lxc-wait(1): with -t 0 LXC 5 to 7 wait for ever on a running container.
_MIN_WAIT_S = 1
# How long a tool may take that only passes a message to the monitor.
_ANSWER_S = 30.0


def _argv(host: Host, tool: str, name: str, *rest: str) -> list[str]:
  return [tool, "-P", str(host.layout.lxcpath), "-n", name, *rest]


def start(host: Host, name: str, log: str, timeout_s: float) -> Result:
  """Starts the container as a daemon; returns when it runs or failed."""
  argv = _argv(host, "lxc-start", name, "-d", "-o", log, "-l", "DEBUG")
  return host.run(argv, timeout_s=timeout_s)


def wait_running_or_stopped(host: Host, name: str, timeout_s: int) -> Result:
  """Waits until LXC calls the container RUNNING, or STOPPED again.

  Waiting for RUNNING alone would last for the whole timeout when init has
  ended in the meantime.

  """
  seconds = str(max(timeout_s, _MIN_WAIT_S))
  states = "RUNNING|STOPPED"
  argv = _argv(host, "lxc-wait", name, "-s", states, "-t", seconds)
  return host.run(argv, timeout_s=int(seconds) + _ANSWER_S)


def ask_to_stop(host: Host, name: str) -> Result:
  """Sends init its halt signal and does not wait."""
  argv = _argv(host, "lxc-stop", name, "--nokill", "-W")
  return host.run(argv, timeout_s=_ANSWER_S)


def ask_to_reboot(host: Host, name: str) -> Result:
  """Sends init its reboot signal and does not wait."""
  argv = _argv(host, "lxc-stop", name, "-r", "-W")
  return host.run(argv, timeout_s=_ANSWER_S)


def kill(host: Host, name: str) -> Result:
  """Kills init and waits until the monitor has cleaned up."""
  return host.run(_argv(host, "lxc-stop", name, "-k"), timeout_s=_ANSWER_S)


def attach_argv(host: Host, name: str, *command: str) -> list[str]:
  """Runs a program of the guest inside the guest."""
  return _argv(
    host, "lxc-attach", name, "--clear-env", "-v", "container=lxc", "--",
    *command,
  )  # fmt: skip


def console_argv(host: Host, name: str, tty: int) -> list[str]:
  """Connects to a terminal of the guest; 0 is the console."""
  return _argv(host, "lxc-console", name, "-t", str(tty))
