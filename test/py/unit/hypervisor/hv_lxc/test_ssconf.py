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

"""What Ganeti told this node about the cluster."""

import pytest
from ganeti import errors
from ganeti.hypervisor.hv_lxc import paramvalues, ssconf
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from unit.hypervisor.hv_lxc.fakes import FakeLxc
from unit.hypervisor.hv_lxc.test_driver import block_devices, instance


def test_a_node_that_was_told_nothing(node: FakeLxc) -> None:
  assert ssconf.hvparams(node.host) is None
  assert ssconf.words(node.host, "offline_nodes") == []
  assert ssconf.pairs(node.host, "ssh_ports") == []


def test_a_value_that_has_an_equals_sign(node: FakeLxc) -> None:
  node.tell(
    "hvparams_lxc",
    "devices=c 10:200 rw\nextra_config=lxc.prlimit.nofile=4096\ncpu_mask=\n",
  )
  assert ssconf.hvparams(node.host) == {
    "devices": "c 10:200 rw",
    "extra_config": "lxc.prlimit.nofile=4096",
    "cpu_mask": "",
  }


@pytest.mark.parametrize("sign", [" ", "="])
def test_addresses_of_nodes(node: FakeLxc, sign: str) -> None:
  node.tell(
    "node_secondary_ips", f"node1{sign}192.0.2.1\nnode2{sign}2001:db8::2"
  )
  assert ssconf.pairs(node.host, "node_secondary_ips") == [
    ("node1", "192.0.2.1"),
    ("node2", "2001:db8::2"),
  ]


def test_what_the_cluster_allows_counts_whatever_its_extra_config_is(
  hv: LXCHypervisor, node: FakeLxc
) -> None:
  """Ganeti's own reader of the file gives up at a second "="."""
  device = "c 10:200 rwm"
  node.tell(
    "hvparams_lxc",
    f"devices={device}\nextra_config=lxc.prlimit.nofile=4096\n",
  )
  wanted = {**paramvalues.defaults(), "devices": device}
  hv.StartInstance(instance(hvparams=wanted), block_devices(node), False)
  stock = instance(name="inst2.example.com")
  with pytest.raises(errors.HypervisorError, match="devices"):
    hv.StartInstance(stock, block_devices(node), False)
