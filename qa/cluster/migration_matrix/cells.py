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


"""One kind of guest, moved there and back while a client counts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import suite
from cluster import echoing
from cluster.cluster import Cluster, Instance, wait_for
from cluster.nodes import CommandError
from cluster.stream import Report, Stream

MOVES = "moves"
REFUSED = "refused beforehand"
FAILS = "fails"
_REFUSAL = re.compile(
  r"(?:cannot be migrated\b[^:]*|This node cannot move running guests): (.*?)"
  r"(?: \(ganeti-lxc-doctor|$)"
)
_LONGEST = 600


@dataclass(frozen=True)
class Guest:
  """A kind of guest as it is installed, with nothing taken from it.

  @ivar name: short, for the command
  @ivar label: for people
  @ivar os: name of an OS definition, maybe with a variant
  @ivar serve: starts what sends back

  """

  name: str
  label: str
  os: str
  serve: Callable[[Instance], None]

  @property
  def has_systemd(self) -> bool:
    """Whether its first process is systemd."""
    return self.serve is echoing.by_systemd

  def boot(self, cluster: Cluster) -> Instance:
    """Adds such a guest; when this returns, it has finished booting."""
    memory = "memory=128M" if self.os == "busybox" else "memory=256M"
    instance = cluster.add(os=self.os, memory=memory, hv=("num_ttys=0",))
    if self.has_systemd:
      assert self.state(instance) == "running"
    elif self.os != "busybox":
      wait_for(lambda: "sshd" in instance.inside("ps ax"), "sshd", timeout_s=60)
    self.serve(instance)
    return instance

  def state(self, instance: Instance) -> str:
    """What its first process says of itself, if that can be asked."""
    if not self.has_systemd:
      return ""
    done = instance.try_inside("systemctl is-system-running --wait")
    return done.output.strip()


GUESTS = (
  Guest("busybox", "busybox", "busybox", echoing.by_busybox),
  Guest("sysvinit", "Debian 12, sysvinit", "debian+sysvinit", echoing.by_perl),
  Guest("openrc", "Debian 13, OpenRC", "debian+openrc", echoing.by_perl),
  Guest(
    "bookworm",
    "Debian 12, systemd 252",
    "debian+bookworm",
    echoing.by_systemd,
  ),
  Guest(
    "trixie", "Debian 13, systemd 257", "debian+trixie", echoing.by_systemd
  ),
)


@dataclass(frozen=True)
class Cell:
  """What came of it.

  @ivar guest: its label
  @ivar verdict: one of MOVES, REFUSED, FAILS
  @ivar remark: the client's count, the reason, or what went wrong
  @ivar about: versions of what took part

  """

  guest: str
  verdict: str
  remark: str
  about: Mapping[str, str] = field(default_factory=dict)


def try_guest(cluster: Cluster, guest: Guest) -> Cell:
  """Moves a guest of this kind there and back; it stays afterwards.

  A guest that does not even boot is no answer, and raises.

  """
  instance = guest.boot(cluster)
  with Stream(
    cluster.master,
    instance.address,
    echoing.PORT,
    pause_s=0.2 if suite.IN_VM else 0,
  ) as stream:
    stream.expect_progress()
    try:
      reason = _there_and_back(instance, guest, stream)
      seen = stream.end()
      _nothing_is_lost(seen)
    except AssertionError as err:
      return Cell(guest.label, FAILS, _line(str(err)))
  if reason:
    return Cell(guest.label, REFUSED, reason)
  assert seen is not None
  remark = (
    f"{seen.received} numbers there and back, none lost or repeated; longest"
    f" silence {seen.stall:.1f} s"
  )
  return Cell(guest.label, MOVES, remark)


def _there_and_back(instance: Instance, guest: Guest, stream: Stream) -> str:
  """Returns why it was refused, "" if it moved twice.

  @raise AssertionError: neither can be said

  """
  state, start = guest.state(instance), instance.node
  for expected in (instance.cluster.other(start), start):
    reason = _move(instance)
    if reason and expected == start:
      raise CommandError(f"moved there, and refused to come back: {reason}")
    stream.expect_progress()
    if reason:
      return reason
    where, status = instance.node, instance.status
    assert (where, status) == (expected, "running"), f"{status} on {where.name}"
    now = guest.state(instance)
    assert now == state, f"systemd says {now}"
  return ""


def _move(instance: Instance) -> str:
  """One migration; why it was refused before anything was changed, or "".

  @raise AssertionError: it failed

  """
  node, init = instance.node, instance.init_pid()
  done = instance.cluster.master.try_run(
    "gnt-instance", "migrate", "-f", instance.name
  )
  if done.status == 0:
    return ""
  reason = reason_of(done.output)
  same = (node, init) == (instance.node, instance.init_pid())
  if reason and same and instance.status == "running":
    return reason
  raise CommandError(f"gnt-instance migrate: {done.output}")


def reason_of(output: str) -> str:
  """Why gnt-instance migrate refused, "" if it failed otherwise."""
  found = _REFUSAL.search(" ".join(output.split()))
  if found is None:
    return ""
  first, *more = re.split("; (?=process )", found[1])
  return _line(f"{first}; {len(more)} more" if more else first)


def _nothing_is_lost(seen: Report | None) -> None:
  assert seen is not None, "the client has ended"
  assert not seen.error, f"connection lost: {seen.error}"
  assert seen.lost == seen.repeated == 0, f"{seen}"


def _line(text: str) -> str:
  return " ".join(text.split())[-_LONGEST:]
