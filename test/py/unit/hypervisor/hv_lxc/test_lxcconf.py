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

"""LXC's configuration, compared as a whole, and with what LXC knows.

GOLDEN=write in the environment writes the files anew; look at the diff.
"""

import dataclasses
import os
import pathlib
import re

import pytest
from ganeti.hypervisor.hv_lxc import (
  extraconf,
  hierarchies,
  limits,
  lxcconf,
  nics,
  paramvalues,
)
from ganeti.hypervisor.hv_lxc import params as params_module
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.guests import MANNERS
from ganeti.hypervisor.hv_lxc.hierarchies import Hierarchies, Hierarchy
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.model import (
  BlockDisk,
  ContainerSpec,
  DeviceNode,
  InitKind,
  Limits,
  MountedDisk,
)
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import NAME, UUID

GOLDEN = pathlib.Path(__file__).parent / "golden"
LAYOUT = Layout.below("/var/lib/ganeti", "/run", "/var/log/ganeti", "/etc")
PATHS = LAYOUT.instance(NAME, UUID)
DEFAULTS = params_module.parse(paramvalues.defaults())


@pytest.fixture
def v1(tmp_path: pathlib.Path) -> Hierarchies:
  """Control groups of version 1, with accounting of swap."""
  (tmp_path / "memory").mkdir()
  (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
  names = ("cpu", "cpuset", "memory", "devices", "freezer")
  return Hierarchies(
    v1=tuple(Hierarchy(1, (n,), str(tmp_path / n)) for n in names)
  )


V2 = Hierarchies(
  unified=Hierarchy(2, ("cpuset", "cpu", "memory"), "/sys/fs/cgroup")
)


def spec(init: InitKind, **changes: object) -> ContainerSpec:
  values = {
    "name": NAME,
    "uuid": UUID,
    "limits": Limits(memory_mib=128),
    "drop_capabilities": DEFAULTS.drop_capabilities,
    "devices": DEFAULTS.devices,
    "num_ttys": 6,
    "init": init,
    "halt_signal": MANNERS[init].halt_signal,
    "reboot_signal": MANNERS[init].reboot_signal,
    **changes,
  }
  return ContainerSpec(**values)


BUSYBOX = spec(InitKind.BUSYBOX, nics=(fakes.nic(),))
SYSTEMD = spec(
  InitKind.SYSTEMD,
  limits=Limits(memory_mib=2048, swap_mib=512, vcpus=2, cpuset="0-1"),
  nics=(fakes.nic(0, mtu=9000), fakes.nic(1, mac="AA:BB:CC:DD:EE:FF")),
  mounted_disks=(
    MountedDisk(index=1, source=PATHS.disk(1), target="mnt/disk1"),
    MountedDisk(
      index=2, source=PATHS.disk(2), target="mnt/disk2", read_only=True
    ),
  ),
  block_disks=(BlockDisk(index=3, node="gnt-disk3", major=252, minor=7),),
  tmp_on_tmpfs=True,
  apparmor_profile="lxc-container-default-cgns",
)
CASES = {
  "busybox": BUSYBOX,
  "systemd-v1": SYSTEMD,
  "systemd-v2": SYSTEMD,
  "read-only": dataclasses.replace(BUSYBOX, root_read_only=True),
  "no-nic": dataclasses.replace(BUSYBOX, nics=()),
  "no-ttys": dataclasses.replace(BUSYBOX, num_ttys=0, own_clock=True),
  "nothing-dropped": spec(InitKind.SYSVINIT, drop_capabilities=(), devices=()),
  "extra-config": dataclasses.replace(
    BUSYBOX,
    extra=(("lxc.environment", "A=b,c"), ("lxc.cgroup2.pids.max", "99")),
  ),
}


def rendered(case: str, v1: Hierarchies) -> str:
  return render(v1 if case.endswith("-v1") else V2, CASES[case])


def render(trees: Hierarchies, container: ContainerSpec) -> str:
  lines = [
    *lxcconf.base_lines(container, PATHS),
    *hierarchies.config_lines(container.name),
    *limits.config_lines(trees, container),
  ]
  for nic in container.nics:
    up = [str(PATHS.nic_hook("up")), str(PATHS.nic_env(nic.index))]
    down = [str(PATHS.nic_hook("down")), str(PATHS.nic_env(nic.index))]
    lines += nics.config_lines(nic, up=up, down=down)
  if not container.nics:
    lines += nics.no_network_lines()
  return lxcconf.render([*lines, *container.extra])


@pytest.mark.parametrize("case", CASES)
def test_configuration(case: str, v1: Hierarchies) -> None:
  text = rendered(case, v1)
  path = GOLDEN / f"{case}.conf"
  if os.environ.get("GOLDEN") == "write":
    path.write_text(text)
  assert text == path.read_text()


def test_every_file_is_compared() -> None:
  assert {path.stem for path in GOLDEN.glob("*.conf")} == set(CASES)


def known_keys(version: str) -> re.Pattern[str]:
  """The keys of a release, from the tables in its confile.c.

  A "*" stands for any continuation, "N" for the number of a network.
  """
  text = (GOLDEN / f"keys-lxc-{version}.txt").read_text()
  patterns = [
    re.escape(key).replace(r"\*", ".*").replace(r"net\.N\.", r"net\.\d+\.")
    # All of lxc.net.N is in the second table.
    for key in text.split()
    if key != "lxc.net.*"
  ]
  return re.compile("|".join(patterns))


@pytest.mark.parametrize("version", ["5.0.2", "6.0.4", "7.0.0"])
@pytest.mark.parametrize("case", CASES)
def test_keys_are_those_of_the_release(
  case: str, version: str, v1: Hierarchies
) -> None:
  known = known_keys(version)
  lines = rendered(case, v1).splitlines()
  keys = {line.partition(" = ")[0] for line in lines}
  unknown = {key for key in keys if not known.fullmatch(key)}
  if version == "7.0.0" and case.endswith("-v1"):
    # LXC 7 has no cgroup v1 any more.
    unknown = {k for k in unknown if not k.startswith("lxc.cgroup.")}
  assert unknown == set()


@pytest.mark.parametrize("version", ["5.0.2", "6.0.4", "7.0.0"])
def test_recorded_keys_are_those_of_now(version: str) -> None:
  known = known_keys(version)
  # Names of LXC 1, and one that was never there.
  for key in ("lxc.utsname", "lxc.tty", "lxc.network.type", "lxc.net.0.up"):
    assert not known.fullmatch(key)


@pytest.mark.parametrize("end", ["\n", "\r", "\0", "\r\n"])
@pytest.mark.parametrize(
  "change",
  [
    lambda bad: {"name": f"web{bad}lxc.hook.pre-start=/bin/sh"},
    lambda bad: {"apparmor_profile": f"a{bad}b"},
    lambda bad: {"extra": (("lxc.environment", f"A={bad}b"),)},
    lambda bad: {"halt_signal": f"SIGPWR{bad}"},
    lambda bad: {"nics": (fakes.nic(mac=f"aa{bad}"),)},
  ],
)
def test_no_value_can_begin_a_line_of_its_own(change, end: str) -> None:
  bad = dataclasses.replace(BUSYBOX, **change(end))
  with pytest.raises(Refused) as caught:
    render(V2, bad)
  assert str(caught.value).isprintable()


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("a" * 64, "a" * 64),
    (f"web.{'a' * 61}", "web"),
    ("a" * 65, "a" * 64),
    (f"{'b' * 70}.example.com", "b" * 64),
  ],
)
def test_host_names_at_the_kernels_limit(name: str, expected: str) -> None:
  assert lxcconf.host_name(name) == expected


def settings(container: ContainerSpec) -> dict[str, list[str]]:
  found: dict[str, list[str]] = {}
  for line in render(V2, container).splitlines():
    key, value = line.split(" = ", 1)
    found.setdefault(key, []).append(value)
  return found


def test_what_migration_needs_is_there_from_the_start() -> None:
  found = settings(BUSYBOX)
  assert found["lxc.rootfs.path"] == [f"dir:{PATHS.rootfs}"]
  assert found["lxc.pty.max"] == ["1"]
  assert found["lxc.cgroup.dir.container"] == [f"ganeti-lxc/{NAME}/payload"]
  assert found["lxc.net.0.veth.pair"] == ["tap000000000000"]


def test_a_container_without_nics_does_not_share_the_nodes_network() -> None:
  found = settings(dataclasses.replace(BUSYBOX, nics=()))
  assert found["lxc.net.0.type"] == ["empty"]


def test_no_mount_makes_directories_where_the_guest_may_have_links() -> None:
  for entry in settings(SYSTEMD)["lxc.mount.entry"]:
    where = entry.split()[1]
    below_a_mount_of_ours = where.startswith(("run/", "dev/"))
    assert "create=" not in entry or below_a_mount_of_ours, entry


def test_mounts_are_in_the_order_of_their_nesting() -> None:
  places = [e.split()[1] for e in settings(SYSTEMD)["lxc.mount.entry"]]
  assert places.index("run") < places.index("run/lock")
  assert not any(place.startswith("/") or ".." in place for place in places)


def test_extra_config_comes_last_so_that_it_wins() -> None:
  text = render(V2, CASES["extra-config"])
  assert text.endswith("lxc.environment = A=b,c\nlxc.cgroup2.pids.max = 99\n")


def test_hook_lines() -> None:
  nodes = (DeviceNode(path="net/tun", kind="c", major=10, minor=200, mode=438),)
  blocks = (
    BlockDisk(index=1, node="gnt-disk1", major=7, minor=1),
    BlockDisk(index=2, node="gnt-disk2", major=7, minor=2, read_only=True),
  )
  container = dataclasses.replace(BUSYBOX, nodes=nodes, block_disks=blocks)
  assert lxcconf.hook_lines(container).splitlines() == [
    "ptys 1024",
    "node c 10 200 666 net/tun",
    "node b 7 1 660 gnt-disk1",
    "node b 7 2 440 gnt-disk2",
  ]


def test_what_extra_config_may_set_is_no_key_of_ours() -> None:
  """It would come last and win."""
  ours = set(settings(SYSTEMD))
  # These add to ours or are meant to be chosen.
  may = {"lxc.cap.drop", "lxc.signal.halt", "lxc.signal.reboot"}
  for key in sorted(ours - may):
    with pytest.raises(Refused):
      extraconf.parse(f"{key}=1")
