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

from ganeti.hypervisor.hv_lxc.migration import absent_addresses

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
  found = absent_addresses.connected(HEAD + "".join(lines))
  return [(str(local), str(remote)) for local, remote in found]


def test_only_what_is_connected_and_has_an_owner() -> None:
  assert pairs(LISTENS, TALKS, IS_OVER) == [("192.0.2.2", "192.0.2.9")]


def test_addresses_of_ipv6() -> None:
  assert pairs(TALKS6) == [("2001:db8::2", "2001:db8::9")]


def test_an_old_address_in_a_new_socket_is_an_old_address() -> None:
  assert pairs(MAPPED) == [("192.0.2.2", "192.0.2.9")]


def test_a_table_that_this_kernel_does_not_have() -> None:
  assert not list(absent_addresses.connected(""))


def test_an_address_is_known_by_its_text_alone() -> None:
  # What goes to "ip -batch" comes from these.
  (pair,) = absent_addresses.connected(HEAD + TALKS6)
  assert all(isinstance(end, ipaddress.IPv6Address) for end in pair)
