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

"""The hooks of NICs with real interfaces and Ganeti's own scripts."""

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import nic_links, nics, uplinks
from ganeti.hypervisor.hv_lxc.command import run
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.model import NicMode
from integration.hv_lxc.hooked_nic import (
  INSTANCE,
  KVM_IFUP,
  TAP,
  UUID,
  make_nic,
  write_script,
)
from integration.hv_lxc.netns import Network, network


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Network]:
  assert KVM_IFUP.exists(), "Debian's package ganeti is not installed"
  with network(tmp_path) as made:
    yield made


def vlans(net: Network, port: str) -> dict[int, list[str]]:
  """The VLANs of a bridge's port, with what is special about each."""
  shown = json.loads(net.do(f"bridge -json vlan show dev {port}"))
  entries = [entry for one in shown for entry in one["vlans"]]
  return {entry["vlan"]: entry.get("flags", []) for entry in entries}


CORPUS = (
  "",
  "'",
  "''\\''",
  '"$(touch /nowhere/x)"',
  "`exit 9`",
  "$HOME ${PATH} $$ \\",
  "\n",
  "a\n\n'b\n",
  "trailing newline\n",
  "naïve ✓ \U0001f40d",
  "\u2028\x85\x1b[31m",
  "# not a comment",
  "; exit 9 & | > /dev/null <",
  "* ? [a-z] ~ {a,b} !!",
  "-n -e --",
  "\t  blanks \r",
)


def some_values() -> list[str]:
  rng = random.Random(20261121)
  odd = "'\"\\$`\n\r\t !#&*();<>?[]{}|~=%é✓\u2028\x01\x7f\U0001f40d"
  alphabet = odd + "abc019"
  return [
    "".join(rng.choices(alphabet, k=rng.randrange(1, 40))) for _ in range(500)
  ]


class TestRenderEnv:
  @pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
  @pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
  def test_a_shell_gets_every_value(
    self, net: Network, tmp_path: Path, shell: str, locale: str
  ) -> None:
    nic = make_nic(net, tmp_path)
    values = [*CORPUS, *some_values()]
    env = {f"V{index}": value for index, value in enumerate(values)}
    nic.env_file.write_text(nics.render_env(env, nic.script))
    argv = [*shell.split(), "-c", '. "$1"; exec env -0', "x"]
    result = run([*argv, str(nic.env_file)], env={"LC_ALL": locale})
    assert result.status == 0, result.evidence()
    seen = dict(e.split("=", 1) for e in result.stdout.split("\0") if e)
    assert {key: seen.get(key) for key in env} == env
    assert not {key for key in seen if key.startswith("hook_")}


class TestBridged:
  def test_attached_with_the_bridges_mtu(
    self, net: Network, tmp_path: Path
  ) -> None:
    net.do("ip link add br0 mtu 1400 type bridge")
    nic = make_nic(net, tmp_path)
    assert not nic.up().failed
    found = nic_links.state(net.host, TAP)
    assert found is not None
    assert (found.up, found.master, found.mtu) == (True, "br0", 1400)
    assert found.alias == f"ganeti-lxc:{UUID}:{INSTANCE}"
    assert nic_links.bridge_mtu(net.host, "br0") == 1400

  def test_bridge_gone(self, net: Network, tmp_path: Path) -> None:
    nic = make_nic(net, tmp_path)
    with pytest.raises(Refused, match="bridge br0, which does not exist"):
      nic_links.check(net.host, INSTANCE, nic.spec)
    result = nic.up()
    assert result.status == 1
    assert f"NIC 0 of {INSTANCE}" in result.last_line
    assert "it is not a port of bridge br0" in result.last_line
    assert nic_links.ifup_error(nic.env_file) == result.last_line

  def test_the_error_is_forgotten_when_it_works(
    self, net: Network, tmp_path: Path
  ) -> None:
    nic = make_nic(net, tmp_path)
    assert nic.up().failed
    net.do("ip link add br0 type bridge")
    assert not nic.up().failed
    assert nic_links.ifup_error(nic.env_file) == ""

  @pytest.mark.vm  # CONFIG_BRIDGE_VLAN_FILTERING
  def test_vlan(self, net: Network, tmp_path: Path) -> None:
    net.do("ip link add br0 type bridge vlan_filtering 1")
    for name in ("uplink", "tapother"):
      net.do(f"ip link add {name} type veth")
      net.do(f"ip link set {name} master br0")
    nic = make_nic(net, tmp_path, vlan=".10:20")
    record = uplinks.noted(net.host, nic.record)
    nic_links.check(net.host, INSTANCE, nic.spec)
    assert not nic.up().failed
    # And not in the default VLAN of the bridge, which is 1.
    assert vlans(net, TAP) == {10: ["PVID", "Egress Untagged"], 20: []}
    assert vlans(net, "uplink").keys() == {1, 10, 20}
    assert vlans(net, "tapother").keys() == {1}
    nic_links.teardown(net.host, [record])
    assert vlans(net, "uplink").keys() == {1}

  @pytest.mark.vm  # CONFIG_BRIDGE_VLAN_FILTERING
  def test_a_trunk_has_no_vlan_without_a_tag(
    self, net: Network, tmp_path: Path
  ) -> None:
    net.do("ip link add br0 type bridge vlan_filtering 1")
    nic = make_nic(net, tmp_path, vlan=":10:20")
    assert not nic.up().failed
    assert vlans(net, TAP) == {10: [], 20: []}

  def test_vlan_without_filtering(self, net: Network, tmp_path: Path) -> None:
    net.do("ip link add br0 type bridge")
    nic = make_nic(net, tmp_path, vlan="10")
    with pytest.raises(Refused, match="VLAN filtering is off on bridge br0"):
      nic_links.check(net.host, INSTANCE, nic.spec)
    result = nic.up()
    assert result.status == 1
    assert "VLAN filtering disabled" in result.last_line

  def test_teardown(self, net: Network, tmp_path: Path) -> None:
    net.do("ip link add br0 type bridge")
    nic = make_nic(net, tmp_path)
    assert not nic.up().failed
    for _ in range(2):
      assert not nic.down().failed
      nic_links.teardown(net.host, [nic.record])
    assert not nic_links.exists(net.host, TAP)
    assert nic_links.exists(net.host, "br0")


class TestRouted:
  @pytest.mark.parametrize(
    "kind",
    [
      ("100", "192.0.2.9", "-4"),
      ("", "192.0.2.9", "-4"),
      ("", "2001:db8::9", "-6"),
      ("100", "2001:db8::9", "-6"),
    ],
  )
  @pytest.mark.parametrize("hook", [True, False])
  def test_nothing_is_left(
    self,
    net: Network,
    tmp_path: Path,
    kind: tuple[str, str, str],
    hook: bool,
  ) -> None:
    link, ip, family = kind
    rules = net.do("ip -4 rule") + net.do("ip -6 rule")
    nic = make_nic(net, tmp_path, mode=NicMode.ROUTED, link=link, ip=ip)
    nic_links.check(net.host, INSTANCE, nic.spec)
    result = nic.up()
    assert not result.failed, result.evidence()
    routes = f"ip {family} route show table {link or 'main'}"
    assert f"{ip} dev {TAP}" in net.do(routes)
    assert (f"iif {TAP}" in net.do("ip -4 rule")) is bool(link)
    for _ in range(2):
      if hook:
        assert not nic.down().failed
      else:
        nic_links.teardown(net.host, [nic.record])
    assert net.do("ip -4 rule") + net.do("ip -6 rule") == rules
    assert TAP not in net.run(routes.split()).stdout
    assert nic_links.exists(net.host, TAP) is hook

  def test_a_rule_that_outlived_a_crash(
    self, net: Network, tmp_path: Path
  ) -> None:
    nic = make_nic(
      net, tmp_path, mode=NicMode.ROUTED, link="100", ip="192.0.2.9"
    )
    assert not nic.up().failed
    net.do(f"ip link del {TAP}")
    assert TAP in net.do("ip rule")
    nic_links.teardown(net.host, [nic.record])
    assert TAP not in net.do("ip rule")

  def test_no_such_table(self, net: Network, tmp_path: Path) -> None:
    nic = make_nic(
      net, tmp_path, mode=NicMode.ROUTED, link="xen-br0", ip="192.0.2.9"
    )
    result = nic.up()
    assert result.status == 1
    assert "it has no route in table xen-br0" in result.last_line


class TestScripts:
  def test_status_and_last_words_are_passed_on(
    self, net: Network, tmp_path: Path
  ) -> None:
    failing = write_script(tmp_path / "x", "echo one; echo two >&2; exit 7")
    nic = make_nic(net, tmp_path, path=failing)
    result = nic.up()
    assert result.status == 1
    assert result.last_line.endswith("exited with status 7: two")
    log = nic.script.log.read_text()
    assert log == f"one\ntwo\n{result.last_line}\n"

  def test_one_that_does_not_end(self, net: Network, tmp_path: Path) -> None:
    hanging = write_script(tmp_path / "x", "sleep 50")
    nic = make_nic(net, tmp_path, path=hanging, timeout_s=1)
    result = nic.up()
    assert result.status == 1
    assert "did not end within 1 s" in result.last_line

  def test_a_log_that_cannot_be_written_does_not_matter(
    self, net: Network, tmp_path: Path
  ) -> None:
    net.do("ip link add br0 type bridge")
    nic = make_nic(net, tmp_path)
    nic.script.log.mkdir()
    assert not nic.up().failed

  def test_down_without_anything(self, net: Network, tmp_path: Path) -> None:
    nic = make_nic(net, tmp_path)
    assert not nic.down().failed

  def test_the_administrators_script_gets_the_full_environment(
    self, net: Network, tmp_path: Path
  ) -> None:
    nic = make_nic(
      net, tmp_path, vlan=":10", ip="192.0.2.9", name="naïve 'x'\n$(exit)"
    )
    write_script(nic.script.override, 'env -0 >"${0%/*}/seen"')
    assert not nic.up().failed
    text = (nic.home / "etc/ganeti/seen").read_text()
    seen = dict(entry.split("=", 1) for entry in text.split("\0") if entry)
    assert {key: seen.get(key) for key in nic.env} == nic.env

  def test_a_daemon_does_not_stay_in_the_instances_cgroup(
    self, net: Network, tmp_path: Path
  ) -> None:
    nic = make_nic(net, tmp_path)
    write_script(nic.script.override, 'sleep 50 & echo $! >"${0%/*}/pid"')
    assert not nic.up().failed
    pid = int((nic.home / "etc/ganeti/pid").read_text())
    try:
      lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
      mounted = [line for line in lines if not line.endswith(":/")]
      assert mounted
      assert all(line.endswith("/ganeti-lxc-scripts") for line in mounted)
    finally:
      os.kill(pid, signal.SIGKILL)
      remove_scripts_groups(pid)


def remove_scripts_groups(pid: int) -> None:
  """Nobody else uses them on a node without a routed communication NIC."""
  assert wait_until(lambda: not Path(f"/proc/{pid}/cgroup").exists(), 10)
  for mount in Path("/proc/mounts").read_text().splitlines():
    _, mounted, kind, *_ = mount.split()
    group = Path(mounted) / "ganeti-lxc-scripts"
    if kind.startswith("cgroup") and group.exists():
      group.rmdir()
