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


"""Two nodes talk over a real connection on the loopback interface."""

import os
import pathlib
import socket
import ssl
import threading

import pytest
from ganeti.hypervisor.hv_lxc.errors import Failed, Refused
from ganeti.hypervisor.hv_lxc.migration import messages, tls
from ganeti.hypervisor.hv_lxc.migration.auth import Secret
from ganeti.hypervisor.hv_lxc.migration.channel import (
  Cancelled,
  ConnectionLost,
  NoAnswer,
  PeerTrouble,
)
from ganeti.hypervisor.hv_lxc.migration.handshake import NotAdmitted
from ganeti.hypervisor.hv_lxc.migration.messages import ProtocolError
from ganeti.hypervisor.hv_lxc.migration.wire import CHUNK, encode
from unit.hypervisor.hv_lxc.migration.two_nodes import (
  LOOPBACK,
  MIGRATION,
  PATIENCE_S,
  TwoNodes,
)


def test_messages_go_both_ways(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    source.send(messages.Query())
    assert target.receive(PATIENCE_S) == messages.Query()
    target.send(messages.State("owner", ""), messages.Resumed())
    assert source.receive(PATIENCE_S) == messages.State("owner", "")
    assert source.receive(PATIENCE_S) == messages.Resumed()
    assert target.migration == source.migration == MIGRATION


def test_large_data_arrive_whole(nodes: TwoNodes) -> None:
  data = os.urandom(CHUNK)
  with nodes.link() as (source, target):
    sent = nodes.aside(
      lambda: source.send(
        messages.Anew(0), messages.Data(0, 0, data), messages.Data(0, 9, b"x")
      )
    )
    assert target.receive(PATIENCE_S) == messages.Anew(0)
    assert target.receive(PATIENCE_S) == messages.Data(0, 0, data)
    assert target.receive(PATIENCE_S) == messages.Data(0, 9, b"x")
    sent.result(PATIENCE_S)


def test_one_thread_sends_while_another_receives(nodes: TwoNodes) -> None:
  count = 20
  data = memoryview(bytes(CHUNK))
  with nodes.link() as (source, target):

    def echo() -> None:
      for _ in range(count):
        assert isinstance(target.receive(PATIENCE_S), messages.Data)
        target.send(messages.State("ready", "x" * 1000))

    def send() -> None:
      for number in range(count):
        source.send(messages.Data(number, 0, data))

    echoed = nodes.aside(echo)
    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(count):
      assert isinstance(source.receive(PATIENCE_S), messages.State)
    sender.join()
    echoed.result(PATIENCE_S)


def test_silence_is_no_answer_and_the_connection_goes_on(
  nodes: TwoNodes,
) -> None:
  with nodes.link() as (source, target):
    with pytest.raises(NoAnswer, match=LOOPBACK):
      source.receive(0)
    target.send(messages.Ready())
    assert source.receive(PATIENCE_S) == messages.Ready()


def test_a_close_is_told(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    target.close()
    with pytest.raises(ConnectionLost, match="closed there"):
      source.receive(PATIENCE_S)


def test_a_connection_that_is_cut_is_no_close(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    # As by a killed process: TCP ends, TLS does not say so.
    target._connection._sslobj = None
    socket.socket.shutdown(target._connection, socket.SHUT_RDWR)
    with pytest.raises(ConnectionLost) as lost:
      source.receive(PATIENCE_S)
    assert "closed there" not in str(lost.value)


def test_a_message_that_was_cut_is_refused(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    whole = encode(messages.State("ready", "because"))
    target._connection.send(whole[:-3])
    target.close()
    with pytest.raises(ProtocolError, match="middle"):
      source.receive(PATIENCE_S)


def test_the_wrong_side_of_a_message_is_refused(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    target.send(messages.Grant())
    with pytest.raises(ProtocolError, match=LOOPBACK):
      source.receive(PATIENCE_S)


def test_why_the_other_side_gave_up(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    parting = nodes.aside(lambda: target.give_up("no room below /x"))
    with pytest.raises(PeerTrouble, match="no room below /x"):
      source.receive(PATIENCE_S)
    source.close()
    parting.result(PATIENCE_S)


def test_who_sends_a_lot_hears_why_the_other_side_gave_up(
  nodes: TwoNodes,
) -> None:
  data = messages.Data(0, 0, bytes(CHUNK))
  with nodes.link() as (source, target):
    parting = nodes.aside(lambda: target.give_up("no room below /x"))

    def send_for_ever() -> None:
      while True:
        source.heed()
        source.send(data)

    with pytest.raises(PeerTrouble, match="no room below /x"):
      send_for_ever()
    source.close()
    parting.result(PATIENCE_S)


def test_what_was_heeded_is_received(nodes: TwoNodes) -> None:
  with nodes.link() as (source, target):
    target.send(messages.Ready(), messages.Owner())
    assert source.receive(PATIENCE_S) == messages.Ready()
    source.heed()
    assert source.receive(0) == messages.Owner()


@pytest.mark.parametrize("call", ["receive", "send", "pause"])
def test_another_thread_can_end_a_call(nodes: TwoNodes, call: str) -> None:
  with nodes.link() as (source, _):
    data = messages.Data(0, 0, bytes(CHUNK))

    def wait() -> None:
      while True:
        if call == "receive":
          source.receive()
        elif call == "send":
          source.send(data)
        else:
          source.pause(PATIENCE_S)

    waiting = nodes.aside(wait)
    source.cancel()
    with pytest.raises(Cancelled):
      waiting.result(PATIENCE_S)


def test_close_can_be_repeated(nodes: TwoNodes) -> None:
  with nodes.link() as (source, _):
    source.close()
    source.close()


def test_another_secret_is_not_admitted(nodes: TwoNodes) -> None:
  nodes.aside(nodes.accept)
  with pytest.raises(NotAdmitted, match=rf"{LOOPBACK}.*--cleanup"):
    nodes.connect(secret=Secret.new())


def test_another_migration_is_not_admitted(nodes: TwoNodes) -> None:
  nodes.aside(nodes.accept)
  with pytest.raises(NotAdmitted):
    nodes.connect(migration="00000000-0000-4000-8000-000000000002")


def test_another_cluster_is_not_talked_to(
  nodes: TwoNodes, strange_certificate: pathlib.Path
) -> None:
  nodes.aside(nodes.accept)
  with pytest.raises(Failed, match=r"certificate.*renew-crypto"):
    nodes.connect(certificate=strange_certificate)


def test_a_target_without_the_secret_is_noticed(nodes: TwoNodes) -> None:
  """As somebody who is root on another node could listen there."""
  identity = tls.Identity.read(nodes.certificate)
  hex_256 = "0" * 64

  def pretend(listener: socket.socket) -> None:
    plain, _ = listener.accept()
    context = identity.context(is_server=True)
    with context.wrap_socket(plain, server_side=True) as connection:
      connection.sendall(encode(messages.Challenge(1, hex_256)))
      connection.recv(1000)
      connection.sendall(encode(messages.Welcome(hex_256)))

  with tls.listen(LOOPBACK, 0) as listener:
    listener.settimeout(PATIENCE_S)
    pretending = nodes.aside(lambda: pretend(listener))
    with pytest.raises(Failed, match="does not know the secret"):
      nodes.connect(port=listener.getsockname()[1])
    pretending.result(PATIENCE_S)


def test_nobody_listens(nodes: TwoNodes) -> None:
  with socket.socket() as unused:
    unused.bind((LOOPBACK, 0))
    port = unused.getsockname()[1]
    with pytest.raises(Failed, match=rf"{LOOPBACK}:{port}.*refused"):
      tls.connect(LOOPBACK, port, PATIENCE_S)


def test_a_port_that_is_taken(nodes: TwoNodes) -> None:
  with pytest.raises(Refused, match=rf"{LOOPBACK}:{nodes.port}.*ss -ltnp"):
    tls.listen(LOOPBACK, nodes.port)


@pytest.mark.parametrize("text", [None, "", "no certificate", "\udc80"])
def test_a_certificate_that_cannot_be_read(
  nodes: TwoNodes, tmp_path: pathlib.Path, text: str | None
) -> None:
  path = tmp_path / "server.pem"
  if text is not None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
  with pytest.raises(Refused, match="certificate"):
    nodes.connect(certificate=path)


def test_a_certificate_without_its_key(
  nodes: TwoNodes, tmp_path: pathlib.Path
) -> None:
  path = tmp_path / "server.pem"
  path.write_text(tls.Identity.read(nodes.certificate).pem)
  with pytest.raises(Refused, match=r"server\.pem"):
    nodes.connect(certificate=path)


def test_nothing_below_tls_1_2(nodes: TwoNodes) -> None:
  identity = tls.Identity.read(nodes.certificate)
  for is_server in (True, False):
    context = identity.context(is_server=is_server)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_tls_1_2_has_a_binding_too(
  nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
  make = tls.Identity.context

  def old(self: tls.Identity, *, is_server: bool) -> ssl.SSLContext:
    context = make(self, is_server=is_server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context

  monkeypatch.setattr(tls.Identity, "context", old)
  with nodes.link() as (source, target):
    assert source._connection.version() == "TLSv1.2"
    source.send(messages.Query())
    assert target.receive(PATIENCE_S) == messages.Query()


def test_a_dead_node_is_noticed(nodes: TwoNodes) -> None:
  with nodes.link() as ends:
    for end in ends:
      option = end._connection.getsockopt
      assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
      assert (
        option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        == tls.PEER_TIMEOUT_S * 1000
      )


def test_ipv6() -> None:
  if not pathlib.Path("/proc/net/if_inet6").exists():
    with pytest.raises((Refused, OSError)):
      tls.listen("::1", 0)
    return
  with tls.listen("::1", 0) as listener:
    port = listener.getsockname()[1]
    with tls.connect("::1", port, PATIENCE_S) as plain:
      assert plain.family == socket.AF_INET6
  assert tls.shown("::1", 5) == "[::1]:5"
