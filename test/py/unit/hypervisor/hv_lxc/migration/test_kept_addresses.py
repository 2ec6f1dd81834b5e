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

import json

import pytest
from ganeti.hypervisor.hv_lxc.migration import kept_addresses

FOREVER = 4294967295


def address(local: str = "2001:db8::2", **more: object) -> dict[str, object]:
  return {
    "local": local,
    "prefixlen": 64,
    "valid_life_time": FOREVER,
    "preferred_life_time": FOREVER,
    **more,
  }


def changes(*entries: dict[str, object], name: str = "eth0") -> list[str]:
  return with_routes([{"dst": "2001:db8::/64", "dev": name}], *entries)


def with_routes(
  routes: list[dict[str, str]], *entries: dict[str, object]
) -> list[str]:
  name = routes[0]["dev"]
  link = {"ifname": name, "flags": ["UP"], "addr_info": list(entries)}
  return list(kept_addresses.changes(json.dumps([link]), json.dumps(routes)))


def test_an_address_is_not_asked_for_again() -> None:
  (line,) = changes(address())
  assert line == (
    "addr change 2001:db8::2/64 dev eth0 valid_lft 4294967295"
    " preferred_lft 4294967295 nodad"
  )


def test_what_is_left_of_a_lease_and_its_flags_stay() -> None:
  (line,) = changes(
    address(valid_life_time=90, preferred_life_time=0, mngtmpaddr=True)
  )
  assert line.endswith("valid_lft 90 preferred_lft 0 nodad mngtmpaddr")


@pytest.mark.parametrize(
  "more",
  [{"tentative": True}, {"dadfailed": True}, {"nodad": True}, {"address": "x"}],
)
def test_what_is_left_alone(more: dict[str, object]) -> None:
  assert not changes(address(**more))


@pytest.mark.parametrize("name", ["-force", "#x", 'a"b', "a\\b", ""])
def test_a_guest_may_name_an_interface_as_it_likes(name: str) -> None:
  assert not changes(address(), name=name)


def test_loopback_never_asks() -> None:
  link = {"ifname": "lo", "flags": ["LOOPBACK"], "addr_info": [address("::1")]}
  assert not list(kept_addresses.changes(json.dumps([link]), ""))


def test_no_network_at_all() -> None:
  assert not list(kept_addresses.changes("", ""))


# None of them is to the prefix.
OTHERS = [
  {"dst": "fe80::/64", "dev": "eth0"},
  {"dst": "default", "dev": "eth0"},
  {"type": "local", "dst": "2001:db8::2", "dev": "eth0", "table": "local"},
  {"dst": "2001:db8::/64", "dev": "eth1"},
]


def test_an_address_whose_prefix_is_not_on_the_link() -> None:
  """A router may say so; a route appeared, and nobody there answered."""
  (line,) = with_routes(OTHERS, address(valid_life_time=90, mngtmpaddr=True))
  assert line.endswith("nodad mngtmpaddr noprefixroute")


def test_what_the_guest_has_in_place_of_the_kernels_route() -> None:
  """It was gone, and the kernel's was there."""
  assert not with_routes(OTHERS, address())
  (line,) = with_routes(OTHERS, address(noprefixroute=True))
  assert line.endswith("nodad noprefixroute")


def test_a_route_lasts_as_long_as_the_last_of_its_addresses() -> None:
  """It ended with the first."""
  longer, shorter = address(valid_life_time=9000), address(valid_life_time=300)
  lines = changes(longer, shorter)
  assert [line.split()[6] for line in lines] == ["300", "9000"]
