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

"""What ganeti-lxc-forget-params forgets, and what restarts noded."""

import pathlib
import sys
import types
from typing import Any

import pytest
from ganeti_lxc_tools import forgetting, node
from ganeti_lxc_tools.errors import ToolError

STOCK = {"cpu_mask", "num_ttys"}
Params = dict[str, Any]


class FakeConfig:
  """As much of ConfigWriter as is used."""

  def __init__(self, cluster: Params, os_hvp: Params, **instances: Params):
    self.cluster = types.SimpleNamespace(hvparams=cluster, os_hvp=os_hvp)
    self.instances = {
      name: types.SimpleNamespace(name=name, **what)
      for name, what in instances.items()
    }
    self.updated: list[Any] = []

  def GetClusterInfo(self) -> Any:  # noqa: N802
    return self.cluster

  def GetAllInstancesInfo(self) -> Any:  # noqa: N802
    return self.instances

  def Update(self, what: Any, _feedback: Any) -> None:  # noqa: N802
    self.updated.append(what)


def test_parameters_of_the_cluster_and_of_an_os_are_forgotten() -> None:
  kvm = {"migration_mode": "live"}
  config = FakeConfig(
    {"lxc": {"num_ttys": 3, "migration_mode": "live"}, "kvm": dict(kvm)},
    {"debian": {"lxc": {"disk_type": "block", "cpu_mask": "1"}}, "other": {}},
  )
  lines = forgetting._of_cluster(config, STOCK, "lxc")
  assert lines == ["cluster: migration_mode", "OS debian: disk_type"]
  assert config.cluster.hvparams == {"lxc": {"num_ttys": 3}, "kvm": kvm}
  assert config.cluster.os_hvp["debian"] == {"lxc": {"cpu_mask": "1"}}
  assert config.updated == [config.cluster]


def test_nothing_to_forget_writes_nothing() -> None:
  config = FakeConfig({"lxc": {"num_ttys": 3}}, {})
  assert forgetting._of_cluster(config, STOCK, "lxc") == []
  assert forgetting._of_instances(config, STOCK, "lxc") == []
  assert config.updated == []


def test_only_instances_of_lxc_are_changed() -> None:
  config = FakeConfig(
    {},
    {},
    ours={"hypervisor": "lxc", "hvparams": {"disk_type": "x", "num_ttys": 1}},
    plain={"hypervisor": "lxc", "hvparams": {"num_ttys": 1}},
    other={"hypervisor": "kvm", "hvparams": {"disk_type": "x"}},
  )
  lines = forgetting._of_instances(config, STOCK, "lxc")
  assert lines == ["instance ours: disk_type"]
  assert config.updated == [config.instances["ours"]]
  assert config.instances["ours"].hvparams == {"num_ttys": 1}
  assert config.instances["other"].hvparams == {"disk_type": "x"}


def test_forgetting_without_ganeti(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Ganeti's modules may have been imported by this process already."""
  for name in [n for n in sys.modules if n.split(".")[0] == "ganeti"]:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setattr(sys, "path", list(sys.path))
  (tmp_path / "ganeti").mkdir()
  (tmp_path / "ganeti/__init__.py").write_text("raise ImportError('gone')\n")
  with pytest.raises(ToolError, match=r"Ganeti's modules are not in .*gone"):
    forgetting.forget(str(tmp_path))


class Daemon:
  """A made-up daemon-util that writes down what it was told."""

  def __init__(self, top: pathlib.Path) -> None:
    self.log = top / "log"
    self.log.write_text("")
    self.util = top / "daemon-util"
    self.policy = top / "policy-rc.d"

  def answers(self, path: pathlib.Path, case: str) -> None:
    path.write_text(
      f'#!/bin/sh\necho "$*" >>{self.log}\necho "said of $1"\n'
      f"case $1 in {case} esac\n"
    )
    path.chmod(0o755)

  @property
  def told(self) -> list[str]:
    return self.log.read_text().splitlines()


@pytest.fixture
def daemon(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
  made = Daemon(tmp_path)
  monkeypatch.setattr(node, "DAEMON_UTIL", str(made.util))
  monkeypatch.setattr(node, "POLICY", str(made.policy))
  return made


def test_noded_is_restarted_alone(daemon: Daemon) -> None:
  daemon.answers(daemon.util, "*) exit 0 ;;")
  node.restart_noded()
  verbs = ("check", "stop", "start")
  assert daemon.told == [f"{verb} ganeti-noded" for verb in verbs]


def test_noded_that_does_not_run_is_left_alone(daemon: Daemon) -> None:
  daemon.answers(daemon.util, "check) exit 3 ;;")
  node.restart_noded()
  assert daemon.told == ["check ganeti-noded"]


def test_no_ganeti_no_daemon(daemon: Daemon) -> None:
  node.restart_noded()
  assert daemon.told == []


def test_policy_may_forbid_a_restart(
  daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
  daemon.answers(daemon.util, "*) exit 0 ;;")
  daemon.answers(daemon.policy, "*) exit 101 ;;")
  node.restart_noded()
  assert daemon.told == ["check ganeti-noded", "ganeti restart"]
  assert "forbids to restart ganeti-noded" in capsys.readouterr().out


def test_noded_that_does_not_start_again_is_an_error(daemon: Daemon) -> None:
  daemon.answers(daemon.util, "start) exit 1 ;;")
  with pytest.raises(ToolError, match=r"status 1: said of start; see"):
    node.restart_noded()
