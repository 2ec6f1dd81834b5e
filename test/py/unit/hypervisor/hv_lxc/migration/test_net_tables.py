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

import pytest
from ganeti.hypervisor.hv_lxc.migration import net_tables

HARDWARE = "02:00:00:00:00:09"
FIXED = {"dst": "192.0.2.9", "dev": "eth0", "lladdr": HARDWARE}


def test_a_hardware_address_that_somebody_has_set() -> None:
  (line,) = net_tables.neighbours([FIXED])
  assert line == f"192.0.2.9 dev eth0 lladdr {HARDWARE} nud permanent"


def test_a_router() -> None:
  (line,) = net_tables.neighbours([{**FIXED, "router": None}])
  assert line.endswith(" nud permanent router")


def test_a_neighbour_that_the_guest_answers_for() -> None:
  entry = {"dst": "2001:db8::9", "dev": "eth0", "proxy": None}
  assert list(net_tables.neighbours([entry])) == ["proxy 2001:db8::9 dev eth0"]


@pytest.mark.parametrize(
  "more",
  [{"dev": "-force"}, {"dev": "a b"}, {"lladdr": "x"}, {"lladdr": None}],
)
def test_a_guest_may_name_things_as_it_likes(more: dict[str, str]) -> None:
  assert not list(net_tables.neighbours([{**FIXED, **more}]))
