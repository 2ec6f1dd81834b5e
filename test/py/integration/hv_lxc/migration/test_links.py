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

"""A guest whose interfaces are not what its configuration says."""

import pytest
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import guest_network
from integration.hv_lxc.migration.moving import Moving

pytestmark = pytest.mark.criu


@pytest.mark.parametrize(
  ("commands", "reason"),
  [
    (
      ("link set eth0 down", "link set eth0 name lan0", "link set lan0 up"),
      "its NIC 0 is not its interface eth0 any more",
    ),
    (("link add link eth0 name mv0 type macvlan",), "mv0, a macvlan"),
  ],
)
def test_what_cannot_be_made_again_is_refused_and_the_guest_runs_on(
  guest: Moving, commands: tuple[str, ...], reason: str
) -> None:
  """The guest was lost: it could be restored on neither node."""
  for command in commands:
    guest.in_its_network("ip", *command.split())
  with pytest.raises(Refused, match=reason):
    guest_network.check(guest.host, guest.name, guest.init)
  with pytest.raises(Refused, match=reason):
    guest.dump()
  assert guest.counts_on()


def test_a_bridge_whose_last_port_is_gone(guest: Moving) -> None:
  """It has no address then; the guest was lost."""
  for command in (
    "link add br0 type bridge",
    "link set br0 up",
    "link add vcontained type veth",
    "link set vcontained master br0 up",
    "link del vcontained",
  ):
    guest.in_its_network("ip", *command.split())
  assert "00:00:00:00:00:00" in guest.in_its_network(
    "ip", "link", "show", "br0"
  )
  guest.move()
  assert "UP" in guest.in_its_network("ip", "link", "show", "br0")
