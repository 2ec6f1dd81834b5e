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

"""How errors leave the driver, and what is counted of them."""

import pytest
from ganeti import errors
from ganeti.hypervisor.hv_lxc import driver_errors
from ganeti.hypervisor.hv_lxc.errors import Failed, Incomplete, Refused
from ganeti.hypervisor.hv_lxc.migration.channel import ConnectionLost
from ganeti.hypervisor.hv_lxc.migration.messages import ProtocolError


@pytest.mark.parametrize(
  ("raised", "counted"),
  [
    (Refused("x"), "refused"),
    (Failed("x"), "failed"),
    (Incomplete("x"), "incomplete"),
    # The kinds are for programmers, what was left is for operators.
    (ConnectionLost("x"), "failed"),
    (ProtocolError("x"), "failed"),
    (ZeroDivisionError("x"), "unexpected"),
  ],
)
def test_what_an_error_left_is_counted(
  monkeypatch: pytest.MonkeyPatch, raised: Exception, counted: str
) -> None:
  outcomes: list[str] = []
  monkeypatch.setattr(driver_errors, "_count", outcomes.append)

  @driver_errors.as_hypervisor_error
  def fails() -> None:
    raise raised

  with pytest.raises(errors.HypervisorError):
    fails()
  assert outcomes == [counted]


def test_what_ganeti_raised_is_its_own(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(driver_errors, "_count", lambda _: 1 / 0)

  @driver_errors.as_hypervisor_error
  def fails() -> None:
    raise errors.HotplugError("no")

  with pytest.raises(errors.HypervisorError, match="no"):
    fails()
