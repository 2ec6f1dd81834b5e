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

import re

import pytest
from ganeti.hypervisor.hv_lxc.host import wait_until
from integration.hv_lxc.migration.moving import (
  ADDRESS,
  GATEWAY,
  WAIT_S,
  Moving,
)

pytestmark = pytest.mark.criu

HARDWARE = "02:00:00:00:00:09"


def shown(guest: Moving, what: str) -> list[str]:
  """Each line that ip says, without what changes with the carrier."""
  text = guest.in_its_network("ip", *what.split())
  text = re.sub(r"@if\d+|qlen \d+|link-netnsid \d+|qdisc \S+", "", text)
  text = re.sub(r" (nodad|tentative|proto kernel_ll)\b", "", text)
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


MANY = f"""\
link add br1 type bridge
addr add 172.17.0.1/16 dev br1
link add vone type veth peer name vother
link set vone master br1
link set vone up
link set vother up
link set br1 up
addr add 172.18.0.2/16 dev vother
addr add 10.10.10.10/32 dev lo
-6 addr add 2001:db8:9::1/128 dev lo
addr add 10.1.1.1 peer 10.1.1.2 dev eth0
addr add 192.0.2.10/24 dev eth0
addr add 10.2.1.1/24 brd + dev eth0 label eth0:1
addr add 10.3.1.1/24 scope link dev eth0
addr add 10.4.1.1/24 dev eth0 metric 50
addr add 10.5.1.1/24 dev eth0 noprefixroute
route add default via {GATEWAY} metric 100 proto static
route add 198.51.100.0/24 nexthop via {GATEWAY} weight 2 nexthop via 192.0.2.3
route add 198.51.101.0/24 via 10.0.0.1 dev eth0 onlink
route add 198.51.102.0/24 via inet6 2001:db8::1 dev eth0
route add 198.51.103.0/24 via {GATEWAY} src {ADDRESS} mtu lock 1300
route add 198.51.104.0/24 via {GATEWAY} congctl reno initcwnd 20
route add unreachable 198.51.105.0/24
route add prohibit 198.51.106.0/24
route add throw 198.51.107.0/24
route add 10.5.5.5 dev eth0
route add 10.6.0.0/16 via 10.5.5.5
-6 route add 2001:db8:5::/48 nexthop via 2001:db8::1 nexthop via 2001:db8::3
-6 route add blackhole 2001:db8:6::/48
rule add fwmark 0x5 table 100
rule add iif eth0 table 100
rule add uidrange 0-100 table 100
rule add from 10.0.0.0/8 prohibit
rule add table main suppress_prefixlength 0
rule add ipproto tcp sport 80 table 100
rule add pref 100 goto 32766
-6 rule add pref 101 goto 32766
link set eth0 mtu 1300
link set eth0 promisc on
link set eth0 allmulticast on
"""


def test_many_things_at_once(guest: Moving) -> None:
  guest.in_its_network(
    "sh", "-ec", re.sub("^(.)", r"ip \1", MANY, flags=re.MULTILINE)
  )
  # Whether there is a carrier takes the kernel up to a second to find out.
  assert wait_until(
    lambda: "tentative" not in guest.in_its_network("ip", "addr"), WAIT_S
  )
  shows = ("addr", "route show table main", "-6 route", "rule", "-6 rule")
  before = {show: shown(guest, show) for show in shows}
  guest.move()
  for show in shows:
    assert shown(guest, show) == before[show], show


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
