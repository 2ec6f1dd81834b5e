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

"""Figures of the instances on this node: a few small reads for each.

What cannot be read has no sample, so that one instance that ends while it
is looked at, or has a damaged record, spoils nothing.

"""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from .. import cgroup, cgtree, ended, record, report
from ..errors import LxcError
from ..hierarchies import Hierarchies, Hierarchy
from ..host import Host
from ..migration import journal, progress
from . import counters
from .exposition import Kind, Metric, Sample

_T = TypeVar("_T")
_Labels = dict[str, str]

_NS_PER_S = 1_000_000_000
_US_PER_S = 1_000_000
_STATES = ("running", "paused", "halted")
# (name, counter or gauge, what it is)
_METRICS = (
  ("instance_state", Kind.GAUGE, "1 for the state that an instance is in."),
  ("cpu_seconds_total", Kind.COUNTER, "CPU time used since the start."),
  ("memory_usage_bytes", Kind.GAUGE, "Memory in use, with the page cache."),
  ("memory_limit_bytes", Kind.GAUGE, "Limit of memory."),
  ("io_read_bytes_total", Kind.COUNTER, "Read from block devices."),
  ("io_written_bytes_total", Kind.COUNTER, "Written to block devices."),
  ("pids", Kind.GAUGE, "Processes and threads."),
  (
    "network_receive_bytes_total",
    Kind.COUNTER,
    "Received by a NIC, as the guest sees it.",
  ),
  (
    "network_transmit_bytes_total",
    Kind.COUNTER,
    "Sent by a NIC, as the guest sees it.",
  ),
  ("filesystem_size_bytes", Kind.GAUGE, "Size of a mounted disk."),
  ("filesystem_avail_bytes", Kind.GAUGE, "Room left on a mounted disk."),
  (
    "migration_progress_ratio",
    Kind.GAUGE,
    "How much a migration that is under way from this node has sent.",
  ),
)
_COUNTED = (
  (counters.MIGRATIONS, "Migrations from this node, by what came of them."),
  (counters.ERRORS, "Errors that the driver reported, by what they left."),
)
# (metric, what is summed up, units of that in one of the metric's, ...)
_SUMS = (
  (
    "migration_sent_bytes_total",
    counters.SENT_BYTES,
    1,
    "Sent by migrations from this node.",
  ),
  (
    "migration_seconds_total",
    counters.MICROSECONDS,
    _US_PER_S,
    "Time that migrations from this node took.",
  ),
  (
    "migration_frozen_seconds_total",
    counters.FROZEN_MICROSECONDS,
    _US_PER_S,
    "Time that guests stood still in migrations from this node.",
  ),
)


def collect(host: Host) -> list[Metric]:
  """All metrics of this node.

  @raise OSError: /proc or the control groups are not readable

  """
  trees = cgroup.find(host)
  found: dict[str, list[Sample]] = {name: [] for name, _, _ in _METRICS}
  running = cgroup.names(trees)
  for name in running:
    for metric, sample in _instance(host, trees, name):
      found[metric].append(sample)
  halted = [n for n in ended.names(host) if n not in running]
  for name in halted:
    if _attempt(partial(ended.by_itself, host, name)):
      found["instance_state"] += _state(name, "halted")
  found["migration_progress_ratio"] += _attempt(partial(_moving, host)) or []
  up = Metric(
    "up", Kind.GAUGE, "1 if the control groups could be read.", (Sample(1),)
  )
  return [
    up,
    *(
      Metric(name, kind, explanation, tuple(found[name]))
      for name, kind, explanation in _METRICS
    ),
    *_counted(host),
  ]


def down() -> list[Metric]:
  """What is said when nothing can be read."""
  text = "1 if the control groups could be read."
  return [Metric("up", Kind.GAUGE, text, (Sample(0),))]


def _counted(host: Host) -> Iterator[Metric]:
  known = counters.read(host)
  for name, explanation in _COUNTED:
    samples = tuple(
      Sample(count, {"outcome": outcome})
      for outcome, count in sorted(known.get(name, {}).items())
    )
    yield Metric(f"{name}_total", Kind.COUNTER, explanation, samples)
  sums = known.get(counters.SUMS, {})
  for metric, key, divisor, explanation in _SUMS:
    counted = (Sample(sums[key] / divisor),) if key in sums else ()
    yield Metric(metric, Kind.COUNTER, explanation, counted)


def _moving(host: Host) -> list[Sample]:
  """Of each instance that a process here sends to another node."""
  found = []
  for listed in journal.load_all(host):
    if _is_sent(host, listed):
      told = progress.load(host.layout.migration(listed.name))
      done = told.sent / max(told.known, told.sent, 1)
      found.append(Sample(done, {"instance": listed.name}))
  return found


def _is_sent(host: Host, listed: journal.Listed) -> bool:
  known = listed.journal
  if known is None or known.role is not journal.Role.SOURCE:
    return False
  return journal.worker(host, listed.name) is not None


def _attempt(get: Callable[[], _T]) -> _T | None:
  try:
    return get()
  except (OSError, ValueError, LxcError, cgtree.TooManyGroupsError):
    return None


def _state(name: str, now: str) -> list[Sample]:
  return [
    Sample(int(state == now), {"instance": name, "state": state})
    for state in _STATES
  ]


def _instance(
  host: Host, trees: Hierarchies, name: str
) -> Iterator[tuple[str, Sample]]:
  paused = _attempt(lambda: cgroup.is_frozen(trees, name))
  for sample in _state(name, "paused" if paused else "running"):
    yield "instance_state", sample
  labels = {"instance": name}
  sources: tuple[tuple[str, Callable[[], float | None]], ...] = (
    ("cpu_seconds_total", lambda: _cpu_seconds(trees, name)),
    ("memory_usage_bytes", lambda: _memory(trees, name)),
    ("memory_limit_bytes", lambda: _memory_limit(trees, name)),
    ("pids", lambda: _pids(trees, name)),
  )
  for metric, get in sources:
    value = _attempt(get)
    if value is not None:
      yield metric, Sample(value, labels)
  io = _attempt(lambda: _io(trees, name))
  if io is not None:
    yield "io_read_bytes_total", Sample(io[0], labels)
    yield "io_written_bytes_total", Sample(io[1], labels)
  noted = _attempt(lambda: record.load(host, host.layout.instance(name)))
  if noted is not None:
    yield from _nics(host, noted, labels)
    yield from _disks(noted, labels)


def _cpu_seconds(trees: Hierarchies, name: str) -> float | None:
  tree = trees.controller("cpuacct")
  if tree:
    used = cgtree.read_int(tree.payload(name) + "/cpuacct.usage")
    return None if used is None else used / _NS_PER_S
  if trees.unified is None:
    return None
  text = cgtree.read(trees.unified.payload(name) + "/cpu.stat") or ""
  used = cgtree.keyed(text, "usage_usec")
  return None if used is None else used / _US_PER_S


def _memory(trees: Hierarchies, name: str) -> int | None:
  tree = trees.controller("memory")
  if tree is None:
    return None
  file = "memory.usage_in_bytes" if tree.version == 1 else "memory.current"
  return cgtree.read_int(f"{tree.payload(name)}/{file}")


def _memory_limit(trees: Hierarchies, name: str) -> int | None:
  tree = trees.controller("memory")
  return report.memory_limit(tree, tree.payload(name)) if tree else None


def _pids(trees: Hierarchies, name: str) -> int | None:
  tree = trees.controller("pids")
  return cgtree.read_int(f"{tree.payload(name)}/pids.current") if tree else None


def _io(trees: Hierarchies, name: str) -> tuple[int, int] | None:
  """Bytes read and written; None where that is not counted."""
  tree = trees.controller("blkio") or trees.controller("io")
  if tree is None:
    return None
  return _io_v1(tree, name) if tree.version == 1 else _io_v2(tree, name)


def _io_v1(tree: Hierarchy, name: str) -> tuple[int, int] | None:
  """Lines as "8:0 Read 4096" (blkio-controller.rst).

  Without "_recursive", which older kernels lack, the groups below are not
  counted, and there a guest with systemd has all of its services.

  """
  file = f"{tree.payload(name)}/blkio.throttle.io_service_bytes"
  text = cgtree.read(f"{file}_recursive")
  if text is None:
    text = cgtree.read(file)
  if text is None:
    return None
  sums = {"Read": 0, "Write": 0}
  for line in text.splitlines():
    words = line.split()
    if len(words) == len(("device", "operation", "bytes")) and words[1] in sums:
      sums[words[1]] += int(words[2])
  return sums["Read"], sums["Write"]


def _io_v2(tree: Hierarchy, name: str) -> tuple[int, int] | None:
  """Lines as "8:0 rbytes=4096 wbytes=0 ..." (cgroup-v2.rst)."""
  text = cgtree.read(f"{tree.payload(name)}/io.stat")
  if text is None:
    return None
  pairs = [word.partition("=") for word in text.split()]
  return (
    sum(int(value) for key, _, value in pairs if key == "rbytes"),
    sum(int(value) for key, _, value in pairs if key == "wbytes"),
  )


def _nics(
  host: Host, noted: record.Record, labels: _Labels
) -> Iterator[tuple[str, Sample]]:
  """What the node's end sends is what the guest receives."""
  for nic in noted.nics:
    device = str(nic.get("host_name", ""))
    if not device or "/" in device:
      continue
    statistics = host.sys / "class/net" / device / "statistics"
    more = {**labels, "nic": str(nic.get("index", "")), "device": device}
    for direction, file in (("receive", "tx"), ("transmit", "rx")):
      value = _attempt(partial(cgtree.read_int, f"{statistics}/{file}_bytes"))
      if value is not None:
        yield f"network_{direction}_bytes_total", Sample(value, more)


def _disks(
  noted: record.Record, labels: _Labels
) -> Iterator[tuple[str, Sample]]:
  for disk in noted.disks:
    if not disk.mount_point:
      continue
    room = _attempt(partial(_room, Path(disk.mount_point)))
    if room is not None:
      more = {**labels, "disk": str(disk.index)}
      yield "filesystem_size_bytes", Sample(room[0], more)
      yield "filesystem_avail_bytes", Sample(room[1], more)


def _room(mount_point: Path) -> tuple[int, int] | None:
  """Size and room; None where nothing is mounted."""
  if not mount_point.is_mount():
    return None
  seen = os.statvfs(mount_point)
  return seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize
