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

from collections.abc import Mapping
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc.migration import links

RANDOM = "01:02:03:04:05"


def link(kind: str = "veth", **more: object) -> Mapping[str, Any]:
  return {"ifname": "eth0", "linkinfo": {"info_kind": kind}, **more}


def test_what_criu_cannot_make() -> None:
  (what,) = links.hindrances([link(), link("macvlan", ifname="mv0")])
  assert "mv0, a macvlan" in what


def test_an_interface_of_no_kind() -> None:
  assert not list(links.hindrances([{"ifname": "lo"}]))


def test_the_interface_that_it_was_at_the_start() -> None:
  assert not links.is_other(link(link_index=7), 7)


@pytest.mark.parametrize("found", [None, link(link_index=8), link("bridge")])
def test_another_interface(found: Mapping[str, Any] | None) -> None:
  assert links.is_other(found, 7)


def test_a_bridge_without_address_gets_one() -> None:
  bridge = link("bridge", ifname="br0", address="00:00:00:00:00:00")
  lines = list(links.addresses([bridge], RANDOM))
  assert lines == [f"link set dev br0 address 02:{RANDOM}"]


@pytest.mark.parametrize(
  "other",
  [
    link("bridge", address="02:00:00:00:00:01"),
    link("dummy", address="00:00:00:00:00:00"),
    link("bridge", address="00:00:00:00:00:00", ifname="-force"),
  ],
)
def test_others_keep_what_they_have(other: Mapping[str, Any]) -> None:
  assert not list(links.addresses([other], RANDOM))
