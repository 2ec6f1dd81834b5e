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


"""One fault: when it strikes, what it does, how it is taken back."""

import contextlib
import enum
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.cluster import Cluster, Instance, Node
from cluster.migration_faults import eyes
from cluster.migration_faults.looking import Looking, Who

MIGRATIONS = "/var/lib/ganeti/lxc-migration"
_LOOK_S = 0.2
_PREPARE_S = 0.1


class Where(enum.StrEnum):
  """What is watched for the moment."""

  SOURCE = "source's journal"
  TARGET = "target's journal"
  PHASE = "phase"
  TIME = "seconds"
  BEFORE = "before"


@dataclass(frozen=True)
class Moment:
  """When a fault strikes.

  @ivar value: of the state or phase
  @ivar delay_s: after that

  """

  where: Where
  value: str = ""
  delay_s: float = 0.0

  def __str__(self) -> str:
    text = f"{self.where} {self.value}".strip()
    return f"{text} +{self.delay_s:.2f} s" if self.delay_s else text


@dataclass
class Context:
  """A migration into which a fault is put.

  @ivar is_over: whether the migration's command has ended
  @ivar undo: what is to be done when it has
  @ivar unplugged: nodes that do not answer until then, whoever asks
  @ivar off: machines whose power was cut, and when (time.time)

  """

  cluster: Cluster
  instance: Instance
  source: Node
  target: Node
  rng: random.Random
  is_over: Callable[[], bool]
  undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
  unplugged: set[Node] = field(default_factory=set)
  off: dict[str, float] = field(default_factory=dict)

  @property
  def far(self) -> Node:
    """One of both nodes, by chance.

    Of machines the one that does not run the command: it is reached by the
    network that is to be cut.

    """
    if eyes.is_machine(self.source):
      return self.cluster.other(self.cluster.master)
    return self.rng.choice((self.source, self.target))

  def side(self, side: "Side") -> Node:
    """One of the nodes."""
    if side is Side.MASTER:
      return self.cluster.master
    return self.source if side is Side.SOURCE else self.target

  def find(self, side: "Side", who: Who) -> list[int]:
    """Who takes part there."""
    return eyes.look(self.side(side)).find(who, self.instance.name)

  def state(self, node: Node) -> str:
    """What a node's journal says, for the table."""
    if eyes.is_off(node):
      return "off"
    if node in self.unplugged:
      return "unplugged"
    path = f"{home(self.instance)}/journal.json"
    return eyes.look(node).field(path, "state") or "-"


class Side(enum.StrEnum):
  """A node, by its part in a migration."""

  SOURCE = "source"
  TARGET = "target"
  MASTER = "master"


def home(instance: Instance) -> str:
  """Where a node keeps what it knows of the instance's migrations."""
  return f"{MIGRATIONS}/{instance.name}"


@dataclass(frozen=True)
class Fault:
  """One fault.

  @ivar strike: returns what it did, "" if there was nothing to hit
  @ivar arm: done before the migration begins
  @ivar may_reboot: the guest's memory may be lost: it is the fault itself
  @ivar may_end: the guest itself is to end

  """

  name: str
  moment: Moment
  strike: Callable[[Context], str]
  arm: Callable[[Context], None] | None = None
  may_reboot: bool = False
  may_end: bool = False

  def __str__(self) -> str:
    return f"{self.name} @ {self.moment}"


class Watch:
  """Waits for a moment; what was there before does not count."""

  def __init__(self, context: Context, moment: Moment):
    self._context = context
    self._moment = moment
    node = context.target if moment.where is Where.TARGET else context.source
    self._look: Looking = eyes.look(node)
    is_phase = moment.where is Where.PHASE
    name = "progress.json" if is_phase else "journal.json"
    self._file = f"{home(context.instance)}/{name}"
    self._key = "phase" if is_phase else "state"
    self._before = self._look.stamp(self._file)

  def wait(self, prepare: Callable[[], None]) -> bool:
    """Returns at the moment, or with False when the migration has ended.

    @param prepare: called now and then meanwhile

    """
    due = 0.0
    if self._moment.where in (Where.SOURCE, Where.TARGET, Where.PHASE):
      while not self._is_now():
        if self._context.is_over():
          return False
        if time.monotonic() > due:
          prepare()
          due = time.monotonic() + _PREPARE_S
    time.sleep(self._moment.delay_s * eyes.slowness(self._context.source))
    return True

  def _is_now(self) -> bool:
    return self._look.await_value(
      self._file, self._key, self._moment.value, self._before, _LOOK_S
    )
