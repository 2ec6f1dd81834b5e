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

"""The kernel takes the program, and does what it says."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import devices, hierarchies
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.migration import device_program
from integration.hv_lxc.guest_groups import WAIT_S, make_host

RULES = "c 1:3 rw,c 1:5 r,c 5:* rwm,b *:* m"


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Path]:
  unified = hierarchies.find(make_host(tmp_path)).unified
  assert unified is not None, "no cgroup v2 tree is mounted"
  top = Path(unified.base) / f"ganeti-lxc-test-{os.getpid()}"
  (top / "guest").mkdir(parents=True)
  yield top
  for path in (top / "guest", top):
    events = path / "cgroup.events"
    assert wait_until(lambda e=events: "populated 0" in e.read_text(), WAIT_S)
    path.rmdir()


def attempt(group: Path, line: str) -> bool:
  """Whether a shell in the group below can do this."""
  procs = group / "guest/cgroup.procs"
  done = subprocess.run(
    ["sh", "-c", f"echo 0 >{procs} && {line}"],
    capture_output=True,
    check=False,
  )
  return done.returncode == 0


@pytest.mark.parametrize(
  ("line", "allowed"),
  [
    (": >/dev/null", True),
    (": </dev/zero", True),
    (": >/dev/zero", False),
    (": </dev/urandom", False),
    (": </dev/ptmx", True),
    ("mknod {tmp}/b b 7 9", True),
    ("mknod {tmp}/c c 1 9", False),
  ],
)
def test_group_below_is_confined(
  group: Path, tmp_path: Path, line: str, allowed: bool
) -> None:
  command = line.format(tmp=tmp_path)
  assert attempt(group, command)
  for name in "bc":
    (tmp_path / name).unlink(missing_ok=True)
  device_program.attach(group, devices.parse(RULES))
  assert attempt(group, command) == allowed


def test_a_second_program_only_takes_away(group: Path) -> None:
  device_program.attach(group, devices.parse(RULES))
  device_program.attach(group / "guest", devices.parse(devices.DEFAULT))
  assert attempt(group, ": </dev/zero")
  assert not attempt(group, ": >/dev/zero")
