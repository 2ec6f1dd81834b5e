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
"""Sockets that have joined multicast groups in a guest that is moved.

The guest has the node's socat, which can.
"""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc import nic_links
from ganeti.hypervisor.hv_lxc.command import run
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc import busybox
from integration.hv_lxc.migration.moving import (
  ADDRESS,
  BRIDGE,
  GATEWAY,
  WAIT_S,
  Moving,
  moving,
)

pytestmark = pytest.mark.criu

PORT = 7002
VRRP = 112
IP_RECVTTL = 12
GROUP, GROUP6, ROUTERS = "239.1.2.3", "ff05::1234", "224.0.0.18"
ONE_SOURCE = "232.1.2.3"
GATEWAY6 = "2001:db8::1/64"
HOPS = 255
HEARD = "mnt/heard"


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    # At once of use: there is no wait for others that might have it.
    run(["ip", "addr", "add", GATEWAY6, "dev", BRIDGE, "nodad"])
    made.start()
    socat = shutil.which("socat")
    assert socat, "socat is not installed"
    busybox.add(made.paths.rootfs, socat)
    yield made


def have_run(guest: Moving, command: str) -> None:
  quiet = "</dev/null >/dev/null 2>&1"
  guest.inside("sh", "-c", f"setsid {command} {quiet} &")


def move(guest: Moving) -> None:
  guest.dump()
  guest.restore()
  assert guest.counts_on()


def send_udp(text: bytes, group: str = GROUP) -> None:
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    through = socket.inet_aton(GATEWAY)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
    sender.sendto(text, (group, PORT))


def send_udp_from_the_source(text: bytes) -> None:
  send_udp(text, ONE_SOURCE)


def send_udp6(text: bytes) -> None:
  with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
    through = socket.if_nametoindex(BRIDGE)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, through)
    sender.sendto(text, (GROUP6, PORT))


def send_vrrp(text: bytes) -> None:
  with socket.socket(socket.AF_INET, socket.SOCK_RAW, VRRP) as sender:
    through = socket.inet_aton(GATEWAY)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
    sender.sendto(text, (ROUTERS, 0))


def hears(guest: Moving, send: Callable[[bytes], None], text: bytes) -> bool:
  heard = guest.paths.rootfs / HEARD

  def arrived() -> bool:
    send(text)
    return heard.exists() and text in heard.read_bytes()

  return wait_until(arrived, WAIT_S)


UDP = f"UDP4-RECV:{PORT},ip-add-membership={GROUP}:eth0"
UDP6 = f"UDP6-RECV:{PORT},ipv6-join-group=[{GROUP6}]:eth0"
RAW = f"IP4-RECV:{VRRP},ip-add-membership={ROUTERS}:eth0"
# IP_ADD_SOURCE_MEMBERSHIP, for which Debian 12's socat has no name (ip(7)).
SOURCE = "setsockopt-listen=0:39:x" + "".join(
  socket.inet_aton(address).hex() for address in (ONE_SOURCE, ADDRESS, GATEWAY)
)


@pytest.mark.parametrize(
  ("listen", "send"),
  [
    (UDP, send_udp),
    (UDP6, send_udp6),
    (RAW, send_vrrp),
    (f"UDP4-RECV:{PORT},{SOURCE}", send_udp_from_the_source),
  ],
  ids=["udp", "udp6", "raw", "one source"],
)
def test_a_group_is_heard(
  guest: Moving, listen: str, send: Callable[[bytes], None]
) -> None:
  """With VRRP there were two masters, since each heard nobody."""
  have_run(guest, f"socat -u {listen} OPEN:/{HEARD},creat,append")
  assert hears(guest, send, b"before")
  move(guest)
  assert hears(guest, send, b"after")


def test_what_is_sent_to_a_group_has_as_many_hops_to_go(guest: Moving) -> None:
  """Neighbours would drop it; and the sender would hear itself."""
  group = f"{GROUP}:{PORT},bind=:{PORT},ip-add-membership={GROUP}:eth0"
  way = f"ip-multicast-if={ADDRESS},ip-multicast-ttl={HOPS}"
  options = f"{way},ip-multicast-loop=0"
  have_run(guest, f"socat UDP4-DATAGRAM:{group},{options} EXEC:cat")
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
    peer.bind((GROUP, PORT))
    peer.settimeout(0.5)
    member = socket.inet_aton(GROUP) + socket.inet_aton(GATEWAY)
    peer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    peer.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
    assert wait_until(lambda: hops_of_answer(peer) == HOPS, WAIT_S)
    move(guest)
    assert wait_until(lambda: hops_of_answer(peer) is not None, WAIT_S)
    assert hops_of_answer(peer) == HOPS


def hops_of_answer(peer: socket.socket) -> int | None:
  send_udp(b"question")
  try:
    while True:
      _, extra, _, (sender, _) = peer.recvmsg(100, 100)
      if sender == ADDRESS:
        return int.from_bytes(extra[0][2], "little")
  except TimeoutError:
    return None


NEAR = f"UDP6-RECV:{PORT},bind=[ff02::fb],so-bindtodevice=eth0"


def test_a_socket_bound_to_a_group_of_one_link_is_refused(
  guest: Moving,
) -> None:
  """The guest was lost: it could be restored on neither node."""
  have_run(guest, f"socat -u {NEAR} OPEN:/{HEARD},creat,append")
  assert wait_until(lambda: f":{PORT}" in listeners(guest), WAIT_S)
  with pytest.raises(Refused, match="ff02::fb"):
    guest.dump()
  assert guest.counts_on()


@pytest.mark.parametrize("kind", ["UDP6-RECV", "TCP6-LISTEN"])
def test_a_socket_bound_to_an_address_of_one_link(
  guest: Moving, kind: str
) -> None:
  """It hears where it did, as a daemon for the neighbours only."""
  assert wait_until(
    lambda: "tentative" not in guest.inside("ip", "addr"), WAIT_S
  )
  words = guest.inside("ip", "addr", "show", "dev", "eth0").split()
  (near,) = (w.partition("/")[0] for w in words if w.startswith("fe80:"))
  how = f"{kind}:{PORT},bind=[{near}],so-bindtodevice=eth0"
  have_run(guest, f"socat -u {how} STDOUT")
  assert wait_until(lambda: near in listeners(guest), WAIT_S)
  move(guest)
  assert f"[{near}]%eth0:{PORT}" in listeners(guest)


def listeners(guest: Moving) -> str:
  return guest.in_its_network("ss", "-Hltun", f"sport = {PORT}")


def test_the_bridge_is_told_who_hears(
  guest: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A guest that joined before it was connected was not known to hear."""
  connect = nic_links.configure

  def connect_slowly(*args: Any) -> None:
    time.sleep(2.0)
    connect(*args)

  monkeypatch.setattr(nic_links, "configure", connect_slowly)
  have_run(guest, f"socat -u {UDP} OPEN:/{HEARD},creat,append")
  assert wait_until(is_known, WAIT_S)
  move(guest)
  assert wait_until(is_known, 3.0)


def is_known() -> bool:
  return f"grp {GROUP}" in run(["bridge", "mdb", "show", "dev", BRIDGE]).stdout
