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


"""Which of the cluster's nodes are asked."""

import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import peer

NAME = "web1.example.com"
HERE = os.uname().nodename.partition(".")[0]
PORT = 1


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))
  layout.data_dir.mkdir(parents=True)
  return Host(layout=layout, proc=tmp_path / "proc")


def has_nodes(host: Host, *lines: str) -> None:
  text = "".join(f"{line}\n" for line in lines)
  host.layout.ssconf("node_secondary_ips").write_text(text)


def test_a_start_waits_not_for_the_node_that_it_is_on(host: Host) -> None:
  """Its receiver had to answer a question of the same process's lock."""
  has_nodes(host, f"{HERE}.example.com 127.0.0.1")
  assert peer.ask_everybody(host, NAME, PORT) == []
  assert peer.own_name(host) == f"{HERE}.example.com"


@pytest.mark.parametrize(
  "line",
  # TEST-NET-1 (RFC 5737) is nowhere; the other is here under a wrong name.
  [f"{HERE}.example.org 192.0.2.7", f"not-{HERE}.example.com 127.0.0.1"],
)
def test_a_node_that_only_looks_like_this_one_is_another(
  host: Host, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  asked = []

  def ask(address: str, *_: object, **__: object) -> None:
    asked.append(address)
    raise peer.LxcError("nobody")

  monkeypatch.setattr(peer.connecting, "ask", ask)
  has_nodes(host, line)
  peer.ask_everybody(host, NAME, PORT)
  assert asked == [line.split()[1]]
  assert peer.own_name(host) == os.uname().nodename


def test_nodes_that_are_marked_offline_are_not_asked(host: Host) -> None:
  has_nodes(host, "node2.example.com 192.0.2.7")
  host.layout.ssconf("offline_nodes").write_text("node2.example.com\n")
  assert peer.ask_everybody(host, NAME, PORT) == []
