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

"""Watches for the one event that must never be: running on two nodes."""

import contextlib
import os
import pathlib
import subprocess
import threading
import time
from collections.abc import Iterable

from cluster import groups
from cluster.cluster import CommandError, Node
from cluster.remote import SshNode
from ganeti_lab import command
from ganeti_lab.errors import LabError
from ganeti_lab.vm_node import VmNode

# What a node runs that the host cannot see into: prints the names of the
# instances that have a process, when they change and from time to time.  An
# emulated machine has better things to do than to start programs for it, so
# that with v2 the shell does all; it ends with its standard input.
_WATCH = r"""
exec 2>/dev/null
populated() {
  if [ -e "$1/cgroup.events" ]; then
    local key value
    while read -r key value; do
      [ "$key" != populated ] || return $((!value))
    done <"$1/cgroup.events"
    return 1
  fi
  [ -n "$(find "$1" -name cgroup.procs -exec cat {} +)" ]
}
shopt -s nullglob
while :; do
  now=
  for group in "$1"/*/payload; do
    if populated "$group"; then
      name=${group%/payload}
      now+=" ${name##*/}"
    fi
  done
  if [ "$now" != "$last" ] || ((SECONDS - told >= 5)); then
    echo "running:$now"
    last=$now told=$SECONDS
  fi
  [ -n "$2" ] || exit 0
  read -r -t "$2"
  (($? > 128)) || exit 0
done
"""
_EVERY_S = {VmNode: 0.2, SshNode: 1.0}
# Silent for so long, it is begun anew; the machine may have been switched off.
_SILENCE_S = 30.0
_AGAIN_S = 2.0


class TwoAtOnce(threading.Thread):
  """Looks at all nodes all the time.

  @ivar seen: names of instances that had a process on two nodes

  """

  def __init__(self, nodes: Iterable[Node]) -> None:
    super().__init__(daemon=True)
    self._nodes = {node: _watcher(node) for node in nodes}
    self._over = threading.Event()
    self.seen: set[str] = set()

  def run(self) -> None:
    """Looks ten times a second."""
    while not self._over.wait(0.1):
      running = [(n, watch.running()) for n, watch in self._nodes.items()]
      for index, (node, names) in enumerate(running):
        for other, others in running[index + 1 :]:
          if names & others:
            self.seen |= names & others & _on_both(node, other)
    for watch in self._nodes.values():
      watch.end()

  def stop(self) -> None:
    """Ends the thread."""
    self._over.set()
    self.join()


def _on_both(node: Node, other: Node) -> set[str]:
  """What runs on both; it may have moved on while the other was asked."""
  return _running(node) & _running(other) & _running(node)


class _Seen:
  """A node whose control groups the host sees."""

  def __init__(self, node: Node) -> None:
    self._node = node

  def running(self) -> set[str]:
    """Names of the instances that have a process."""
    return _running(self._node)

  def end(self) -> None:
    """Nothing is left of it."""


class _Told:
  """A node that tells what runs there."""

  def __init__(self, node: Node, every_s: float) -> None:
    self._node = node
    self._every_s = every_s
    self._process: subprocess.Popen[bytes] | None = None
    self._said = b""
    self._names: set[str] = set()
    self._heard = self._begun = -_SILENCE_S

  def running(self) -> set[str]:
    """Names of the instances that had a process when it last told.

    Empty as long as it does not tell.

    """
    if time.monotonic() - self._heard > _SILENCE_S:
      self.end()
    if self._process is None:
      self._begin()
    self._read()
    return self._names

  def end(self) -> None:
    """Nothing is left of it."""
    process, self._process = self._process, None
    self._names, self._said = set(), b""
    if process is not None:
      process.kill()
      process.communicate()

  def _begin(self) -> None:
    now = time.monotonic()
    if now - self._begun < _AGAIN_S:
      return
    self._begun = self._heard = now
    with contextlib.suppress(LabError, CommandError):
      self._process = subprocess.Popen(
        self._node.seen.argv(_watching(self._node, str(self._every_s))),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=command.environment(),
      )
      assert self._process.stdout is not None
      os.set_blocking(self._process.stdout.fileno(), False)

  def _read(self) -> None:
    if self._process is None or self._process.stdout is None:
      return
    try:
      more = os.read(self._process.stdout.fileno(), 65536)
    except BlockingIOError:
      return
    if not more:
      self.end()
      return
    self._heard = time.monotonic()
    *lines, self._said = (self._said + more).split(b"\n")
    if lines:
      self._names = set(lines[-1].decode().partition(":")[2].split())


def _watcher(node: Node) -> "_Seen | _Told":
  for kind, every_s in _EVERY_S.items():
    if isinstance(node.seen, kind):
      return _Told(node, every_s)
  return _Seen(node)


def _watching(node: Node, every_s: str) -> list[str]:
  """The command that tells all the time, or once if every_s is ""."""
  return ["bash", "-c", _WATCH, "sh", groups.instances(node), every_s]


def _running(node: Node) -> set[str]:
  """Names of the instances that have a process now."""
  if isinstance(node.seen, tuple(_EVERY_S)):
    try:
      said = node.run(*_watching(node, ""))
    except (LabError, CommandError):
      # Its power is cut.
      return set()
    return set(said.partition(":")[2].split())
  try:
    found = list(_instances_group(node).iterdir())
  except OSError:
    return set()
  return {g.name for g in found if _has_process(g / "payload")}


def _instances_group(node: Node) -> pathlib.Path:
  group = node.seen.group
  pids = [h for h in group.hierarchies if "pids" in h.options.split(",")]
  chosen = pids[0] if pids else group.hierarchies[-1]
  return group.directory(chosen) / groups.PARENT


def _has_process(group: pathlib.Path) -> bool:
  for root, _, _ in os.walk(group):
    try:
      if pathlib.Path(root, "cgroup.procs").read_text():
        return True
    except OSError:
      continue
  return False
