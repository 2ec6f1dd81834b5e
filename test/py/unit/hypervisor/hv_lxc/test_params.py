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

"""The hypervisor parameters: defaults, types, syntax, advice."""

import dataclasses
import re

import pytest
from ganeti.hypervisor.hv_lxc import params, paramvalues
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.model import Params
from hypothesis import given, settings
from hypothesis import strategies as st

STOCK_VALUES = {
  "cpu_mask": "",
  "devices": "c 1:3 rw,c 1:5 rw,c 1:7 rw,c 1:8 rw,c 1:9 rw,c 1:10 rw,"
  "c 5:0 rw,c 5:1 rw,c 5:2 rw,c 136:* rw",
  "drop_capabilities": "mac_override,sys_boot,sys_module,sys_time,sys_admin",
  "extra_cgroups": "",
  "extra_config": "",
  "num_ttys": 6,
  "startup_timeout": 30,
}
# What has a meaning to somebody on the way, and some that has none.
NASTY = st.sampled_from(
  "acblx019:-,=*./ %#'\"\\\n\r\0\t\x1b\x85\u2028\u202e\ud800é雪"
)
STRINGS = (
  "cpu_mask",
  "devices",
  "disk_type",
  "drop_capabilities",
  "extra_cgroups",
  "extra_config",
  "migration_caps",
  "migration_mode",
  "security_domain",
)
NUMBERS = (
  "migration_bandwidth",
  "migration_downtime",
  "migration_port",
  "num_ttys",
  "startup_timeout",
)


def parse(**values: object) -> Params:
  return params.parse(values)


def test_no_parameter_at_all_gives_the_defaults() -> None:
  filled = params.parse(paramvalues.defaults())
  assert parse() == dataclasses.replace(filled, raw={})


def test_defaults_are_of_the_types_that_are_checked() -> None:
  defaults = paramvalues.defaults()
  assert {n for n, v in defaults.items() if isinstance(v, str)} == set(STRINGS)
  assert {n for n, v in defaults.items() if type(v) is int} == set(NUMBERS)


def test_defaults_break_neither_ssconf_nor_export() -> None:
  for value in paramvalues.defaults().values():
    assert not re.search("[=%\n]", str(value))


def test_names_of_the_stock_driver_are_kept() -> None:
  assert set(STOCK_VALUES) <= set(paramvalues.defaults())


def test_values_of_the_stock_driver_are_accepted() -> None:
  parsed = params.parse(STOCK_VALUES)
  assert parsed.num_ttys == 6
  assert parsed.startup_timeout_s == 30
  assert len(parsed.devices) == 10
  assert "sys_boot" in parsed.drop_capabilities


def test_the_default_drop_keeps_sys_boot_and_all_else_that_stock_drops() -> (
  None
):
  dropped = set(parse().drop_capabilities)
  assert dropped >= params.STOCK_DROP - {"sys_boot"}
  assert "sys_boot" not in dropped


def test_numbers_may_be_strings() -> None:
  parsed = params.parse(
    {name: str(value) for name, value in STOCK_VALUES.items()}
  )
  assert parsed.num_ttys == 6
  assert parsed.startup_timeout_s == 30


def test_none_is_the_default_and_false_is_nothing() -> None:
  assert parse(drop_capabilities=None).drop_capabilities
  assert parse(drop_capabilities=False).drop_capabilities == ()
  assert parse(drop_capabilities="").drop_capabilities == ()
  assert parse(num_ttys=None).num_ttys == 6
  assert parse(num_ttys="").num_ttys == 6


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
  "value", [-1, "-1", "x", "1.5", 1.5, True, [], "9" * 30, "٣", 10**9]
)
def test_wrong_numbers_are_named(name: str, value: object) -> None:
  with pytest.raises(Refused, match=rf"Parameter {name} \(") as err:
    params.parse({name: value})
  assert re.search(r"from \d+ to \d+", str(err.value))


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize("value", [7, True, ["a"], {"a": 1}])
def test_wrong_types_are_named(name: str, value: object) -> None:
  with pytest.raises(Refused, match=f"Parameter {name} .* is not a string"):
    params.parse({name: value})


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize(
  "bad",
  [
    "\n",
    "\r",
    "\0",
    "\x1b[2J",
    "\x85",
    "\u2028",
    "\u202e",
    "\ud800",
    "%",
    "\t",
  ],
)
def test_characters_that_could_do_harm(name: str, bad: str) -> None:
  with pytest.raises(Refused, match=f"Parameter {name} has") as err:
    params.parse({name: f"a{bad}b"})
  assert str(err.value).isprintable()


def test_percent_says_why() -> None:
  with pytest.raises(Refused, match=r"gnt-backup export"):
    parse(cpu_mask="%d")


@pytest.mark.parametrize("name", STRINGS)
def test_a_very_long_string(name: str) -> None:
  with pytest.raises(Refused, match=f"Parameter {name}") as err:
    params.parse({name: "é" * 100_000})
  assert len(str(err.value)) < 1500


@pytest.mark.parametrize("name", STRINGS)
@given(value=st.text(NASTY, max_size=60))
@settings(max_examples=60)
def test_any_string_is_accepted_or_refused_by_name(
  name: str, value: str
) -> None:
  try:
    params.parse({name: value})
  except Refused as err:
    text = str(err)
    assert f"Parameter {name}" in text
    assert text.isprintable()


@pytest.mark.parametrize(
  ("mask", "said"),
  [
    ("3-1", "3-1"),
    ("x", "list of CPUs"),
    ("0-2:foo", "foo"),
    ("0,,1", "0,,1"),
    ("0-99999", "0-99999"),
  ],
)
def test_wrong_cpu_masks(mask: str, said: str) -> None:
  with pytest.raises(Refused, match=f"Parameter cpu_mask: .*{said}"):
    parse(cpu_mask=mask)


@pytest.mark.parametrize("mask", ["", "all", "0", "1-3,5", "0:1-2:all"])
def test_cpu_masks(mask: str) -> None:
  assert parse(cpu_mask=mask).cpu_mask == mask


def test_a_timeout_of_zero_is_the_default() -> None:
  assert parse(startup_timeout=0).startup_timeout_s == 30


@pytest.mark.parametrize(("value", "block"), [("auto", False), ("block", True)])
def test_disk_type(value: str, block: bool) -> None:
  assert parse(disk_type=value).block_disks is block


@pytest.mark.parametrize(
  ("name", "value", "choices"),
  [
    ("disk_type", "paravirtual", "'auto' or 'block'"),
    ("migration_mode", "warm", "'live' or 'non-live'"),
    ("migration_caps", "xbzrle", "'' or 'live'"),
  ],
)
def test_choices(name: str, value: str, choices: str) -> None:
  with pytest.raises(Refused, match=rf"{name} \('{value}'\) is not {choices}"):
    params.parse({name: value})


def test_migration() -> None:
  migration = params.parse_migration(
    {"migration_mode": "non-live", "migration_caps": "live"}
  )
  assert not migration.live
  assert migration.prepared
  assert migration.port == 8102
  assert migration.bandwidth_mib == 32


@pytest.mark.parametrize("name", sorted(paramvalues.RESERVED))
@pytest.mark.parametrize("value", [None, "", 0, False, "False", "None", "0"])
def test_reserved_names_may_ask_for_nothing(name: str, value: object) -> None:
  params.parse({name: value})


@pytest.mark.parametrize("name", sorted(paramvalues.RESERVED))
@pytest.mark.parametrize("value", ["x", 1, True, "no\ne"])
def test_reserved_names_may_not_ask(name: str, value: object) -> None:
  with pytest.raises(Refused, match=r"not supported .* by this release") as err:
    params.parse({name: value})
  assert f"Parameter {name} " in str(err.value)


def test_names_never_heard_of_are_left_to_ganeti() -> None:
  params.parse({"from_the_future": "x"})


@pytest.mark.parametrize("name", ["", "unconfined", "lxc-net", "lxc-a.b_c-1"])
def test_profiles(name: str) -> None:
  assert parse(security_domain=name).apparmor_profile == name


@pytest.mark.parametrize(
  "name", ["generated", "foo", "lxc-", "lxc-a//&b", "lxc-a b", "lxc-é"]
)
def test_wrong_profiles(name: str) -> None:
  with pytest.raises(Refused, match=r"Parameter security_domain: .*AppArmor"):
    parse(security_domain=name)


def test_extra_cgroups() -> None:
  assert parse(extra_cgroups="net_cls, pids,pids").extra_cgroups == (
    "net_cls",
    "pids",
  )
  with pytest.raises(Refused, match=r"Parameter extra_cgroups: '../x'"):
    parse(extra_cgroups="pids,../x")


@pytest.mark.parametrize(
  ("text", "names"),
  [
    ("CAP_SYS_ADMIN, mknod", ("sys_admin", "mknod")),
    ("sys_time sys_time", ("sys_time",)),
    ("checkpoint_restore", ("checkpoint_restore",)),
  ],
)
def test_capabilities(text: str, names: tuple[str, ...]) -> None:
  assert parse(drop_capabilities=text).drop_capabilities == names


def test_an_unknown_capability_comes_with_a_guess() -> None:
  with pytest.raises(Refused, match=r"drop_capabilities: .*'sysadmin'.*sys_a"):
    parse(drop_capabilities="mknod,sysadmin")


def test_no_advice_on_the_defaults() -> None:
  assert params.advice(paramvalues.defaults()) == []
  assert params.advice({}) == []


def test_the_stock_default_is_told_the_command() -> None:
  (line, *_) = params.verify_cluster_params(STOCK_VALUES)
  command = (
    r"gnt-cluster modify -H 'lxc:drop_capabilities=mac_admin\,mac_override\,"
    r"sys_admin\,sys_module\,sys_rawio\,sys_time\,syslog\,bpf\,perfmon'"
  )
  assert command in line
  assert line in params.advice(STOCK_VALUES)


def test_another_list_with_sys_boot_keeps_the_rest() -> None:
  (line,) = params.verify_cluster_params({"drop_capabilities": "sys_boot,kill"})
  assert "'lxc:drop_capabilities=kill'" in line


@pytest.mark.parametrize(
  ("values", "said"),
  [
    ({"drop_capabilities": "sys_rawio"}, "sys_module"),
    ({"devices": "c 1:3 rw"}, "/dev/urandom"),
    ({"extra_config": "lxc.arch=i686"}, "file:NAME"),
    ({"migration_caps": "live"}, "num_ttys"),
    ({"devices": "nonsense"}, "Parameter devices"),
    ({"drop_capabilities": "nonsense"}, "Parameter drop_capabilities"),
  ],
)
def test_advice(values: dict[str, object], said: str) -> None:
  assert any(said in line for line in params.advice(values))
  assert all(line.isprintable() for line in params.advice(values))
