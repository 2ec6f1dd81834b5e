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

"""Bad input and bad luck: a clear error, and nothing lost or left."""

from collections.abc import Sequence

import pytest
from cluster.cluster import (
  BUSYBOX_MIB,
  DOMAIN,
  LXCPATH,
  Cluster,
  Instance,
  together,
  wait_for,
)

# Where the hostile guests' links point (qa/os).
_OUTSIDE = "/var/tmp/ganeti-lxc-hostile"


def _damage(instance: Instance, script: str) -> None:
  """Runs a shell script with the path of disk 0 as C{$disk}."""
  path = instance.disk_path()
  instance.node.sh(f"disk={path}\n{script}")


def _start_refused(instance: Instance, *told: str) -> str:
  """It does not start, says why, and is not running."""
  said = instance.refused("startup")
  assert instance.name in said
  for word in told:
    assert word in said, said
  left = instance.node.sh(f"ls {LXCPATH}; ls /sys/class/net; cat /proc/mounts")
  assert instance.name not in left
  assert "tap" not in left
  return said


_NOTHING = 'truncate -s 0 "$disk"; truncate -s 160M "$disk"'
_GARBAGE = r"""
dd if=/dev/urandom of="$disk" bs=1M count=3 conv=notrunc status=none
printf '\x55\xaa' | dd of="$disk" bs=1 seek=510 conv=notrunc status=none
"""
# The first entry's start and length, the length far too large.
_BEYOND = r"""
printf '\x00\x08\x00\x00\xff\xff\xff\x0f' |
  dd of="$disk" bs=1 seek=454 conv=notrunc status=none
"""
_NO_FILE_SYSTEM = """
dd if=/dev/zero of="$disk" bs=1M seek=1 count=8 conv=notrunc status=none
"""


@pytest.mark.parametrize(
  ("script", "told"),
  [
    (_NOTHING, ("file system",)),
    (_GARBAGE, ("partition table",)),
    (_BEYOND, ("partition table", "268437502")),
    (_NO_FILE_SYSTEM, ("file system",)),
  ],
  ids=["empty", "corrupt-table", "beyond-the-end", "no-file-system"],
)
def test_disk_that_cannot_be_used(
  cluster: Cluster, script: str, told: Sequence[str]
) -> None:
  instance = cluster.add(more=("--no-start",))
  _damage(instance, script)
  _start_refused(instance, *told)
  # Installed anew, it works.
  instance.gnt("shutdown")
  instance.gnt("reinstall", "-f")
  instance.gnt("startup")
  assert instance.status == "running"


def test_image_in_use_elsewhere(cluster: Cluster) -> None:
  instance = cluster.add(more=("--no-start",))
  path = instance.disk_path()
  loop = instance.node.run("losetup", "--find", "--show", path).strip()
  try:
    said = instance.refused("startup")
    assert "in use" in said
    assert loop in said
  finally:
    instance.node.run("losetup", "--detach", loop)
  instance.gnt("startup")
  assert instance.status == "running"


def test_full_root_file_system(cluster: Cluster) -> None:
  instance = cluster.add()
  instance.try_inside("dd if=/dev/zero of=/fill bs=1M; sync")
  instance.try_inside("dd if=/dev/zero of=/fill2 bs=1k; sync")
  for kind in ("soft", "full"):
    instance.gnt("reboot", f"--type={kind}")
    assert instance.status == "running"
  instance.gnt("shutdown")
  instance.gnt("startup")
  assert instance.inside("rm /fill; echo ok").strip() == "ok"


def test_panic_of_the_superblock_is_not_obeyed(cluster: Cluster) -> None:
  instance = cluster.add(
    disks=(f"size={BUSYBOX_MIB}M", "size=32M"),
    os_params="errors=panic,data=ext4",
  )
  for line in instance.node.run("cat", "/proc/mounts").splitlines():
    if f"/{instance.name}/" in line:
      assert "errors=panic" not in line
  options = instance.node.sh(
    f"for d in $(awk '/{instance.name}/ {{print $1}}' /proc/mounts | sort -u);"
    " do"
    " cat /proc/fs/ext4/${d#/dev/}/options; done"
  )
  assert "errors=panic" not in options
  assert options.count("errors=remount-ro") == 2


@pytest.mark.parametrize(
  ("init", "told"),
  [("missing", "/sbin/init"), ("exits", "nothing to do")],
)
def test_no_init(cluster: Cluster, init: str, told: str) -> None:
  instance = cluster.add(os_params=f"init={init}", more=("--no-start",))
  _start_refused(instance, told)


_LINKS = ("dev", "proc", "sys", "etc", "run", "tmp", "init", "fstab", "all")


def _start_and_stop(instance: Instance) -> None:
  """It starts and stops, or a start fails with an error about it."""
  done = instance.cluster.master.try_run(
    "gnt-instance", "startup", instance.name
  )
  if done.status != 0:
    assert instance.name in done.output
    return
  instance.gnt("reboot", "--type=soft")
  instance.gnt("shutdown", "--timeout=3")


def test_hostile_links_touch_nothing_outside(cluster: Cluster) -> None:
  node = cluster.master
  node.sh(
    f"rm -rf {_OUTSIDE}; mkdir -p {_OUTSIDE}; cd {_OUTSIDE};"
    " mkdir dev proc sys etc run tmp sbin; echo kept >etc/fstab;"
    " echo kept >sbin/init; chmod 755 sbin/init"
  )
  picture = f"find {_OUTSIDE} -printf '%p %m %U %s %T@ %y\\n' | sort"
  try:
    before = node.sh(picture)
    instances = cluster.add_all(
      *(
        {"os_params": f"hostile={link}", "more": ("--no-start",)}
        for link in _LINKS
      )
    )
    together(*(lambda i=i: _start_and_stop(i) for i in instances))
    assert node.sh(picture) == before
    assert _OUTSIDE not in node.run("cat", "/proc/mounts")
  finally:
    node.run("rm", "-rf", _OUTSIDE)


# Kills noded with all its children.
# Kills noded with its children, not with the programs that those run.
_KILL_NODED = (
  "p=$(cat /run/ganeti/ganeti-noded.pid); kill -9 $p $(pgrep -P $p) || true"
)


@pytest.mark.parametrize("verb", ["startup", "shutdown"])
def test_noded_is_killed_in_the_middle(cluster: Cluster, verb: str) -> None:
  instance = cluster.add(more=("--no-start",))
  node = instance.node
  for delay_ms in (20, 120, 500):
    if verb == "shutdown":
      instance.gnt("startup")
    _kill_noded_during(instance, verb, delay_ms)
    if verb == "shutdown":
      # The guest was asked, or not: to Ganeti it runs until it has ended.
      instance.gnt("shutdown", "--timeout=5")
    instance.gnt("startup")
    assert instance.status == "running"
    assert instance.inside("echo alive").strip() == "alive"
    instance.gnt("shutdown", "--timeout=5")
    left = node.sh(f"ls {LXCPATH}; cat /proc/mounts; ls /sys/class/net")
    assert instance.name not in left, f"after {delay_ms} ms: {left}"
    assert "tap" not in left


def _kill_noded_during(instance: Instance, verb: str, delay_ms: int) -> None:
  """Kills noded so long after it was asked; then it is started again."""
  node = instance.node
  # The driver makes (or takes) the instance's record at the beginning.
  home = f"{LXCPATH}/{instance.name}"
  begun = {
    "startup": f"[ -e {home}/record.json ]",
    "shutdown": f"grep -q stopping {home}/record.json",
  }[verb]
  script = (
    f"gnt-instance {verb} --submit {instance.name} >/dev/null;"
    f" for i in $(seq 600); do {begun} 2>/dev/null && break; sleep 0.01; done;"
    f" sleep {delay_ms / 1000}; {_KILL_NODED};"
    " /usr/lib/ganeti/daemon-util start ganeti-noded"
  )
  node.sh(script)
  wait_for(lambda: not _jobs(instance), "the end of the jobs", 60)


def _jobs(instance: Instance) -> set[str]:
  """The states of jobs that have not ended.

  Not with --running, which leaves out those that wait for a lock.

  """
  states = instance.cluster.gnt("job", "list", "--no-headers", "-o", "status")
  return {*states.split()} - {"success", "error", "canceled"}


def test_run_is_wiped_under_a_running_instance(cluster: Cluster) -> None:
  instance = cluster.add()
  init = instance.init_pid()
  instance.node.run("rm", "-rf", "/run/ganeti/lxc")
  assert instance.status == "running"
  assert instance.name in cluster.gnt("instance", "list", "-o", "name")
  console = instance.console()
  console.expect("to enter Ctrl.a itself")
  console.sendline("")
  console.expect("login: ")
  console.send("\x01q")
  console.close()
  instance.gnt("modify", "-m", "64")
  # What was lost is made again by the next verification or start.
  instance.gnt("startup")
  assert instance.init_pid() == init
  instance.gnt("reboot", "--type=soft")
  wait_for(lambda: instance.init_pid() not in (0, init), "a reboot")
  instance.gnt("shutdown")
  assert instance.status == "ADMIN_down"
  instance.gnt("startup")
  assert instance.status == "running"


def test_lxc_commands_hang(cluster: Cluster) -> None:
  stopped, running = cluster.add_all(
    {"hv": ("startup_timeout=5",), "more": ("--no-start",)}, {}
  )
  node = cluster.master
  # The driver's own search path begins here.
  wrappers = [f"/usr/local/sbin/{tool}" for tool in ("lxc-start", "lxc-stop")]
  for wrapper in wrappers:
    node.write(wrapper, "#!/bin/sh\nexec sleep 1000\n", "755")
  try:
    said, _ = together(
      lambda: stopped.refused("startup"),
      lambda: running.gnt("shutdown", "--timeout=3", timeout_s=150),
    )
  finally:
    node.run("rm", *wrappers)
  for word in (stopped.name, "lxc-start", "in time", "/var/log/ganeti/lxc/"):
    assert word in said, said
  # Killed without LXC's help.
  assert running.status == "ADMIN_down"
  for instance in (stopped, running):
    instance.gnt("startup")
    assert instance.status == "running"


def test_sixteen_start_at_once(cluster: Cluster) -> None:
  wanted = [
    {
      "on": cluster.nodes[i % 2],
      "memory": "memory=32M",
      "more": ("--no-start",),
    }
    for i in range(16)
  ]
  instances = cluster.add_all(*wanted)
  names = [instance.name for instance in instances]
  cluster.gnt("instance", "startup", "--force-multiple", *names)
  statuses = cluster.statuses()
  assert {statuses[name] for name in names} == {"running"}
  hosts = together(
    *(lambda i=i: i.inside("hostname").strip() for i in instances)
  )
  assert hosts == names
  cluster.gnt(
    "instance", "shutdown", "--force-multiple", "--timeout=30", *names
  )
  assert "running" not in cluster.statuses().values()


def test_names_at_their_limits(cluster: Cluster) -> None:
  label = "a" * 63
  # Longer ones make Ganeti itself exceed NAME_MAX in its bdev-cache.
  longest = f"{label}.{label}.{'b' * 8}.{DOMAIN}"
  instance = Instance(cluster, longest)
  instance.add(nics=("ip=192.0.2.5",))
  assert instance.status == "running"
  assert instance.inside("hostname").strip() in longest
  assert len(instance.inside("hostname").strip()) <= 64
  instance.gnt("reboot", "--type=soft")
  instance.gnt("shutdown")
  instance.gnt("startup")
  instance.gnt("remove", "-f")


# Ganeti's own daemons cannot store what is not ASCII in a C locale; GHC's
# words for it in Debian 13 and in Debian 12.
_NOT_STORED = ("cannot encode character", "invalid character")


@pytest.mark.parametrize(
  "text", ["ö\u202ex", "a\nlxc.hook.stop = /x", "\x1b[2J"]
)
def test_unicode_and_newlines_in_string_parameters(
  cluster: Cluster, text: str
) -> None:
  for name in (
    "cpu_mask", "devices", "drop_capabilities", "extra_cgroups",
    "extra_config", "disk_type", "security_domain", "migration_caps",
    "migration_mode",
  ):  # fmt: skip
    said = cluster.instance().add_refused(hv=(f"{name}={text}",))
    assert name in said or any(words in said for words in _NOT_STORED), said
    assert "\x1b" not in said
    assert "\u202e" not in said
  assert cluster.names() == []


def test_two_starts_of_one_instance_at_once(cluster: Cluster) -> None:
  """Not through jobs, which Ganeti itself keeps apart."""
  instance = cluster.add(more=("--no-start",))
  instance.gnt("startup")
  instance.gnt("startup")
  node = instance.node
  init = instance.init_pid()
  both = together(
    *(
      lambda: node.try_run("gnt-instance", "startup", instance.name)
      for _ in range(2)
    )
  )
  assert [done.status for done in both] == [0, 0]
  assert instance.init_pid() == init
  instance.gnt("shutdown")
  for verb in ("startup", "startup", "shutdown", "startup"):
    instance.gnt(verb, "--submit")
  wait_for(lambda: not _jobs(instance), "the end of the jobs", 60)
  assert instance.status == "running"


def test_what_is_left_of_a_removed_instance(cluster: Cluster) -> None:
  """Its logs; not even LXC's own lock file."""
  instance = cluster.instance()
  node = cluster.master

  def found() -> set[str]:
    places = "/run /var/lib/ganeti/lxc /sys/fs/cgroup"
    return set(node.sh(f"find {places} -name '*{instance.name}*'").split())

  # Ganeti leaves notes (bdev-cache) on nodes that an instance has moved from.
  before = found()
  instance.add(on=node)
  instance.gnt("remove", "-f")
  assert [
    path for path in found() - before
    if not path.endswith(".console") and "instance-reason" not in path
  ] == []  # fmt: skip
