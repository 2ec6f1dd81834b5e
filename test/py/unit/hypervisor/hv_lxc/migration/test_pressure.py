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

"""What is read of a program that waits for memory pressure."""

import base64

import pytest
from ganeti.hypervisor.hv_lxc.migration import pressure
from ganeti.hypervisor.hv_lxc.migration.pressure import Wait

FDINFO = """\
pos:\t0
flags:\t02000002
mnt_id:\t17
ino:\t1038
tfd:       17 events:       1a data:         55d6a1f0  pos:0 ino:2a sdev:15
tfd:        4 events: 80000019 data: ffffffffffffffff  pos:0 ino:2b sdev:16
"""


def test_what_an_epoll_set_waits_for() -> None:
  assert pressure.waits(FDINFO) == [
    Wait(17, 0x1A, 0x55D6A1F0),
    Wait(4, 0x80000019, 0xFFFFFFFFFFFFFFFF),
  ]


def test_nothing_waited_for() -> None:
  assert pressure.waits("pos:\t0\nflags:\t02\n") == []


def test_the_environment_of_a_unit_tells_what_it_has_written() -> None:
  text = base64.b64encode(b"some 150000 2000000\0").decode()
  environ = f"HOME=/\0MEMORY_PRESSURE_WRITE={text}\0TERM=linux\0"
  assert pressure.wanted(environ) == b"some 150000 2000000\0"


@pytest.mark.parametrize(
  "value",
  ["", "not base64!", base64.b64encode(b"x" * 300).decode()],
)
def test_an_environment_that_a_guest_made_up(value: str) -> None:
  environ = f"MEMORY_PRESSURE_WRITE={value}\0"
  assert pressure.wanted(environ) == b"some 200000 2000000\0"
