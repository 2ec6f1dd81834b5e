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

"""Listening to a guest whose connections go on."""

import contextlib
import errno
import itertools
import logging
import socket
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import netns, wake_peers

INIT = 4321


class Flood:
  """What a guest sends that does nothing else."""

  def __init__(self) -> None:
    self.heard = itertools.count()

  def recvfrom(self, _: int) -> tuple[bytes, tuple[Any, ...]]:
    next(self.heard)
    return b"x", ("eth0", 0x0800, socket.PACKET_OUTGOING, 1, b"")


def test_a_guest_that_sends_without_an_end_is_not_heard_out() -> None:
  """The worker waited for it for ever, with the instance's lock."""
  flood = Flood()
  assert not list(wake_peers._heard(flood))
  assert next(flood.heard) > 1


def test_a_node_without_ipv6(
  node: Host,
  monkeypatch: pytest.MonkeyPatch,
  caplog: pytest.LogCaptureFixture,
) -> None:
  """No peer was told anything there (ipv6.disable=1)."""
  caplog.set_level(logging.INFO)
  ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

  def sender(family: socket.AddressFamily) -> socket.socket:
    if family == socket.AF_INET6:
      raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
    return ends[1]

  ends[0].setblocking(False)
  monkeypatch.setattr(netns, "enter", lambda *_: None)
  monkeypatch.setattr(wake_peers, "_tap", lambda: ends[0])
  monkeypatch.setattr(wake_peers, "_sender", sender)
  with contextlib.closing(ends[1]), wake_peers.watch(node, "web1") as watch:
    watch.begin(INIT)
  assert "0 connections go on" in caplog.text
