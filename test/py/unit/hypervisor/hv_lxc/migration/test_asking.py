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


"""A node that is about to boot an instance asks those that may have it."""

import os
import pathlib
import shutil
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc import stopping
from ganeti.hypervisor.hv_lxc.errors import Incomplete, Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import calls, peer, target, tls, turns
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.channel import Channel
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.messages import Closed
from ganeti.hypervisor.hv_lxc.migration.states import Event, State
from unit.hypervisor.hv_lxc.migration.two_nodes import LOOPBACK, TwoNodes

NAME = "web1.example.com"


@pytest.fixture
def booting(tmp_path: pathlib.Path, certificate: pathlib.Path) -> Host:
  """The node that is about to boot it, of a cluster of two."""
  layout = Layout.below(*(str(tmp_path / "u" / n) for n in "drlc"))
  layout.data_dir.mkdir(parents=True)
  shutil.copy(certificate, layout.certificate)
  other = f"not-{os.uname().nodename.partition('.')[0]}.example.com"
  layout.ssconf("node_secondary_ips").write_text(f"{other} {LOOPBACK}\n")
  return Host(layout=layout)


@pytest.fixture
def ended(node: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
  """The node that it was migrated to, where it has ended."""
  monkeypatch.setattr(target.hierarchies, "find", lambda _: None)
  monkeypatch.setattr(target.cgroup, "is_running", lambda *_: False)
  journals.save(
    node, Journal(name=NAME, id="m1", state=State.RESUMED, role=Role.TARGET)
  )
  return node


def ask(
  booting: Host, nodes: TwoNodes, does: Callable[[Channel], None]
) -> list[Event]:
  """What it hears when the other node does this."""

  def answer() -> None:
    with nodes.accept() as channel:
      assert channel.booting == NAME
      does(channel)

  answered = nodes.aside(answer)
  try:
    return peer.ask_everybody(booting, NAME, nodes.port)
  finally:
    answered.result()


def test_mounted_a_disk_that_was_still_mounted_on_the_other(
  booting: Host,
  ended: Host,
  nodes: TwoNodes,
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """It said that it could not unmount it, which was taken for silence."""

  def clean_up(*_: object) -> None:
    raise Incomplete("its rootfs cannot be unmounted")

  def answer(channel: Channel) -> None:
    target._serve(ended, None, channel, turns.Turns())  # type: ignore[arg-type]

  monkeypatch.setattr(stopping, "clean_up", clean_up)
  with pytest.raises(Refused) as caught:
    ask(booting, nodes, answer)
  assert f"Instance {NAME} may be on node {LOOPBACK}" in str(caught.value)
  assert "its rootfs cannot be unmounted" in str(caught.value)
  assert journals.load(ended, NAME).state is State.RESUMED


@pytest.mark.parametrize(
  "does",
  [
    # It is killed, or works for longer than anybody waits.
    lambda channel: channel.close(),
    lambda channel: channel.pause(0.3),
    lambda channel: channel.give_up("journal.json is damaged"),
  ],
)
def test_a_node_that_was_asked_has_to_say(
  booting: Host,
  nodes: TwoNodes,
  monkeypatch: pytest.MonkeyPatch,
  does: Callable[[Channel], None],
) -> None:
  monkeypatch.setattr(peer, "_ANSWER_ALL_S", 0.1)
  with pytest.raises(Refused, match="may be on node"):
    ask(booting, nodes, does)


def test_nothing_is_started_then(booting: Host, nodes: TwoNodes) -> None:
  started: list[bool] = []

  def start() -> None:
    calls.start(
      booting,
      None,  # type: ignore[arg-type]
      NAME,
      lambda: started.append(True),
      port=nodes.port,
    )

  def say(does: Callable[[Channel], None]) -> None:
    with nodes.accept() as channel:
      does(channel)

  said = nodes.aside(lambda: say(lambda channel: channel.give_up("full")))
  with pytest.raises(Refused):
    start()
  said.result()
  assert not started
  said = nodes.aside(lambda: say(lambda channel: channel.send(Closed())))
  start()
  said.result()
  assert started


def test_an_answer_is_waited_for(
  booting: Host, nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
  """As long as its disks may take to be unmounted."""
  monkeypatch.setattr(peer, "_CONNECT_S", 0.2)

  def slowly(channel: Channel) -> None:
    channel.pause(0.5)
    channel.send(Closed())

  assert ask(booting, nodes, slowly) == [Event.PEER_CLOSED]


def test_a_node_on_which_nobody_listens_is_passed_over(booting: Host) -> None:
  with tls.listen(LOOPBACK, 0) as free:
    port = free.getsockname()[1]
  assert peer.ask_everybody(booting, NAME, port) == [Event.PEER_SILENT]
