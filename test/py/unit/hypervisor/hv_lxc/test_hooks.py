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

"""The hooks that Ganeti runs: before a start, after a growth, as it watches."""

import pathlib
import types
from typing import Any

import pytest
import scripts
from ganeti import errors
from ganeti.hypervisor import hv_base
from ganeti.hypervisor.hv_lxc import report
from ganeti.hypervisor.hv_lxc.driver import LXCHypervisor
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import listing

_HOOKS = pathlib.Path(__file__).resolve().parents[5] / "tools/hooks"
_ENVIRONMENT = {
  "GANETI_INSTANCE_HYPERVISOR": "lxc",
  "GANETI_INSTANCE_NAME": "web1.example.com",
  "GANETI_INSTANCE_PRIMARY": "node1.example.com",
  "GANETI_DISK": "1",
  "GANETI_INSTANCE_DISK0_UUID": "first",
  "GANETI_INSTANCE_DISK1_UUID": "second",
}


def _load(directory: str) -> types.ModuleType:
  """The script that Ganeti runs from that directory."""
  return scripts.load(_HOOKS / directory / "ganeti-lxc")


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
  """The one for grown disks, in the environment that Ganeti gives it."""
  for name, value in _ENVIRONMENT.items():
    monkeypatch.setenv(name, value)
  return _load("disk-grow-post.d")


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
  """What the driver was told: instance and disk; the instance runs."""
  told: list[tuple[str, str]] = []

  def resize(_self: Any, instance: Any, disk: Any, _size: Any) -> None:
    told.append((instance.name, disk.uuid))

  monkeypatch.setattr(LXCHypervisor, "ResizeDisk", resize)
  monkeypatch.setattr(LXCHypervisor, "GetInstanceInfo", lambda *_: ("x", 1))
  return told


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
  """Ganeti 3.0, which tells the driver nothing."""
  monkeypatch.delattr(hv_base.BaseHypervisor, "ResizeDisk", raising=False)


@pytest.mark.usefixtures("old")
def test_a_running_guest_gets_the_room(
  hook: types.ModuleType, grown: list[tuple[str, str]]
) -> None:
  assert hook.main() == 0
  assert grown == [("web1.example.com", "second")]


def test_ganeti_that_tells_the_driver_itself(
  hook: types.ModuleType,
  grown: list[tuple[str, str]],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(
    hv_base.BaseHypervisor, "ResizeDisk", lambda *_: None, raising=False
  )
  assert hook.main() == 0
  assert grown == []


@pytest.mark.usefixtures("old")
def test_on_a_node_where_it_does_not_run(
  hook: types.ModuleType,
  grown: list[tuple[str, str]],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setattr(LXCHypervisor, "GetInstanceInfo", lambda *_: None)
  assert hook.main() == 0
  assert grown == []


@pytest.mark.usefixtures("old")
def test_an_instance_of_another_hypervisor(
  hook: types.ModuleType,
  grown: list[tuple[str, str]],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  monkeypatch.setenv("GANETI_INSTANCE_HYPERVISOR", "kvm")
  assert hook.main() == 0
  assert grown == []


@pytest.mark.usefixtures("old", "grown")
def test_what_went_wrong_is_told(
  hook: types.ModuleType,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  def fail(*_: Any) -> None:
    raise errors.HypervisorError("resize2fs said no")

  monkeypatch.setattr(LXCHypervisor, "ResizeDisk", fail)
  assert hook.main() == 1
  assert capsys.readouterr().err == "resize2fs said no\n"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
  """What the driver was asked before a start."""
  asked: list[tuple[str, ...]] = []
  monkeypatch.setattr(
    LXCHypervisor, "CheckStart", lambda _, *argv: asked.append(argv)
  )
  for name, value in _ENVIRONMENT.items():
    monkeypatch.setenv(name, value)
  return asked


@pytest.fixture
def starting(
  monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> types.ModuleType:
  """The one before a start, on a node where a migration was."""
  hook = _load("instance-start-pre.d")
  (tmp_path / "web1.example.com").mkdir()
  monkeypatch.setattr(hook, "_MIGRATIONS", str(tmp_path))
  return hook


def test_before_a_start_the_driver_is_asked(
  starting: types.ModuleType, checked: list[tuple[str, ...]]
) -> None:
  assert starting.main() == 0
  assert checked == [("web1.example.com", "first", "node1.example.com")]


def test_a_start_is_kept_from_ganeti_with_the_reason(
  starting: types.ModuleType,
  checked: list[tuple[str, ...]],
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  def fail(*_: Any) -> None:
    raise errors.HypervisorError("it runs there")

  monkeypatch.setattr(LXCHypervisor, "CheckStart", fail)
  assert starting.main() == 1
  assert capsys.readouterr().err == "it runs there\n"


@pytest.mark.parametrize(
  ("variable", "value"),
  [
    ("GANETI_INSTANCE_HYPERVISOR", "kvm"),
    ("GANETI_INSTANCE_NAME", "never-migrated.example.com"),
  ],
)
def test_before_another_start_nothing_is_asked(
  starting: types.ModuleType,
  checked: list[tuple[str, ...]],
  monkeypatch: pytest.MonkeyPatch,
  variable: str,
  value: str,
) -> None:
  monkeypatch.setenv(variable, value)
  assert starting.main() == 0
  assert checked == []


def test_the_hook_looks_where_the_driver_keeps_its_journals() -> None:
  layout = Layout.below("/var/lib/ganeti", "r", "l", "c")
  hook = _load("instance-start-pre.d")
  assert str(layout.migrations) == hook._MIGRATIONS


def test_the_watcher_has_the_node_go_on_with_migrations(
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  """Ganeti's own questions do not reach the driver on every node."""
  asked: list[bool] = []
  monkeypatch.setattr(
    listing, "attend", lambda *_, thorough: asked.append(thorough)
  )
  monkeypatch.setattr(report, "node_info", lambda _: {})
  monkeypatch.setattr(report, "running_names", lambda _: [])
  assert _load("watcher").main() == 0
  assert asked == [True]


def test_the_watcher_is_told_what_went_wrong(
  monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
  def fail(*_: Any) -> None:
    raise errors.HypervisorError("no cgroups")

  monkeypatch.setattr(LXCHypervisor, "GetNodeInfo", fail)
  assert _load("watcher").main() == 1
  assert capsys.readouterr().err == "no cgroups\n"
