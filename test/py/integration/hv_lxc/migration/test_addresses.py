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

"""What is not as at the start in a guest's network when it is moved."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.migration.moving import (
  ADDRESS,
  ADDRESS6,
  BRIDGE,
  GATEWAY,
  PORT,
  WAIT_S,
  Moving,
  moving,
)

pytestmark = pytest.mark.criu

GATEWAY6 = "2001:db8::1/64"
FURTHER = "192.0.2.3"
BOUND_PORT = 7001
SETTINGS = {
  "core/somaxconn": "70000",
  "ipv4/ip_unprivileged_port_start": "80",
  "ipv4/ip_nonlocal_bind": "1",
  "ipv6/ip_nonlocal_bind": "0",
}


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    ip = ("ip", "addr", "add", GATEWAY6, "dev", BRIDGE, "nodad")
    subprocess.run(ip, check=True)
    yield made


def listeners(guest: Moving) -> str:
  return guest.in_its_network("ss", "-Hltn", f"sport = {BOUND_PORT}")


def listen(guest: Moving) -> None:
  serve = f"httpd -f -h /mnt -p {FURTHER}:{BOUND_PORT}"
  quiet = "</dev/null >/dev/null 2>&1"
  guest.inside("sh", "-c", f"setsid {serve} {quiet} &")
  assert wait_until(lambda: bool(listeners(guest)), WAIT_S)


def test_what_the_guest_has_set_for_its_network(guest: Moving) -> None:
  """It had the kernel's defaults again: 4096 connections could wait."""
  guest.start()
  for name, value in SETTINGS.items():
    guest.in_its_network("sh", "-c", f"echo {value} >/proc/sys/net/{name}")
  guest.move()
  for name, value in SETTINGS.items():
    file = f"/proc/sys/net/{name}"
    assert guest.in_its_network("cat", file).strip() == value, name


def test_a_daemon_that_listens_on_an_address_that_was_taken_away(
  guest: Moving,
) -> None:
  """The guest was lost: it could be restored on neither node."""
  guest.start()
  guest.in_its_network("ip", "addr", "add", f"{FURTHER}/24", "dev", "eth0")
  listen(guest)
  guest.in_its_network("ip", "addr", "del", f"{FURTHER}/24", "dev", "eth0")
  guest.move()
  assert f"{FURTHER}:{BOUND_PORT}" in listeners(guest)


@contextlib.contextmanager
def connection(guest: Moving, address: str) -> Iterator[None]:
  """One of the node's with the guest, whose address is taken away."""
  assert wait_until(
    lambda: "tentative" not in guest.inside("ip", "addr"), WAIT_S
  )
  with socket.create_connection((address, PORT), WAIT_S) as peer:
    peer.sendall(b"x")
    assert peer.recv(1) == b"x"
    length = 64 if ":" in address else 24
    guest.in_its_network(
      "ip", "addr", "del", f"{address}/{length}", "dev", "eth0"
    )
    yield


def test_a_connection_with_an_address_of_ipv6_that_was_taken_away(
  guest: Moving,
) -> None:
  """A temporary address ends while connections last; the guest was lost."""
  guest.start()
  with connection(guest, ADDRESS6):
    guest.move()


def test_a_connection_with_an_address_that_was_taken_away(
  guest: Moving,
) -> None:
  """The guest was lost: it could be restored on neither node."""
  guest.start()
  with connection(guest, ADDRESS):
    guest.move()


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_connection_with_a_peer_that_was_banned(
  guest: Moving, kind: str
) -> None:
  guest.start()
  talk = guest.talk()
  talk.exchange()
  ban = ("route", "add", kind, GATEWAY)
  guest.in_its_network("ip", *ban)
  guest.move()
  assert kind in guest.in_its_network("ip", "route")
  guest.in_its_network("ip", "route", "del", kind, GATEWAY)
  talk.exchange()
