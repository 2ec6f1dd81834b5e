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

"""A whole node in a directory, on which nothing is amiss.

Made after Debian 12 with control groups of version 1 and after Debian 13
with version 2 alone; tests take one thing away.
"""

import pathlib
import shutil
from collections.abc import Mapping, Sequence

from ganeti.hypervisor.hv_lxc.command import DEFAULT_TIMEOUT_S, Result
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

RELEASE = "6.1.0-18-amd64"
V1 = (
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "devices",
  "freezer",
  "pids",
  "name=systemd",
)
V2 = "cpuset cpu io memory hugetlb pids rdma misc"
COMMANDS = (
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
  "kpartx",
  "sfdisk",
  "resize2fs",
  "nft",
  "iptables-nft-restore",
  "xfs_growfs",
  "btrfs",
  "apparmor_parser",
  "criu",
)
# As in modules.dep of Debian 12 and 13.
MODULES = (
  "veth",
  "bridge",
  "8021q",
  "macvlan",
  "overlay",
  "fuse",
  "xt_MASQUERADE",
  "xt_CHECKSUM",
  "xt_comment",
  "unix_diag",
  "inet_diag",
  "tcp_diag",
  "udp_diag",
  "af_packet_diag",
  "netlink_diag",
)
OPTIONS = (
  "CFS_BANDWIDTH",
  "CGROUP_BPF",
  "EPOLL",
  "EVENTFD",
  "FHANDLE",
  "NETFILTER_ADVANCED",
)
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time")


class FakeNode:
  """The directory, with handles to change it."""

  def __init__(self, root: pathlib.Path) -> None:
    self.root = root
    self.lxc_version = "5.0.2\n"
    self.criu = Result(("criu", "check"), 0, "Looks good.\n")
    self.criu_version = "Version: 4.2\n"
    self.criu_lacks: set[str] = set()
    self.started: list[tuple[str, ...]] = []

  @property
  def host(self) -> Host:
    root = self.root
    return Host(
      layout=Layout.below(
        *(str(self.root / top) for top in ("data", "run", "log", "etc"))
      ),
      run=self.run,
      proc=root / "proc",
      sys=root / "sys",
      dev=root / "dev",
    )

  def run(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    self.started.append(tuple(argv))
    if tuple(argv) == ("criu", "check"):
      return self.criu
    if tuple(argv) == ("criu", "--version"):
      return Result(tuple(argv), 0, self.criu_version)
    if tuple(argv[:3]) == ("criu", "check", "--feature"):
      return Result(tuple(argv), int(argv[3] in self.criu_lacks))
    assert tuple(argv) == ("lxc-start", "--version")
    return Result(tuple(argv), 0, self.lxc_version)

  def path(self, path: str) -> pathlib.Path:
    return self.root / path

  def read(self, path: str) -> str:
    return self.path(path).read_text()

  def write(self, path: str, text: str = "") -> None:
    self.path(path).parent.mkdir(parents=True, exist_ok=True)
    self.path(path).write_text(text)

  def remove(self, path: str) -> None:
    if self.path(path).is_dir():
      shutil.rmtree(self.path(path))
    else:
      self.path(path).unlink()

  def drop_line(self, path: str, word: str) -> None:
    """Takes the lines out that hold a word; at least one does."""
    lines = self.read(path).splitlines(keepends=True)
    left = [line for line in lines if word not in line]
    assert len(left) < len(lines), (path, word)
    self.write(path, "".join(left))

  def replace(self, path: str, old: str, new: str) -> None:
    text = self.read(path)
    assert old in text, (path, old)
    self.write(path, text.replace(old, new))

  def drop_module(self, name: str) -> None:
    self.drop_line(f"lib/modules/{RELEASE}/modules.dep", f"/{name}.ko")

  def add_v1(self, controllers: str, where: str = "sys/fs/cgroup") -> None:
    """Mounts a hierarchy of version 1."""
    name = controllers.removeprefix("name=")
    point = self.path(f"{where}/{name}")
    point.mkdir(parents=True)
    number = len(self.read("proc/1/cgroup").splitlines()) + 1
    self._append("proc/1/cgroup", f"{number}:{controllers}:/init.scope\n")
    self._append(
      "proc/self/mountinfo",
      f"{30 + number} 25 0:{30 + number} / {point} rw,relatime shared:9 -"
      f" cgroup cgroup rw,{controllers}\n",
    )

  def drop_v1(self, controller: str) -> None:
    """Unmounts it; the kernel still has it."""
    self.drop_line("proc/1/cgroup", f":{controller}:")
    self.drop_line("proc/self/mountinfo", f"rw,{controller}\n")

  def add_v2(self, where: str, controllers: str) -> None:
    """Mounts the hierarchy of version 2; it is the machine's own root."""
    point = self.path(where)
    point.mkdir(parents=True, exist_ok=True)
    self._append("proc/1/cgroup", "0::/init.scope\n")
    self._append(
      "proc/self/mountinfo",
      f"29 25 0:29 / {point} rw,nosuid shared:8 - cgroup2 cgroup2"
      " rw,nsdelegate\n",
    )
    self.write(f"{where}/cgroup.controllers", f"{controllers}\n")
    self.write(f"{where}/cgroup.subtree_control", "memory pids\n")
    self.write(f"{where}/cgroup.procs", "1\n")

  def _append(self, path: str, text: str) -> None:
    with self.path(path).open("a") as stream:
      stream.write(text)

  def contents(self) -> dict[str, tuple[int, str]]:
    """Everything in it, to see whether it was changed."""
    return {
      str(path): (path.lstat().st_mtime_ns, path.read_text())
      for path in self.root.rglob("*")
      if path.is_file()
    }


def make(root: pathlib.Path) -> FakeNode:
  """A node without control groups, on which all else is there."""
  node = FakeNode(root)
  _kernel(node)
  _namespaces(node)
  _programs(node)
  for name in ("ptmx", "loop-control", "loop0", "loop1"):
    node.write(f"dev/{name}")
  node.write("proc/self/mounts", f"udev {root}/dev devtmpfs rw 0 0\n")
  node.write("proc/1/cgroup")
  node.write("proc/self/mountinfo")
  node.write("sys/module/apparmor/parameters/enabled", "Y\n")
  node.write(
    "sys/kernel/security/apparmor/profiles",
    "lxc-container-default-cgns (enforce)\n/usr/bin/lxc-start (enforce)\n",
  )
  node.write("etc/apparmor.d/lxc-containers", "#include <tunables/global>\n")
  node.write("etc/lxc/lxc.conf", "lxc.lxcpath = /var/lib/lxc\n")
  node.write("sys/devices/system/cpu/isolated", "\n")
  return node


def _kernel(node: FakeNode) -> None:
  node.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n")
  node.write("proc/filesystems", "nodev\tproc\nnodev\tdevpts\n\text4\n")
  node.write("proc/misc", "237 loop-control\n236 device-mapper\n200 tun\n")
  node.write(
    "proc/devices",
    "Character devices:\n  5 /dev/ptmx\n\nBlock devices:\n  7 loop\n"
    "259 blkext\n",
  )
  node.write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 ...\n")
  names = [*V1[:-1], "blkio", "net_cls"]
  lines = [f"{name}\t0\t1\t1\n" for name in names]
  node.write("proc/cgroups", "#subsys_name hierarchy\n" + "".join(lines))
  for name, text in (
    ("osrelease", RELEASE),
    ("modules_disabled", "0"),
    ("ns_last_pid", "4711"),
    ("unprivileged_bpf_disabled", "2"),
    ("seccomp/actions_avail", "kill_process kill_thread trap errno allow"),
  ):
    node.write(f"proc/sys/kernel/{name}", f"{text}\n")
  paths = [f"kernel/net/{name.replace('_d', '-d')}.ko.xz:" for name in MODULES]
  node.write(f"lib/modules/{RELEASE}/modules.dep", "\n".join(paths) + "\n")
  node.write(f"lib/modules/{RELEASE}/modules.builtin", "kernel/fs/ext4.ko\n")
  options = "".join(f"CONFIG_{option}=y\n" for option in OPTIONS)
  node.write(f"boot/config-{RELEASE}", options)


def _namespaces(node: FakeNode) -> None:
  for kind in NAMESPACES:
    node.path("proc/self/ns").mkdir(parents=True, exist_ok=True)
    node.path(f"proc/self/ns/{kind}").symlink_to(f"{kind}:[4026531835]")
    node.write(f"proc/sys/user/max_{kind}_namespaces", "94866\n")


def _programs(node: FakeNode) -> None:
  for name in COMMANDS:
    node.write(f"bin/{name}", "#!/bin/false\n")
    node.path(f"bin/{name}").chmod(0o755)


def debian_12_v1(root: pathlib.Path) -> FakeNode:
  """LXC 5, and every controller in a v1 hierarchy of its own."""
  node = make(root)
  for controllers in V1:
    node.add_v1(controllers)
  top = "sys/fs/cgroup"
  node.write(f"{top}/cpu/cpu.cfs_quota_us", "-1\n")
  node.write(f"{top}/cpuset/cpuset.cpus", "0-3\n")
  node.write(f"{top}/cpuset/cpuset.mems", "0\n")
  node.write(f"{top}/memory/memory.memsw.limit_in_bytes", "1\n")
  return node


def debian_12_hybrid(root: pathlib.Path) -> FakeNode:
  """As above, with a v2 hierarchy that has hardly a controller."""
  node = debian_12_v1(root)
  node.add_v2("sys/fs/cgroup/unified", "hugetlb")
  return node


def debian_13_v2(root: pathlib.Path) -> FakeNode:
  """LXC 6, and nothing but version 2."""
  node = make(root)
  node.lxc_version = "6.0.4\n"
  node.add_v2("sys/fs/cgroup", V2)
  node.write("sys/fs/cgroup/cpuset.cpus.effective", "0-3\n")
  node.write("sys/fs/cgroup/cpuset.mems.effective", "0\n")
  return node
