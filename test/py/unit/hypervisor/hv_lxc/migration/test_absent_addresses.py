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

import ipaddress
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import absent_addresses, netns

NAME = "web1.example.com"
INIT = 4321

HEAD = (
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
  "   uid  timeout inode\n"
)


def line(local: str, remote: str, inode: int) -> str:
  """As the kernel writes it (proc_pid_net(5))."""
  return (
    f"   0: {words(local)}:1B58 {words(remote)}:9C40 01 00000000:00000000"
    f" 00:00000000 00000000     0        0 {inode} 1 0000000000000000 20 4 30\n"
  )


def words(address: str) -> str:
  """Its words as numbers of this machine."""
  packed = ipaddress.ip_address(address).packed
  pieces = [packed[at : at + 4] for at in range(0, len(packed), 4)]
  return "".join(f"{int.from_bytes(p, sys.byteorder):08X}" for p in pieces)


LISTENS = line("192.0.2.2", "0.0.0.0", 4711)
TALKS = line("192.0.2.2", "192.0.2.9", 4712)
IS_OVER = line("192.0.2.2", "192.0.2.9", 0)
TALKS6 = line("2001:db8::2", "2001:db8::9", 4713)
MAPPED = line("::ffff:192.0.2.2", "::ffff:192.0.2.9", 4714)


def pairs(*lines: str) -> list[tuple[str, str]]:
  found = absent_addresses.owned(HEAD + "".join(lines))
  return [(str(local), str(remote)) for local, remote in found]


def test_only_what_has_an_owner() -> None:
  assert pairs(TALKS, IS_OVER) == [("192.0.2.2", "192.0.2.9")]


def test_only_what_is_connected_is_a_connection(node: Host) -> None:
  note(node, "tcp", LISTENS, TALKS)
  (pair,) = absent_addresses.check(node, NAME, INIT)
  assert [str(end) for end in pair] == ["192.0.2.2", "192.0.2.9"]


def test_addresses_of_ipv6() -> None:
  assert pairs(TALKS6) == [("2001:db8::2", "2001:db8::9")]


def test_an_old_address_in_a_new_socket_is_an_old_address() -> None:
  assert pairs(MAPPED) == [("192.0.2.2", "192.0.2.9")]


def test_a_table_that_this_kernel_does_not_have() -> None:
  assert not list(absent_addresses.owned(""))


def test_an_address_is_known_by_its_text_alone() -> None:
  # What goes to "ip -batch" comes from these.
  (pair,) = absent_addresses.owned(HEAD + TALKS6)
  assert all(isinstance(end, ipaddress.IPv6Address) for end in pair)


@pytest.mark.parametrize(
  ("table", "local", "remote"),
  [
    ("udp", "192.0.2.2", "255.255.255.255"),
    ("tcp6", "fe80::2", "fe80::9"),
    ("udp6", "2001:db8::2", "fe80::9"),
    ("udp6", "2001:db8::2", "ff02::fb"),
    ("udp6", "ff02::fb", "::"),
    ("udp6", "ff01::fb", "::"),
    ("udp6", "ff12::fb", "fe80::9"),
    ("udplite6", "ff02::fb", "::"),
    ("raw6", "ff02::5", "::"),
  ],
)
def test_what_can_never_be_made_again_is_not_dumped(
  node: Host, table: str, local: str, remote: str
) -> None:
  """CRIU binds and connects without the options that such a socket needs."""
  note(node, table, line(local, remote, 4711))
  with pytest.raises(Refused, match="cannot make again"):
    absent_addresses.check(node, NAME, INIT)


@pytest.mark.parametrize(
  ("table", "local", "remote"),
  [
    ("udp", "192.0.2.2", "192.0.2.255"),
    ("udp6", "fe80::2", "fe80::9"),
    ("udp6", "fe80::2", "ff02::fb"),
    ("udp6", "2001:db8::2", "ff05::fb"),
    ("tcp", "169.254.0.2", "169.254.169.254"),
    ("raw6", "fe80::2", "fe80::9"),
    ("udp", "224.0.0.251", "0.0.0.0"),
    ("udp6", "ff05::fb", "::"),
    ("udp6", "fe80::2", "::"),
    ("tcp6", "fe80::2", "::"),
    ("raw6", "fe80::2", "::"),
  ],
)
def test_what_can_be_made_again(
  node: Host, table: str, local: str, remote: str
) -> None:
  note(node, table, line(local, remote, 4711))
  absent_addresses.check(node, NAME, INIT)


def note(node: Host, table: str, *lines: str) -> None:
  file = node.proc / f"{INIT}/net/{table}"
  file.parent.mkdir(parents=True)
  file.write_text(HEAD + "".join(lines))


def unreachable(monkeypatch: pytest.MonkeyPatch, *pairs: Sequence[str]) -> None:
  """There is no way for these, and one for all others."""

  def can_connect(*ends: absent_addresses.Address) -> bool:
    return tuple(map(str, ends)) not in pairs

  monkeypatch.setattr(absent_addresses, "_can_connect", can_connect)


BANNED = ("192.0.2.2", "198.51.100.9")


def test_both_ends_are_taken_for_own(monkeypatch: pytest.MonkeyPatch) -> None:
  """It seemed to be the peer where sockets may be bound to anything."""
  unreachable(monkeypatch, BANNED)
  ends = absent_addresses.owned(HEAD + line(*BANNED, 1) + TALKS)
  assert absent_addresses.absent(ends) == ["192.0.2.2", "198.51.100.9"]


def test_an_address_of_one_link_says_nothing_in_ipv6_only(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  old, new = ("169.254.0.2", "169.254.169.254"), ("fe80::2", "fe80::9")
  unreachable(monkeypatch, old, new)
  ends = absent_addresses.owned(HEAD + line(*old, 1) + line(*new, 2))
  assert absent_addresses.absent(ends) == sorted(old)


@pytest.mark.parametrize("status", [0, 1])
def test_that_a_route_cannot_be_made_is_no_reason_to_lose_the_guest(
  node: Host, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
  """There was one for the address already, as for a broadcast address."""
  images = node.layout.data_dir
  images.mkdir(parents=True)
  note(node, "udp", line(*BANNED, 4711))
  absent_addresses.save(node, NAME, INIT, images)
  unreachable(monkeypatch, BANNED)
  monkeypatch.setattr(netns, "inside", lambda _host, _init, act: act())
  given: list[str] = []

  def run(argv: Sequence[str], **_: object) -> Result:
    assert "-force" in argv
    given.extend(Path(argv[-1]).read_text(encoding="ascii").splitlines())
    return Result(tuple(argv), status)

  host = replace(node, run=run)
  absent_addresses.make_local(host, "web1", INIT, images)
  absent_addresses.give_up(host, "web1", INIT, images)
  assert given == [
    f"route {verb} local {end} dev lo table local proto 239"
    for verb in ("prepend", "del")
    for end in BANNED
  ]
