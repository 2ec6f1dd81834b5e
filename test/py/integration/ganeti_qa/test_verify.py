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

"""What stands in for gnt-cluster verify where the kernel has no sysrq."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[4]
VERIFY = ROOT / "qa/ganeti_qa/node/verify.sh"
SYSRQ = (
  "Sat Nov 21 13:51:43 2026   - ERROR: node node1.lab: node setup error: The"
  " procfs filesystem doesn't seem to be mounted under /proc, missing required"
  " directory /proc/sys and the file /proc/sysrq-trigger"
)
OTHER = "Sat Nov 21 13:51:43 2026   - ERROR: node node1.lab: Invalid OS debian"
ORDINARY = "Sat Nov 21 13:51:43 2026 * Verifying node status"


def verify(
  directory: pathlib.Path, status: int, *lines: str
) -> subprocess.CompletedProcess[str]:
  """Its answer where gnt-cluster prints LINES and ends with STATUS."""
  (directory / "lines").write_text("".join(f"{line}\n" for line in lines))
  program = directory / "gnt-cluster"
  program.write_text(
    f'#!/bin/sh\n[ "$*" = "verify --error-codes" ] || exit 9\n'
    f"cat {directory}/lines\nexit {status}\n"
  )
  program.chmod(0o755)
  return subprocess.run(
    [VERIFY, "--error-codes"],
    capture_output=True,
    text=True,
    env={"PATH": f"{directory}:{os.environ['PATH']}"},
  )


def test_the_missing_sysrq_alone(tmp_path: pathlib.Path) -> None:
  done = verify(tmp_path, 1, ORDINARY, SYSRQ, SYSRQ)
  assert (done.returncode, done.stdout) == (0, f"{ORDINARY}\n")


@pytest.mark.parametrize(
  "line",
  [OTHER, "1 job(s) failed while verifying the cluster.", "Failure: no"],
)
def test_another_problem_beside_it(tmp_path: pathlib.Path, line: str) -> None:
  done = verify(tmp_path, 1, SYSRQ, line)
  assert (done.returncode, done.stdout) == (1, f"{line}\n")


def test_a_failure_without_it(tmp_path: pathlib.Path) -> None:
  assert verify(tmp_path, 1, ORDINARY).returncode == 1


def test_a_success(tmp_path: pathlib.Path) -> None:
  done = verify(tmp_path, 0, ORDINARY)
  assert (done.returncode, done.stdout) == (0, f"{ORDINARY}\n")
