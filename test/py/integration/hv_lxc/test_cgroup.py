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

"""Real control groups: what runs, pausing, killing, removing."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgroup, cgtree, hierarchies
from ganeti.hypervisor.hv_lxc.command import run
from ganeti.hypervisor.hv_lxc.errors import Incomplete
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.guest_groups import SLEEP, WAIT_S, Guest, guest

DEEP = 400
LONG_NAME = "n" * 200
APPLETS = ("sh", "init", "sleep", "reboot")

# Each process leaves two behind and ends, for as long as there is room.
FORKER = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready")
while True:
  try:
    if os.fork() == 0:
      time.sleep(0.0005)
  except OSError:
    time.sleep(0.001)
"""

LXC_CONFIG = """\
lxc.uts.name = test
lxc.rootfs.path = dir:{root}
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed sys:ro
"""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Guest]:
  with guest(tmp_path) as made:
    yield made


def runs(one: Guest) -> bool:
  running = cgroup.is_running(one.trees, one.name)
  assert (one.name in cgroup.names(one.trees)) == running
  return running


def test_found_trees_are_those_of_this_node(one: Guest) -> None:
  assert one.trees.reference is not None
  for tree in one.trees.all:
    assert Path(tree.base, "cgroup.procs").exists()
  for controller in ("memory", "cpu", "cpuset", "devices", "freezer"):
    assert one.trees.controller(controller) is not None


def test_groups_without_processes_are_not_running(one: Guest) -> None:
  assert not runs(one)


@pytest.mark.parametrize("part", ["monitor", "payload"])
def test_one_process_is_enough(one: Guest, part: str) -> None:
  pid = one.run(SLEEP, part)
  assert runs(one)
  assert cgroup.processes(one.trees, one.name) == [pid]
  one.reap()
  assert wait_until(lambda: not runs(one), WAIT_S)


def test_process_in_a_group_that_the_guest_made(one: Guest) -> None:
  pid = one.run(SLEEP)
  for tree in one.trees.all:
    inner = Path(tree.payload(one.name), "a", "b c'\t", "\udcff")
    inner.mkdir(parents=True)
    if "cpuset" in tree.controllers and tree.version == 1:
      continue
    cgtree.write(str(inner / "cgroup.procs"), str(pid))
  assert runs(one)
  assert pid in cgroup.processes(one.trees, one.name)


def test_init_is_the_monitors_child_in_its_own_pid_namespace(
  one: Guest,
) -> None:
  argv = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "600"]
  pid = one.start(argv, "monitor")
  children = f"/proc/{pid}/task/{pid}/children"
  assert wait_until(lambda: bool(cgtree.read(children)), WAIT_S)
  child = int((cgtree.read(children) or "0").split()[0])
  for tree in one.trees.all:
    cgtree.write(tree.payload(one.name) + "/cgroup.procs", str(child))
  assert cgroup.init_pid(one.host, one.trees, one.name) == child


def test_no_init_without_a_pid_namespace(one: Guest) -> None:
  one.run(SLEEP, "monitor")
  one.run(SLEEP)
  assert cgroup.init_pid(one.host, one.trees, one.name) is None


def test_freeze_and_thaw(one: Guest) -> None:
  one.run("import time\nwhile True: print(time.time()); time.sleep(0.001)")
  one.said()
  assert not cgroup.is_frozen(one.trees, one.name)
  cgroup.freeze(one.trees, one.name)
  assert cgroup.is_frozen(one.trees, one.name)
  assert runs(one)
  cgroup.thaw(one.trees, one.name)
  assert not cgroup.is_frozen(one.trees, one.name)
  assert one.said()


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_all(one: Guest, frozen: bool) -> None:
  one.run(SLEEP, "monitor")
  for _ in range(5):
    one.run(SLEEP)
  if frozen:
    cgroup.freeze(one.trees, one.name)
  cgroup.kill(one.host, one.trees, one.name)
  assert not runs(one)
  assert [child.wait() for child in one.children] == [-signal.SIGKILL] * 6
  cgroup.remove(one.host, one.trees, one.name)
  assert not any(Path(t.group(one.name)).exists() for t in one.trees.all)


def test_kill_what_the_guest_has_frozen_itself(one: Guest) -> None:
  pid = one.run(SLEEP)
  tree = one.trees.controller("freezer")
  assert tree is not None
  inner = Path(tree.payload(one.name), "inner")
  inner.mkdir()
  cgtree.write(str(inner / "cgroup.procs"), str(pid))
  name, word = (
    ("freezer.state", "FROZEN") if tree.version == 1 else ("cgroup.freeze", "1")
  )
  cgtree.write(str(inner / name), word)
  cgroup.kill(one.host, one.trees, one.name)
  assert not runs(one)


@pytest.mark.parametrize("unified", [True, False])
def test_kill_a_guest_that_forks_at_full_speed(
  one: Guest, unified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
  """By cgroup.kill where there is one, and by v1's freezer alone."""
  if not unified:
    monkeypatch.setattr(cgroup, "_kill_unified", lambda _trees, _name: None)
  cgtree.write(one.payload("pids") + "/pids.max", "150")
  one.run(FORKER)
  assert one.said() == "ready"
  assert wait_until(
    lambda: len(cgroup.processes(one.trees, one.name)) > 100, WAIT_S
  )
  cgroup.kill(one.host, one.trees, one.name)
  assert not runs(one)
  cgroup.remove(one.host, one.trees, one.name)


def make_deep(top: str) -> None:
  """Groups nested so deep that no path can name the last ones."""
  fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
  for index in range(DEEP):
    name = f"{index}-{LONG_NAME}"
    os.mkdir(name, dir_fd=fd)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    os.close(fd)
    fd = inner
  os.close(fd)


def test_remove_deep_and_wide_trees(one: Guest) -> None:
  tree = one.trees.reference
  assert tree is not None
  make_deep(tree.payload(one.name))
  for index in range(1000):
    Path(tree.payload(one.name), f"wide {index}\t'\"$(x)").mkdir()
  assert not runs(one)
  assert cgroup.processes(one.trees, one.name) == []
  cgroup.remove(one.host, one.trees, one.name)
  assert not Path(tree.group(one.name)).exists()


def test_remove_names_who_is_in_the_way(one: Guest) -> None:
  pid = one.run(SLEEP)
  expected = rf"control groups in use: process {pid} \(python.*state S"
  with pytest.raises(Incomplete, match=expected):
    cgroup.remove(one.host, one.trees, one.name, timeout_s=0.1)


def test_remove_what_is_not_there(one: Guest) -> None:
  cgroup.remove(one.host, one.trees, one.name)
  cgroup.remove(one.host, one.trees, one.name)


def test_own_capabilities(one: Guest) -> None:
  status = Path("/proc/self/status").read_text()
  bounding = int(status.partition("CapBnd:")[2].split()[0], 16)
  for number in range(41):
    has = cgroup.has_capability(one.host, os.getpid(), number)
    assert has == bool(bounding >> number & 1)


@pytest.fixture
def container(one: Guest, tmp_path: Path) -> Iterator[Guest]:
  """A real busybox container in place of the made-up processes."""
  cgroup.remove(one.host, one.trees, one.name)
  root = tmp_path / "root"
  for part in ("bin", "sbin", "etc", "proc", "sys", "dev"):
    (root / part).mkdir(parents=True)
  busybox = shutil.which("busybox")
  assert busybox, "the tests need busybox-static"
  shutil.copy(busybox, root / "bin/busybox")
  for applet in APPLETS:
    (root / "bin" / applet).symlink_to("busybox")
  (root / "sbin/init").symlink_to("/bin/busybox")
  (root / "etc/inittab").write_text("::respawn:/bin/sleep 600\n")
  home = one.host.layout.lxcpath / one.name
  home.mkdir(parents=True)
  lines = "".join(
    f"{key} = {value}\n" for key, value in hierarchies.config_lines(one.name)
  )
  (home / "config").write_text(LXC_CONFIG.format(root=root) + lines)
  lxc(one, "start", "-o", str(tmp_path / "log"), "-l", "DEBUG")
  lxc(one, "wait", "-s", "RUNNING", "-t", "10")
  yield one
  with contextlib.suppress(AssertionError):
    lxc(one, "stop", "-k")


def lxc(one: Guest, tool: str, *words: str) -> str:
  path = str(one.host.layout.lxcpath)
  result = run([f"lxc-{tool}", "-P", path, "-n", one.name, *words])
  assert not result.failed, result.evidence()
  return result.stdout


def test_lxc_uses_the_groups_that_we_look_at(container: Guest) -> None:
  trees, name = container.trees, container.name
  assert runs(container)
  init = int(lxc(container, "info", "-pH"))
  assert cgroup.init_pid(container.host, trees, name) == init
  assert init in cgroup.processes(trees, name)
  for tree in trees.all:
    assert init in cgtree.pids(tree.payload(name) + "/cgroup.procs")
    assert cgtree.pids(tree.monitor(name) + "/cgroup.procs")


def test_guest_that_reboots_itself_never_appears_down(
  container: Guest,
) -> None:
  host, trees, name = container.host, container.trees, container.name
  old = cgroup.init_pid(host, trees, name)
  lxc(container, "attach", "--", "/bin/reboot", "-f")

  def rebooted() -> bool:
    assert cgroup.is_running(trees, name)
    return cgroup.init_pid(host, trees, name) not in (None, old)

  assert wait_until(rebooted, WAIT_S)


def test_killed_container_can_be_started_again(container: Guest) -> None:
  host, trees, name = container.host, container.trees, container.name
  cgroup.kill(host, trees, name)
  assert not runs(container)
  cgroup.remove(host, trees, name)
  lxc(container, "start")
  lxc(container, "wait", "-s", "RUNNING", "-t", "10")
  assert runs(container)
