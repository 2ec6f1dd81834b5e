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

"""Verify: where nothing is amiss, then with one thing hidden."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc.errors import Failed
from unit.hypervisor.hv_lxc import fake_node
from unit.hypervisor.hv_lxc.fake_node import RELEASE, FakeNode
from unit.hypervisor.hv_lxc.verify_cases import (
  LAYOUTS,
  advice,
  each,
  lxc_says,
  problems,
  replaced,
  with_text,
  without,
  without_line,
)


@pytest.fixture(params=LAYOUTS)
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeNode:
  return LAYOUTS[request.param](tmp_path)


def test_nothing_amiss(node):
  assert problems(node) == []
  assert advice(node) == []


def test_nothing_is_changed(node):
  before = node.contents()
  problems(node, ("net_cls",))
  advice(node)
  assert node.contents() == before


def test_one_program_is_started(node):
  problems(node)
  assert node.started == [("lxc-start", "--version")]


# What is hidden on any layout; words of the line, and of its remedy.
HIDDEN = [
  *(
    pytest.param(without(f"bin/{tool}"), f"{tool} ", "install", id=tool)
    for tool in (
      *fake_node.COMMANDS[:12],
      "blkid",
      "kpartx",
      "apparmor_parser",
    )
  ),
  *(
    pytest.param(
      without(f"proc/self/ns/{kind}"),
      f"no {kind} namespaces",
      "kernel",
      id=f"{kind} namespace",
    )
    for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup")
  ),
  *(
    pytest.param(
      with_text(f"proc/sys/user/max_{kind}_namespaces", "0\n"),
      f"user.max_{kind}_namespaces is 0",
      "sysctl",
      id=f"{kind} limit",
    )
    for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup")
  ),
  *(
    pytest.param(
      without_line(f"lib/modules/{RELEASE}/modules.dep", f"/{module}.ko"),
      f"module {module}",
      f"CONFIG_{module.upper()}",
      id=module,
    )
    for module in ("veth", "bridge")
  ),
  pytest.param(
    lxc_says("4.0.6\n"), "LXC 4.0.6 is too old", "install LXC 5", id="LXC 4"
  ),
  pytest.param(
    lxc_says("lxc-start: error while loading shared libraries\n"),
    "does not tell its version",
    "run it",
    id="broken LXC",
  ),
  pytest.param(
    lambda node: node.write(
      "etc/lxc/lxc.conf", f"lxc.lxcpath={node.host.layout.lxcpath}/\n"
    ),
    "behind Ganeti's back",
    "lxc.lxcpath",
    id="lxcpath",
  ),
  pytest.param(
    without_line("proc/filesystems", "devpts"),
    "no devpts",
    "CONFIG_UNIX98_PTYS",
    id="devpts",
  ),
  pytest.param(without("dev/ptmx"), "/ptmx", "pts/ptmx", id="ptmx"),
  pytest.param(
    without("proc/sys/kernel/seccomp/actions_avail"),
    "seccomp",
    "CONFIG_SECCOMP_FILTER",
    id="seccomp",
  ),
  pytest.param(
    replaced("proc/sys/kernel/seccomp/actions_avail", "errno", "log"),
    "seccomp",
    "CONFIG_SECCOMP_FILTER",
    id="seccomp errno",
  ),
  pytest.param(
    without("dev/loop-control"), "loop-control", "modprobe loop", id="loop"
  ),
  pytest.param(
    each(
      without_line("proc/devices", "blkext"),
      without_line("proc/misc", "device-mapper"),
    ),
    "Partitions of disks",
    "dm_mod",
    id="partitions",
  ),
  pytest.param(
    each(
      with_text("proc/sys/kernel/osrelease", "5.10.0-1-amd64\n"),
      lambda node: node.path(f"lib/modules/{RELEASE}").rename(
        node.path("lib/modules/5.10.0-1-amd64")
      ),
    ),
    "Linux 5.10.0-1-amd64",
    "6.0",
    id="old kernel",
  ),
  pytest.param(
    without("etc/apparmor.d/lxc-containers"),
    "lxc-containers",
    "install",
    id="AppArmor file",
  ),
  pytest.param(
    without_line("sys/kernel/security/apparmor/profiles", "lxc-container"),
    "lxc-container-default-cgns",
    "apparmor_parser -r /etc/apparmor.d/lxc-containers",
    id="AppArmor profile",
  ),
]


@pytest.mark.parametrize(("change", "what", "remedy"), HIDDEN)
def test_hidden(node, change, what, remedy):
  change(node)
  (line,) = problems(node)
  assert what in line
  assert remedy in line


def test_lxc_not_installed_is_one_line(node):
  for tool in fake_node.COMMANDS:
    if tool.startswith("lxc-"):
      node.remove(f"bin/{tool}")
  assert problems(node) == ["LXC is not installed (run apt-get install lxc)"]
  assert node.started == []


def test_a_file_that_cannot_be_executed_is_no_command(node):
  node.path("bin/ip").chmod(0o644)
  (line,) = problems(node)
  assert "command ip " in line


def test_without_device_mapper_kpartx_is_not_needed(node):
  node.drop_line("proc/misc", "device-mapper")
  node.remove("bin/kpartx")
  assert problems(node) == []


def test_without_apparmor_its_files_are_not_needed(node):
  node.remove("sys/module/apparmor")
  node.remove("sys/kernel")
  node.remove("etc/apparmor.d")
  node.remove("bin/apparmor_parser")
  assert problems(node) == []
  (line,) = advice(node)
  assert "AppArmor is off" in line


def test_unreadable_profiles_are_not_missed(node):
  node.remove("sys/kernel")
  assert problems(node) == []


@pytest.mark.parametrize(
  ("path", "subject"),
  [
    ("proc/filesystems", "devpts"),
    ("proc/sys/kernel/seccomp/actions_avail", "seccomp"),
    ("etc/lxc/lxc.conf", "LXC's configuration"),
  ],
)
def test_a_failing_check_is_one_line(node, path, subject):
  node.remove(path)
  node.path(path).mkdir()
  (line,) = problems(node)
  assert line.startswith(f"The check of {subject} failed: IsADirectoryError")


def test_an_empty_node_raises_nothing(tmp_path):
  node = FakeNode(tmp_path)
  first, again = problems(node), problems(node)
  assert "LXC is not installed (run apt-get install lxc)" in first
  assert first == again
  assert advice(node)


def test_lxc_start_cannot_be_started(node, monkeypatch):
  def run(*args, **kwargs):
    raise Failed("Cannot run lxc-start", evidence="Exec\nformat error")

  monkeypatch.setattr(node, "run", run)
  (line,) = problems(node)
  assert "LXC's version" in line
  assert "Exec format error" in line
