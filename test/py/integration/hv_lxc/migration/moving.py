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

"""A busybox guest of our driver's own start, to be moved.

Its network is a bridge of the node with a private prefix (RFC 5737).  In it
runs an echo server, a counter that writes to its disk, and a shell on its
console.
"""

import contextlib
import itertools
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pexpect
from ganeti.hypervisor.hv_lxc import (
  cgroup,
  hierarchies,
  nics,
  partitions,
  starting,
  stopping,
  terminals,
)
from ganeti.hypervisor.hv_lxc.command import Result, run
from ganeti.hypervisor.hv_lxc.devices import DeviceRule
from ganeti.hypervisor.hv_lxc.host import Host, wait_until
from ganeti.hypervisor.hv_lxc.layout import InstancePaths, Layout
from ganeti.hypervisor.hv_lxc.migration import dump, restore
from ganeti.hypervisor.hv_lxc.model import (
  DiskSpec,
  Limits,
  NicMode,
  NicSpec,
  Params,
)
from ganeti.hypervisor.hv_lxc.request import StartRequest
from integration.hv_lxc import busybox

BRIDGE = "brmig"
GATEWAY = "192.0.2.1"
ADDRESS = "192.0.2.2"
ADDRESS6 = "2001:db8::2"
PORT = 7000
WAIT_S = 20.0
MTU = 1400
# As Ganeti has them stored: none may be made.
DEVICES = tuple(
  DeviceRule("c", major, minor, "rw")
  for major, minor in (
    (1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None),
  )
)  # fmt: skip
INITTAB = """\
::sysinit:/etc/rc
::respawn:/etc/serve
::respawn:/etc/count
console::respawn:/sbin/getty 38400 console
::ctrlaltdel:/sbin/reboot
::restart:/sbin/init
"""
RC = f"""\
#!/bin/sh
ip link set lo up
ip addr add {ADDRESS}/24 dev eth0
ip -6 addr add {ADDRESS6}/64 dev eth0
ip link set eth0 up
"""
SERVE = f"#!/bin/sh\nexec nc -l -p {PORT} -e cat\n"
COUNT = """\
#!/bin/sh
i=0
while :; do i=$((i + 1)); echo $i >/var/count; sleep 0.05; done
"""
APPLETS = (
  *("sh", "init", "ip", "nc", "cat", "sleep", "reboot", "poweroff", "mknod"),
  *("head", "tty", "getty", "login", "setsid", "httpd", "mkdir", "rmdir"),
)
PASSWD = "root::0:0:root:/root:/bin/sh\n"


def make_root(root: Path) -> None:
  busybox.make_root(
    root,
    applets=APPLETS,
    in_sbin=("init", "reboot", "poweroff", "getty"),
    more=("run", "var", "mnt", "root"),
  )
  (root / "etc/inittab").write_text(INITTAB)
  (root / "etc/fstab").write_text("")
  (root / "etc/passwd").write_text(PASSWD)
  for name, text in (("rc", RC), ("serve", SERVE), ("count", COUNT)):
    (root / "etc" / name).write_text(text)
    (root / "etc" / name).chmod(0o755)


def make_disk(top: Path, name: str, source: Path | None = None) -> Path:
  path = top / f"{name}.img"
  with path.open("wb") as stream:
    stream.truncate(64 << 20)
  argv = ["mkfs.ext4", "-q", "-F"]
  result = run([*argv, *(["-d", str(source)] if source else []), str(path)])
  assert not result.failed, result.evidence()
  return path


@dataclass
class Moving:
  """An instance, and all that the tests do with it."""

  host: Host
  top: Path
  request: StartRequest
  storage: partitions.Partitions = field(default_factory=partitions.Kpartx)
  talks: list["Talk"] = field(default_factory=list)

  @property
  def name(self) -> str:
    return self.request.name

  @property
  def trees(self) -> hierarchies.Hierarchies:
    return hierarchies.find(self.host)

  @property
  def paths(self) -> InstancePaths:
    return self.host.layout.instance(self.name, self.request.uuid)

  @property
  def init(self) -> int:
    pid = cgroup.init_pid(self.host, self.trees, self.name)
    assert pid is not None
    return pid

  @property
  def running(self) -> bool:
    return cgroup.is_running(self.trees, self.name)

  def start(self) -> None:
    starting.start(self.host, self.storage, self.request)
    assert wait_until(lambda: self.count() > 0, WAIT_S)

  def dump(self, hold: Callable[[], None] = lambda: None) -> dump.DumpTimes:
    dump.save_files(self.host, self.name)
    times = dump.dump(self.host, self.name, hold=hold)
    assert not self.paths.ended.exists()
    assert not self.running
    stopping.clean_up(self.host, self.storage, self.name)
    return times

  def restore(
    self, before_release: Callable[[], None] = lambda: None
  ) -> restore.RestoreTimes:
    return restore.restore(
      self.host,
      self.storage,
      restore.RestoreRequest(
        name=self.name,
        uuid=self.request.uuid,
        disks=self.request.disks,
      ),
      before_release=before_release,
    )

  def move(self) -> None:
    self.dump()
    self.restore()
    assert self.counts_on()

  def talk(self) -> "Talk":
    self.talks.append(Talk())
    return self.talks[-1]

  def count(self) -> int:
    """How far the guest has counted, read from its disk on the node."""
    with contextlib.suppress(OSError, ValueError):
      return int((self.paths.rootfs / "var/count").read_text())
    return 0

  def counts_on(self) -> bool:
    before = self.count()
    return wait_until(lambda: self.count() > before, WAIT_S)

  def inside(self, *argv: str) -> str:
    result = self._attach(*argv)
    assert not result.failed, result.evidence()
    return result.stdout.strip()

  def in_its_network(self, *argv: str) -> str:
    """What a program of the node says that sees the guest's network."""
    enter = ("nsenter", f"--net=/proc/{self.init}/ns/net")
    result = self.host.run([*enter, *argv])
    assert not result.failed, result.evidence()
    return result.stdout

  def order(self, program: str) -> None:
    """Has the guest end; the program may be killed by what it orders."""
    self._attach(program)

  def _attach(self, *argv: str) -> Result:
    tool = ["lxc-attach", "-P", str(self.host.layout.lxcpath), "-n", self.name]
    return self.host.run([*tool, "--", *argv], timeout_s=WAIT_S)

  def limits(self) -> dict[str, str]:
    """Limits and device rules, as the kernel tells them."""
    found = {}
    for controller, pattern in (
      ("memory", "memory.*limit_in_bytes"),
      ("memory", "memory.max"),
      ("cpu", "cpu.cfs_*_us"),
      ("cpu", "cpu.max"),
      ("cpuset", "cpuset.cpus"),
      ("devices", "devices.list"),
    ):
      tree = self.trees.controller(controller)
      assert tree is not None
      for file in Path(tree.payload(self.name)).glob(pattern):
        found[file.name] = file.read_text()
    return found

  def console(self) -> str:
    """Logs in on the console, and out; what it says of itself."""
    choice = terminals.choose(self.host, self.name)
    assert choice.argv[0] == "lxc-console", choice
    with pexpect.spawn(choice.argv[0], choice.argv[1:], timeout=10) as child:
      child.expect("to exit the console")
      child.send("\r")
      child.expect("login: ")
      child.send("root\r")
      child.expect("[#$] ")
      child.send("echo $((40 + 2)) $(tty)\r")
      child.expect(r"(42 /\S+)\r")
      assert child.match is not None
      answer = str(child.match[1].decode())
      child.send("exit\r")
      child.expect("login: ")
    return answer

  def leftovers(self) -> list[str]:
    """What there is of the instance on the node."""
    found = [t.group(self.name) for t in self.trees.all]
    found += [str(self.paths.home), f"/sys/class/net/{self.nic.host_name}"]
    mounts = Path("/proc/self/mounts").read_text()
    loops = run(["losetup", "-a"]).stdout
    return [
      *(path for path in found if Path(path).exists()),
      *(line for line in mounts.splitlines() if self.name in line),
      *(line for line in loops.splitlines() if str(self.top) in line),
    ]

  @property
  def nic(self) -> NicSpec:
    return self.request.nics[0]

  def with_further_disk(self) -> "Moving":
    path = make_disk(self.top, "further")
    disk = DiskSpec(index=1, uuid="disk1", path=path)
    disks_now = (*self.request.disks, disk)
    return replace(self, request=replace(self.request, disks=disks_now))


@contextlib.contextmanager
def bridge() -> Iterator[None]:
  for line in (
    f"link add {BRIDGE} type bridge",
    # An MTU that is not set takes after the ports.
    f"link set {BRIDGE} mtu {MTU}",
    f"addr add {GATEWAY}/24 dev {BRIDGE}",
    f"link set {BRIDGE} up",
  ):
    result = run(["ip", *line.split()])
    assert not result.failed, result.evidence()
  try:
    yield
  finally:
    run(["ip", "link", "del", BRIDGE])


@contextlib.contextmanager
def moving(top: Path) -> Iterator[Moving]:
  """An instance that was not started, gone afterwards."""
  make_root(top / "root")
  identity = str(uuid.uuid4())
  name = f"move-{identity[:8]}.example.com"
  host = Host(layout=Layout.below(*(str(top / part) for part in "drlc")))
  instance = Moving(host, top, _request(top, name, identity))
  with bridge():
    try:
      yield instance
    finally:
      for talk in instance.talks:
        talk.socket.close()
      stopping.kill(host, name)
      stopping.clean_up(host, instance.storage, name)


def _request(top: Path, name: str, identity: str) -> StartRequest:
  disk = DiskSpec(
    index=0, uuid="disk0", path=make_disk(top, "root", top / "root")
  )
  nic = NicSpec(
    index=0,
    uuid=str(uuid.uuid4()),
    mac="aa:00:00:12:34:56",
    mode=NicMode.BRIDGED,
    link=BRIDGE,
    mtu=MTU,
    host_name=nics.host_name(identity, "", 0),
  )
  env = nics.script_env(
    nic, instance=name, tags=(), network=None, path=os.environ["PATH"]
  )
  script = nics.IfupScript(
    path=Path("/usr/lib/ganeti/kvm-ifup"),
    override=Path("/etc/ganeti/kvm-vif-bridge"),
    log=top / "hook.log",
  )
  return StartRequest(
    name=name,
    uuid=identity,
    params=Params(
      drop_capabilities=("sys_admin", "sys_module", "bpf"), devices=DEVICES
    ),
    limits=Limits(memory_mib=64, vcpus=1, cpuset="0"),
    disks=(disk,),
    nics=(replace(nic, script_env=tuple(env.items())),),
    ifup=script,
  )


class Talk:
  """A connection to the guest's echo server, numbered lines in order."""

  def __init__(self) -> None:
    self._numbers = itertools.count()
    assert wait_until(self._connected, WAIT_S)

  def _connected(self) -> bool:
    try:
      self.socket = socket.create_connection((ADDRESS, PORT), timeout=WAIT_S)
    except OSError:
      return False
    return True

  def exchange(self) -> float:
    """Sends a line and awaits its echo; returns how long that took."""
    begun = time.monotonic()
    line = f"line {next(self._numbers)}\n".encode()
    self.socket.sendall(line)
    got = b""
    while len(got) < len(line):
      piece = self.socket.recv(len(line) - len(got))
      assert piece, "the guest closed the connection"
      got += piece
    assert got == line
    return time.monotonic() - begun
