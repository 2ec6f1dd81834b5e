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


"""What tests of a node's part, and of the connection of two, share."""

import errno
import pathlib
from collections.abc import Iterator

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import netns
from unit.hypervisor.hv_lxc.migration.two_nodes import TwoNodes, new_certificate


@pytest.fixture(autouse=True)
def no_network_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
  """There is none, and /proc/sys/net is that of the machine."""

  def enter(*_: object) -> None:
    raise FileNotFoundError(errno.ENOENT, "no such network")

  monkeypatch.setattr(netns, "enter", enter)
  monkeypatch.setattr(netns, "inside", lambda *_: {})


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """A server.pem."""
  return new_certificate(tmp_path_factory.mktemp("cluster"), serial=1)


@pytest.fixture(scope="session")
def strange_certificate(
  tmp_path_factory: pytest.TempPathFactory,
) -> pathlib.Path:
  """The server.pem of another cluster."""
  return new_certificate(tmp_path_factory.mktemp("strangers"), serial=2)


@pytest.fixture
def nodes(certificate: pathlib.Path) -> Iterator[TwoNodes]:
  """A source and a target on this machine's loopback."""
  with TwoNodes(certificate) as two:
    yield two


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Host:
  """One with directories of its own, and a boot."""
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))
  boot = tmp_path / "proc/sys/kernel/random/boot_id"
  boot.parent.mkdir(parents=True)
  boot.write_text("boot-1\n")
  return Host(layout=layout, proc=tmp_path / "proc")
