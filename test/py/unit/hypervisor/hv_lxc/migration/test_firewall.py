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

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed, Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import firewall

NAME = "web1.example.com"
INIT = 4321

# nft indents by tabs.
NAT = """\
table ip nat {
  chain POSTROUTING {
    ip saddr 172.17.0.0/16 counter packets 3 bytes 252 masquerade
  }
}
""".replace("  ", "\t")
FILTER = """\
table inet filter {
  chain input {
    ct state vmap { established : accept }
  }
}
""".replace("  ", "\t")
SAVED = (
  "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
)
WITH_SET = "*filter\n-A INPUT -m set --match-set banned src -j DROP\nCOMMIT\n"


class Guest:
  """Answers for what is run in its network, by how a command line begins."""

  def __init__(self, host: Host) -> None:
    self.host = replace(host, run=self._run)
    self.answers: dict[str, Result] = {}
    self.asked: list[str] = []
    self.have()

  def have(self, *tables: tuple[str, str]) -> None:
    entries = [{"table": {"family": f, "name": n}} for f, n in tables]
    text = json.dumps({"nftables": [{"metainfo": {}}, *entries]})
    self.say("nft -j list tables", text)

  def say(
    self, begin: str, stdout: str = "", *, status: int = 0, stderr: str = ""
  ) -> None:
    self.answers[begin] = Result((begin,), status, stdout, stderr)

  def _run(self, argv: Sequence[str], **_: object) -> Result:
    line = " ".join(argv[2:])
    self.asked.append(line)
    for begin, answer in self.answers.items():
      if line.startswith(begin):
        return answer
    return Result(tuple(argv), 0, "", "")

  def check(self) -> list[firewall.Table]:
    return firewall.check(self.host, NAME, INIT)


@pytest.fixture
def guest(node: Host) -> Guest:
  return Guest(node)


def test_a_guest_without_rules_is_asked_once(guest: Guest) -> None:
  guest.check()
  assert guest.asked == ["nft -j list tables"]


def made_by_iptables(guest: Guest, table: str) -> None:
  """What becomes of the table "ip nat" by way of iptables."""
  guest.have(("ip", "nat"))
  guest.say("nft list table ip nat", NAT)
  guest.say('sh -c "$1"-nft-save -t', table)


def test_a_table_that_iptables_makes_again(guest: Guest) -> None:
  made_by_iptables(guest, NAT.replace("packets 3 bytes 252", ""))
  assert guest.check() == [("ip", "nat")]
  assert not any("nft -c" in line for line in guest.asked)


@pytest.mark.parametrize(
  "other",
  ["", NAT.replace("saddr", "daddr"), NAT.replace("POSTROUTING", "OUTPUT")],
)
def test_a_table_that_iptables_would_change_is_for_nft(
  guest: Guest, other: str
) -> None:
  made_by_iptables(guest, other)
  assert guest.check() == []
  assert any("nft -c -f - sh ip nat" in line for line in guest.asked)


def test_chains_that_iptables_makes_by_itself() -> None:
  more = NAT.replace("}\n}", "}\n\n\tchain OUTPUT {\n\t\ttype x\n\t}\n}")
  assert firewall.is_same(NAT, more)
  assert not firewall.is_same(more, NAT)


def test_a_set_that_iptables_does_not_know() -> None:
  both = NAT.replace("}\n}", "}\n\n\tset banned {\n\t\ttype x\n\t}\n}")
  assert not firewall.is_same(both, NAT)


def test_a_table_that_nft_cannot_read_again(guest: Guest) -> None:
  made_by_iptables(guest, "")
  guest.say("sh -c nft", status=1, stderr="syntax error")
  with pytest.raises(Refused, match=r"ip nat.* syntax error"):
    guest.check()


def test_what_an_old_nft_says_in_a_comment(guest: Guest) -> None:
  """It would be a rule without the condition, or none."""
  guest.have(("arp", "filter"))
  said = FILTER.replace("ct state", "# xt_recent counter drop")
  guest.say("nft list table arp filter", said)
  with pytest.raises(Refused, match="xt_recent"):
    guest.check()


def test_a_name_that_is_none(guest: Guest) -> None:
  guest.have(("inet", "x; flush ruleset"))
  with pytest.raises(Refused, match="flush ruleset"):
    guest.check()


@pytest.fixture
def old_iptables(guest: Guest) -> Guest:
  names = guest.host.proc / f"{INIT}/net/ip_tables_names"
  names.parent.mkdir(parents=True)
  names.write_text("filter\n")
  return guest


def test_sets_of_ipset_and_an_old_iptables(old_iptables: Guest) -> None:
  old_iptables.say("iptables-legacy-save", WITH_SET)
  with pytest.raises(Refused, match="--match-set banned"):
    old_iptables.check()


def test_an_old_iptables_that_is_not_here(old_iptables: Guest) -> None:
  old_iptables.say("iptables-legacy-save", status=127)
  with pytest.raises(Refused, match="install iptables"):
    old_iptables.check()


def test_what_an_old_iptables_has_made(
  old_iptables: Guest, tmp_path: Path
) -> None:
  """CRIU of Debian 12 forgets it."""
  firewall.save(old_iptables.host, NAME, INIT, tmp_path)
  file = tmp_path / "ganeti-iptables-legacy"
  assert old_iptables.asked[-1].endswith(
    f'-legacy-save -c >"$2" sh iptables {file}'
  )
  file.write_text("*filter\nCOMMIT\n")
  firewall.restore(old_iptables.host, INIT, tmp_path)
  assert old_iptables.asked[-1].endswith(f" sh iptables {file}")


def test_no_nft(guest: Guest) -> None:
  guest.say("nft -j list tables", status=127)
  with pytest.raises(Refused, match="install nftables"):
    guest.check()


def test_a_kernel_without_nf_tables(guest: Guest) -> None:
  guest.say("nft -j list tables", status=1, stderr="Operation not supported")
  guest.check()


@pytest.mark.parametrize("text", ["", "[]", '{"nftables": [{"table": {}}]}'])
def test_an_answer_that_is_none(guest: Guest, text: str) -> None:
  guest.say("nft -j list tables", text)
  with pytest.raises(Refused, match="nft answered"):
    guest.check()


def test_what_is_to_be_restored_by_iptables_is_not_by_criu(
  tmp_path: Path,
) -> None:
  (tmp_path / "ganeti-iptables").write_text(SAVED)
  image = tmp_path / "nftables-10.img"
  image.write_text(NAT + FILTER)
  for _ in range(2):
    firewall.mend_images(tmp_path)
    assert image.read_text() == FILTER


def test_an_image_of_which_nothing_is_left(tmp_path: Path) -> None:
  (tmp_path / "ganeti-iptables").write_text(SAVED)
  image = tmp_path / "nftables-10.img"
  image.write_text(NAT)
  firewall.mend_images(tmp_path)
  assert not image.exists()


def test_images_of_an_older_driver(tmp_path: Path, guest: Guest) -> None:
  image = tmp_path / "nftables-10.img"
  image.write_text(NAT)
  firewall.mend_images(tmp_path)
  firewall.restore(guest.host, INIT, tmp_path)
  assert image.read_text() == NAT
  assert not guest.asked


def test_a_guest_does_not_run_without_its_rules(
  tmp_path: Path, guest: Guest
) -> None:
  (tmp_path / "ganeti-ip6tables").write_text(SAVED)
  guest.say("sh", status=1, stderr="unknown match")
  with pytest.raises(Failed, match="unknown match"):
    firewall.restore(guest.host, INIT, tmp_path)


def test_rules_that_cannot_be_saved(tmp_path: Path, guest: Guest) -> None:
  made_by_iptables(guest, NAT)
  guest.say('sh -c "$1"-nft-save -c', status=1, stderr="no space")
  with pytest.raises(Failed, match="no space"):
    firewall.save(guest.host, NAME, INIT, tmp_path)
