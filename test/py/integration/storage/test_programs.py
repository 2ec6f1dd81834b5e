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

"""Programs started for real."""

import pathlib
import time

import pytest
from ganeti import errors
from ganeti.storage import programs
from integration import disks


def test_what_it_printed_and_how_it_ended() -> None:
  script = "read line; echo got $line; echo why >&2; exit 3"
  result = programs.run(["sh", "-c", script], stdin=b"this\n")
  assert (result.status, result.stdout, result.stderr) == (
    3, "got this\n", "why\n",
  )  # fmt: skip
  with pytest.raises(errors.BlockDeviceError, match="exit code 3"):
    result.check()


def test_without_input_there_is_none() -> None:
  assert programs.checked(["cat"]).stdout == ""


def test_one_that_is_missing_is_named() -> None:
  with pytest.raises(errors.BlockDeviceError, match="no-such-program"):
    programs.run(["no-such-program"])


def test_one_that_cannot_be_killed_holds_nobody_up(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(programs, "_LIMIT", 0.5)
  monkeypatch.setattr(programs, "_KILLED", 0.5)
  with disks.frozen(tmp_path) as point:
    begun = time.monotonic()
    with pytest.raises(errors.BlockDeviceError, match="cannot be killed"):
      programs.checked(["touch", str(point / "new")])
    assert time.monotonic() - begun < 10
    # It has the file system in use until it has ended.
    disks.run("fsfreeze", "--unfreeze", str(point))
    programs._stuck.pop().wait()
