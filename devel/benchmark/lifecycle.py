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

"""Start and stop: the driver's methods against the bare commands."""

import contextlib
import dataclasses
import random
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ganeti.hypervisor import hv_lxc
from ganeti.hypervisor.hv_lxc import (
  cgroup,
  driver,
  hierarchies,
  lxcconf,
  lxcfiles,
  partitions,
  record,
  stopping,
)

from . import instance
from .child import Spans, in_child, timed
from .figures import Figure, shares, told
from .peers import Peer

_BARE = "bare.lab"
_DROPPED = re.compile(r"lxc\.(hook\.|net\.0\.(script\.|veth\.pair|link))")
# No program but bash tells the time without starting another one.
_STOPWATCH = """#!/bin/bash
log=$1 name=$2
shift 2
begun=$EPOCHREALTIME
"$@"
status=$?
echo "$name $begun $EPOCHREALTIME" >>"$log"
exit $status
"""
# What the bare commands have no counterpart of.
_APART = ("ifup", "ifdown", "records")
_START = """set -e
loop=$(losetup -f --show {disk})
echo $loop >{home}/loop
partx -a $loop
blkid -p -o export ${{loop}}p1 >{home}/blkid
mount -t ext4 -o rw,nodev,errors=remount-ro ${{loop}}p1 {home}/rootfs
lxc-start -P {lxcpath} -n {name} -d
lxc-wait -P {lxcpath} -n {name} -s RUNNING -t 30
"""
_STOP = """
lxc-stop -P {lxcpath} -n {name} -k
umount {home}/rootfs
loop=$(cat {home}/loop)
partx -d $loop
losetup -d $loop
rm {home}/loop
"""


# What child.timed() tells.
_Times = dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class _Samples:
  start: list[_Times]
  stop: list[_Times]

  def add(self, start: _Times, stop: _Times) -> None:
    """One round."""
    self.start.append(start)
    self.stop.append(stop)


@dataclasses.dataclass(frozen=True, slots=True)
class _Parts:
  start: list[dict[str, float]]
  stop: list[dict[str, float]]


class Driver:
  """The driver's own start and stop of the instance."""

  def __init__(self, scratch: Path) -> None:
    self.instance, self._devices = instance.as_noded_gets_it()
    self.disk = self._devices[0][1]
    self._log = scratch / "hooks"
    self._stopwatch = scratch / "stopwatch"
    self._stopwatch.write_text(_STOPWATCH, encoding="ascii")
    self._stopwatch.chmod(0o755)

  def _start(self, hypervisor: Any) -> None:
    paused = False
    hypervisor.StartInstance(self.instance, self._devices, paused)

  def _stop(self, hypervisor: Any) -> None:
    """As backend.InstanceShutdown with a timeout of 0."""
    hypervisor.StopInstance(self.instance, force=True)
    hypervisor.CleanupInstance(self.instance.name)

  def start(self) -> _Times:
    """Starts; what that took."""
    return self._timed(self._start)

  def stop(self) -> _Times:
    """Kills and cleans up; what that took."""
    return self._timed(self._stop)

  def _timed(self, what: Callable[[Any], None]) -> _Times:
    return in_child(lambda: timed(lambda: what(hv_lxc.LXCHypervisor())))

  def start_parts(self) -> dict[str, float]:
    """Starts; how long each part took, in milliseconds."""
    return self._parts(self._start)

  def stop_parts(self) -> dict[str, float]:
    """Kills and cleans up; how long each part took."""
    return self._parts(self._stop)

  def _parts(self, what: Callable[[Any], None]) -> dict[str, float]:
    self._log.write_text("", encoding="ascii")
    parts: dict[str, float] = in_child(lambda: self._measure(what))
    for line in self._log.read_text(encoding="ascii").splitlines():
      name, begun, ended = line.split()
      spent = (float(ended) - float(begun)) * 1e3
      parts[name] = parts.get(name, 0.0) + spent
      # Hooks run while lxc-start or lxc-stop is waited for.
      whole = "lxc-start" if "lxc-start" in parts else "lxc-stop"
      parts[whole] -= spent
    return parts

  def _measure(self, what: Callable[[Any], None]) -> dict[str, float]:
    spans = Spans()
    self._instrument(spans)
    local = driver.local_host()

    def run(argv: Sequence[str], **options: Any) -> Any:
      with spans.span(argv[0]):
        return local.run(argv, **options)

    host = dataclasses.replace(local, run=run)
    with spans.span("our Python"):
      what(hv_lxc.LXCHypervisor(host))
    return spans.times

  def _instrument(self, spans: Spans) -> None:
    spans.wrap(record, "save", "records")
    spans.wrap(partitions, "_kpartx", "import of kpartx")
    spans.wrap(partitions.Kpartx, "attach", "attach disk")
    spans.wrap(partitions.Kpartx, "detach", "detach disk")
    spans.wrap(partitions.Kpartx, "filesystem", "probe file system")
    spans.wrap(partitions.Kpartx, "used_by", "disk in use?")
    spans.wrap(lxcfiles, "write", "write files")
    spans.wrap(cgroup, "remove", "remove cgroups")
    spans.wrap(stopping, "wait_for_end", "wait for end")
    spans.wrap(hierarchies, "find", "find cgroups")
    render = lxcconf.render

    def with_stopwatch(lines: Any) -> str:
      return render([(key, self._watched(key, text)) for key, text in lines])

    lxcconf.render = with_stopwatch

  def _watched(self, key: str, value: str) -> str:
    name = {
      "lxc.hook.start-host": "start-host",
      "lxc.hook.post-stop": "post-stop",
      "lxc.net.0.script.up": "ifup",
      "lxc.net.0.script.down": "ifdown",
    }.get(key)
    return f"{self._stopwatch} {self._log} {name} {value}" if name else value


class Bare:
  """The same work on the same disk by a shell script of commands.

  @ivar home: directory of the container

  """

  def __init__(self, scratch: Path, ours: Driver) -> None:
    self._lxcpath = scratch / "lxc"
    self.home = self._lxcpath / _BARE
    (self.home / "rootfs").mkdir(parents=True)
    self._words = {
      "disk": ours.disk,
      "home": self.home,
      "lxcpath": self._lxcpath,
      "name": _BARE,
    }
    self._take_config(driver.local_host().layout.instance(ours.instance.name))

  def _take_config(self, paths: Any) -> None:
    """What the driver wrote for LXC, but for its hooks."""
    lines = [
      line
      for line in paths.config.read_text(encoding="utf-8").splitlines()
      if not _DROPPED.match(line)
    ]
    lines += ["lxc.net.0.link = br0", "lxc.net.0.veth.pair = vethbare"]
    text = "\n".join(lines) + "\n"
    text = text.replace(str(paths.home), str(self.home))
    text = text.replace(str(paths.console_log), str(self.home / "console"))
    text = text.replace(f"/{instance.NAME}/", f"/{_BARE}/")
    text = text.replace(
      f"lxc.uts.name = {instance.NAME}", f"lxc.uts.name = {_BARE}"
    )
    (self.home / "config").write_text(text, encoding="utf-8")
    for path in (paths.seccomp, paths.fstab):
      shutil.copy(path, self.home / path.name)

  def _run(self, script: str) -> _Times:
    return timed(lambda: self._wait_for(script))

  def _wait_for(self, script: str) -> None:
    # Without a timeout: waiting with one is polling, by up to 50 ms.
    status = subprocess.Popen(
      ["sh", "-c", script.format_map(self._words)],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
    ).wait()
    if status:
      raise RuntimeError(f"the bare commands failed: {script}")

  def start(self) -> _Times:
    """Starts; what that took."""
    return self._run(_START)

  def stop(self) -> _Times:
    """Kills and cleans up; what that took."""
    return self._run(_STOP)

  def sweep(self) -> None:
    """Takes away whatever is left, also of an interrupted run."""
    if (self.home / "loop").exists():
      script = _STOP.format_map(self._words)
      subprocess.run(["sh", "-c", script], capture_output=True)
    host = driver.local_host()
    cgroup.remove(host, hierarchies.find(host), _BARE)


@contextlib.contextmanager
def _both(scratch: Path) -> Iterator[tuple[Driver, Bare]]:
  ours = Driver(scratch)
  bare = None
  try:
    ours.start()
    bare = Bare(scratch, ours)
    ours.stop()
    yield ours, bare
  finally:
    with contextlib.suppress(RuntimeError):
      ours.stop()
    if bare:
      bare.sweep()


def measure(
  scratch: Path,
  rounds: int,
  peers: Sequence[Peer],
  progress: Callable[[str], None],
) -> list[Figure]:
  """Start and stop, each side by side in turn.

  @param peers: those that can do it

  """
  ours, bare = _Samples([], []), _Samples([], [])
  parts = _Parts([], [])
  others = {peer.name: _Samples([], []) for peer in peers}
  with _both(scratch) as (driver_side, bare_side):

    def with_stopwatches() -> None:
      parts.start.append(driver_side.start_parts())
      parts.stop.append(driver_side.stop_parts())

    sides = [
      lambda: ours.add(driver_side.start(), driver_side.stop()),
      lambda: bare.add(bare_side.start(), bare_side.stop()),
      with_stopwatches,
      *(lambda p=peer: _peer(p, others[p.name]) for peer in peers),
    ]
    for number in range(rounds):
      progress(f"start and stop {number + 1}/{rounds}")
      # In any order: what one stop leaves to the kernel to do later is at
      # the expense of the next start.
      for side in random.sample(sides, len(sides)):
        side()
  found = _figures(ours, bare, parts)
  return [_with_peers(figure, others) for figure in found]


def _peer(peer: Peer, samples: _Samples) -> None:
  samples.add(timed(peer.start), timed(peer.stop))


def _with_peers(figure: Figure, others: dict[str, _Samples]) -> Figure:
  """The figure with the same of the peers; those of parts have none."""
  if figure.derived or figure.name.endswith("CPU time"):
    return figure
  is_start = figure.name.startswith("Start")
  found = {
    name: tuple(t["ms"] for t in (both.start if is_start else both.stop))
    for name, both in others.items()
  }
  return dataclasses.replace(figure, peers=found)


def _figures(ours: _Samples, bare: _Samples, parts: _Parts) -> list[Figure]:
  programs = "losetup, partx, blkid, mount, lxc-start, lxc-wait"
  start = _pair("StartInstance", ours.start, bare.start, parts.start, programs)
  programs = "lxc-stop -k, umount, partx, losetup"
  stop = _pair(
    "StopInstance(force), CleanupInstance",
    ours.stop, bare.stop, parts.stop, programs,
  )  # fmt: skip
  return [*start, *stop]


def _pair(
  name: str,
  ours: list[_Times],
  bare: list[_Times],
  parts: list[dict[str, float]],
  programs: str,
) -> list[Figure]:
  """As it is, and without what the bare commands do not do at all."""
  medians = shares(parts)
  apart = {key: medians.get(key, 0.0) for key in _APART}
  walls = tuple(times["ms"] for times in ours)
  totals = (sum(one.values()) for one in parts)
  own = statistics.median(totals) - statistics.median(walls)
  whole = Figure(
    name=name,
    unit="ms",
    ours=walls,
    other=tuple(times["ms"] for times in bare),
    against=programs,
    limits=f"parts in ms, with {own:.1f} more for their stopwatches:"
    f" {told(medians)}",
  )
  less = dataclasses.replace(
    whole,
    name=f"{name} without network scripts and records",
    ours=tuple(wall - sum(apart.values()) for wall in walls),
    against="the same",
    aim="at most 1.2 times",
    limits=f"the medians taken off, in ms: {told(apart)}",
    derived=True,
  )
  cpu = dataclasses.replace(
    less,
    name=f"{name}, CPU time",
    ours=tuple(times["cpu_ms"] for times in ours),
    other=tuple(times["cpu_ms"] for times in bare),
    aim="",
    derived=False,
    limits="does not tell how busy the machine is otherwise; without the"
    " container's own processes, LXC's monitor and its hooks; with records",
  )
  return [whole, less, cpu]
