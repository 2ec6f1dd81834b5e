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


"""Live migrations on a lab of two nodes, and what a client sees of them.

Runs on the machine that has the lab.  A client on the master counts what a
server in the guest sends back, a watcher on the source node notes each phase
when it begins. Nodes in namespaces have the machine's clock; that of a virtual
machine, which may be a slow one, is read beside it before and after.

"""

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .course import Client, client, holding, wait_for
from .figures import Figure
from .findings import Attempt, Findings
from .recorded import BARE_STEPS, OURS
from .watching import watcher

PORT = 7000
# In MiB, what the guest holds.
MEMORY = (0, 64, 256)
_NAME = "inst39.lab"
_NODES = ("node1", "node2")
# As in the tests: an emulated processor is slow, and a client at full speed
# takes one for itself.
_IN_VM = os.environ.get("GANETI_LXC_VM") == "1"
_PAUSE_S = 0.05 if _IN_VM else 0.0
_TOLD_EVERY_S = 0.1 if _IN_VM else 0.005
_HOLD_S = 600.0 if _IN_VM else 60.0
_SPARE_MIB = 256
_AFTER_S = 1.0
_PATIENCE_S = 40.0
# Of migration_bandwidth, in MiB/s.
_UNLIMITED_MIB = 1000
_DEFAULT_MIB = 32
_LAB = Path(__file__).resolve().parents[2] / "qa" / "lab"
_CLIENT = _LAB.parent / "cluster" / "counting_client.py"
_ADD = (
  "gnt-instance", "add", "-t", "sharedfile", "-s", "256M", "-o", "busybox",
  "-H", "lxc:num_ttys=0",
  "--no-name-check", "--no-ip-check", "-n",
)  # fmt: skip


class SilentError(RuntimeError):
  """The guest was moved, and the client got no answer any more."""


class Lab:
  """Commands on the nodes of a lab."""

  def __init__(self, name: str) -> None:
    self._name = name

  def argv(self, node: str, *argv: str) -> list[str]:
    """The command that runs another one on a node."""
    return [str(_LAB), "--name", self._name, "exec", node, "--", *argv]

  def run(self, node: str, *argv: str) -> str:
    """What a command prints.

    @raise RuntimeError: it failed

    """
    done = subprocess.run(
      self.argv(node, *argv),
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    if done.returncode:
      raise RuntimeError(f"{node}: {' '.join(argv)}: {done.stdout}")
    return done.stdout

  def inside(self, node: str, script: str) -> None:
    """Starts a script in the guest, with no stream of ours left open."""
    quiet = f"exec >/dev/null 2>&1 </dev/null; setsid sh -c '{script}' &"
    self.run(
      node, "lxc-attach", "-P", "/var/lib/ganeti/lxc", "-n", _NAME, "--",
      "/bin/sh", "-c", quiet,
    )  # fmt: skip

  def primary(self) -> str:
    """The node that the instance is on, by its short name."""
    argv = ("gnt-instance", "list", "--no-headers", "-o", "pnode", _NAME)
    return self.run("node1", *argv).strip().split(".")[0]


def measure(
  lab_name: str,
  moves: int,
  findings: Findings,
  progress: Callable[[str], None],
  *,
  memory: Sequence[int] = MEMORY,
  bare: Mapping[str, Sequence[float]] | None = None,
) -> None:
  """Moves a guest there and back, for each amount of memory.

  @param bare: samples of the bare steps, by the figure's name

  """
  lab, courses = Lab(lab_name), []
  with findings.part("migration"), _unlimited(lab):
    for mib in memory:
      count = moves if mib == memory[0] else -(-moves // 2)
      with _guest(lab, mib) as address:
        for number in range(count):
          progress(f"migration {number + 1}/{count}, {mib} MiB held")
          try:
            courses.append({"held_mib": mib, **_move(lab, address)})
          except SilentError as err:
            progress(str(err))
            findings.attempts.append(_silence(mib, number, count, err))
  for mib in memory:
    these = [course for course in courses if course["held_mib"] == mib]
    steps = (bare or {}).get(BARE_STEPS.format(mib), ())
    findings.figures += figures_of(mib, these, steps)
  findings.courses["migration"] = courses


@contextlib.contextmanager
def _unlimited(lab: Lab) -> Iterator[None]:
  """No limit to the bandwidth, which is a parameter of the cluster."""
  modify = ("gnt-cluster", "modify", "-H")
  lab.run("node1", *modify, f"lxc:migration_bandwidth={_UNLIMITED_MIB}")
  try:
    yield
  finally:
    lab.run("node1", *modify, f"lxc:migration_bandwidth={_DEFAULT_MIB}")


@contextlib.contextmanager
def _guest(lab: Lab, mib: int) -> Iterator[str]:
  """An instance that echoes and holds memory; yields its address."""
  address = lab.run("node1", "getent", "hosts", _NAME).split()[0]
  remove = ("gnt-instance", "remove", "-f", "--shutdown-timeout=0", _NAME)
  size = max(2 * _SPARE_MIB, mib + _SPARE_MIB)
  lab.run(
    "node1", *_ADD, "node1.lab", "--net", f"0:ip={address}",
    "-B", f"memory={size}M,vcpus=1", _NAME,
  )  # fmt: skip
  try:
    # The one before with this address had another MAC.
    for node in _NODES:
      lab.run(node, "ip", "neigh", "flush", "to", address)
    if mib:
      lab.inside("node1", holding(mib))
      wait_for(lambda: _used(lab) > mib << 20, "the guest's memory", _HOLD_S)
    lab.inside("node1", f"exec nc -ll -p {PORT} -e /bin/cat")
    yield address
  finally:
    lab.run("node1", *remove)


def _used(lab: Lab) -> int:
  below = f"ganeti-lxc/{_NAME}/payload/memory"
  script = (
    f"cd /sys/fs/cgroup; cat {below}.current 2>/dev/null"
    f" || cat memory/{below}.usage_in_bytes"
  )
  return int(lab.run("node1", "sh", "-c", script))


def _move(lab: Lab, address: str) -> dict[str, Any]:
  """One move; what was seen of it."""
  source = lab.primary()
  text = _CLIENT.read_text(encoding="utf-8")
  words = (address, str(PORT), str(_PAUSE_S))
  argv = lab.argv("node1", "python3", "-uc", text, *words)
  with (
    watcher(lab.argv(source), _NAME) as seen,
    client(argv, _TOLD_EVERY_S) as one,
  ):
    time.sleep(_AFTER_S / 2)
    begun = time.monotonic()
    lab.run("node1", "gnt-instance", "migrate", "-f", _NAME)
    ended = time.monotonic()
    _wait_until_it_answers(one)
    time.sleep(_AFTER_S)
    told = one.end()
  if lab.primary() == source:
    raise RuntimeError(f"{_NAME} was not migrated")
  return course_of(seen, one.got, told, begun, ended)


def _wait_until_it_answers(one: Client) -> None:
  at = len(one.got)
  try:
    wait_for(lambda: len(one.got) > at, "an answer after the move", _PATIENCE_S)
  except RuntimeError as err:
    told = one.end()
    raise SilentError(
      f"{told.get('error') or err}; sent {told.get('sent')},"
      f" received {told.get('received')}"
    ) from err


def _silence(mib: int, number: int, count: int, err: SilentError) -> Attempt:
  """A migration whose client was not heard of again is told, not left out."""
  return Attempt(
    peer=OURS,
    what=f"connection after migration {number + 1}/{count}, {mib} MiB held",
    able=False,
    command=f"gnt-instance migrate -f {_NAME}",
    last_line=f"the client: {err}",
  )


def course_of(
  seen: Sequence[Sequence[Any]],
  got: Sequence[tuple[float, int]],
  told: dict[str, Any],
  begun: float,
  ended: float,
) -> dict[str, Any]:
  """One migration, with times in seconds since the command was given.

  @param seen: what the watcher saw: time, kind, text
  @param got: what the client had got back when
  @param told: the client's own figures

  """
  phases, sent, frozen, stood = [], 0, None, False
  for when, kind, text in seen:
    if kind == "progress" and text:
      now = json.loads(text)
      sent = max(sent, now["sent"]) if when > begun else sent
      name = now["phase"]
      if when > begun and (not phases or phases[-1][0] != name):
        phases.append((name, round(when - begun, 4)))
    elif kind != "progress":
      stands = is_frozen(kind, text)
      # It stands still for a moment in each round, and then for the last time.
      if when > begun and stands and not stood:
        frozen = round(when - begun, 4)
      stood = stands
  done = [when for name, when in phases if name == "done"]
  return {
    "phases": phases,
    "rounds": sum(bool(re.match("pre-?dump|round|dump", p)) for p, _ in phases),
    "sent": sent,
    "frozen_at": frozen,
    "frozen_ms": (done[0] - frozen) * 1e3 if done and frozen else None,
    "stall_ms": told["stall"] * 1e3,
    "lost": told["lost"],
    "repeated": told["repeated"],
    "command_ms": (ended - begun) * 1e3,
    "client": [(round(when - begun, 4), count) for when, count in got],
  }


def is_frozen(kind: str, text: str) -> bool:
  """Whether the guest's group has been told to stand still."""
  if kind == "v1":
    return text.strip() in ("FREEZING", "FROZEN")
  return kind == "v2" and "frozen 1" in text


def figures_of(
  mib: int, courses: Sequence[dict[str, Any]], bare: Sequence[float]
) -> list[Figure]:
  """What is told of the migrations of a guest that holds so much."""
  phases = median_phases(courses)
  told = ", ".join(f"{name} {ms:.0f}" for name, ms in phases.items())
  held = f"{mib} MiB held"

  def of(key: str, factor: float = 1) -> tuple[float, ...]:
    found = [course[key] for course in courses]
    return tuple(value * factor for value in found if value is not None)

  lost = sum(course["lost"] + course["repeated"] for course in courses)
  return [
    Figure(
      name=f"migration: stall of a client, {held}",
      unit="ms",
      ours=of("stall_ms"),
      other=tuple(bare),
      against="the bare steps" if bare else "",
      aim="ratio at most 1.2" if bare else "",
      limits=f"phases in ms: {told}; lines lost or repeated: {lost}",
    ),
    Figure(
      name=f"migration: guest frozen, {held}",
      unit="ms",
      ours=of("frozen_ms"),
      limits="from the freeze on the source until it has heard that the guest"
      " runs on the target",
    ),
    Figure(
      name=f"migration: sent, {held}",
      unit="MiB",
      ours=of("sent", 1 / (1 << 20)),
    ),
    Figure(
      name=f"gnt-instance migrate as a whole, {held}",
      unit="s",
      ours=of("command_ms", 1e-3),
    ),
  ]


def median_phases(courses: Sequence[dict[str, Any]]) -> dict[str, float]:
  """How long each phase took, in milliseconds, in their order."""
  spans: dict[str, list[float]] = {}
  for course in courses:
    phases = course["phases"]
    for (name, at), (_, until) in itertools.pairwise(phases):
      spans.setdefault(name, []).append((until - at) * 1e3)
  return {
    name: sorted(values)[len(values) // 2] for name, values in spans.items()
  }


def say(text: str) -> None:
  """Progress, for whoever waits."""
  print(text, file=sys.stderr, flush=True)
