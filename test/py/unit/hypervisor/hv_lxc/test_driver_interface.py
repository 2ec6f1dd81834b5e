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

"""The methods and parameters of LXCHypervisor, as Ganeti expects them."""

import inspect
import pathlib
from typing import Any

import pytest
from ganeti import constants, errors, objects
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import driver, paramtable, paramvalues
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from unit.hypervisor.hv_lxc.fakes import FakeLxc

STOCK = {
  "cpu_mask": "",
  "devices": constants.LXC_DEVICES_DEFAULT,
  "drop_capabilities": constants.LXC_DROP_CAPABILITIES_DEFAULT,
  "extra_cgroups": "",
  "extra_config": "",
  "num_ttys": 6,
  "startup_timeout": 30,
}
# hv_base's own helpers, which nobody calls from outside.
HELPERS = {"GetLinuxNodeInfo", "LinuxPowercycle"}
# What container instances are not asked for, by way of HotplugSupported.
HOTPLUG = {
  "HotAddDevice",
  "HotDelDevice",
  "HotModDevice",
  "VerifyHotplugSupport",
}


@pytest.fixture
def cls(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> type[LXCHypervisor]:
  """The class, on a node without instances."""
  node = FakeLxc(tmp_path)
  monkeypatch.setattr(driver, "local_host", lambda: node.host)
  return LXCHypervisor


# The interface


def public(cls: type) -> dict[str, Any]:
  return {
    name: inspect.getattr_static(cls, name)
    for name, _ in inspect.getmembers(cls, callable)
    if name[0].isupper()
  }


def function(method: Any) -> Any:
  return getattr(method, "__func__", method)


@pytest.mark.parametrize("name", sorted(public(hv_base.BaseHypervisor)))
def test_methods_are_called_as_those_of_the_base_class(name: str) -> None:
  ours = public(LXCHypervisor)[name]
  base = public(hv_base.BaseHypervisor)[name]
  assert type(ours) is type(base)
  described = [
    [(p.name, p.default, p.kind) for p in signature.parameters.values()]
    for signature in map(inspect.signature, (function(ours), function(base)))
  ]
  assert described[0] == described[1]


@pytest.mark.parametrize(
  "name", sorted(set(public(hv_base.BaseHypervisor)) - HELPERS - HOTPLUG)
)
def test_every_method_of_the_contract_is_ours(name: str) -> None:
  ours = [c for c in LXCHypervisor.__mro__ if not c.__module__.endswith("base")]
  assert any(name in vars(c) for c in ours if c is not object)


def test_ganeti_makes_it_without_arguments() -> None:
  assert isinstance(LXCHypervisor(), hv_base.BaseHypervisor)


def test_the_default_of_migration_mode_is_in_process() -> None:
  """Without it "gnt-instance migrate" dies of a KeyError."""
  defaults = constants.HVC_DEFAULTS[constants.HT_LXC]
  assert defaults["migration_mode"] in constants.HT_MIGRATION_MODES
  assert set(paramtable.PARAMETERS) >= set(defaults)


# Parameters


def test_what_the_stock_driver_stored() -> None:
  LXCHypervisor.CheckParameterSyntax(dict(STOCK))


def test_what_the_stock_driver_stored_on_a_node(
  cls: type[LXCHypervisor],
) -> None:
  cls.ValidateParameters(dict(STOCK))


@pytest.mark.parametrize(
  "check", ["CheckParameterSyntax", "ValidateParameters"]
)
def test_defaults_are_valid(cls: type[LXCHypervisor], check: str) -> None:
  getattr(cls, check)(paramvalues.defaults())


def test_an_unknown_parameter_is_named() -> None:
  with pytest.raises(errors.HypervisorError, match="frobnicate"):
    LXCHypervisor.CheckParameterSyntax({**STOCK, "frobnicate": 1})


def test_a_bad_value_is_named() -> None:
  with pytest.raises(errors.HypervisorError, match=r"num_ttys \('many'\)"):
    LXCHypervisor.CheckParameterSyntax({**STOCK, "num_ttys": "many"})


def test_unknown_keys_of_extra_config_are_named_on_the_master() -> None:
  with pytest.raises(errors.HypervisorError, match=r"lxc\.hook\.pre-start"):
    LXCHypervisor.CheckParameterSyntax(
      {**STOCK, "extra_config": "lxc.hook.pre-start=/bin/sh"}
    )


def test_the_callers_parameters_are_not_changed(
  cls: type[LXCHypervisor],
) -> None:
  values = dict(STOCK)
  cls.CheckParameterSyntax(values)
  cls.ValidateParameters(values)
  assert values == STOCK


def test_advice() -> None:
  assert LXCHypervisor.AssessParameters(STOCK)
  assert LXCHypervisor.AssessParameters(paramvalues.defaults()) == []


@pytest.mark.parametrize(("least", "given"), [(128, 128), (32, 99)])
def test_a_start_looks_at_others_only_if_memory_may_be_less(
  cls: type[LXCHypervisor],
  monkeypatch: pytest.MonkeyPatch,
  least: int,
  given: int,
) -> None:
  asked = []
  monkeypatch.setattr(
    driver.report,
    "node_info",
    lambda host: asked.append(host) or {"memory_free": 99},
  )
  instance = objects.Instance(beparams={"minmem": least, "maxmem": 128})
  assert cls()._InstanceStartupMemory(instance) == given
  assert len(asked) == (least < 128)
