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

"""The firewall that a guest has is there, and can be changed, after a move."""

import re
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import guest_network
from integration.hv_lxc.migration.moving import Moving

pytestmark = pytest.mark.criu

NATIVE = """\
table inet filter {
  set banned { type ipv4_addr; flags interval; elements = { 198.51.100.0/24 } }
  counter seen { }
  chain input {
    type filter hook input priority 0; policy accept;
    ip saddr @banned counter drop
    tcp dport { 22, 7000 } ct state vmap { established : accept }
    counter name seen
  }
}
"""


def rules(guest: Moving, program: str = "iptables-save") -> str:
  """Without what a counter has counted, and when it was saved."""
  text = guest.in_its_network(program)
  kept = [line for line in text.splitlines() if not line.startswith("#")]
  return re.sub(r"\[\d+:\d+\]", "", "\n".join(kept))


@pytest.mark.parametrize(
  "rule",
  [
    "-A INPUT -m recent --update --seconds 30 --hitcount 6 --name x -j DROP",
    "-A INPUT -m string --string x --algo bm -j DROP",
    "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "-t mangle -A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu",
    "-A OUTPUT -m owner --uid-owner 33 -j REJECT",
  ],
)
@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_what_iptables_has_made(guest: Moving, program: str, rule: str) -> None:
  """The guest was lost, or iptables could not change its rules any more."""
  words = rule.replace("172.17.0.0/16", "2001:db8::/64").split()
  guest.in_its_network(
    program, *(words if program == "ip6tables" else rule.split())
  )
  before = rules(guest, f"{program}-save")
  assert "-A" in before
  guest.move()
  assert rules(guest, f"{program}-save") == before
  guest.in_its_network(program, "-A", "INPUT", "-j", "ACCEPT")


def test_what_nft_has_made_next_to_it(guest: Moving, tmp_path: Path) -> None:
  file = tmp_path / "rules"
  file.write_text(NATIVE)
  guest.in_its_network("nft", "-f", str(file))
  guest.in_its_network(
    "iptables", "-A", "INPUT", "-s", "192.0.2.9", "-j", "DROP"
  )
  native = ("nft", "list", "table", "inet", "filter")
  before = guest.in_its_network(*native)
  guest.move()
  assert guest.in_its_network(*native) == before
  assert "-A INPUT -s 192.0.2.9/32 -j DROP" in rules(guest)
  assert guest.in_its_network("nft", "list", "tables").count("table") == 2


def test_what_an_old_iptables_has_made(guest: Moving) -> None:
  rule = ("-A", "INPUT", "-s", "192.0.2.9", "-j", "DROP")
  guest.in_its_network("iptables-legacy", *rule)
  before = rules(guest, "iptables-legacy-save")
  guest.move()
  assert rules(guest, "iptables-legacy-save") == before


def test_a_rule_of_nft_in_a_table_of_iptables(guest: Moving) -> None:
  """Saved by iptables it is one that drops all."""
  rule = "add rule ip filter INPUT ip saddr { 192.0.2.7, 192.0.2.9 } drop"
  guest.in_its_network("iptables", "-P", "INPUT", "ACCEPT")
  guest.in_its_network("nft", rule)
  guest.move()
  found = guest.in_its_network("nft", "list", "table", "ip", "filter")
  assert "ip saddr { 192.0.2.7, 192.0.2.9 } drop" in found


def test_a_table_that_neither_can_make_again(guest: Moving) -> None:
  """The guest was lost."""
  recent = ("-m", "recent", "--set", "--name", "x")
  guest.in_its_network("iptables", "-A", "INPUT", *recent)
  rule = "add rule ip filter INPUT ip saddr { 192.0.2.7, 192.0.2.9 } drop"
  guest.in_its_network("nft", rule)
  with pytest.raises(Refused, match="table ip filter"):
    guest_network.check(guest.host, guest.name, guest.init)
  with pytest.raises(Refused, match="table ip filter"):
    guest.dump()
  assert guest.counts_on()
