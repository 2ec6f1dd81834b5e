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

"""Which versions are found, kept, told to Ganeti, and may meet."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import versions
from ganeti.hypervisor.hv_lxc.command import Result
from unit.hypervisor.hv_lxc.fake_groups import FakeGroups, write

SIX = [6, 0, 4, 4, 1, 1]


class Programs:
  """lxc-start and criu, counting how often they are asked."""

  def __init__(self, answer: str, status: int = 0) -> None:
    self.answer, self.status, self.calls = answer, status, 0

  def __call__(self, argv: object, **_: object) -> Result:
    self.calls += 1
    return Result(("lxc-start",), self.status, self.answer)


@pytest.fixture(autouse=True)
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
  for name in ("LXC", "CRIU"):
    known = getattr(versions, name)
    paths = (str(tmp_path / "none"),)
    monkeypatch.setattr(
      versions, name, replace(known, paths=paths, libraries="")
    )


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  path = tmp_path / "lxc-start"
  write(path, "old")
  paths = (str(path),)
  monkeypatch.setattr(versions, "LXC", replace(versions.LXC, paths=paths))
  return path


@pytest.fixture
def criu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  path = tmp_path / "criu"
  write(path, "some")
  paths = (str(path),)
  monkeypatch.setattr(versions, "CRIU", replace(versions.CRIU, paths=paths))
  return path


def test_version_is_asked_once(tmp_path: Path, program: Path) -> None:
  lxc = Programs("5.0.2\n")
  host = replace(FakeGroups.make(tmp_path, "v1").host, run=lxc)
  assert [versions.lxc_version(host) for _ in range(3)] == [[5, 0, 2]] * 3
  assert lxc.calls == 1


def test_version_is_asked_again_after_an_upgrade(
  tmp_path: Path, program: Path
) -> None:
  lxc = Programs("5.0.2\n")
  host = replace(FakeGroups.make(tmp_path, "v1").host, run=lxc)
  versions.lxc_version(host)
  write(program, "newer")
  lxc.answer = "6.0.4-devel\n"
  assert versions.lxc_version(host) == [6, 0, 4]
  assert lxc.calls == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"key": 1}', "\x00"])
def test_damaged_memory_of_the_version(
  tmp_path: Path, program: Path, text: str
) -> None:
  host = replace(FakeGroups.make(tmp_path, "v1").host, run=Programs("7.0.0"))
  write(host.layout.run_dir / "lxc-version.json", text)
  assert versions.lxc_version(host) == [7, 0, 0]
  kept = (host.layout.run_dir / "lxc-version.json").read_text()
  assert json.loads(kept)["version"] == "7.0.0"


@pytest.mark.parametrize(("answer", "status"), [("", 1), ("5.0", 127)])
def test_version_that_cannot_be_had_is_left_out(
  tmp_path: Path, program: Path, answer: str, status: int
) -> None:
  node = FakeGroups.make(tmp_path, "v1")
  host = replace(node.host, run=Programs(answer, status))
  assert versions.for_ganeti(host) == []


def test_lxc_is_not_installed(tmp_path: Path) -> None:
  assert versions.for_ganeti(FakeGroups.make(tmp_path, "v1").host) == []


def test_lxc_without_criu(tmp_path: Path, program: Path) -> None:
  host = replace(FakeGroups.make(tmp_path, "v1").host, run=Programs("7.0\n"))
  assert versions.for_ganeti(host) == [7, 0, 0]


def test_lxc_and_criu(tmp_path: Path, program: Path, criu: Path) -> None:
  def run(argv: tuple[str, ...], **_: object) -> Result:
    answers = {"lxc-start": "6.0.4\n", "criu": "Version: 4.1.1\nGitID: v4\n"}
    return Result(argv, 0, answers[argv[0]])

  host = replace(FakeGroups.make(tmp_path, "v1").host, run=run)
  assert [versions.for_ganeti(host) for _ in range(2)] == [SIX] * 2


@pytest.mark.parametrize(
  ("source", "target", "safe"),
  [
    (SIX, SIX, True),
    (SIX, [6, 0, 5, 4, 2, 0], True),
    (SIX, [7, 0, 0, 4, 1, 1], True),
    (SIX, [5, 0, 2, 4, 1, 1], False),
    (SIX, [6, 0, 4, 3, 17, 1], False),
    (SIX, [6, 0, 4], False),
    ([6, 0, 4], [6, 0, 5], False),
    ([], SIX, False),
  ],
)
def test_which_may_meet(
  source: list[int], target: list[int], safe: bool
) -> None:
  assert versions.safe_for_migration(source, target) is safe
