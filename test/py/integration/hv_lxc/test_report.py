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

"""What real groups of real processes are reported to use."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, cgtree, cpus, limits, report
from ganeti.hypervisor.hv_lxc.host import Host, wait_until
from ganeti.hypervisor.hv_lxc.model import Limits, RunState
from integration.hv_lxc.guest_groups import SLEEP, WAIT_S, Guest, guest

MIB = 1 << 20
BUSY = "while True: pass\n"
HOLDER = 'x = bytearray(b"x") * (200 << 20)\nprint("ready")\n' + SLEEP
MANDATORY = {
  "memory_total", "memory_free", "memory_dom0", "cpu_total", "cpu_nodes",
  "cpu_sockets", "cpu_dom0",
}  # fmt: skip


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Guest]:
  with guest(tmp_path) as made:
    yield made


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Guest]:
  """Where a process of the other can go to."""
  with guest(tmp_path) as made:
    yield made


def limit(one: Guest, wanted: Limits) -> None:
  """Writes what LXC would write."""
  lines = [
    *limits.memory_lines(one.trees, wanted),
    *limits.cpu_lines(one.trees, wanted),
  ]
  for key, value in lines:
    file = key.removeprefix("lxc.cgroup2.").removeprefix("lxc.cgroup.")
    group = one.payload(file.partition(".")[0])
    cgtree.write(f"{group}/{file}", value)


def cpu_us(one: Guest) -> int:
  tree = one.trees.controller("cpuacct")
  if tree:
    return int(one.read(tree.payload(one.name), "cpuacct.usage")) // 1000
  assert one.trees.unified is not None
  text = one.read(one.trees.unified.payload(one.name), "cpu.stat")
  return cgtree.keyed(text, "usage_usec") or 0


def int_of(info: dict[str, int | list[int]], key: str) -> int:
  value = info[key]
  assert isinstance(value, int)
  return value


def test_stopped_instance(one: Guest) -> None:
  assert report.usage(one.host, one.name) is None
  assert one.name not in report.running_names(one.host)


def test_limits_are_what_is_reported(one: Guest) -> None:
  limit(one, Limits(memory_mib=256, vcpus=3, cpuset="0"))
  one.run(SLEEP)
  usage = report.usage(one.host, one.name)
  assert usage is not None
  assert usage.state is RunState.RUNNING
  assert (usage.memory_mib, usage.vcpus, usage.cpu_seconds) == (256, 3, 0)
  assert usage.name in [u.name for u in report.all_usage(one.host)]


def test_no_limits_mean_the_whole_node(one: Guest) -> None:
  one.run(SLEEP)
  usage = report.usage(one.host, one.name)
  info = report.node_info(one.host)
  assert usage is not None
  assert usage.memory_mib == info["memory_total"]
  assert usage.vcpus == len(os.sched_getaffinity(0))


def test_only_lxc_itself_is_there(one: Guest) -> None:
  """As while the guest reboots: the payload groups are gone."""
  one.run(SLEEP, "monitor")
  for tree in one.trees.all:
    Path(tree.payload(one.name)).rmdir()
  usage = report.usage(one.host, one.name)
  assert usage is not None
  assert usage.state is RunState.RUNNING


def test_paused_instance_runs(one: Guest) -> None:
  one.run(SLEEP)
  cgroup.freeze(one.trees, one.name)
  assert report.usage(one.host, one.name) is not None
  assert one.name in report.running_names(one.host)


@pytest.mark.parametrize("mask", ["", "0"])
def test_vcpus_are_enforced_with_and_without_a_mask(
  one: Guest, mask: str
) -> None:
  """Three busy loops get no more time than one CPU has."""
  cpuset = limits.cpuset(one.host, mask)
  limit(one, Limits(memory_mib=256, vcpus=1, cpuset=cpuset))
  for _ in range(3):
    one.run(BUSY)
  periods = 20
  before, began = cpu_us(one), os.times().elapsed
  target = periods * limits.PERIOD_US
  assert wait_until(lambda: cpu_us(one) - before > target, WAIT_S)
  elapsed_us = (os.times().elapsed - began) * 1_000_000
  # A quota may be used up at the end of one period and at the beginning
  # of the next; clock ticks are 10 ms.
  assert cpu_us(one) - before <= elapsed_us + 2 * limits.PERIOD_US


def test_cpu_seconds(one: Guest) -> None:
  one.run(BUSY)
  assert wait_until(lambda: cpu_us(one) > 1_100_000, WAIT_S)
  usage = report.usage(one.host, one.name)
  assert usage is not None
  assert 1 <= usage.cpu_seconds <= 10


def test_node_info_has_just_the_keys_that_ganeti_reads(one: Guest) -> None:
  info = report.node_info(one.host)
  assert set(info) - {"hv_version"} == MANDATORY
  assert all(type(info[key]) is int for key in MANDATORY)
  assert int_of(info, "cpu_total") == len(cpus.online(one.host))
  version = info["hv_version"]
  assert isinstance(version, list)
  assert version[0] >= 5
  assert all(type(number) is int for number in version)


def still_host(one: Guest, top: Path) -> Host:
  """This node, on which nobody else takes or gives back memory."""
  proc = top / "proc"
  proc.mkdir()
  for name in ("self", "1"):
    (proc / name).symlink_to(f"/proc/{name}")
  (proc / "meminfo").write_text(Path("/proc/meminfo").read_text())
  return replace(one.host, proc=proc)


def take_memory(host: Host, mib: int) -> None:
  """Lowers what the node says is available."""
  path = host.proc / "meminfo"
  text = path.read_text()
  line = next(x for x in text.splitlines() if x.startswith("MemAvailable:"))
  less = int(line.split()[1]) - mib * 1024
  path.write_text(text.replace(line, f"MemAvailable: {less} kB"))


def test_memory_of_guests_is_not_the_nodes_own(
  one: Guest, tmp_path: Path
) -> None:
  host = still_host(one, tmp_path)
  before = report.node_info(host)
  limit(one, Limits(memory_mib=1024))
  one.run(HOLDER)
  assert one.said() == "ready"
  take_memory(host, 200)
  after = report.node_info(host)
  own = int_of(after, "memory_dom0") - int_of(before, "memory_dom0")
  free = int_of(before, "memory_free") - int_of(after, "memory_free")
  # The interpreter's own pages, and what the test itself takes.
  assert abs(own) < 32
  # The whole limit is spoken for, though 200 MiB are in use.
  assert abs(free - 1024) < 32


def test_page_cache_of_guests_is_free_memory(
  one: Guest, tmp_path: Path
) -> None:
  tree = one.trees.controller("memory")
  assert tree is not None
  write = f'open({str(tmp_path / "f")!r}, "wb").write(b"x" * (100 << 20))\n'
  one.run(write + 'print("ready")\n' + SLEEP)
  assert one.said() == "ready"
  usage = "memory.usage_in_bytes" if tree.version == 1 else "memory.current"
  group = tree.payload(one.name)
  assert int(one.read(group, usage)) > 100 * MIB
  assert report._held(tree, group) < 60 * MIB


def test_instances_that_come_and_go_while_they_are_listed(
  one: Guest, away: Guest
) -> None:
  """Groups vanish at any point between two reads."""
  pid = one.run(SLEEP)
  stop = threading.Event()
  rounds = 0

  def churn() -> None:
    nonlocal rounds
    while not stop.is_set():
      for tree in one.trees.all:
        cgtree.write(tree.payload(away.name) + "/cgroup.procs", str(pid))
        cgtree.prune(tree.group(one.name))
      one.make_groups()
      for tree in one.trees.all:
        cgtree.write(tree.payload(one.name) + "/cgroup.procs", str(pid))
      rounds += 1

  thread = threading.Thread(target=churn)
  thread.start()
  try:
    for _ in range(300):
      report.all_usage(one.host)
      report.usage(one.host, one.name)
      report.node_info(one.host)
  finally:
    stop.set()
    thread.join()
  assert rounds > 10
