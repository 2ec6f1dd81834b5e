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

"""A node in a directory, with an LXC and disks that only pretend.

What is started, mounted or attached is written where the driver looks for
it (mountinfo, control groups, network interfaces), so that a test can ask
the node what is left of an instance instead of asking which calls were
made.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import host as host_module
from ganeti.hypervisor.hv_lxc.command import DEFAULT_TIMEOUT_S, Result
from ganeti.hypervisor.hv_lxc.devices import DeviceRule
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import InstancePaths, Layout
from ganeti.hypervisor.hv_lxc.model import (
  DiskSpec,
  Limits,
  NicMode,
  NicSpec,
  Params,
)
from ganeti.hypervisor.hv_lxc.nics import IfupScript
from ganeti.hypervisor.hv_lxc.partitions import AttachedDisk
from ganeti.hypervisor.hv_lxc.request import StartRequest

NAME = "web1.example.com"
UUID = "8f9d4a5c-1c11-4a34-9a8e-0e6a9b1f2c3d"
BOOT_ID = "3d1b6c38-8f0e-4d0e-a9a4-5a2b3f2b7a11"
# Beyond the largest number that a process can have (PID_MAX_LIMIT).
MONITOR = (1 << 22) + 1
INIT = (1 << 22) + 2
SHELL = (1 << 22) + 3

Reply = int | str | Result | BaseException | Callable[[tuple[str, ...]], Any]


class FakeRun:
  """Answers for programs, by the first words of the command.

  A number is an exit status, a text the standard output, an exception is
  raised, a function is called with the command and returns one of these.
  A program without an answer fails the test.
  """

  def __init__(
    self, replies: Mapping[str | tuple[str, ...], Reply] | None = None
  ) -> None:
    self.replies: dict[tuple[str, ...], Reply] = {}
    self.calls: list[tuple[str, ...]] = []
    self.before: Callable[[tuple[str, ...]], None] = lambda _argv: None
    self.after: Callable[[tuple[str, ...]], None] = lambda _argv: None
    for words, reply in (replies or {}).items():
      self.on(words, reply)

  def on(self, words: str | tuple[str, ...], reply: Reply) -> None:
    """Answers commands that begin with these words; longest match wins."""
    key = (words,) if isinstance(words, str) else words
    self.replies[key] = reply

  def __call__(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    command = tuple(argv)
    self.calls.append(command)
    self.before(command)
    keys = [k for k in self.replies if command[: len(k)] == k]
    if not keys:
      pytest.fail(f"no answer for the command {command}")
    reply: Any = self.replies[max(keys, key=len)]
    if callable(reply) and not isinstance(reply, type):
      reply = reply(command)
    if isinstance(reply, BaseException):
      raise reply
    self.after(command)
    if isinstance(reply, Result):
      return reply
    if isinstance(reply, str):
      return Result(command, 0, reply)
    return Result(command, reply or 0)

  def named(self, program: str) -> list[tuple[str, ...]]:
    return [call for call in self.calls if call[0] == program]


class FakeStorage:
  """Disks that can be attached, by their paths."""

  def __init__(self) -> None:
    self.filesystems: dict[str, str] = {}
    self.partitions: dict[str, tuple[tuple[str, int], ...]] = {}
    self.busy: dict[str, str] = {}
    self.attached: list[str] = []
    self.owners: dict[str, str] = {}
    self.before: Callable[[str], None] = lambda _what: None
    self.after: Callable[[str], None] = lambda _what: None
    self.grown: list[tuple[dict[str, Any], int | None]] = []
    self.stuck = False

  def attach(
    self,
    path: str,
    claim: Callable[[dict[str, Any]], None],
    *,
    owner: str,
    read_only: bool,
  ) -> AttachedDisk:
    self.before(f"attach {path}")
    self.owners[path] = owner
    claim({"path": path, "complete": False})
    self.before(f"attach claimed {path}")
    self.attached.append(path)
    self.after(f"attach {path}")
    return AttachedDisk(
      device=path,
      mapping={"path": path, "complete": True},
      candidates=self.partitions.get(path, ((path, 0),)),
    )

  def detach(self, mapping: dict[str, Any]) -> None:
    self.before(f"detach {mapping['path']}")
    if self.stuck:
      raise Failed(f"{mapping['path']} is in use")
    while mapping["path"] in self.attached:
      self.attached.remove(mapping["path"])
    self.after(f"detach {mapping['path']}")

  def detach_lost(self, owner: str, devices: list[str]) -> None:
    for path in [p for p in self.attached if self.owners[p] == owner]:
      self.detach({"path": path})

  def grow(self, mapping: dict[str, Any], number: int | None) -> dict[str, Any]:
    self.grown.append((mapping, number))
    return {**mapping, "grown": True}

  def filesystem(self, device: str) -> str | None:
    self.before(f"filesystem {device}")
    return self.filesystems.get(device)

  def used_by(self, path: str) -> str | None:
    self.before(f"used_by {path}")
    return self.busy.get(path)


class FakeLxc:
  """A node with control groups of one version, LXC and mount(8)."""

  def __init__(self, top: pathlib.Path, *, version: int = 2) -> None:
    self.top = top
    self.version = version
    self.run = FakeRun()
    self.storage = FakeStorage()
    self.guest: Callable[[pathlib.Path], None] = make_guest
    self.layout = Layout.below(
      str(top / "data"), str(top / "run"), str(top / "log"), str(top / "etc")
    )
    self.host = Host(
      layout=self.layout,
      run=self.run,
      proc=top / "proc",
      sys=top / "sys",
      dev=top / "dev",
    )
    self._make_node()
    self.run.on("mount", self._mount)
    self.run.on("umount", self._umount)
    self.run.on("sync", 0)
    self.run.on("lxc-start", self._lxc_start)
    self.run.on("lxc-wait", 0)
    self.run.on("lxc-stop", self._lxc_stop)
    self.run.on(("ip", "link", "del", "dev"), self._link_del)
    self.run.on(("ip", "link", "set", "dev"), 0)

  @property
  def groups(self) -> list[pathlib.Path]:
    """The base directories of the control group trees."""
    base = self.top / "sys/fs/cgroup"
    if self.version == 2:
      return [base]
    return [base / name for name in ("freezer", "memory", "cpu", "devices")]

  def paths(self, name: str = NAME) -> InstancePaths:
    return self.layout.instance(name, UUID)

  def write(self, path: str | pathlib.Path, text: str = "") -> pathlib.Path:
    where = self.top / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(text)
    return where

  def tell(self, key: str, text: str) -> None:
    """Has Ganeti tell the node something about the cluster."""
    self.write(self.layout.ssconf(key), text)

  def _make_node(self) -> None:
    self.write("proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
    self.write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB")
    self.write("proc/uptime", "5000.00 9000.00\n")
    self.write("sys/devices/system/cpu/online", "0-3\n")
    mounts, own = [], []
    for number, base in enumerate(self.groups, 1):
      base.mkdir(parents=True)
      if self.version == 2:
        own.append("0::/init.scope\n")
        mounts.append(f"{40 + number} 25 0:29 / {base} rw - cgroup2 cgroup2 rw")
        controllers = "cpuset cpu io memory pids\n"
        (base / "cgroup.controllers").write_text(controllers)
      else:
        own.append(f"{number}:{base.name}:/init.scope\n")
        mounts.append(
          f"{40 + number} 25 0:{29 + number} / {base} rw -"
          f" cgroup cgroup rw,{base.name}"
        )
    self.write("proc/1/cgroup", "".join(own))
    self.write("proc/self/mountinfo", "".join(f"{m}\n" for m in mounts))

  # mount(8)

  @property
  def _mountinfo(self) -> pathlib.Path:
    return self.top / "proc/self/mountinfo"

  def add_mount(self, source: str, where: pathlib.Path) -> None:
    text = self._mountinfo.read_text()
    self._mountinfo.write_text(
      f"{text}99 25 7:1 / {where} rw,nodev - ext4 {source} rw\n"
    )

  def mounted(self) -> list[str]:
    """The mount points below the driver's directories."""
    lines = self._mountinfo.read_text().splitlines()
    points = [line.split(" ")[4] for line in lines]
    return [p for p in points if p.startswith(str(self.top / "data"))]

  def _mount(self, argv: tuple[str, ...]) -> int:
    where = pathlib.Path(argv[-1])
    self.add_mount(argv[-2], where)
    if where.name == "rootfs":
      self.guest(where)
    return 0

  def _umount(self, argv: tuple[str, ...]) -> int:
    lines = self._mountinfo.read_text().splitlines(keepends=True)
    for index in reversed(range(len(lines))):
      if lines[index].split(" ")[4] == argv[-1]:
        del lines[index]
        self._mountinfo.write_text("".join(lines))
        _empty(pathlib.Path(argv[-1]))
        return 0
    return 32

  # LXC

  def populate(
    self, name: str = NAME, *, init: int = INIT, nics: Sequence[str] = ()
  ) -> None:
    """Has a container run."""
    for base in self.groups:
      group = base / "ganeti-lxc" / name
      for part, pids in (("monitor", [MONITOR]), ("payload", [init])):
        (group / part).mkdir(parents=True, exist_ok=True)
        text = "".join(f"{pid}\n" for pid in pids)
        (group / part / "cgroup.procs").write_text(text)
      (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
      frozen = "freezer.state" if self.version == 1 else "cgroup.freeze"
      thawed = "THAWED\n" if self.version == 1 else "0\n"
      (group / "payload" / frozen).write_text(thawed)
    self.write(f"proc/{MONITOR}/task/{MONITOR}/children", f"{init} ")
    self.write(f"proc/{init}/status", f"Name:\tinit\nNSpid:\t{init}\t1\n")
    for nic in nics:
      self.add_link(nic)

  def depopulate(self, name: str = NAME) -> None:
    """Has a container end; groups stay, as directories without files."""
    for base in self.groups:
      for path in (base / "ganeti-lxc" / name).rglob("*"):
        if path.is_file():
          path.unlink()
    for pid in (MONITOR, INIT, SHELL):
      shutil.rmtree(self.top / f"proc/{pid}", ignore_errors=True)

  def running(self, name: str = NAME) -> bool:
    return any(
      path.read_text().strip()
      for base in self.groups
      for path in (base / "ganeti-lxc" / name).rglob("cgroup.procs")
    )

  def add_link(self, name: str, *, bridge: bool = False) -> None:
    top = f"sys/class/net/{name}"
    self.write(f"{top}/flags", "0x1003\n")
    self.write(f"{top}/mtu", "1500\n")
    self.write(f"{top}/operstate", "up\n")
    if bridge:
      self.write(f"{top}/bridge/vlan_filtering", "0\n")

  def links(self) -> list[str]:
    top = self.top / "sys/class/net"
    return sorted(p.name for p in top.iterdir() if p.name.startswith("tap"))

  def _link_del(self, argv: tuple[str, ...]) -> int:
    shutil.rmtree(self.top / "sys/class/net" / argv[-1])
    return 0

  def _lxc_start(self, argv: tuple[str, ...]) -> int:
    name = argv[argv.index("-n") + 1]
    config = (self.layout.data_dir / name / "config").read_text()
    pairs = [line.split(" = ", 1) for line in config.splitlines()]
    nics = [value for key, value in pairs if key.endswith(".veth.pair")]
    self.populate(name, nics=nics)
    return 0

  def _lxc_stop(self, argv: tuple[str, ...]) -> int:
    self.depopulate(argv[argv.index("-n") + 1])
    return 0

  # Instances

  def disk(self, index: int, *, fs_type: str | None = "ext4") -> DiskSpec:
    """A disk of the instance, without partitions."""
    path = self.write(f"images/disk{index}")
    if fs_type:
      self.storage.filesystems[str(path)] = fs_type
    return DiskSpec(index=index, uuid=f"disk-{index}", path=path)

  def left(self, name: str = NAME) -> dict[str, Any]:
    """All that is there of an instance; what is empty is left out."""
    links = self.top / "sys/class/net"
    things = {
      "processes": self.running(name),
      "mounts": self.mounted(),
      "attached": self.storage.attached,
      "links": self.links() if links.is_dir() else [],
      "groups": [
        str(base)
        for base in self.groups
        if (base / "ganeti-lxc" / name).exists()
      ],
      "home": (self.layout.data_dir / name).exists(),
    }
    return {what: value for what, value in things.items() if value}


def make_guest(root: pathlib.Path, program: str = "systemd") -> None:
  """The least root file system that the driver accepts."""
  for directory in ("dev", "proc", "sys", "run", "tmp", "etc", "sbin", "lib"):
    (root / directory).mkdir(parents=True, exist_ok=True)
  target = root / "lib" / program
  target.write_text("#!\n")
  target.chmod(0o755)
  with contextlib.suppress(FileExistsError):
    (root / "sbin/init").symlink_to(f"/lib/{program}")


def _empty(directory: pathlib.Path) -> None:
  for path in directory.iterdir():
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path)
    else:
      path.unlink()


def nic(index: int = 0, **changes: Any) -> NicSpec:
  """A bridged NIC."""
  values: dict[str, Any] = {
    "index": index,
    "uuid": f"nic-{index}",
    "mac": f"aa:00:00:00:00:0{index}",
    "mode": NicMode.BRIDGED,
    "link": "br0",
    "host_name": f"tap00000000000{index}",
    "script_env": (("INSTANCE", NAME),),
  }
  return NicSpec(**{**values, **changes})


def request(
  disks: Sequence[DiskSpec], nics: Sequence[NicSpec] = (), **changes: Any
) -> StartRequest:
  """What Ganeti asks for at a start."""
  values: dict[str, Any] = {
    "name": NAME,
    "uuid": UUID,
    "params": Params(
      devices=(DeviceRule("c", 1, 3, "rw"),),
      drop_capabilities=("sys_admin",),
    ),
    "limits": Limits(memory_mib=128),
    "disks": tuple(disks),
    "nics": tuple(nics),
    "ifup": IfupScript(
      path=pathlib.Path("/usr/lib/ganeti/kvm-ifup"),
      override=pathlib.Path("/etc/ganeti/kvm-vif-bridge"),
      log=pathlib.Path("/dev/null"),
    ),
  }
  return StartRequest(**{**values, **changes})


def watch_writes(
  monkeypatch: pytest.MonkeyPatch, seen: Callable[[str, bool], None]
) -> None:
  """Tells before (False) and after (True) any file is replaced."""
  real = host_module._replace

  def replace(path: pathlib.Path, *args: Any, **kwargs: Any) -> None:
    seen(f"write {path.name}", False)
    real(path, *args, **kwargs)
    seen(f"write {path.name}", True)

  monkeypatch.setattr(host_module, "_replace", replace)
