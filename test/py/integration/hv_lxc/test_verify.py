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

"""Verify on this very node: its kernel, its LXC, its commands."""

import pathlib
import re
import subprocess

import pytest
from ganeti.hypervisor.hv_lxc import verify
from ganeti.hypervisor.hv_lxc.command import SEARCH_PATH
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

HOST = Host(
  layout=Layout.below(
    "/var/lib/ganeti", "/var/run/ganeti", "/var/log/ganeti", "/etc/ganeti"
  )
)
HIDEABLE = (
  "lxc-attach",
  "lxc-checkpoint",
  "lxc-console",
  "lxc-freeze",
  "lxc-info",
  "lxc-start",
  "lxc-stop",
  "lxc-unfreeze",
  "lxc-wait",
  "ip",
  "mount",
  "umount",
  "blkid",
)
# What lxc-checkconfig calls it, and what our line about it says. What it
# prints beside these is about LXC's version, limits and mounts.
CHECKCONFIG = {
  "Namespaces": "mnt namespaces",
  "Utsname namespace": "uts namespaces",
  "Ipc namespace": "ipc namespaces",
  "Pid namespace": "pid namespaces",
  "User namespace": "user namespaces",
  "Network namespace": "net namespaces",
  "Cgroups": "control groups",
  "Cgroup namespace": "cgroup namespaces",
  "Cgroup v1 systemd controller": "name=systemd",
  "Cgroup v1 freezer controller": "controller freezer",
  "Cgroup device": "controller devices",
  "Cgroup sched": "controller cpu ",
  "Cgroup cpu account": "cpuacct",
  "Cgroup memory controller": "controller memory",
  "Cgroup cpuset": "controller cpuset",
  "Veth pair device": "veth",
  "Macvlan": "macvlan",
  "Vlan": "8021q",
  "Bridges": "bridge",
  "Advanced netfilter": "CONFIG_NETFILTER_ADVANCED",
  "CONFIG_IP_NF_TARGET_MASQUERADE": "CONFIG_NETFILTER_XT_TARGET_MASQUERADE",
  "CONFIG_IP6_NF_TARGET_MASQUERADE": "CONFIG_NETFILTER_XT_TARGET_MASQUERADE",
  "CONFIG_NETFILTER_XT_TARGET_CHECKSUM": "CONFIG_NETFILTER_XT_TARGET_CHECKSUM",
  "CONFIG_NETFILTER_XT_MATCH_COMMENT": "CONFIG_NETFILTER_XT_MATCH_COMMENT",
  "FUSE (for use with lxcfs)": "fuse",
  "checkpoint restore": "cannot checkpoint",
  "CONFIG_FHANDLE": "CONFIG_FHANDLE",
  "CONFIG_EVENTFD": "CONFIG_EVENTFD",
  "CONFIG_EPOLL": "CONFIG_EPOLL",
  "CONFIG_UNIX_DIAG": "CONFIG_UNIX_DIAG",
  "CONFIG_INET_DIAG": "CONFIG_INET_DIAG",
  "CONFIG_PACKET_DIAG": "CONFIG_PACKET_DIAG",
  "CONFIG_NETLINK_DIAG": "CONFIG_NETLINK_DIAG",
  "File capabilities": "no line: every kernel since 2.6.33 has them",
}
# Options that lxc-checkconfig wants in the configuration, although LXC does
# not use them where control groups are of version 2 alone.
V1_ONLY = ("Cgroup device", "Cgroup cpu account")


def is_pure_v2() -> bool:
  lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
  return not any(line.split()[2] == "cgroup" for line in lines)


def problems(search_path: str = SEARCH_PATH, *extra: str) -> list[str]:
  found = verify.problems(HOST, extra, search_path=search_path)
  return [str(problem) for problem in found]


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> pathlib.Path:
  """A directory with links to every program of this node."""
  for directory in SEARCH_PATH.split(":"):
    for program in pathlib.Path(directory).glob("*"):
      link = tmp_path / program.name
      if not link.is_symlink():
        link.symlink_to(program)
  return tmp_path


def test_this_node_lacks_nothing():
  assert problems() == []


def test_nothing_is_changed():
  paths = ("/proc/self/mounts", "/proc/modules", "/proc/partitions")
  places = [pathlib.Path(path) for path in paths]
  before = [path.exists() and path.read_text() for path in places]
  problems()
  verify.advice(HOST)
  assert before == [path.exists() and path.read_text() for path in places]


@pytest.mark.parametrize("name", HIDEABLE)
def test_a_command_is_hidden(programs, name):
  assert problems(str(programs)) == []
  (programs / name).unlink()
  (line,) = problems(str(programs))
  assert f"the command {name} is not in {programs} " in line
  assert "(run apt-get install --reinstall " in line


def test_lxc_is_hidden(programs):
  for tool in programs.glob("lxc-*"):
    tool.unlink()
  assert problems(str(programs)) == [
    "LXC is not installed (run apt-get install lxc)"
  ]


def test_extra_cgroups():
  assert problems(SEARCH_PATH, "blkio", "freezer") == []
  (line,) = problems(SEARCH_PATH, "blkio", "nonsense")
  assert "controller nonsense, named in the hypervisor parameter" in line


def test_the_real_version_is_read():
  answer = subprocess.run(
    ["lxc-start", "--version"], capture_output=True, text=True, check=True
  )
  assert int(answer.stdout.split(".")[0]) >= 5
  assert not any("LXC" in line for line in problems())


def test_parity_with_lxc_checkconfig():
  """What it misses, one of our lines is about; what it has, none is."""
  report = subprocess.run(
    ["lxc-checkconfig"], capture_output=True, text=True, check=False
  )
  ours = "\n".join([*problems(), *verify.advice(HOST)])
  line = re.compile(r"^(.+?): .*?(enabled|missing|required)\b", re.MULTILINE)
  states = dict(line.findall(report.stdout))
  assert len(states) > 20, report.stdout + report.stderr
  for label, state in states.items():
    if label == "Cgroup v1 clone_children flag":
      continue
    if label in V1_ONLY and is_pure_v2():
      continue
    named = CHECKCONFIG[label] in ours
    assert named == (state != "enabled"), (label, state, ours)
