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

"""gnt-instance console, with a terminal as an operator has it."""

import re

import pexpect
import pytest
from cluster import groups
from cluster.cluster import Cluster, wait_for

_LEAVE = "\x01q"
# Of the guests' root (qa/os/guest_recipes.py).
_PASSWORD = "ganeti"


def _connected(console: "pexpect.spawn[str]") -> None:
  """What is typed before lxc-console has connected is lost."""
  console.expect("to enter Ctrl.a itself")


def _log_in(console: "pexpect.spawn[str]") -> None:
  console.sendline("")
  console.expect("login: ")
  console.sendline("root")
  found = console.expect([r"[#$] ", "assword: "])
  if found == 1:
    console.sendline(_PASSWORD)
    console.expect(r"[#$] ")


def _ask(console: "pexpect.spawn[str]", command: str) -> str:
  """What a command printed, on one line."""
  console.sendline(f'echo "<$({command})>"')
  console.expect(r"[\r\n]<([^>]*)>")
  return " ".join(console.match[1].split())


def _leave(console: "pexpect.spawn[str]") -> None:
  console.send(_LEAVE)
  console.expect(pexpect.EOF)
  console.close()


@pytest.mark.parametrize(("getty", "tty"), [
  ("tty1", "/dev/tty1"), ("console", "/dev/console"),
])  # fmt: skip
def test_log_in_leave_come_back(cluster: Cluster, getty: str, tty: str) -> None:
  instance = cluster.add(os_params=f"getty={getty}")
  wait_for(lambda: "getty" in instance.inside("ps"), "the getty")
  console = instance.console(rows=37, columns=123)
  _connected(console)
  _log_in(console)
  assert _ask(console, "tty") == tty
  assert _ask(console, "stty size") == "37 123"
  console.sendline("marker=kept")
  console.expect(r"[#$] ")
  _leave(console)
  assert instance.status == "running"
  console = instance.console(rows=21, columns=67)
  _connected(console)
  console.sendline("")
  console.expect(r"[#$] ")
  assert _ask(console, "echo $marker") == "kept"
  assert _ask(console, "stty size") == "21 67"
  console.setwinsize(43, 99)
  wait_for(lambda: _ask(console, "stty size") == "43 99", "the new size")
  _leave(console)


def test_debian_guest_has_its_login_on_the_console(cluster: Cluster) -> None:
  instance = cluster.add(os="debian+bookworm", memory="memory=256M")
  wait_for(lambda: "login:" in instance.console_log(), "a login", 60)
  console = instance.console(rows=31, columns=111)
  _connected(console)
  _log_in(console)
  assert _ask(console, "tty") == "/dev/console"
  assert _ask(console, "stty size") == "31 111"
  _leave(console)


def test_guest_without_any_login_gives_a_root_shell(cluster: Cluster) -> None:
  instance = cluster.add(os_params="getty=none")
  # The driver gives a guest 20 s to open its terminals.
  instance.inside("sleep 21")
  console = instance.console(rows=33, columns=101)
  console.expect("root shell")
  console.expect("[#$] ")
  assert _ask(console, "id -u") == "0"
  assert _ask(console, "stty size") == "33 101"
  console.sendline("exit")
  console.expect(pexpect.EOF)
  console.close()
  assert instance.status == "running"


def test_paused_guest_is_held_until_its_console_is_opened(
  cluster: Cluster,
) -> None:
  instance = cluster.add(os_params="getty=console", more=("--no-start",))
  instance.gnt("startup", "--paused")
  assert instance.status == "running"
  cluster.master.run("sleep", "2")
  # Process 1 is there, and has not run.
  assert len(groups.processes(instance)) == 1
  assert instance.console_log() == ""
  assert groups.is_frozen(instance)
  console = instance.console(rows=35, columns=105)
  # The very first thing it says is not missed.
  console.expect("boot complete")
  _log_in(console)
  assert _ask(console, "stty size") == "35 105"
  _leave(console)
  assert len(groups.processes(instance)) > 1
  assert not groups.is_frozen(instance)
  # A reboot of its own is not held again.  The console need not tell: what
  # LXC has not read when the guest's getty opens it, getty throws away (it
  # was seen to be gone with LXC's process stopped for so long).
  init = instance.init_pid()
  instance.inside("reboot")
  wait_for(lambda: instance.init_pid() not in (0, init), "a reboot", 40)
  wait_for(lambda: "getty" in instance.try_inside("ps").output, "the getty")


def test_a_paused_guest_can_be_stopped(cluster: Cluster) -> None:
  instance = cluster.add(more=("--no-start",))
  instance.gnt("startup", "--paused")
  instance.gnt("shutdown", "--timeout=10")
  assert instance.status == "ADMIN_down"


def test_console_log_is_bounded(cluster: Cluster) -> None:
  instance = cluster.add(os_params="getty=none")
  instance.inside("yes 0123456789abcdef | head -c 2000000 >/dev/console")
  total = instance.node.sh(
    f"cat /run/ganeti/lxc/{instance.name}.console* | wc -c"
  )
  assert 1000 < int(total) < 600_000


def test_console_of_an_instance_that_does_not_run(cluster: Cluster) -> None:
  instance = cluster.add(more=("--no-start",))
  said = instance.refused("console")
  assert re.search(r"not running|does not run|down", said), said
