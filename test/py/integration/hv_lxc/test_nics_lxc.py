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

"""NICs of real containers: when LXC runs the hooks, and what is left."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import nic_links, nics
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.model import NicMode, NicSpec
from integration.hv_lxc import busybox
from integration.hv_lxc.netns import Network, network

HOOKS = Path(__file__).parents[4] / "lib/hypervisor/hv_lxc"
KVM_IFUP = Path("/usr/lib/ganeti/kvm-ifup")
INSTANCE = "inst1.example.com"
TIMEOUT_S = 15
APPLETS = ("sh", "init", "ip", "sleep", "reboot", "ping", "cat")

CONFIG = """\
lxc.uts.name = inst1
lxc.hook.version = 1
lxc.rootfs.path = dir:{root}
lxc.mount.auto = proc:mixed sys:ro
lxc.cgroup.dir.container = {cgroup}/payload
lxc.cgroup.dir.monitor = {cgroup}/monitor
lxc.cgroup.dir.monitor.pivot = {cgroup}-pivot
"""


def nic(index: int, mode: NicMode, link: str, ip: str | None = None) -> NicSpec:
  uuid = f"00000000-0000-4000-8000-{index:012d}"
  return NicSpec(
    index=index,
    uuid=uuid,
    mac=f"aa:00:00:12:34:{index:02x}",
    mode=mode,
    link=link,
    ip=ip,
    host_name=nics.host_name(uuid, "", index),
  )


@dataclass
class Container:
  """A busybox container below its own lxcpath and cgroup."""

  net: Network
  top: Path
  specs: list[NicSpec] = field(default_factory=list)

  @property
  def home(self) -> Path:
    return self.top / "lxc" / INSTANCE

  @property
  def cgroup(self) -> str:
    return f"ganeti-lxc-test-{self.net.pid}"

  def call(self, tool: str, *words: str) -> Result:
    argv = [f"lxc-{tool}", "-P", str(self.home.parent), "-n", INSTANCE]
    return self.net.run([*argv, *words], timeout_s=TIMEOUT_S)

  def configure(self, *specs: NicSpec) -> None:
    self.home.mkdir(parents=True)
    self.specs = list(specs)
    lines = [] if specs else nics.no_network_lines()
    for verb in ("up", "down"):
      shutil.copy(HOOKS / f"nic-{verb}.sh", self.home / f"nic-{verb}")
      (self.home / f"nic-{verb}").chmod(0o755)
    for spec in specs:
      lines.extend(self.lines(spec))
    text = CONFIG.format(root=self.top / "root", cgroup=self.cgroup)
    text += "".join(f"{key} = {value}\n" for key, value in lines)
    (self.home / "config").write_text(text)

  def lines(self, spec: NicSpec) -> list[tuple[str, str]]:
    env = nics.script_env(
      spec, instance=INSTANCE, tags=(), network=None, path=os.environ["PATH"]
    )
    script = nics.IfupScript(
      path=KVM_IFUP,
      override=Path("/etc/ganeti/kvm-vif-bridge"),
      log=self.home / "log",
    )
    env_file = self.home / f"nic{spec.index}.env"
    env_file.write_text(nics.render_env(env, script))
    return nics.config_lines(
      spec,
      up=(str(self.home / "nic-up"), str(env_file)),
      down=(str(self.home / "nic-down"), str(env_file)),
    )

  @property
  def records(self) -> list[nics.NicRecord]:
    return [nics.NicRecord.of(spec) for spec in self.specs]

  def start(self) -> Result:
    log = str(self.top / "lxc.log")
    return self.call("start", "-o", log, "-l", "DEBUG")

  def inside(self, *argv: str) -> str:
    result = self.call("attach", "--", *argv)
    assert not result.failed, result.evidence()
    return result.stdout

  def init_pid(self) -> int:
    return int(self.call("info", "-pH").stdout or -1)

  def wait_for(self, condition: Callable[[], bool]) -> None:
    assert wait_until(condition, TIMEOUT_S)

  def runs_of(self, verb: str) -> int:
    """How often LXC has run the hook, by its own log."""
    text = (self.top / "lxc.log").read_text()
    return sum(
      "Executing script" in line and f"{self.home}/nic-{verb} " in line
      for line in text.splitlines()
    )

  def links(self) -> set[str]:
    return {entry.name for entry in (self.net.host.sys / "class/net").iterdir()}

  def destroy(self) -> None:
    self.call("stop", "-k")
    for hierarchy in Path("/sys/fs/cgroup").glob("*/"):
      for top in (hierarchy / self.cgroup, hierarchy / f"{self.cgroup}-pivot"):
        remove_cgroups(top)


def remove_cgroups(top: Path) -> None:
  if not top.exists():
    return
  for directory, _, _ in os.walk(top, topdown=False):
    procs = Path(directory) / "cgroup.procs"
    assert wait_until(lambda p=procs: not p.read_text(), TIMEOUT_S)
    Path(directory).rmdir()


def make_root(root: Path) -> None:
  """A root file system of the node's own busybox and its libraries."""
  busybox.make_root(root, applets=APPLETS, in_sbin=("init",), more=())
  (root / "etc/inittab").write_text(
    "::respawn:/bin/sleep 1000\n::ctrlaltdel:/bin/reboot\n"
  )


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
  assert KVM_IFUP.exists(), "Debian's package ganeti is not installed"
  assert shutil.which("lxc-start"), "LXC is not installed"
  make_root(tmp_path / "root")
  with network(tmp_path) as net:
    made = Container(net, tmp_path)
    try:
      yield made
    finally:
      made.destroy()


def bridged(net: Network, index: int = 0) -> NicSpec:
  if not nic_links.exists(net.host, "br0"):
    net.do("ip link add br0 type bridge")
    # Not at its creation: that MTU is forgotten with the last port.
    net.do("ip link set br0 mtu 1400")
    net.do("ip addr add 192.0.2.1/24 dev br0")
    net.do("ip link set br0 up")
  mtu = nic_links.bridge_mtu(net.host, "br0")
  return replace(nic(index, NicMode.BRIDGED, "br0"), mtu=mtu)


def test_a_bridged_nic_from_both_ends(container: Container) -> None:
  container.configure(bridged(container.net))
  result = container.start()
  assert not result.failed, result.evidence()
  (record,) = container.records
  host_end = nic_links.state(container.net.host, record.host_name)
  assert host_end is not None
  assert host_end.up
  assert host_end.carrier
  assert (host_end.master, host_end.mtu) == ("br0", 1400)
  guest_end = container.inside("/bin/ip", "link", "show", "eth0")
  assert "mtu 1400" in guest_end
  assert "aa:00:00:12:34:00" in guest_end
  assert ",UP" in guest_end
  container.inside("/bin/ip", "addr", "add", "192.0.2.9/24", "dev", "eth0")
  container.inside("/bin/ping", "-c", "1", "-w", "5", "192.0.2.1")


def test_a_routed_nic_in_a_guest_with_a_gateway_on_link(
  container: Container,
) -> None:
  net = container.net
  net.do("ip link add uplink type veth peer name outside")
  for name in ("uplink", "outside"):
    net.do(f"ip link set {name} up")
  net.do("ip addr add 198.51.100.1/24 dev uplink")
  # The host answers ARP for whatever it has a route to, elsewhere.
  net.do("ip route add default dev uplink")
  container.configure(nic(0, NicMode.ROUTED, "", "192.0.2.9"))
  result = container.start()
  assert not result.failed, result.evidence()
  for words in (
    "addr add 192.0.2.9/32 dev eth0",
    "route add 169.254.1.1 dev eth0",
    "route add default via 169.254.1.1 dev eth0",
  ):
    container.inside("/bin/ip", *words.split())
  container.inside("/bin/ping", "-c", "1", "-w", "5", "198.51.100.1")
  container.call("stop", "-k")
  assert "192.0.2.9" not in net.do("ip route")


def test_hooks_run_again_when_the_guest_reboots(container: Container) -> None:
  container.configure(bridged(container.net), bridged(container.net, 1))
  assert not container.start().failed
  assert (container.runs_of("up"), container.runs_of("down")) == (2, 0)
  first = container.init_pid()
  # The session is killed by the reboot that it asks for, sooner or later.
  container.call("attach", "--", "/bin/reboot")
  container.wait_for(lambda: container.runs_of("up") == 4)
  container.wait_for(lambda: container.init_pid() not in (first, -1))
  assert container.runs_of("down") == 2
  for record in container.records:
    found = nic_links.state(container.net.host, record.host_name)
    assert found is not None
    assert (found.master, found.mtu) == ("br0", 1400)
  mtu = container.inside("/bin/cat", "/sys/class/net/eth1/mtu")
  assert mtu.strip() == "1400"


def test_the_down_hook_runs_when_init_dies(container: Container) -> None:
  before = container.links()
  spec = nic(0, NicMode.ROUTED, "100", "192.0.2.9")
  container.configure(spec)
  assert not container.start().failed
  assert spec.host_name in container.net.do("ip rule")
  os.kill(container.init_pid(), signal.SIGKILL)
  container.wait_for(lambda: container.runs_of("down") == 1)
  container.wait_for(lambda: container.links() == before)
  assert spec.host_name not in container.net.do("ip rule")


def test_no_hook_runs_when_the_monitor_is_killed(container: Container) -> None:
  before = container.links()
  spec = nic(0, NicMode.ROUTED, "100", "192.0.2.9")
  container.configure(spec)
  assert not container.start().failed
  status = Path(f"/proc/{container.init_pid()}/status").read_text()
  monitor = int(status.split("PPid:")[1].split()[0])
  os.kill(monitor, signal.SIGKILL)
  container.wait_for(lambda: container.init_pid() == -1)
  assert container.runs_of("down") == 0
  assert spec.host_name in container.net.do("ip rule")
  nic_links.teardown(container.net.host, container.records)
  assert container.links() == before
  assert spec.host_name not in container.net.do("ip rule")


def test_the_second_nic_cannot_be_attached(container: Container) -> None:
  before = container.links()
  first = nic(0, NicMode.ROUTED, "100", "192.0.2.9")
  container.configure(first, nic(1, NicMode.BRIDGED, "gone"))
  assert container.start().failed
  error = nic_links.ifup_error(container.home / "nic1.env")
  assert f"NIC 1 of {INSTANCE}" in error
  assert "it is not a port of bridge gone" in error
  # LXC undoes nothing of the first one.
  assert container.runs_of("down") == 0
  assert first.host_name in container.net.do("ip rule")
  nic_links.teardown(container.net.host, container.records)
  container.wait_for(lambda: container.links() == before)
  assert first.host_name not in container.net.do("ip rule")


def test_without_a_nic_the_guest_has_a_loopback_alone(
  container: Container,
) -> None:
  bridged(container.net)
  container.configure()
  assert not container.start().failed
  shown = container.inside("/bin/ip", "link")
  assert "LOOPBACK,UP" in shown
  assert "br0" not in shown
  pids = (container.init_pid(), container.net.pid)
  guests, hosts = (Path(f"/proc/{pid}/ns/net").readlink() for pid in pids)
  assert guests != hosts
