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


"""Whoever knocks: only a source that proved itself is let in."""

import contextlib
import pathlib
import socket
from collections.abc import Iterator

import pytest
from ganeti.hypervisor.hv_lxc.migration import (
  handshake,
  listener,
  messages,
  tls,
  wire,
)
from ganeti.hypervisor.hv_lxc.migration.channel import Cancelled, NoAnswer
from unit.hypervisor.hv_lxc.migration.two_nodes import (
  LOOPBACK,
  PATIENCE_S,
  TwoNodes,
)


def knock(nodes: TwoNodes) -> socket.socket:
  return socket.create_connection((LOOPBACK, nodes.port), PATIENCE_S)


@pytest.fixture
def stranger(nodes: TwoNodes) -> Iterator[socket.socket]:
  with knock(nodes) as plain:
    yield plain


def test_nobody_came(nodes: TwoNodes) -> None:
  with pytest.raises(NoAnswer):
    nodes.listener.accept(0)


def test_another_thread_can_end_it(nodes: TwoNodes) -> None:
  accepting = nodes.aside(nodes.listener.accept)
  nodes.listener.cancel()
  with pytest.raises(Cancelled):
    accepting.result(PATIENCE_S)


def test_who_says_nothing_keeps_nobody_from_connecting(
  nodes: TwoNodes,
) -> None:
  silent = [knock(nodes) for _ in range(5)]
  with nodes.link() as (source, target):
    source.send(messages.Query())
    assert target.receive(PATIENCE_S) == messages.Query()
  for plain in silent:
    plain.close()


def test_who_says_nothing_is_turned_out(
  nodes: TwoNodes,
  stranger: socket.socket,
  monkeypatch: pytest.MonkeyPatch,
  caplog: pytest.LogCaptureFixture,
) -> None:
  monkeypatch.setattr(handshake, "LIMIT_S", 0.0)
  accepting = nodes.aside(nodes.listener.accept)
  assert stranger.recv(1) == b""
  nodes.listener.cancel()
  with pytest.raises(Cancelled):
    accepting.result(PATIENCE_S)
  assert "took too long" in caplog.text


def test_the_longest_waiting_goes_when_there_are_too_many(
  nodes: TwoNodes, stranger: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(listener, "_MOST", 1)
  accepting = nodes.aside(nodes.listener.accept)
  with knock(nodes):
    assert stranger.recv(1) == b""
  nodes.listener.cancel()
  with pytest.raises(Cancelled):
    accepting.result(PATIENCE_S)


def test_plain_text_is_not_answered(
  nodes: TwoNodes, stranger: socket.socket
) -> None:
  accepting = nodes.aside(nodes.listener.accept)
  stranger.sendall(b"GET / HTTP/1.0\r\n\r\n" * 100)
  answer = b""
  try:
    while more := stranger.recv(1000):
      answer += more
  except ConnectionResetError:
    pass
  # A TLS alert at most.
  assert len(answer) <= 7
  assert not accepting.done()
  nodes.listener.cancel()


def test_without_the_clusters_key_nothing_is_heard(
  nodes: TwoNodes, stranger: socket.socket, strange_certificate: pathlib.Path
) -> None:
  nodes.aside(nodes.listener.accept)
  identity = tls.Identity.read(strange_certificate)
  # It would talk to anybody.
  context = identity.context(is_server=False)
  context.verify_mode = 0  # type: ignore[assignment]
  heard = b""
  with contextlib.suppress(OSError), context.wrap_socket(stranger) as secure:
    # With TLS 1.3 the refusal comes after our side of the handshake.
    heard = secure.recv(1)
  assert not heard
  nodes.listener.cancel()


@pytest.mark.parametrize(
  "message",
  [
    messages.Grant(),
    messages.Begin(0, "files", "a", is_program=False),
    messages.Data(0, 0, b"x" * wire.CHUNK),
    messages.Trouble("x"),
  ],
  ids=lambda m: type(m).__name__,
)
def test_with_the_clusters_key_alone_nothing_is_accepted(
  nodes: TwoNodes,
  stranger: socket.socket,
  message: messages.Message,
  caplog: pytest.LogCaptureFixture,
) -> None:
  accepting = nodes.aside(nodes.listener.accept)
  identity = tls.Identity.read(nodes.certificate)
  context = identity.context(is_server=False)
  with context.wrap_socket(stranger) as secure:
    challenge = secure.recv(1000)
    assert challenge[0] == messages.Challenge.code
    with contextlib.suppress(OSError):
      secure.sendall(wire.encode(message))
      assert secure.recv(1000) == b""
  nodes.listener.cancel()
  with pytest.raises(Cancelled):
    accepting.result(PATIENCE_S)
  assert "not expected now" in caplog.text


def test_what_was_recorded_of_a_connection_is_refused_in_another(
  nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
  hellos = []
  say = handshake._say

  def recorded(connection, message):
    if isinstance(message, messages.Hello):
      hellos.append(message)
      message = hellos[0]
    yield from say(connection, message)

  monkeypatch.setattr(handshake, "_say", recorded)
  with nodes.link():
    pass
  nodes.aside(nodes.accept)
  with pytest.raises(handshake.NotAdmitted):
    nodes.connect()
  nodes.listener.cancel()


def test_a_stranger_cannot_fill_the_log(
  nodes: TwoNodes, caplog: pytest.LogCaptureFixture
) -> None:
  for _ in range(3 * listener._MOST_LOGGED):
    nodes.listener._log("somebody", OSError("nothing"))
  assert len(caplog.records) <= listener._MOST_LOGGED + 1


def test_the_certificate_may_be_renewed_while_we_listen(
  nodes: TwoNodes, tmp_path: pathlib.Path, strange_certificate: pathlib.Path
) -> None:
  path = tmp_path / "server.pem"
  path.write_bytes(nodes.certificate.read_bytes())
  nodes.listener._certificate = path
  with nodes.link():
    pass
  path.write_bytes(strange_certificate.read_bytes())
  nodes.certificate = path
  with nodes.link():
    pass
