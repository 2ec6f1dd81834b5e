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
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import hierarchies
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.migration import netlock
from unit.hypervisor.hv_lxc.fakes import INIT, NAME, FakeLxc

OURS = "CRIU-f8cdc219-95a8-4a69-8a"


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  made = FakeLxc(tmp_path)
  made.populate()
  return made


def enter(node: FakeLxc, *words: str) -> tuple[str, ...]:
  return ("nsenter", f"--net={node.host.proc}/{INIT}/ns/net", *words)


def answer(node: FakeLxc, tables: str, *, delete: int = 0) -> None:
  node.run.on(enter(node, "nft", "-j"), tables)
  node.run.on(enter(node, "nft", "delete"), delete)
  for program in ("iptables", "ip6tables"):
    node.run.on(enter(node, program), 1)


def listed(*names: str, family: str = "inet") -> str:
  tables = [{"table": {"family": family, "name": name}} for name in names]
  return json.dumps({"nftables": [{"metainfo": {}}, *tables]})


def deleted(node: FakeLxc) -> list[str]:
  start = enter(node, "nft", "delete", "table", "inet")
  size = len(start)
  return [call[size] for call in node.run.calls if call[:size] == start]


def release(node: FakeLxc) -> None:
  netlock.release(node.host, hierarchies.find(node.host), NAME, INIT)


def test_table_of_the_other_node_does_not_cut_the_guest_off(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  """CRIU 3.17 restores it, and looks for one with another number."""
  answer(node, "")
  rules = "table inet mine {\n}\ntable inet CRIU-2477 {\n\tchain output {\n"
  (tmp_path / "nftables-9.img").write_text(rules)
  netlock.end_restored(node.host, tmp_path, NAME, INIT)
  assert deleted(node) == ["CRIU-2477"]


def test_table_that_criu_takes_away_itself_is_left_to_it(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  answer(node, "")
  rules = f"table inet {OURS} {{\n\t# table inet CRIU-7 {{\n}}\n"
  (tmp_path / "nftables-9.img").write_text(rules)
  netlock.end_restored(node.host, tmp_path, NAME, INIT)
  assert not node.run.calls


def test_restored_table_that_stays_is_an_error(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  answer(node, "", delete=1)
  (tmp_path / "nftables-9.img").write_text("table inet CRIU-7 {\n}\n")
  with pytest.raises(Failed, match="cut off from its network"):
    netlock.end_restored(node.host, tmp_path, NAME, INIT)


def test_only_criu_s_own_table_is_taken_away(node: FakeLxc) -> None:
  answer(node, listed("filter", OURS, "CRIU-$(x)", "MY-CRIU-1"))
  release(node)
  assert deleted(node) == [OURS]


@pytest.mark.parametrize("text", ["", "[]", '{"nftables": [{"table": 1}]}'])
def test_unexpected_answer_is_passed_over(node: FakeLxc, text: str) -> None:
  answer(node, text)
  release(node)
  assert deleted(node) == []


def test_table_that_stays_is_an_error(node: FakeLxc) -> None:
  answer(node, listed(OURS), delete=1)
  with pytest.raises(Failed, match="cut off from its network"):
    release(node)


def test_chain_of_iptables(node: FakeLxc) -> None:
  answer(node, listed())
  node.run.on(enter(node, "iptables"), 0)
  release(node)
  words = [c[3:] for c in node.run.calls if c[2] == "iptables"]
  assert words == [
    ("-w", "-n", "-L", "CRIU"),
    ("-w", "-D", "INPUT", "-j", "CRIU"),
    ("-w", "-D", "OUTPUT", "-j", "CRIU"),
    ("-w", "-F", "CRIU"),
    ("-w", "-X", "CRIU"),
  ]


def test_chain_that_stays_is_an_error(node: FakeLxc) -> None:
  answer(node, listed())
  node.run.on(enter(node, "ip6tables"), 0)
  node.run.on(
    enter(node, "ip6tables", "-w", "-X"),
    lambda argv: Result(argv, 1, "", "CRIU: Too many links"),
  )
  with pytest.raises(Failed, match="Too many links"):
    release(node)
