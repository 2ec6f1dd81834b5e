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

"""A node of a cluster that is a container itself, with cgroup v2 alone."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import cgtree, procfs
from ganeti.hypervisor.hv_lxc.host import wait_until

pytestmark = [pytest.mark.vm, pytest.mark.criu]

_TREE = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
# A namespace begins with the group of whoever makes it.
_ENTER = 'echo 0 >"$0/cgroup.procs"; exec "$@"'
_NAMESPACES = ("--cgroup", "--pid", "--mount", "--propagation", "private")
# As systemd has it: nobody is in the topmost group, which hands controllers
# down and takes no process any more (cgroups(7)).
_BOOT = """
mount --make-rshared /
mount -t proc proc /proc
mount -t cgroup2 none "$0"
mkdir "$0/init.scope"
echo 1 >"$0/init.scope/cgroup.procs"
while grep -q . "$0/cgroup.procs"; do sleep 0.1; done
for name in $(cat "$0/cgroup.controllers"); do
  echo "+$name" >"$0/cgroup.subtree_control"
done
"$@"
"""


@pytest.fixture
def group() -> Iterator[Path]:
  made = _TREE / f"nested-{uuid.uuid4().hex[:8]}"
  made.mkdir()
  yield made
  cgtree.prune(str(made))
  assert not made.exists()


@pytest.mark.parametrize(
  "test",
  [
    "test_hold_aborted",
    "test_reboot_by_the_guest_after_a_restore",
    "test_stop_after_a_restore_leaves_nothing",
  ],
)
def test_failed_to_escape_to_cgroup(group: Path, test: str) -> None:
  rounds = Path(__file__).with_name("test_rounds.py")
  pytest_argv = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
  boot = ["sh", "-ec", _BOOT, str(_TREE), sys.executable, *pytest_argv]
  unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", *boot]
  with subprocess.Popen(
    ["sh", "-ec", _ENTER, str(group), *unshare, f"{rounds}::{test}"],
    stdout=subprocess.PIPE,
    text=True,
  ) as process:
    assert wait_until(
      lambda: any(procfs.children(_PROC, process.pid)), timeout_s=10
    )
    (_TREE / "cgroup.procs").write_text(str(process.pid))
    said, _ = process.communicate()
  assert process.returncode == 0, said
  assert "1 passed" in said
