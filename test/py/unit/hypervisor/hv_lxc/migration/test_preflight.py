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

"""What is refused before a migration changes anything."""

import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.migration import preflight
from ganeti.hypervisor.hv_lxc.node import Node
from unit.hypervisor.hv_lxc import fake_node
from unit.hypervisor.hv_lxc.fake_node import FakeNode


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeNode:
  return fake_node.debian_12_hybrid(tmp_path)


def check_criu(node: FakeNode) -> None:
  preflight.check_criu(
    Node(host=node.host, search_path=str(node.path("bin")), root=node.root)
  )


def test_criu_that_works(node: FakeNode) -> None:
  check_criu(node)


def test_no_criu(node: FakeNode) -> None:
  node.remove("bin/criu")
  with pytest.raises(Refused, match="apt-get install criu"):
    check_criu(node)


def test_criu_that_does_not_start_on_this_kernel_is_told_beforehand(
  node: FakeNode,
) -> None:
  """As 3.17 of Debian 12 on Linux 6.18; it tells its version all the same."""
  said = (
    "Error (criu/tun.c:85): tun: Unable to create tun: No such file\n"
    "Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds\n"
    "Error (criu/crtools.c:260): Could not initialize kernel features"
    " detection.\n"
  )
  node.criu = Result(("criu", "check"), 1, "", said)
  node.criu_version = "Version: 3.17.1\n"
  with pytest.raises(Refused) as refusal:
    check_criu(node)
  assert "Could not initialize kernel features" in str(refusal.value)
  assert "as new as the kernel" in str(refusal.value)
  assert "gnt-instance failover" in str(refusal.value)
