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

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import hierarchies, lxcconf
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.migration import enforce
from unit.hypervisor.hv_lxc.fakes import NAME, FakeLxc

V1 = [
  ("lxc.cgroup.dir.container", "x"),
  ("lxc.cgroup.memory.limit_in_bytes", "100"),
  ("lxc.cgroup.memory.memsw.limit_in_bytes", "200"),
  ("lxc.cgroup.cpu.cfs_quota_us", "50000"),
  ("lxc.cgroup.devices.deny", "a"),
  ("lxc.cgroup.devices.allow", "c 1:3 rwm"),
]


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  made = FakeLxc(tmp_path, version=1)
  made.populate()
  return made


def group(node: FakeLxc, controller: str) -> pathlib.Path:
  tree = hierarchies.find(node.host).controller(controller)
  assert tree is not None
  return pathlib.Path(tree.group(NAME))


def set_limits(node: FakeLxc) -> None:
  node.paths().home.mkdir(parents=True, exist_ok=True)
  for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
    (group(node, "memory") / "payload" / file).write_text("-1")
  (group(node, "cpu") / "payload/cpu.cfs_quota_us").write_text("-1")
  enforce.set_limits(hierarchies.find(node.host), NAME, V1, node.paths())


def memory(node: FakeLxc, file: str) -> str:
  return (group(node, "memory") / "payload" / f"memory.{file}").read_text()


def test_limits_of_the_configuration(node: FakeLxc) -> None:
  set_limits(node)
  assert memory(node, "limit_in_bytes") == "100"
  assert memory(node, "memsw.limit_in_bytes") == "200"


def test_limits_that_were_changed_later_win(node: FakeLxc) -> None:
  files = [
    ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "70"),
    ("/sys/fs/cgroup/memory/x/memory.memsw.limit_in_bytes", "80"),
  ]
  node.paths().home.mkdir(parents=True)
  text = lxcconf.with_memory("ptys 1024\n", files)
  node.paths().start_host_data.write_text(text)
  set_limits(node)
  assert memory(node, "limit_in_bytes") == "70"
  assert memory(node, "memsw.limit_in_bytes") == "80"


def test_order_that_the_kernel_refuses_is_turned(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  """v1 refuses a limit of memory above that of memory and swap."""
  order: list[str] = []

  def write(path: str, value: str) -> None:
    name = pathlib.Path(path).name
    if name == "memory.limit_in_bytes" and not order:
      order.append("refused")
      raise OSError(22, "Invalid argument")
    order.append(f"{name}={value}")

  monkeypatch.setattr(enforce.cgtree, "write", write)
  enforce.set_limits(hierarchies.find(node.host), NAME, V1, node.paths())
  assert order == [
    "refused",
    "memory.memsw.limit_in_bytes=200",
    "cpu.cfs_quota_us=50000",
    "memory.limit_in_bytes=100",
  ]


def test_limit_that_cannot_be_set_is_an_error(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  def write(path: str, value: str) -> None:
    raise OSError(16, "Device or resource busy")

  monkeypatch.setattr(enforce.cgtree, "write", write)
  with pytest.raises(Failed, match="cfs_quota_us=50000: Device or resource"):
    enforce.set_limits(hierarchies.find(node.host), NAME, V1, node.paths())


def test_devices_are_confined_above_the_guests_own_group(
  node: FakeLxc,
) -> None:
  group(node, "devices").mkdir(parents=True, exist_ok=True)
  for file in ("devices.deny", "devices.allow"):
    (group(node, "devices") / file).write_text("")
  enforce.allow_devices(hierarchies.find(node.host), NAME, V1)
  assert (group(node, "devices") / "devices.deny").read_text() == "a"


@pytest.mark.parametrize(
  ("allowed", "made"),
  [
    ("c 1:3 rw", ["c *:* m", "b *:* m"]),
    ("c *:* rwm", ["b *:* m"]),
  ],
)
def test_nodes_of_a_guest_that_may_make_none_are_made_on_v1(
  node: FakeLxc,
  monkeypatch: pytest.MonkeyPatch,
  allowed: str,
  made: list[str],
) -> None:
  """As with the list that Ganeti stores: no "m" is in it."""
  orders: list[str] = []
  monkeypatch.setattr(
    enforce.cgtree,
    "write",
    lambda path, value: orders.append(f"{path.rpartition('.')[2]} {value}"),
  )
  trees = hierarchies.find(node.host)
  config = [*V1[:-1], ("lxc.cgroup.devices.allow", allowed)]
  enforce.allow_devices(trees, NAME, config)
  before = ["deny a", f"allow {allowed}"]
  assert orders == [*before, *(f"allow {rule}" for rule in made)]
  orders.clear()
  enforce.forbid_making(trees, NAME, config)
  assert orders == [f"deny {rule}" for rule in made]


def test_a_guest_that_may_make_all_nodes_goes_on_so(
  node: FakeLxc, monkeypatch: pytest.MonkeyPatch
) -> None:
  orders: list[str] = []
  monkeypatch.setattr(
    enforce.cgtree, "write", lambda _, value: orders.append(value)
  )
  trees = hierarchies.find(node.host)
  rules = [("lxc.cgroup.devices.allow", f"{kind} *:* m") for kind in "cb"]
  enforce.allow_devices(trees, NAME, [*V1, *rules])
  assert orders == ["a", "c 1:3 rwm", "c *:* m", "b *:* m"]
  enforce.forbid_making(trees, NAME, [*V1, *rules])
  assert orders[4:] == []


def test_devices_on_v2_are_a_program(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  node = FakeLxc(tmp_path, version=2)
  asked: list[tuple[str, list[str]]] = []
  monkeypatch.setattr(
    enforce.device_program,
    "attach",
    lambda group, rules: asked.append((group.name, list(map(str, rules)))),
  )
  config = [(key.replace("cgroup", "cgroup2"), value) for key, value in V1]
  trees = hierarchies.find(node.host)
  enforce.allow_devices(trees, NAME, config)
  assert asked == [(NAME, ["c 1:3 rwm", "c *:* m", "b *:* m"])]
  enforce.forbid_making(trees, NAME, config)
  assert asked[1:] == [(NAME, ["c 1:3 rwm"])]
