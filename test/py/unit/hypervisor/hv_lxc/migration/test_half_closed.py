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

import struct
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import hierarchies
from ganeti.hypervisor.hv_lxc.migration import half_closed, sockets
from unit.hypervisor.hv_lxc.fakes import INIT, NAME, FakeLxc

HEAD = (
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
  "   uid  timeout inode\n"
)
ESTABLISHED, LISTENS, CLOSE_WAIT, LAST_ACK, CLOSING = 1, 10, 8, 9, 11


def line(state: int, inode: int = 4711) -> str:
  """As the kernel writes it (proc_pid_net(5))."""
  return (
    f"   0: 020000C0:1B58 010000C0:9C40 {state:02X} 00000000:00000000"
    f" 00:00000000 00000000     0        0 {inode} 1 0000000000000000 20 4 30\n"
  )


@pytest.mark.parametrize("state", [CLOSE_WAIT, LAST_ACK, CLOSING])
def test_the_peer_has_closed_one(state: int) -> None:
  assert half_closed.are_there(HEAD + line(ESTABLISHED) + line(state))


def test_none_that_belongs_to_a_process() -> None:
  table = HEAD + line(ESTABLISHED) + line(LISTENS) + line(LAST_ACK, 0)
  assert not half_closed.are_there(table)


def test_a_table_that_this_kernel_does_not_have() -> None:
  assert not half_closed.are_there("")


def window(*words: int) -> bytes:
  return struct.pack("=5I", *words)


def test_a_peer_that_seems_to_take_nothing() -> None:
  """The answer was sent after three seconds."""
  told = window(7, 0, 65536, 64000, 9)
  assert half_closed.mended(told, 0) == window(7, 65536, 65536, 64000, 9)


@pytest.mark.parametrize(
  ("sends", "most", "unsent"), [(100, 65536, 0), (0, 65536, 1), (0, 0, 0)]
)
def test_what_is_left_as_it_is(sends: int, most: int, unsent: int) -> None:
  """A peer that takes little, one that may have no room, one unknown."""
  assert half_closed.mended(window(7, sends, most, 1, 2), unsent) is None


def test_sockets_are_not_looked_at_without_need(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A guest may have any number of them, and stands still."""
  node = FakeLxc(tmp_path)
  node.populate()
  monkeypatch.setattr(sockets, "of", lambda *_: pytest.fail("looked at"))
  half_closed.mend(node.host, hierarchies.find(node.host), NAME, INIT)
