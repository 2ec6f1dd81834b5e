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

"""Memory limits of real groups, with guests that allocate at full speed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import balloon, cgtree, report
from ganeti.hypervisor.hv_lxc.errors import Failed, Refused
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.guest_groups import SLEEP, WAIT_S, Guest, guest

MIB = 1 << 20
OLD_MIB = 128
SHRINKS = 1000

# Never below 64 MiB, up to 112 MiB and back as fast as it can.
FLOOR = """
floor = bytearray(b"x") * (64 << 20)
print("ready")
while True:
  more = bytearray(b"x") * (40 << 20)
  del more
"""

# From next to nothing to 96 MiB and back as fast as it can.
OSCILLATOR = """
print("ready")
while True:
  more = bytearray(b"x") * (96 << 20)
  del more
"""

# Reads 300 MiB of files round and round: all it holds can be taken away.
READER = """
import os, sys
path = sys.argv[1] if len(sys.argv) > 1 else "{path}"
with open(path, "wb") as stream:
  for _ in range(300):
    stream.write(b"x" * (1 << 20))
fd = os.open(path, os.O_RDONLY)
buffer = bytearray(1 << 20)
print("ready")
while True:
  os.lseek(fd, 0, 0)
  while os.readv(fd, [buffer]):
    pass
"""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Guest]:
  with guest(tmp_path) as made:
    made.run(SLEEP, "monitor")
    balloon.set_memory(made.host, made.name, OLD_MIB)
    yield made


def limits(one: Guest) -> list[int]:
  """The limit of memory, and that of swap (v2) or of both (v1)."""
  group = one.payload("memory")
  version = one.trees.version("memory")
  names = {
    1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    2: ("memory.max", "memory.swap.max"),
  }[version or 0]
  return [int(one.read(group, name) or -1) // MIB for name in names]


def expected(memory_mib: int, swap_mib: int = 0) -> dict[int, list[int]]:
  return {1: [memory_mib, memory_mib + swap_mib], 2: [memory_mib, swap_mib]}


def has_limits(one: Guest, memory_mib: int, swap_mib: int = 0) -> bool:
  version = one.trees.version("memory") or 0
  return limits(one) == expected(memory_mib, swap_mib)[version]


def oom_kills(one: Guest) -> int:
  group = one.payload("memory")
  text = cgtree.read(f"{group}/memory.oom_control")
  if text is None:
    text = cgtree.read(f"{group}/memory.events")
  count = cgtree.keyed(text or "", "oom_kill")
  assert count is not None
  return count


def at_rest(one: Guest) -> bool:
  """Whether nothing of a change is left behind."""
  tree = one.trees.controller("memory")
  assert tree is not None
  if tree.version == 1:
    text = one.read(one.payload("memory"), "memory.oom_control")
    quiet = cgtree.keyed(text, "oom_kill_disable") == 0
  else:
    frozen = one.read(tree.group(one.name), "cgroup.freeze")
    high = one.read(one.payload("memory"), "memory.high")
    quiet = (frozen, high) == ("0", "max")
  return quiet and not os.listxattr(tree.group(one.name))


def alive(one: Guest) -> bool:
  return all(child.poll() is None for child in one.children)


def shrink_often(one: Guest, memory_mib: int) -> None:
  """A thousand shrinks, none of which the guest can follow."""
  before = oom_kills(one)
  for _ in range(SHRINKS):
    with pytest.raises(Failed, match="cannot do with"):
      balloon.set_memory(one.host, one.name, memory_mib)
    assert has_limits(one, OLD_MIB)
  assert oom_kills(one) == before
  assert alive(one)
  assert at_rest(one)


def test_both_limits_follow_up_and_down(one: Guest) -> None:
  one.run(SLEEP)
  for size in (256, 64, 65, 512, 64):
    balloon.set_memory(one.host, one.name, size, trial_s=0)
    assert has_limits(one, size)
    assert at_rest(one)


def test_swap_comes_on_top(one: Guest) -> None:
  for size, swap in ((256, 64), (64, 0), (64, 64), (128, 16)):
    balloon.set_memory(one.host, one.name, size, swap_mib=swap, trial_s=0)
    assert has_limits(one, size, swap)


def test_shrink_below_what_a_guest_holds(one: Guest) -> None:
  one.run(FLOOR)
  assert one.said() == "ready"
  with pytest.raises(Failed, match="cannot do with 32 MiB of memory: it hold"):
    balloon.set_memory(one.host, one.name, 32)
  assert has_limits(one, OLD_MIB)
  assert at_rest(one)
  assert alive(one)


@pytest.mark.timeout(300)
def test_1000_shrinks_of_a_guest_that_holds_more(one: Guest) -> None:
  one.run(FLOOR)
  assert one.said() == "ready"
  shrink_often(one, 48)


@pytest.mark.timeout(300)
def test_1000_shrinks_of_a_guest_that_comes_and_goes(one: Guest) -> None:
  """At its low points the new limit would do; the trial knows better."""
  one.run(OSCILLATOR)
  assert one.said() == "ready"
  shrink_often(one, 48)


def test_the_old_limit_can_be_allocated_after_a_failure(one: Guest) -> None:
  one.run(FLOOR)
  assert one.said() == "ready"
  with pytest.raises(Failed):
    balloon.set_memory(one.host, one.name, 48)
  cpu = one.payload("cpuacct") + "/cpuacct.usage"
  used = cgtree.read_int(cpu)
  assert used is not None
  assert wait_until(lambda: (cgtree.read_int(cpu) or 0) > used, WAIT_S)
  assert oom_kills(one) == 0


def test_page_cache_at_full_speed_is_given_back(
  one: Guest, tmp_path: Path
) -> None:
  one.run(READER.format(path=tmp_path / "file"))
  assert one.said() == "ready"
  for _ in range(10):
    balloon.set_memory(one.host, one.name, 48, trial_s=0.1)
    assert has_limits(one, 48)
    balloon.set_memory(one.host, one.name, OLD_MIB)
  assert oom_kills(one) == 0
  assert alive(one)


def test_shrink_within_what_a_guest_needs(one: Guest) -> None:
  one.run(OSCILLATOR)
  assert one.said() == "ready"
  balloon.set_memory(one.host, one.name, 112)
  assert has_limits(one, 112)
  assert oom_kills(one) == 0


def test_instance_that_does_not_run(one: Guest) -> None:
  one.reap()
  with pytest.raises(Refused, match="does not run"):
    balloon.set_memory(one.host, one.name, 64)


CHANGER = """
import sys
sys.path.insert(0, {tree!r})
from pathlib import Path
from ganeti.hypervisor.hv_lxc import balloon
from integration.hv_lxc.guest_groups import make_host
print("begins", flush=True)
balloon.set_memory(make_host(Path({top!r})), {name!r}, 64, trial_s=600)
"""


def changer(one: Guest) -> "subprocess.Popen[str]":
  """A process in the middle of a change, which it will not finish."""
  top = str(one.host.layout.data_dir.parent)
  tree = str(Path(balloon.__file__).parents[3])
  process = subprocess.Popen(
    [sys.executable, "-c", CHANGER.format(tree=tree, top=top, name=one.name)],
    stdout=subprocess.PIPE,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  )
  assert process.stdout is not None
  assert process.stdout.readline() == "begins\n"
  assert wait_until(lambda: not at_rest(one), WAIT_S)
  return process


def test_killed_driver_is_repaired_by_the_next_list(one: Guest) -> None:
  one.run(SLEEP)
  process = changer(one)
  try:
    wait_until(lambda: not has_limits(one, OLD_MIB), 1.0)
    assert not balloon.repair(one.trees, one.name)
  finally:
    process.send_signal(signal.SIGKILL)
    process.communicate()
  assert not at_rest(one)
  assert one.name in [usage.name for usage in report.all_usage(one.host)]
  assert at_rest(one)
  assert has_limits(one, OLD_MIB)


def test_a_second_change_is_refused(
  one: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(balloon, "_LOCK_S", 0.1)
  process = changer(one)
  try:
    with pytest.raises(Refused, match="is being changed already"):
      balloon.set_memory(one.host, one.name, 80)
  finally:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.vm
def test_v2_frozen_by_a_killed_driver_is_thawed(one: Guest) -> None:
  tree = one.trees.controller("memory")
  assert tree is not None
  assert tree.version == 2
  process = changer(one)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  cgtree.write(f"{tree.group(one.name)}/cgroup.freeze", "1")
  report.all_usage(one.host)
  assert at_rest(one)
