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

"""GetAllInstancesInfo against lxc-ls --fancy, with many containers.

The containers are made by LXC alone: the driver knows its instances by their
control groups and asks nothing else.

"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ganeti.hypervisor import hv_lxc
from ganeti.hypervisor.hv_lxc import (
  cgroup,
  driver,
  hierarchies,
  limits,
  lxcconf,
)
from ganeti.hypervisor.hv_lxc.model import Limits

from .child import in_child, timed
from .figures import Figure
from .findings import Findings
from .peers import Peer, PeerError, trying, wall_ms

COUNTS = (1, 50, 200)
# A peer takes up to seconds to start one.
_PEER_COUNTS = (1, 50)
_AIM_COUNT = 200
_WORKERS = 4
_TIMEOUT_S = 120
_CONFIG = """lxc.uts.name = {name}
lxc.rootfs.path = dir:{root}
lxc.rootfs.options = ro
lxc.init.cmd = /busybox sleep 1000000
lxc.autodev = 0
lxc.tty.max = 0
lxc.net.0.type = empty
lxc.console.path = none
"""
_LIMITS = Limits(memory_mib=64, vcpus=1)


def _name(number: int) -> str:
  return f"many{number}.lab"


class Crowd:
  """So many tiny containers in the driver's place.

  They share one read-only root directory with nothing in it but busybox.

  """

  def __init__(self, scratch: Path) -> None:
    self._host = driver.local_host()
    self._root = scratch / "tiny"
    for directory in ("dev", "proc", "sys"):
      (self._root / directory).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", self._root / "busybox")
    self.running = 0

  def grow_to(self, count: int) -> None:
    """Starts as many as are missing."""
    wanted = range(self.running, count)
    self.running = count
    with ThreadPoolExecutor(_WORKERS) as pool:
      list(pool.map(self._start, wanted))

  def _tool(self, tool: str, number: int, *rest: str) -> None:
    argv = [tool, "-P", self.lxcpath, "-n", _name(number), *rest]
    result = subprocess.run(
      argv,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      timeout=_TIMEOUT_S,
    )
    if result.returncode:
      raise RuntimeError(f"{' '.join(argv)} failed")

  @property
  def lxcpath(self) -> str:
    """Where the driver's containers are."""
    return str(self._host.layout.lxcpath)

  def _start(self, number: int) -> None:
    home = Path(self.lxcpath) / _name(number)
    home.mkdir(parents=True)
    trees = hierarchies.find(self._host)
    text = _CONFIG.format(name=_name(number), root=self._root)
    text += lxcconf.render(
      [
        *hierarchies.config_lines(_name(number)),
        *limits.memory_lines(trees, _LIMITS),
        *limits.cpu_lines(trees, _LIMITS),
      ]
    )
    (home / "config").write_text(text, encoding="ascii")
    self._tool("lxc-start", number, "-d")

  def remove(self) -> None:
    """Kills all and takes away what they had."""
    with ThreadPoolExecutor(_WORKERS) as pool:
      list(pool.map(self._remove, range(self.running)))

  def _remove(self, number: int) -> None:
    trees = hierarchies.find(self._host)
    name = _name(number)
    cgroup.kill(self._host, trees, name)
    cgroup.remove(self._host, trees, name)
    shutil.rmtree(Path(self.lxcpath) / name, ignore_errors=True)


@contextlib.contextmanager
def _crowd(scratch: Path) -> Iterator[Crowd]:
  crowd = Crowd(scratch)
  try:
    yield crowd
  finally:
    crowd.remove()


def _ask_driver(count: int) -> dict[str, Any]:
  """Time of one list in milliseconds, as one request to the node daemon."""
  found: list[Any] = []
  hypervisor = hv_lxc.LXCHypervisor()
  answer = timed(lambda: found.extend(hypervisor.GetAllInstancesInfo()))
  if len(found) != count:
    raise RuntimeError(f"{len(found)} instances listed instead of {count}")
  return answer


def _ask_lxc(lxcpath: str, count: int) -> float:
  begun = time.perf_counter()
  result = subprocess.run(
    ["lxc-ls", "-P", lxcpath, "--fancy"],
    capture_output=True,
    text=True,
    timeout=_TIMEOUT_S,
  )
  spent = (time.perf_counter() - begun) * 1e3
  if result.stdout.count("RUNNING") != count:
    raise RuntimeError(f"lxc-ls does not list {count}: {result.stderr}")
  return spent


def _files_opened() -> dict[str, Any]:
  """How many files one list opens."""
  real, opened = os.open, []

  def counting(*args: Any, **kwargs: Any) -> int:
    opened.append(args[0])
    return real(*args, **kwargs)

  os.open = counting
  hv_lxc.LXCHypervisor().GetAllInstancesInfo()
  return {"opened": len(opened)}


def of_peers(
  peers: list[Peer],
  rounds: int,
  findings: Findings,
  progress: Callable[[str], None],
) -> dict[int, dict[str, tuple[float, ...]]]:
  """The time of their lists, for each number of containers."""
  found: dict[int, dict[str, tuple[float, ...]]] = {}

  def ask(peer: Peer, count: int) -> None:
    listed = peer.listed()
    if listed != count:
      raise PeerError(peer.crowd_command, f"{listed} listed, not {count}")

  def one(peer: Peer) -> None:
    for count in _PEER_COUNTS:
      progress(f"list of {count} by {peer.name}")
      peer.grow_to(count)
      times = [wall_ms(lambda n=count: ask(peer, n)) for _ in range(rounds)]
      found.setdefault(count, {})[peer.name] = tuple(times)

  what = f"list {' and '.join(map(str, _PEER_COUNTS))} containers"
  trying(peers, findings, what, one)
  return found


def measure(
  scratch: Path,
  rounds: int,
  progress: Callable[[str], None],
  peers: dict[int, dict[str, tuple[float, ...]]],
) -> list[Figure]:
  """The time of a list, for each number of containers.

  @param peers: the same of others, see L{of_peers}

  """
  figures = []
  with _crowd(scratch) as crowd:
    for count in COUNTS:
      progress(f"starting containers up to {count}")
      crowd.grow_to(count)
      ours, other = [], []
      for number in range(rounds):
        progress(f"list of {count}, {number + 1}/{rounds}")
        ours.append(in_child(lambda n=count: _ask_driver(n))["ms"])
        other.append(_ask_lxc(crowd.lxcpath, count))
      opened = in_child(_files_opened)["opened"]
      figures.append(
        Figure(
          name=f"GetAllInstancesInfo, {count} containers",
          unit="ms",
          ours=tuple(ours),
          other=tuple(other),
          against="lxc-ls --fancy",
          aim="ratio at most 0.02, linear" if count == _AIM_COUNT else "",
          limits=f"{opened} control files opened, read and closed",
          peers=peers.get(count, {}),
        )
      )
  return figures
