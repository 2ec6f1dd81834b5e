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


"""What faults do: strike, and how it is taken back."""

import functools
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable

from cluster.cluster import Node
from cluster.migration_faults import eyes
from cluster.migration_faults.injecting import MIGRATIONS, Context, Side
from cluster.migration_faults.looking import Who
from cluster.power import cut_power, turn_on
from ganeti_lab import command

_FIND_S = 10.0
_PORT_HOLDER = """
import socket, sys, time
link = socket.socket()
link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
link.bind((sys.argv[1], int(sys.argv[2])))
link.listen()
print("taken", flush=True)
sys.stdin.read()
"""

Strike = Callable[[Context], str]


class Killing:
  """Kills the first processes that are found while the migration lasts."""

  def __init__(self, side: Side, who: Who, number: int = signal.SIGKILL):
    self._side = side
    self._who = who
    self._number = number
    self._found: list[int] = []

  def prepare(self, context: Context) -> None:
    """Looks for them beforehand: that takes longer than many a phase."""
    self._found = context.find(self._side, self._who)

  def __call__(self, context: Context) -> str:
    """Strikes."""
    deadline = time.monotonic() + _FIND_S
    look = eyes.look(context.side(self._side))
    found, self._found = self._found, []
    while True:
      hit = look.kill(found, self._number)
      if hit:
        return f"killed {hit}"
      if context.is_over() or time.monotonic() > deadline:
        return ""
      found = context.find(self._side, self._who)


killing = Killing


def _kill_noded(node: Node) -> int:
  """With its children."""
  look = eyes.look(node)
  return look.kill([*look.find(Who.NODED), *look.find(Who.CALLS)])


def start_noded(node: Node) -> None:
  """As systemd does at once, and the administrator at last."""
  if not eyes.look(node).find(Who.NODED):
    node.run("/usr/lib/ganeti/daemon-util", "start", "ganeti-noded")


def killing_noded(side: Side, after_s: float) -> Strike:
  """Kills the node daemon with its children; it is started again.

  @param after_s: as late; not before the migration has ended if negative

  """

  def strike(context: Context) -> str:
    node = context.side(side)
    hit = _kill_noded(node)
    context.undo.callback(start_noded, node)
    if after_s >= 0:
      later(context, after_s, functools.partial(start_noded, node))
    return f"killed {hit}" if hit else ""

  return strike


def later(context: Context, delay_s: float, call: Callable[[], None]) -> None:
  timer = threading.Timer(delay_s, call)
  timer.start()
  context.undo.callback(timer.join)


def cutting(for_s: float) -> Strike:
  """Unplugs a node from the lab's switch for a while."""

  def strike(context: Context) -> str:
    node = context.far
    port = f"{'tap' if eyes.is_machine(node) else 'port'}-{node.name}"
    _in_switch(context, "ip", "link", "set", port, "down")
    if eyes.is_machine(node):
      context.unplugged.add(node)
    back = functools.partial(
      _in_switch, context, "ip", "link", "set", port, "up"
    )
    context.undo.callback(back)
    if for_s >= 0:
      later(context, for_s, back)
    return f"unplugged {node.name}"

  return strike


def switch_argv(lab: str, argv: list[str]) -> list[str]:
  """A command in the lab's network, outside of all nodes."""
  from ganeti_lab import cgroup, network  # noqa: PLC0415

  pid = min(cgroup.processes(cgroup.group(lab, network.SWITCH)))
  return ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *argv]


def _in_switch(context: Context, *argv: str) -> None:
  subprocess.run(
    switch_argv(context.cluster.lab, list(argv)),
    check=True,
    env=command.environment(),
  )


def crashing(side: Side) -> Strike:
  """Kills everything on a node that has to do with instances.

  A machine's power is cut, unless the command runs there.

  """

  def strike(context: Context) -> str:
    node = context.side(side)
    if eyes.is_machine(node) and node != context.cluster.master:
      cut_power(node)
      context.off[node.name] = time.time()
      context.undo.callback(turn_on, node)
      return f"switched {node.name} off"
    victims = [
      pid for who in Who if who != Who.JOBS for pid in context.find(side, who)
    ]
    hit = eyes.look(node).kill(victims)
    context.undo.callback(start_noded, node)
    return f"killed {hit}"

  return strike


def small_file_system(context: Context) -> None:
  """The target's images and journals lie on a file system of their own."""
  _own_file_system(context, "200m")


def tiny_file_system(context: Context) -> None:
  """The same, with no room to speak of."""
  _own_file_system(context, "2m")


def _own_file_system(context: Context, size: str) -> None:
  node = context.target
  # It would have its lock in the directory that is hidden.
  _kill_receiver(context)
  node.sh(
    f"mkdir -p /mnt/full {MIGRATIONS}; mount -t tmpfs -o size={size},mode=700"
    f" none /mnt/full; cp -a {MIGRATIONS}/. /mnt/full;"
    f" mount --bind /mnt/full {MIGRATIONS}"
  )

  def back() -> None:
    _kill_receiver(context)
    node.sh(
      f"umount -l {MIGRATIONS}; rm -f /mnt/full/.filler;"
      f" find {MIGRATIONS} -mindepth 1 -delete;"
      f" cp -a /mnt/full/. {MIGRATIONS}; umount -l /mnt/full"
    )

  context.undo.callback(back)


def filling(context: Context) -> str:
  """Fills it; there is room again when the migration has ended."""
  look = eyes.look(context.target)
  filler = f"{MIGRATIONS}/.filler"
  context.undo.callback(look.remove, filler)
  return f"filled: {look.fill(filler)}"


def _kill_receiver(context: Context) -> None:
  look = eyes.look(context.target)
  look.kill(look.find(Who.RECEIVER))


def taking_port(context: Context) -> None:
  """Another program listens where the target's receiver would."""
  node = context.target
  _kill_receiver(context)
  address = node.run("getent", "hosts", node.host_name).split()[0]
  argv = ["python3", "-uc", _PORT_HOLDER, address, str(port(context))]
  holder = subprocess.Popen(
    node.seen.argv(argv),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=command.environment(),
    text=True,
  )
  assert holder.stdout
  assert holder.stdout.readline() == "taken\n"
  context.undo.callback(holder.wait)
  assert holder.stdin
  context.undo.callback(holder.stdin.close)


def port(context: Context) -> int:
  """migration_port, which is the whole cluster's."""
  text = context.cluster.gnt("cluster", "info")
  found = re.search(r"\bmigration_port: (\d+)", text)
  assert found, text
  return int(found[1])


def nothing(_context: Context) -> str:
  """What was armed is the fault."""
  return "armed"


def in_guest(script: str, after_s: float = 0) -> Callable[[Context], None]:
  """Starts something in the guest that goes on by itself.

  @param after_s: when it begins; the migration may be over, but the next
    fault is not to be met by it

  """

  def arm(context: Context) -> None:
    delay_s = after_s * eyes.slowness(context.source)
    over = time.monotonic() + delay_s + bool(delay_s)
    context.undo.callback(lambda: time.sleep(max(0, over - time.monotonic())))
    context.instance.inside(
      f"(setsid sh -c 'sleep {delay_s:.2f}; {script}'"
      " >/dev/null 2>&1 </dev/null &)"
    )

  return arm
