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

"""What LXC reads again when the guest reboots itself."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import lxcfiles
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc

FILES = {
  1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
  2: ("memory.max", "memory.swap.max"),
}


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path, version=request.param)
  node.paths().home.mkdir(parents=True)
  if node.version == 1:
    memsw = "memory.memsw.limit_in_bytes"
    (tmp_path / "sys/fs/cgroup/memory" / memsw).write_text("1\n")
  return node


def test_a_new_limit_takes_the_place_of_the_old(node: FakeLxc) -> None:
  data = node.paths().start_host_data
  data.write_text("ptys 1024\nnode c 10 200 666 net/tun\n")
  lxcfiles.keep_memory(node.host, NAME, 64)
  lxcfiles.keep_memory(node.host, NAME, 100)
  lines = data.read_text().splitlines()
  assert lines[:2] == ["ptys 1024", "node c 10 200 666 net/tun"]
  written = [line.split(" ") for line in lines[2:]]
  assert {pathlib.Path(w[1]).name for w in written} == set(FILES[node.version])
  first = FILES[node.version][0]
  values = {w[2] for w in written if w[1].endswith(f"/{first}")}
  assert values == {str(100 << 20)}
  for word, path, _ in written:
    assert word in ("try", "write")
    assert f"/ganeti-lxc/{NAME}/payload/" in path


def test_an_instance_that_was_never_started(node: FakeLxc) -> None:
  lxcfiles.keep_memory(node.host, NAME, 64)
  assert not node.paths().start_host_data.exists()
