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

"""What stands in the tables of a guest's network is there after a move."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.migration.moving import GATEWAY, WAIT_S, Moving, moving

pytestmark = pytest.mark.criu

HARDWARE = "02:00:00:00:00:09"


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    made.start()
    yield made


def shown(guest: Moving, what: str) -> list[str]:
  """Each line that ip says, without what changes with the carrier."""
  text = guest.in_its_network("ip", *what.split())
  return sorted(
    line.replace(" linkdown", "").strip() for line in text.split("\n")
  )


def test_an_interface_without_carrier(guest: Moving) -> None:
  """Docker's bridge, when its last container has ended; the guest was lost."""
  for command in (
    "link add docker0 address 02:00:00:00:00:01 type bridge",
    "addr add 172.17.0.1/16 dev docker0",
    "link set docker0 up",
    "link add vcontained type veth",
    "link set vcontained master docker0 up",
    "link del vcontained",
    "route add 198.51.100.0/24 via 172.17.0.2",
  ):
    guest.in_its_network("ip", *command.split())
  assert wait_until(
    lambda: "linkdown" in guest.in_its_network("ip", "route"), WAIT_S
  )
  before = shown(guest, "route")
  guest.move()
  assert shown(guest, "route") == before


def test_a_route_by_two_ways_of_which_one_is_down(guest: Moving) -> None:
  """The guest was lost."""
  for command in (
    "link add vhere type veth peer name vthere",
    "addr add 172.17.0.1/16 dev vhere",
    "link set vthere up",
    "link set vhere up",
    f"route add 198.51.100.0/24 nexthop via {GATEWAY} nexthop via 172.17.0.2",
    "link set vhere down",
  ):
    guest.in_its_network("ip", *command.split())
  guest.move()
  assert f"198.51.100.0/24 via {GATEWAY} dev eth0" in shown(guest, "route")


def test_a_route_by_a_nexthop_object(guest: Moving) -> None:
  """As FRR makes them; the guest was lost."""
  for command in (
    f"nexthop add id 5 via {GATEWAY} dev eth0",
    "route add 198.51.100.0/24 nhid 5",
  ):
    guest.in_its_network("ip", *command.split())
  guest.move()
  assert f"198.51.100.0/24 via {GATEWAY} dev eth0" in shown(guest, "route")


@pytest.mark.parametrize(
  ("command", "show"),
  [
    (f"route add default via {GATEWAY} table 100", "route show table all"),
    ("route add blackhole 198.51.100.0/24 table 1000", "route show table all"),
    ("route add local 198.51.100.0/24 dev lo", "route show table all"),
    (
      "-6 route add default via 2001:db8::1 table 100",
      "-6 route show table all",
    ),
    ("-6 route add local 2001:db8:1::/48 dev lo", "-6 route show table all"),
    ("-6 rule add from 2001:db8::2 table 100", "-6 rule"),
    (
      f"neigh add {GATEWAY} lladdr {HARDWARE} dev eth0",
      "neigh show nud permanent",
    ),
    (
      f"neigh add 2001:db8::1 lladdr {HARDWARE} dev eth0 router",
      "neigh show nud permanent",
    ),
    ("neigh add proxy 192.0.2.9 dev eth0", "neigh show proxy"),
    ("-6 neigh add proxy 2001:db8::9 dev eth0", "-6 neigh show proxy"),
  ],
)
def test_what_criu_leaves_out(guest: Moving, command: str, show: str) -> None:
  """Packets went other ways than before, or none."""
  unchanged = shown(guest, show)
  guest.in_its_network("ip", *command.split())
  before = shown(guest, show)
  assert before != unchanged
  guest.move()
  assert shown(guest, show) == before
