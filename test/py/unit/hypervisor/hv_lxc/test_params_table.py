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

"""Ganeti's tables, with Ganeti's own checks run over them."""

import copy
from collections.abc import Iterator

import pytest
from ganeti import constants, errors, utils
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import paramtable, paramvalues


class Driver(hv_base.BaseHypervisor):
  PARAMETERS = paramtable.PARAMETERS


@pytest.fixture
def hvc_defaults() -> Iterator[dict[str, object]]:
  """Ganeti's defaults for lxc; put back afterwards."""
  table = constants.HVC_DEFAULTS
  before = copy.deepcopy(table)
  yield table[constants.HT_LXC]
  table.clear()
  table.update(before)


def test_every_name_is_one_that_ganetis_command_line_knows() -> None:
  assert set(paramtable.PARAMETERS) <= set(constants.HVS_PARAMETER_TYPES)


def test_defaults_have_the_types_of_ganeti() -> None:
  values = paramvalues.defaults()
  utils.ForceDictType(values, constants.HVS_PARAMETER_TYPES)
  assert values == paramvalues.defaults()


def test_no_name_is_both_supported_and_reserved() -> None:
  assert not paramvalues.RESERVED & set(paramvalues.defaults())


def test_supplied_defaults(hvc_defaults: dict[str, object]) -> None:
  paramtable.supply_defaults()
  paramtable.supply_defaults()
  assert hvc_defaults == paramvalues.defaults()
  assert hvc_defaults["migration_mode"] == constants.HT_MIGRATION_LIVE


def test_ganetis_own_test_finds_a_default_for_every_parameter(
  hvc_defaults: dict[str, object],
) -> None:
  """TestParameters of ganeti.hypervisor_unittest.py in Ganeti's source."""
  paramtable.supply_defaults()
  assert set(paramtable.PARAMETERS) == set(hvc_defaults)


def test_what_the_stock_driver_stored_passes_ganetis_checks() -> None:
  stock = {
    "cpu_mask": "",
    "devices": constants.LXC_DEVICES_DEFAULT,
    "drop_capabilities": constants.LXC_DROP_CAPABILITIES_DEFAULT,
    "extra_cgroups": "",
    "extra_config": "",
    "num_ttys": 6,
    "startup_timeout": 30,
  }
  filled = paramtable.filled(stock)
  assert stock.items() <= filled.items()
  Driver.CheckParameterSyntax(paramtable.unreserved(filled))
  Driver.ValidateParameters(paramtable.unreserved(filled))


def test_a_newer_release_stored_more() -> None:
  stored = {"cpu_weight": 0, "security_model": ""}
  values = paramtable.unreserved(paramtable.filled(stored))
  Driver.CheckParameterSyntax(values)
  Driver.ValidateParameters(values)


def test_a_name_of_another_hypervisor_is_refused() -> None:
  with pytest.raises(errors.HypervisorError, match="vnc_tls"):
    Driver.CheckParameterSyntax(paramtable.unreserved({"vnc_tls": True}))
