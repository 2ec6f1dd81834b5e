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

"""The system call filter."""

import pytest
from ganeti.hypervisor.hv_lxc import seccomp

# common.seccomp of LXC 5 to 7.
COMMON = {
  "reject_force_umount",
  "kexec_load",
  "open_by_handle_at",
  "init_module",
  "finit_module",
  "delete_module",
}


@pytest.mark.parametrize("may", [True, False])
def test_at_least_as_strict_as_lxcs_own(may: bool) -> None:
  lines = seccomp.profile(may_set_host_name=may).splitlines()
  denied = {
    line.split()[0]
    for line in lines
    if line == "reject_force_umount" or line.endswith(" errno 1")
  }
  assert denied >= COMMON


def test_the_format_that_lxc_reads() -> None:
  text = seccomp.profile(may_set_host_name=True)
  assert text.endswith("\n")
  lines = text.splitlines()
  assert lines[:2] == ["2", "denylist"]
  # A rule before the first architecture would be for the node's alone.
  assert lines.index("[all]") < min(
    index for index, line in enumerate(lines) if " errno " in line
  )


def test_setting_the_host_name() -> None:
  rule = "sethostname errno 0"
  assert rule in seccomp.profile(may_set_host_name=False)
  assert "sethostname" not in seccomp.profile(may_set_host_name=True)
