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


"""One fault after another into the migrations of one guest."""

import contextlib
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cluster import groups
from cluster.cluster import Cluster, Instance, Node, wait_for
from cluster.migration_faults import eyes, guest
from cluster.migration_faults.acts import Killing, switch_argv
from cluster.migration_faults.client import Account, Client
from cluster.migration_faults.guest import PORT, Kind
from cluster.migration_faults.injecting import Context, Fault, Watch
from cluster.migration_faults.leftovers import Leftovers, own_interfaces
from cluster.migration_faults.oracle import Oracle
from ganeti_lab import command

# What a device, or the file of one, holds: a file system or partitions.
_FSCK = """
  loop=$(losetup -f --show -P "$1"); sleep 1
  for part in $loop ${loop}p1; do
    if [ "$(blkid -p -s TYPE -o value $part)" = ext4 ]; then
      fsck.ext4 -fn $part && bad=0 || bad=$?
    fi
  done
  losetup -d $loop; exit ${bad:-99}
"""
NEITHER = "neither"
_COMMAND_S = 400.0
# After a cut the guest's or the client's next attempt may be late.
_HEAR_S = 60.0
_COMMANDS = (
  (),
  ("migrate --cleanup -f",),
  ("startup",),
  # What the refusal of a start tells to do.
  ("migrate --cleanup -f",),
  ("shutdown", "startup"),
  ("failover -f",),
)
# The list of instances makes what is unsettled be settled.
_SETTLE_S = 6.0
_ANSWER_S = 4


@dataclass
class Verdict:
  """What came of one fault.

  @ivar hit: what the fault did; "" if there was nothing to hit
  @ivar states: of source and target when it struck
  @ivar outcome: moved, stayed, or neither
  @ivar command: that was needed to have the guest run where Ganeti has it
  @ivar defects: everything that must not be
  @ivar notes: what is worth telling besides
  @ivar commit: of the checkout
  @ivar guest: what was moved
  @ivar nodes: whether in namespaces or machines

  """

  fault: str
  hit: str = ""
  states: str = ""
  outcome: str = ""
  command: str = "none"
  seconds: float = 0.0
  job: str = ""
  defects: list[str] = field(default_factory=list)
  notes: list[str] = field(default_factory=list)
  commit: str = ""
  guest: str = str(Kind())
  nodes: str = "namespaces"


def migrate(
  fault: Fault,
  instance: Instance,
  source: Node,
  rng: random.Random,
  verdict: Verdict,
) -> dict[str, float]:
  """Migrates with that fault; notes what it hit and how the command ended.

  What the fault changed has been taken back when this returns.

  @return: the machines whose power was cut, and when
  @raise subprocess.TimeoutExpired: the command does not end

  """
  cluster = instance.cluster
  target = cluster.other(source)
  running: subprocess.Popen[str] | None = None
  context = Context(
    cluster,
    instance,
    source,
    target,
    rng,
    is_over=lambda: running is not None and running.poll() is not None,
  )
  with context.undo:
    if fault.arm:
      fault.arm(context)
    watch = Watch(context, fault.moment)
    argv = ["gnt-instance", "migrate", "-f", instance.name]
    running = subprocess.Popen(
      cluster.master.seen.argv(argv),
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      env=command.environment(),
      text=True,
    )
    with _priority():
      if watch.wait(lambda: _prepare(fault, context)):
        verdict.hit = fault.strike(context)
        states = context.state(source), context.state(target)
        verdict.states = "/".join(states)
    limit_s = _COMMAND_S * eyes.slowness(cluster.master)
    out = running.communicate(timeout=limit_s)[0]
    verdict.job = f"{running.returncode}: {_gist(out)}"
  return context.off


class Campaign:
  """A guest, its witness and its oracle."""

  def __init__(self, cluster: Cluster, seed: int, kind: Kind | None = None):
    self.cluster = cluster
    self._kind = kind or Kind()
    self._slowness = eyes.slowness(cluster.master)
    self._rng = random.Random(seed)
    self.instance: Instance
    self.oracle: Oracle
    self.client: Client

  def begin(self) -> None:
    """Makes the guest."""
    self.instance = guest.make(self.cluster, self._kind)
    disk = guest.disk_of(self.instance)
    self._left = Leftovers(self.instance, disk, own_interfaces(self.cluster))
    self._address = self.instance.address
    self._owner = self.instance.node
    self._limits = groups.limits(self.instance)
    self.oracle = Oracle(self.cluster, self.instance.name, disk)
    self.client = Client(self.cluster, self._address, PORT)
    self._wait(lambda: self.oracle.now.boots, "the guest's process")
    self._wait(lambda: self.client.account().received > 1, "an echo")

  def _wait(self, condition: Callable[[], object], what: str) -> None:
    wait_for(condition, what, 30.0 * self._slowness)

  def end(self) -> None:
    """Ends the witnesses; the guest stays."""
    self.client.end()
    self.oracle.end()

  def check_disk(self) -> str:
    """Stops the guest and looks at its file system; what is wrong with it."""
    node = self.instance.node
    self.instance.gnt("shutdown")
    out = self.instance.gnt("activate-disks")
    path = out.strip().rpartition(":")[2]
    done = node.try_run("bash", "-uc", _FSCK, "fsck", path)
    self.instance.gnt("deactivate-disks")
    self.instance.gnt("startup")
    self._await_guest()
    return "" if done.status == 0 else done.output

  def _await_guest(self) -> None:
    """Or its boot would be taken for what the next fault did to it."""
    if self._healthy() is None:
      raise AssertionError(f"the guest does not come back; {self.oracle.now}")
    heard = self.client.account().received
    self._wait(lambda: self.client.account().received > heard, "an echo")

  def run(self, fault: Fault) -> Verdict:
    """One migration with this fault."""
    nodes = guest.where(self.cluster)
    verdict = Verdict(str(fault), guest=str(self._kind), nodes=nodes)
    guest.make_alike(self.instance, self._kind)
    begun = time.monotonic()
    source = self._owner
    self.client.longest = 0.0
    mark, before = self.oracle.mark(), self.client.account()
    boots = self.oracle.now.boots.get(source.name, [])
    try:
      off = migrate(fault, self.instance, source, self._rng, verdict)
    except subprocess.TimeoutExpired:
      verdict.seconds = time.monotonic() - begun
      verdict.outcome = NEITHER
      verdict.defects.append("HANGS: gnt-instance migrate does not end")
      return verdict
    for name, since in off.items():
      self.oracle.was_off(name, since)
    owner = self._recover(verdict)
    verdict.seconds = time.monotonic() - begun
    verdict.outcome = _outcome(owner, source)
    self._judge(fault, verdict, mark, boots, owner)
    if owner:
      self._owner = owner
      self._hear(fault, verdict, before)
      limits = groups.limits(self.instance)
      if limits != self._limits:
        verdict.defects.append(f"{self._limits} became {limits}")
      left = self._left.find(owner)
      verdict.defects += [f"left: {item}" for item in left]
    return verdict

  def _recover(self, verdict: Verdict) -> Node | None:
    """The commands of an ordinary administrator, until one helps."""
    for words in _COMMANDS:
      for word in words:
        done = self.cluster.master.try_run(
          "gnt-instance",
          *word.split(),
          self.instance.name,
          timeout_s=300 * self._slowness,
        )
        if done.status != 0:
          verdict.notes.append(f"{word}: {_gist(done.output)}")
      verdict.command = ", ".join(words) or "none"
      owner = self._healthy()
      if owner:
        return owner
    verdict.defects.append(f"needs a person; {self.oracle.now}")
    return None

  def _healthy(self) -> Node | None:
    """Where it runs, if Ganeti agrees and it answers."""
    deadline = time.monotonic() + _SETTLE_S * self._slowness
    while True:
      node, status = self.instance.listed("pnode,status").split()
      owner = self.cluster.node(node)
      now = self.oracle.now
      where = [list(now.boots), now.mounts]
      settled = where == [[owner.name], [owner.name]]
      if status == "running" and settled and self._answers():
        return owner
      if time.monotonic() > deadline:
        return None
      time.sleep(0.3)

  def _answers(self) -> bool:
    script = f"exec 3<>/dev/tcp/{self._address}/{PORT}; echo x >&3; read r <&3"
    limit = str(_ANSWER_S * self._slowness)
    argv = ["timeout", limit, "bash", "-c", script + '; [ "$r" = x ]']
    done = subprocess.run(
      switch_argv(self.cluster.lab, argv),
      capture_output=True,
      env=command.environment(),
    )
    return done.returncode == 0

  def _judge(
    self,
    fault: Fault,
    verdict: Verdict,
    mark: float,
    boots: list[str],
    owner: Node | None,
  ) -> None:
    seen = self.oracle.since(mark)
    verdict.defects += [f"DOUBLED: {s}" for s in seen if s.is_doubled][:3]
    now = self.oracle.now.boots.get(owner.name, []) if owner else []
    if now == boots:
      return
    verdict.notes.append("booted anew" if now else "does not run")
    if not fault.may_reboot:
      verdict.defects.append("LOST: the guest's memory")

  def _hear(self, fault: Fault, verdict: Verdict, before: Account) -> None:
    limit_s = _HEAR_S * self._slowness
    goes_on = self.client.goes_on(self.client.account(), limit_s)
    after = self.client.account()
    verdict.notes.append(f"stall {self.client.longest:.1f} s")
    if after.wrong > before.wrong:
      verdict.defects.append(f"{after.wrong - before.wrong} wrong lines")
    if fault.may_reboot or "booted anew" in verdict.notes:
      return
    if after.connections > before.connections:
      verdict.defects.append(f"connection lost: {after.error}")
    if not goes_on:
      verdict.defects.append("the connection is silent")


def _prepare(fault: Fault, context: Context) -> None:
  if isinstance(fault.strike, Killing):
    fault.strike.prepare(context)


@contextlib.contextmanager
def _priority() -> Iterator[None]:
  """This thread alone does not wait for others: a phase is soon over."""
  os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
  try:
    yield
  finally:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 0)


def _outcome(owner: Node | None, source: Node) -> str:
  if owner is None:
    return NEITHER
  return "stayed" if owner == source else "moved"


def _gist(output: str) -> str:
  """The end of what a command printed, on one line."""
  words = re.sub(r"\w{3} \w{3} +\d+ [\d:]+ \d{4}", "", output).split()
  return " ".join(words)[-300:]
