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
"""Groups by interface, as the kernel lists them."""

import socket
import sys
from pathlib import Path

from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import multicast_tables
from ganeti.hypervisor.hv_lxc.migration.multicast_tables import REQUEST

INIT = 4321
IGMP = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
23\teth0      :     3      V3
\t\t\t\t120000E0     1 0:00000000\t\t0
\t\t\t\t010000E0     2 0:00000000\t\t0
"""
IGMP6 = """\
1    lo              ff020000000000000000000000000001     1 0000000C 0
23   eth0            ff020000000000000000000000000012     1 00000004 0
23   eth0            ff0200000000000000000001ff123456     2 00000004 0
23   eth0            ff010000000000000000000000000001     1 00000008 0
23   eth0            ff02000000000000000000000000
"""


def joined(node: Host, igmp: str, igmp6: str) -> list[tuple[int, str]]:
  net = node.proc / f"{INIT}/net"
  net.mkdir(parents=True, exist_ok=True)
  (net / "igmp").write_text(igmp)
  (net / "igmp6").write_text(igmp6)
  return [text(*found) for found in multicast_tables.joined(node, INIT)]


def text(level: int, request: bytes) -> tuple[int, str]:
  """The interface's index, and the group."""
  index, address = REQUEST.unpack(request)
  family = int.from_bytes(address[:2], sys.byteorder)
  if level == socket.IPPROTO_IP:
    assert family == socket.AF_INET
    return index, socket.inet_ntop(socket.AF_INET, address[4:8])
  assert family == socket.AF_INET6
  return index, socket.inet_ntop(socket.AF_INET6, address[8:24])


def test_what_the_kernel_joins_by_itself_is_left_out(node: Host) -> None:
  """That of all hosts counts where somebody else has joined it, too."""
  assert joined(node, IGMP, IGMP6.rpartition("23")[0]) == [
    (23, "224.0.0.18"),
    (23, "224.0.0.1"),
    (23, "ff02::12"),
  ]


def test_a_line_that_is_cut_off_is_left_out(node: Host) -> None:
  assert joined(node, "", IGMP6.rstrip("\n")) == [(23, "ff02::12")]


def test_a_kernel_without_ipv6(node: Host, tmp_path: Path) -> None:
  joined(node, IGMP, "")
  (tmp_path / f"proc/{INIT}/net/igmp6").unlink()
  assert len(multicast_tables.joined(node, INIT)) == 2


def test_no_more_than_a_guest_needs(node: Host) -> None:
  """It can make any number, and each socket is asked for each."""
  head, lines = IGMP.partition("\t\t\t\t")[0], "\t\t\t\t120000E0 1 0:0 0\n"
  assert len(joined(node, head + lines * 3000, "")) == 1000
