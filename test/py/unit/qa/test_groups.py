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


"""The control groups of an instance, as stories ask a node of any kind."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import groups
from cluster.cluster import Cluster, CommandError, Done, Instance, Node
from cluster.groups import Limits, Trees

V1_LAB = """\
tmpfs /sys/fs/cgroup tmpfs rw,nosuid,nodev,noexec,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,nosuid,nodev,noexec,relatime,cpu 0 0
cgroup /sys/fs/cgroup/cpuacct cgroup rw,nosuid,relatime,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,nosuid,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,relatime,memory 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,nosuid,relatime,freezer 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,relatime,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nodev,noexec,relatime 0 0
"""
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n"
MIB = 1 << 20
V1_FILES = {
  "memory/memory.limit_in_bytes": f"{64 * MIB}\n",
  "memory/memory.memsw.limit_in_bytes": f"{80 * MIB}\n",
  "memory/memory.usage_in_bytes": "4096\n",
  "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
  "cpu/cpu.cfs_quota_us": "150000\n",
  "cpu/cpu.cfs_period_us": "100000\n",
  "cpu/cpu.shares": "512\n",
  "cpuset/cpuset.cpus": "1\n",
  "pids/pids.current": "7\n",
  "freezer/freezer.state": "FROZEN\n",
}
V2_FILES = {
  "memory.max": f"{64 * MIB}\n",
  "memory.swap.max": f"{16 * MIB}\n",
  "memory.current": "4096\n",
  "memory.events": "low 0\nmax 9\noom 5\noom_kill 3\n",
  "cpu.max": "150000 100000\n",
  "cpu.weight": "50\n",
  "cpuset.cpus": "1\n",
  "pids.current": "7\n",
  "cgroup.events": "populated 1\nfrozen 1\n",
}
LIMITS = Limits(
  memory=64 * MIB, swap=16 * MIB, processors=1.5, share=0.5, cpus="1"
)


class FakeNode(Node):
  """A node with files and nothing else; it counts what it is asked."""

  files: dict[str, str]
  asked: int

  def try_run(self, *argv: str, **_options: Any) -> Done:
    object.__setattr__(self, "asked", self.asked + 1)
    if argv[0] == "cat":
      found = self.files.get(argv[1])
      return Done(found is None, found or f"cat: {argv[1]}")
    assert argv[:3] == ("grep", "-sH", "")
    lines = [
      f"{path}:{line}"
      for path in argv[3:]
      for line in self.files.get(path, "").splitlines()
    ]
    return Done(0 if lines else 2, "\n".join(lines))


class OfNode(Instance):
  home: Node

  @property
  def node(self) -> Node:
    return self.home


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
  groups.trees.cache_clear()
  yield
  groups.trees.cache_clear()


def node_with(mounts: str, files: dict[str, str]) -> FakeNode:
  node = FakeNode("", "node1")
  object.__setattr__(node, "asked", 0)
  object.__setattr__(
    node,
    "files",
    {
      "/proc/mounts": mounts,
      **{f"/sys/fs/cgroup/{name}": text for name, text in files.items()},
    },
  )
  return node


def instance_on(mounts: str, files: dict[str, str]) -> OfNode:
  """Of the name "i", with these files in its groups."""
  found = OfNode(Cluster("", ()), "i")
  placed = {}
  for name, text in files.items():
    path = pathlib.PurePath(name)
    placed[str(path.parent / "ganeti-lxc/i/payload" / path.name)] = text
  found.home = node_with(mounts, placed)
  return found


def v1(**changes: str) -> OfNode:
  found = instance_on(V1_LAB, V1_FILES)
  assert isinstance(found.home, FakeNode)
  found.home.files["/sys/fs/cgroup/cpuset/cpuset.cpus"] = "0-1\n"
  return changed(found, changes)


def v2(**changes: str) -> OfNode:
  return changed(instance_on(V2, V2_FILES), changes)


def changed(found: OfNode, changes: dict[str, str]) -> OfNode:
  """With other texts, or none, in files named with "_" for each dot."""
  assert isinstance(found.home, FakeNode)
  files = found.home.files
  for name, text in changes.items():
    for path in list(files):
      if "/payload/" in path and path.endswith("/" + name.replace("__", ".")):
        files[path] = text
        if not text:
          del files[path]
  return found


class TestTrees:
  def test_v2_alone(self) -> None:
    found = groups.trees_of(V2)
    assert found == Trees({}, "/sys/fs/cgroup")
    assert found.version("memory") == found.version("freezer") == 2
    assert found.top("freezer") == "/sys/fs/cgroup"

  def test_of_two_a_controller_is_in_v1(self) -> None:
    found = groups.trees_of(V1_LAB)
    assert found.version("memory") == 1
    assert found.top("memory") == "/sys/fs/cgroup/memory"
    assert found.version("hugetlb") == 2
    assert found.top("hugetlb") == "/sys/fs/cgroup/unified"

  def test_controllers_that_share_a_tree(self) -> None:
    found = groups.trees_of(
      "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0"
    )
    assert found.top("cpuacct") == "/sys/fs/cgroup/cpu,cpuacct"
    with pytest.raises(LookupError, match="memory"):
      found.top("memory")

  def test_a_node_is_asked_once(self) -> None:
    node = node_with(V2, {})
    for _ in range(2):
      assert groups.instances(node) == "/sys/fs/cgroup/ganeti-lxc"
    assert node.asked == 1

  def test_place_of_a_guest(self) -> None:
    below = "ganeti-lxc/i/payload"
    assert groups.payload(v2(), "memory") == f"/sys/fs/cgroup/{below}"
    groups.trees.cache_clear()
    assert groups.payload(v1(), "cpu") == f"/sys/fs/cgroup/cpu/{below}"


@pytest.mark.parametrize("instance", [v1, v2])
class TestBothVersions:
  def test_the_same_limits_are_told_alike(self, instance: Any) -> None:
    assert groups.limits(instance()) == LIMITS

  def test_what_a_guest_uses(self, instance: Any) -> None:
    guest = instance()
    assert groups.memory_used(guest) == 4096
    assert groups.oom_kills(guest) == 3
    assert groups.tasks(guest) == 7
    assert groups.is_frozen(guest)


@pytest.mark.parametrize("state", ["THAWED\n", "FREEZING\n"])
def test_not_all_processes_stand_still_on_v1(state: str) -> None:
  assert not groups.is_frozen(v1(freezer__state=state))


def test_not_all_processes_stand_still_on_v2() -> None:
  assert not groups.is_frozen(v2(cgroup__events="populated 1\nfrozen 0\n"))


def test_no_limits_on_v1() -> None:
  free = str((1 << 63) - 4096)
  guest = v1(
    memory__limit_in_bytes=free,
    memory__memsw__limit_in_bytes=free,
    cpu__cfs_quota_us="-1",
    cpu__shares="1024",
    cpuset__cpus="0-1",
  )
  assert groups.limits(guest) == Limits(None, None, None, 1, "")


def test_no_limits_on_v2() -> None:
  guest = v2(
    memory__max="max\n",
    memory__swap__max="max\n",
    cpu__max="max 100000\n",
    cpu__weight="100\n",
    cpuset__cpus="\n",
  )
  assert groups.limits(guest) == Limits(None, None, None, 1, "")


def test_swap_that_is_not_counted() -> None:
  guest = v1(memory__memsw__limit_in_bytes="")
  assert groups.limits(guest).swap is None
  groups.trees.cache_clear()
  guest = v2(memory__swap__max="")
  assert groups.limits(guest).swap is None


def test_a_limit_that_is_not_there_is_no_missing_limit() -> None:
  with pytest.raises(LookupError, match=r"memory\.max"):
    groups.limits(v2(memory__max=""))


def test_a_node_that_does_not_answer() -> None:
  guest = v2()
  groups.trees(guest.node)
  object.__setattr__(guest.node, "try_run", lambda *_: Done(255, "ssh: no"))
  with pytest.raises(CommandError, match=r"node1: .*ssh: no"):
    groups.limits(guest)


@pytest.mark.parametrize(
  ("mounts", "files", "mib"),
  [
    (V2, {}, 4),
    (V2, {"memory.max": f"{2 * MIB}\n"}, 2),
    (V2, {"memory.max": "max\n"}, 4),
    (V1_LAB, {"memory/memory.stat": f"hierarchical_memory_limit {MIB}\n"}, 1),
    (
      V1_LAB,
      {"memory/memory.stat": f"hierarchical_memory_limit {(1 << 63) - 4096}"},
      4,
    ),
  ],
)
def test_memory_of_a_node(mounts: str, files: dict[str, str], mib: int) -> None:
  node = node_with(mounts, files)
  node.files["/proc/meminfo"] = "MemTotal:      4096 kB\nMemFree: 1 kB\n"
  assert groups.node_memory(node) == mib * MIB
