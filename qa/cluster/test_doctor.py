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

"""ganeti-lxc-doctor: what a node lacks, and what keeps a guest from moving.

The things that stand in the way are made by real programs in the guest or
beside it; each has to be named with its process, and the guest runs on.
"""

import json
from typing import Any

import pytest
from cluster.cluster import LXCPATH, Cluster, Done, Instance, Node, wait_for


def doctor(node: Node, *argv: str) -> Done:
  return node.try_run("ganeti-lxc-doctor", *argv)


def examined(instance: Instance) -> dict[str, Any]:
  done = doctor(instance.node, "--json", instance.name)
  assert done.status in (0, 1), done.output
  found: dict[str, Any] = json.loads(done.output)
  assert found["migratable"] == (done.status == 0)
  return found


def blockers(instance: Instance, text: str) -> list[dict[str, Any]]:
  """The blockers whose object has this text."""
  return [b for b in examined(instance)["blockers"] if text in b["object"]]


def background(instance: Instance, script: str) -> int:
  """Starts a script in the guest as a child of its init; its pid there."""
  # A shell that ends leaves its child to process 1.
  out = instance.inside(f"({script}) </dev/null >/dev/null 2>&1 & echo $!")
  return int(out.split()[0])


def test_node(cluster: Cluster) -> None:
  for node in cluster.nodes:
    done = doctor(node)
    assert done.status == 0, done.output
    assert " ok, 0 missing, " in done.output
    data = json.loads(doctor(node, "--json").output)
    states = {r["subject"]: r["state"] for r in data["requirements"]}
    assert states["LXC"] == "ok"
    assert data["facts"]["lxc"]


def test_node_without_a_program_that_is_needed(cluster: Cluster) -> None:
  node = cluster.master
  path = node.run("which", "blkid").strip()
  node.sh(f"mv {path} {path}.away")
  try:
    done = doctor(node)
    said = cluster.refused("cluster", "verify")
  finally:
    node.sh(f"mv {path}.away {path}")
  assert done.status == 1
  (line,) = [s for s in done.output.splitlines() if s.startswith("missing")]
  assert "blkid" in line
  assert "-> run apt-get install --reinstall util-linux" in done.output
  # The same words by the other way.
  assert "the command blkid is not in" in said


def test_guest_is_examined_and_not_disturbed(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",))
  init = instance.init_pid()
  text = doctor(instance.node, instance.name)
  assert text.status in (0, 1)
  assert "This node, to be compared with another:" in text.output
  assert instance.init_pid() == init
  assert blockers(instance, "devpts") == []


def test_terminals_of_lxc_are_named(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=2",))
  found = blockers(instance, "devpts on /dev/tty")
  assert [b["object"] for b in found] == [
    "devpts on /dev/tty1",
    "devpts on /dev/tty2",
  ]
  assert all("num_ttys" in b["remedy"] for b in found)


def test_file_that_was_removed_and_is_still_held(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",), disks=("size=320M",))
  background(
    instance,
    "exec 9>/root/big; dd if=/dev/zero bs=1M count=66 >&9; rm /root/big;"
    " exec sleep 1000",
  )
  (found,) = wait_for(
    lambda: blockers(instance, "/root/big (deleted)"), "the file is seen"
  )
  assert found["command"] == "sleep"
  assert found["object"].startswith("fd 9 ")
  assert "66 MiB" in found["reason"]


def test_process_of_another_user(cluster: Cluster) -> None:
  """CRIU cannot read its limits where CAP_SYS_RESOURCE is withheld."""
  instance = cluster.add(hv=("num_ttys=0",))
  instance.inside("echo web:x:33:33::/tmp:/bin/sh >>/etc/passwd")
  background(instance, "su -s /bin/sh web -c 'exec sleep 1001'")
  node = json.loads(doctor(instance.node, "--json").output)["facts"]
  wait_for(lambda: "web " in instance.inside("ps"), "sleep runs")
  said = [b for b in blockers(instance, "uid ") if b["command"] == "sleep"]
  assert bool(said) == (not node["sys_resource"])


def test_traced_process(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",))
  init = instance.init_pid()
  # PTRACE_SEIZE does not stop what it attaches to.
  tracer = (
    "import ctypes, sys, time; libc = ctypes.CDLL(None, use_errno=True);"
    f"assert libc.ptrace(0x4206, {init}, 0, 0) == 0; print('held',"
    " flush=True); sys.stdin.read()"
  )
  script = (
    "import subprocess, sys\n"
    f"t = subprocess.Popen([sys.executable, '-c', {tracer!r}],"
    " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
    "assert t.stdout.readline() == b'held\\n'\n"
    "d = subprocess.run(['ganeti-lxc-doctor', '--json', sys.argv[1]],"
    " stdout=subprocess.PIPE)\n"
    "t.stdin.close(); t.wait()\n"
    "sys.stdout.write(d.stdout.decode())\n"
  )
  data = json.loads(instance.node.python(script, instance.name))
  (found,) = [b for b in data["blockers"] if "traced by" in b["object"]]
  assert found["pid"] == init


def test_shell_that_joined_is_said_to_be_lost(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",))
  script = (
    "import subprocess, sys\n"
    "s = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE,"
    " stdout=subprocess.PIPE)\n"
    "s.stdin.write(b'echo in\\n'); s.stdin.flush()\n"
    "assert s.stdout.readline() == b'in\\n'\n"
    "d = subprocess.run(['ganeti-lxc-doctor', '--json', sys.argv[1]],"
    " stdout=subprocess.PIPE)\n"
    "s.stdin.close(); s.wait()\n"
    "sys.stdout.write(d.stdout.decode())\n"
  )
  argv = ("lxc-attach", "-P", LXCPATH, "-n", instance.name, "--", "/bin/sh")
  out = instance.node.python(script, instance.name, *argv)
  data = json.loads(out)
  assert [b["object"] for b in data["lost"]] == ["process"]


def test_mount_of_the_guest_that_cannot_be_made_again(
  cluster: Cluster,
) -> None:
  """The guest may mount where the cluster lets it."""
  instance = cluster.add(hv=("num_ttys=0",))
  init = instance.init_pid()
  instance.node.run(
    "nsenter", "-t", str(init), "-m", "mount", "-t", "ramfs", "none", "/mnt"
  )
  (found,) = blockers(instance, "ramfs on /mnt")
  assert found["pid"] == init
  assert found["remedy"] == "run umount /mnt in the guest"


def test_facts_of_two_nodes_are_compared(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",))
  other = cluster.other(instance.node)
  facts = other.run("ganeti-lxc-doctor", "--facts")
  instance.node.write("/run/facts.json", facts)
  argv = ("--json", "--compare", "/run/facts.json", instance.name)
  data = json.loads(doctor(instance.node, *argv).output)
  assert data["differences"] == []
  mine = json.loads(facts)
  lesser = {
    "kernel": ("5.10.0", "Linux 5.10.0 on the target is older"),
    "lxc": ("4.0.1", "LXC 4.0.1 on the target is older"),
    "criu": ("3.1", "CRIU 3.1 on the target is older"),
    "cpu_flags": (mine["cpu_flags"][1:], f" has: {mine['cpu_flags'][0]}"),
  }
  changed = {**mine, **{key: value for key, (value, _) in lesser.items()}}
  instance.node.write("/run/facts.json", json.dumps(changed))
  data = json.loads(doctor(instance.node, *argv).output)
  said = [difference["what"] for difference in data["differences"]]
  for _, text in lesser.values():
    assert [one for one in said if text in one], said
  assert len(said) == len(lesser)
  assert not data["migratable"]
  instance.node.run("rm", "/run/facts.json")


def test_nodes_that_could_take_the_guest_are_told(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",))
  other = cluster.other(instance.node)
  found = {d["node"]: d for d in examined(instance)["destinations"]}
  assert set(found) == {
    node.host_name for node in cluster.nodes if node != instance.node
  }
  assert found[other.host_name]["fits"] is True
  program = other.run("which", "criu").strip()
  other.sh(f"mv {program} {program}.away")
  try:
    (told,) = [
      d
      for d in examined(instance)["destinations"]
      if d["node"] == other.host_name
    ]
  finally:
    other.sh(f"mv {program}.away {program}")
  assert told["fits"] is False
  assert "CRIU is not on the target" in told["problems"][0]["what"]


def test_disks_that_no_other_node_has(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",), template="file")
  found = examined(instance)
  assert not found["migratable"]
  for other in found["destinations"]:
    assert "disks (file)" in other["problems"][0]["what"]


def test_ordinary_user_is_told_what_cannot_be_seen(cluster: Cluster) -> None:
  instance = cluster.add()
  node = instance.node
  for command in ("ganeti-lxc-doctor", f"ganeti-lxc-doctor {instance.name}"):
    said = node.try_run("su", "-s", "/bin/sh", "nobody", "-c", command)
    lines = [s for s in said.output.splitlines() if "not root" in s]
    assert len(lines) == 1, said.output
    assert "Traceback" not in said.output


def test_instance_that_does_not_run_here(cluster: Cluster) -> None:
  done = doctor(cluster.master, "nothing.lab")
  assert done.status == 2
  assert "does not run on this node" in done.output


def test_figures_for_prometheus(cluster: Cluster) -> None:
  instance = cluster.add(memory="memory=96M")
  out = instance.node.run("ganeti-lxc-metrics")

  def value(name: str) -> float:
    begin = f'ganeti_lxc_{name}{{instance="{instance.name}"'
    (line,) = [s for s in out.splitlines() if s.startswith(begin)]
    return float(line.split()[-1])

  assert value("memory_limit_bytes") == 96 << 20
  assert 0 < value("memory_usage_bytes") < 96 << 20
  assert value("cpu_seconds_total") > 0
  assert value("pids") >= len(instance.inside("ls -d /proc/[1-9]*").split()) - 2
  assert value("filesystem_size_bytes") > value("filesystem_avail_bytes") > 0
  cluster.master.run("ping", "-c3", "-W5", "-s1000", instance.address)
  out = instance.node.run("ganeti-lxc-metrics")
  for direction in ("receive", "transmit"):
    assert value(f"network_{direction}_bytes_total") > 3000
  for direction in ("read", "written"):
    assert value(f"io_{direction}_bytes_total") >= 0


@pytest.mark.criu
def test_figures_of_a_migration(cluster: Cluster) -> None:
  instance = cluster.add(hv=("num_ttys=0",))
  source = instance.node

  def counted() -> dict[str, float]:
    lines = source.run("ganeti-lxc-metrics").splitlines()
    pairs = (line.rpartition(" ") for line in lines if line[0] != "#")
    return {
      name.removeprefix("ganeti_lxc_"): float(value)
      for name, _, value in pairs
      if name.startswith("ganeti_lxc_migration")
    }

  before = counted()
  instance.gnt("migrate", "-f")
  after = counted()
  grown = {name: after[name] - before.get(name, 0) for name in after}
  assert grown['migrations_total{outcome="succeeded"}'] == 1
  assert grown["migration_sent_bytes_total"] > 10_000
  frozen = grown["migration_frozen_seconds_total"]
  assert 0 < frozen < grown["migration_seconds_total"]


def test_figures_in_a_file_for_the_textfile_collector(
  cluster: Cluster,
) -> None:
  instance = cluster.add()
  node = instance.node
  node.run("ganeti-lxc-metrics", "/run/lxc.prom")
  assert node.run("stat", "-c", "%a", "/run/lxc.prom").strip() == "644"
  running = f'{{instance="{instance.name}",state="running"}} 1'
  assert running in node.run("cat", "/run/lxc.prom")
  instance.gnt("shutdown")
  node.run("ganeti-lxc-metrics", "/run/lxc.prom")
  assert instance.name not in node.run("cat", "/run/lxc.prom")
  node.run("rm", "/run/lxc.prom")
  done = node.try_run("ganeti-lxc-metrics", "/nowhere/lxc.prom")
  assert done.status == 1
  assert "cannot be written" in done.output
  assert "Traceback" not in done.output


def test_errors_are_counted(cluster: Cluster) -> None:
  instance = cluster.add(more=("--no-start",))
  node = instance.node

  def count() -> float:
    out = node.run("ganeti-lxc-metrics")
    name = 'ganeti_lxc_driver_errors_total{outcome="refused"}'
    found = [s for s in out.splitlines() if s.startswith(name)]
    return float(found[0].split()[-1]) if found else 0

  before = count()
  instance.gnt("modify", "-H", "extra_cgroups=nonsense")
  instance.refused("startup")
  assert count() > before
