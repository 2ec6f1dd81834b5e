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

"""What a client of the guest sees of the time after a move."""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.migration.moving import (
  ADDRESS,
  ADDRESS6,
  BRIDGE,
  PORT,
  WAIT_S,
  Moving,
  moving,
)

pytestmark = pytest.mark.criu

# What the next attempt is away; 200 ms doubled five times, or what the time
# to the guest and back was on a busy machine, doubled once.
NEXT_S = 5.0
GATEWAY6 = "2001:db8::1/64"
CABLE = ("brmig-port", "brmig-end")


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    ip("addr", "add", GATEWAY6, "dev", BRIDGE, "nodad")
    # Without any port there is no carrier, and nothing is sent at all.
    port, end = CABLE
    ip("link", "add", port, "type", "veth", "peer", "name", end)
    try:
      ip("link", "set", port, "master", BRIDGE, "up")
      ip("link", "set", end, "up")
      yield made
    finally:
      ip("link", "del", port)


def ip(*argv: str) -> None:
  subprocess.run(["ip", *argv], check=True)


def state(peer: socket.socket) -> tuple[int, int, float]:
  """tcpi_state, tcpi_backoff, and tcpi_rto in seconds.

  How often the time until the next attempt was doubled, and what it is now.

  """
  info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 12)
  (rto,) = struct.unpack_from("=I", info, 8)
  return info[0], info[4], rto / 1e6


def is_far(peer: socket.socket) -> bool:
  """Whether the kernel has made an attempt, and will not soon again."""
  _, doubled, next_s = state(peer)
  return doubled > 0 and next_s >= NEXT_S


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS6])
def test_a_client_waits_no_longer_than_the_guest_stands_still(
  guest: Moving, address: str
) -> None:
  """It waited up to twice as long, until its next attempt."""
  guest.start()
  # Where nobody answers for the address, the kernel itself tells it.
  mac = guest.nic.mac
  ip("neigh", "replace", address, "lladdr", mac, "nud", "permanent",
     "dev", BRIDGE)  # fmt: skip
  # Nobody else may have that of IPv6, which the guest asks for a second.
  assert wait_until(
    lambda: "tentative" not in guest.inside("ip", "addr"), WAIT_S
  )
  with socket.create_connection((address, PORT), WAIT_S) as peer:
    peer.sendall(b"x")
    assert peer.recv(1) == b"x"
    guest.dump()
    peer.sendall(b"y")
    assert wait_until(lambda: is_far(peer), WAIT_S), state(peer)
    last, (_, _, next_s) = time.monotonic(), state(peer)
    guest.restore()
    assert peer.recv(1) == b"y"
    assert time.monotonic() - last < next_s
