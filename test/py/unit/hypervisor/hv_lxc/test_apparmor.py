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

"""Which AppArmor profile is configured."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import apparmor
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout


def host(top: pathlib.Path, enabled: str | None) -> Host:
  if enabled is not None:
    where = top / "module/apparmor/parameters"
    where.mkdir(parents=True)
    (where / "enabled").write_text(enabled)
  return Host(layout=Layout.below("/a", "/b", "/c", "/d"), sys=top)


@pytest.mark.parametrize("enabled", [None, "N\n", ""])
def test_without_apparmor_no_profile_is_named(
  tmp_path: pathlib.Path, enabled: str | None
) -> None:
  """LXC would refuse to restore such a container."""
  node = host(tmp_path, enabled)
  assert apparmor.profile(node, "unconfined") == ""


def test_profiles(tmp_path: pathlib.Path) -> None:
  node = host(tmp_path, "Y\n")
  assert apparmor.profile(node, "") == "lxc-container-default-cgns"
  assert apparmor.profile(node, "lxc-own") == "lxc-own"
