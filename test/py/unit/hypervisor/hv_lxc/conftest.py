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


"""The node and the driver of tests that need nothing special of them.

A module whose node is another one gets the driver of that.

"""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import mounts
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from unit.hypervisor.hv_lxc.fakes import FakeLxc
from unit.hypervisor.hv_lxc.test_driver import make_driver


@pytest.fixture(autouse=True)
def device_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
  """Files stand for block devices: a path for the number of its device."""
  monkeypatch.setattr(mounts, "_number", lambda path: abs(hash(str(path))))


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  """One whose bridge is what the NIC of test_driver.instance needs."""
  node = FakeLxc(tmp_path)
  node.add_link("br0", bridge=True)
  return node


@pytest.fixture
def hv(node: FakeLxc, monkeypatch: pytest.MonkeyPatch) -> LXCHypervisor:
  """As Ganeti has it on that node."""
  return make_driver(node, monkeypatch)
