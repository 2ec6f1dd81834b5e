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

"""An instance may not go beyond the cluster; devices' coverage."""

import pytest
from ganeti.hypervisor.hv_lxc import devices, params, paramvalues
from ganeti.hypervisor.hv_lxc.devices import DeviceRule
from ganeti.hypervisor.hv_lxc.errors import Refused
from hypothesis import given, settings
from hypothesis import strategies as st

STOCK_DROP = "mac_override,sys_boot,sys_module,sys_time,sys_admin"


def check(cluster: dict[str, str] | None, **instance: object) -> None:
  params.check_within_cluster(params.parse(instance), cluster)


@pytest.mark.parametrize("cluster", [None, {}])
def test_an_unknown_cluster_has_the_defaults(
  cluster: dict[str, str] | None,
) -> None:
  check(cluster)
  with pytest.raises(Refused, match=r"drop_capabilities .*sys_admin"):
    check(cluster, drop_capabilities="mac_admin")


def test_the_clusters_own_values() -> None:
  cluster = {n: str(v) for n, v in paramvalues.defaults().items()}
  params.check_within_cluster(params.parse(cluster), cluster)


def test_sys_boot_is_everybodys() -> None:
  cluster = {"drop_capabilities": STOCK_DROP}
  check(cluster, drop_capabilities=STOCK_DROP.replace("sys_boot,", ""))


@pytest.mark.parametrize("name", ["mac_override", "sys_module", "sys_admin"])
def test_no_other_capability_is(name: str) -> None:
  rest = ",".join(c for c in STOCK_DROP.split(",") if c != name)
  with pytest.raises(Refused, match=f"drop_capabilities .*: {name} "):
    check({"drop_capabilities": STOCK_DROP}, drop_capabilities=rest)


def test_dropping_more_is_fine() -> None:
  check({"drop_capabilities": "mknod"}, drop_capabilities="mknod,net_raw,kill")


def test_a_cluster_that_drops_nothing() -> None:
  check({"drop_capabilities": ""}, drop_capabilities="")


def test_devices_within() -> None:
  check({"devices": "c *:* m,c 10:200 rw"}, devices="c 10:200 rwm,c 1:3 m")


@pytest.mark.parametrize(
  "rule", ["c 10:200 r", "b 8:0 r", "b *:* rwm", "c 1:* rw", "c *:3 rw"]
)
def test_devices_beyond(rule: str) -> None:
  with pytest.raises(Refused, match="Parameter devices allows") as err:
    check(None, devices=f"c 1:3 rw,{rule}")
  assert rule in str(err.value)
  assert "gnt-cluster modify -H lxc:devices=" in str(err.value)


@pytest.mark.parametrize(
  ("cluster", "instance"),
  [
    ("", ""),
    ("", "lxc-container-default"),
    ("lxc-container-default-cgns", ""),
    ("lxc-own", "lxc-own"),
    ("unconfined", ""),
    ("unconfined", "unconfined"),
    ("unconfined", "lxc-own"),
  ],
)
def test_profiles_within(cluster: str, instance: str) -> None:
  check({"security_domain": cluster}, security_domain=instance)


@pytest.mark.parametrize(
  ("cluster", "instance"),
  [
    ("", "unconfined"),
    ("", "lxc-container-default-with-mounting"),
    ("lxc-own", ""),
    ("lxc-own", "unconfined"),
    ("lxc-own", "lxc-other"),
  ],
)
def test_profiles_beyond(cluster: str, instance: str) -> None:
  with pytest.raises(Refused, match="Parameter security_domain"):
    check({"security_domain": cluster}, security_domain=instance)


@pytest.mark.parametrize(
  "text",
  [
    "a *:* rwm",
    "c 1:3",
    "c 1:3 x",
    "c 1:3 rr",
    "c 1 rw",
    "1:3 rw",
    "c 1:3 rw; b 8:0 rw",
    "c 9999:0 r",
    "c 1:1048576 r",
    "c -1:0 r",
    "c 1:3 rw b 8:0 rw",
  ],
)
def test_wrong_rules(text: str) -> None:
  with pytest.raises(Refused, match="Parameter devices: "):
    params.parse({"devices": text})


def test_rules_are_put_in_order() -> None:
  assert devices.parse(" c  1:3   mwr ,, b 8:* r,c 1:3 rwm") == (
    DeviceRule("c", 1, 3, "rwm"),
    DeviceRule("b", 8, None, "r"),
  )


def test_the_default_allows_what_a_guest_needs_and_making_nodes() -> None:
  rules = devices.parse(devices.DEFAULT)
  assert devices.missing(rules) == []
  assert not devices.not_covered(devices.parse("c *:* m,b *:* m"), rules)
  for rule in ("c 10:200 r", "c 10:229 r", "c 10:232 r", "b 7:0 r", "c 1:1 r"):
    assert devices.not_covered(devices.parse(rule), rules)


NUMBER = st.none() | st.integers(0, 3)
RULES = st.lists(
  st.builds(
    DeviceRule,
    st.sampled_from("cb"),
    NUMBER,
    NUMBER,
    st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
  ),
  max_size=4,
)


def allows(rules: list[DeviceRule], kind: str, major: int, minor: int) -> str:
  """The accesses that an allow-list gives, by trying each rule."""
  found = [
    rule.access
    for rule in rules
    if rule.kind == kind
    and rule.major in (None, major)
    and rule.minor in (None, minor)
  ]
  return "".join(found)


@given(RULES, RULES)
@settings(max_examples=100)
def test_what_is_covered_opens_nothing_new(
  wanted: list[DeviceRule], allowed: list[DeviceRule]
) -> None:
  covered = [r for r in wanted if not devices.not_covered([r], allowed)]
  for kind in "cb":
    for major in range(5):
      for minor in range(5):
        have = allows(covered, kind, major, minor)
        assert set(have) <= set(allows(allowed, kind, major, minor))


@given(RULES)
@settings(max_examples=50)
def test_rules_survive_being_written(rules: list[DeviceRule]) -> None:
  text = ",".join(map(str, rules))
  assert devices.parse(text) == tuple(dict.fromkeys(rules))
