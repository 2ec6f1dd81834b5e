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

"""The program ganeti-lxc-metrics, read by Prometheus' own parser."""

import json
import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import record
from ganeti.hypervisor.hv_lxc.doctor import counters, metrics
from ganeti.hypervisor.hv_lxc.doctor.exposition import (
  Kind,
  Metric,
  Sample,
  to_text,
)
from ganeti.hypervisor.hv_lxc.migration import journal, progress
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.progress import Progress
from ganeti.hypervisor.hv_lxc.migration.states import State
from ganeti.hypervisor.hv_lxc.record import DiskRecord, Phase, Record
from prometheus_client.parser import text_string_to_metric_families
from unit.hypervisor.hv_lxc.fake_groups import NAME, FakeGroups, write

BOOT = "11111111-2222-3333-4444-555555555555"
OTHER = "other.example.com"
Labels = tuple[tuple[str, str], ...]


@pytest.fixture(params=["v1", "hybrid", "v2"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeGroups:
  found = FakeGroups.make(tmp_path, request.param)
  write(tmp_path / "proc/sys/kernel/random/boot_id", f"{BOOT}\n")
  if request.param != "v2":
    for controllers in ("pids", "blkio"):
      found.mount(found.root / controllers, controllers)
      number = len(found.groups) + 1
      found.groups.append(f"{number}:{controllers}:/")
    found.save()
  found.instance(NAME, [99], [100])
  return found


def fill(node: FakeGroups, v1: dict[str, str], v2: dict[str, str]) -> None:
  """Writes control files of the instance where the kernel has them."""
  pure = node.layout == "v2"
  for name, text in (v2 if pure else v1).items():
    controller = name.partition(".")[0]
    known = {"cpu": "cpuset"} if pure else {}
    tree = node.trees.controller(known.get(controller, controller))
    assert tree is not None, name
    write(pathlib.Path(tree.payload(NAME), name), text)


def note(node: FakeGroups, name: str = NAME, **values: object) -> None:
  paths = node.host.layout.instance(name)
  paths.home.mkdir(parents=True)
  noted = Record(
    name=name, uuid="u", boot_id=BOOT, phase=Phase.RUNNING, **values
  )  # type: ignore[arg-type]
  record.save(paths, noted)


def run(
  node: FakeGroups, capsys: pytest.CaptureFixture[str], *argv: str
) -> dict[tuple[str, Labels], float]:
  """What is printed, as the parser understands it."""
  assert metrics.main(argv, node.host) == metrics.FINE
  return parsed(capsys.readouterr().out)


def parsed(text: str) -> dict[tuple[str, Labels], float]:
  found = {}
  for family in text_string_to_metric_families(text):
    assert family.documentation.endswith(".")
    assert family.type in ("counter", "gauge")
    for sample in family.samples:
      assert sample.name.startswith("ganeti_lxc_")
      assert sample.name.endswith("_total") == (family.type == "counter")
      key = sample.name, tuple(sorted(sample.labels.items()))
      assert key not in found
      found[key] = sample.value
  return found


def of(name: str, **labels: str) -> tuple[str, Labels]:
  pairs = {"instance": NAME, **labels}
  return f"ganeti_lxc_{name}", tuple(sorted(pairs.items()))


def test_figures_of_control_groups(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  fill(
    node,
    {
      "cpuacct.usage": "2500000000\n",
      "memory.usage_in_bytes": "4096\n",
      "memory.limit_in_bytes": "65536\n",
      "pids.current": "7\n",
      "blkio.throttle.io_service_bytes": (
        "8:0 Read 100\n8:0 Write 20\n8:0 Sync 3\n8:0 Total 120\n"
        "7:0 Read 5\n7:0 Write 0\nTotal 125\n"
      ),
    },
    {
      "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
      "memory.current": "4096\n",
      "memory.max": "65536\n",
      "pids.current": "7\n",
      "io.stat": "8:0 rbytes=100 wbytes=20 rios=1\n7:0 rbytes=5 wbytes=0\n",
    },
  )
  found = run(node, capsys)
  assert found["ganeti_lxc_up", ()] == 1
  assert found[of("cpu_seconds_total")] == 2.5
  assert found[of("memory_usage_bytes")] == 4096
  assert found[of("memory_limit_bytes")] == 65536
  assert found[of("pids")] == 7
  assert found[of("io_read_bytes_total")] == 105
  assert found[of("io_written_bytes_total")] == 20
  assert found[of("instance_state", state="running")] == 1
  assert found[of("instance_state", state="paused")] == 0


def test_what_a_guest_s_services_read_is_counted(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  file = "blkio.throttle.io_service_bytes"
  fill(
    node,
    {
      file: "8:0 Read 0\n8:0 Write 0\nTotal 0\n",
      f"{file}_recursive": "8:0 Read 100\n8:0 Write 20\nTotal 120\n",
    },
    {"io.stat": "8:0 rbytes=100 wbytes=20\n"},
  )
  found = run(node, capsys)
  assert found[of("io_read_bytes_total")] == 100
  assert found[of("io_written_bytes_total")] == 20


def test_no_limit_is_no_line(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  assert of("memory_limit_bytes") not in run(node, capsys)


def test_paused(node: FakeGroups, capsys: pytest.CaptureFixture[str]) -> None:
  tree = node.trees.controller("freezer")
  assert tree is not None
  name, text = (
    ("freezer.state", "FROZEN\n")
    if tree.version == 1
    else ("cgroup.freeze", "1\n")
  )
  write(pathlib.Path(tree.payload(NAME), name), text)
  found = run(node, capsys)
  assert found[of("instance_state", state="paused")] == 1
  assert found[of("instance_state", state="running")] == 0


def test_halted_by_itself(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  note(node, OTHER)
  write(node.host.layout.instance(OTHER).ended, "halted\n")
  found = run(node, capsys)
  assert found[of("instance_state", instance=OTHER, state="halted")] == 1


def test_network_as_the_guest_sees_it(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  note(node, nics=({"index": 0, "host_name": "tap1"}, {"host_name": "a/b"}))
  top = node.top / "sys/class/net/tap1/statistics"
  write(top / "tx_bytes", "10\n")
  write(top / "rx_bytes", "3\n")
  found = run(node, capsys)
  more = {"nic": "0", "device": "tap1"}
  assert found[of("network_receive_bytes_total", **more)] == 10
  assert found[of("network_transmit_bytes_total", **more)] == 3


def test_room_on_disks_that_are_mounted(
  node: FakeGroups,
  capsys: pytest.CaptureFixture[str],
  monkeypatch: pytest.MonkeyPatch,
) -> None:
  note(
    node,
    disks=(
      DiskRecord(index=0, uuid="a", source="/a", mount_point="/"),
      DiskRecord(index=1, uuid="b", source="/b", mount_point="/nowhere"),
      DiskRecord(index=2, uuid="c", source="/c"),
    ),
  )
  found = run(node, capsys)
  here = os.statvfs("/")
  size = here.f_blocks * here.f_frsize
  assert found[of("filesystem_size_bytes", disk="0")] == size
  assert of("filesystem_avail_bytes", disk="0") in found
  assert of("filesystem_size_bytes", disk="1") not in found
  assert of("filesystem_size_bytes", disk="2") not in found


@pytest.mark.parametrize("text", ["", "{", "[]", '{"disks": 3}', "\0\xff"])
def test_damaged_record_spoils_nothing(
  node: FakeGroups, capsys: pytest.CaptureFixture[str], text: str
) -> None:
  write(node.host.layout.instance(NAME).record, text)
  assert run(node, capsys)[of("instance_state", state="running")] == 1


def test_directory_in_place_of_the_record(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  node.host.layout.instance(NAME).record.mkdir(parents=True)
  assert run(node, capsys)[of("instance_state", state="running")] == 1


def test_counters(node: FakeGroups, capsys: pytest.CaptureFixture[str]) -> None:
  counters.path(node.host).parent.mkdir(parents=True, exist_ok=True)
  for _ in range(2):
    counters.increase(node.host, counters.ERRORS, "refused")
  counters.increase(node.host, counters.MIGRATIONS, "succeeded")
  found = run(node, capsys)
  outcome = (("outcome", "refused"),)
  assert found["ganeti_lxc_driver_errors_total", outcome] == 2
  outcome = (("outcome", "succeeded"),)
  assert found["ganeti_lxc_migrations_total", outcome] == 1


def test_what_migrations_came_to(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  counters.path(node.host).parent.mkdir(parents=True, exist_ok=True)
  for _ in range(2):
    sums = {
      counters.SENT_BYTES: 4096,
      counters.MICROSECONDS: 1_500_000,
      counters.FROZEN_MICROSECONDS: 250_000,
    }
    counters.add(node.host, counters.SUMS, sums)
  found = run(node, capsys)
  assert found["ganeti_lxc_migration_sent_bytes_total", ()] == 8192
  assert found["ganeti_lxc_migration_seconds_total", ()] == 3
  assert found["ganeti_lxc_migration_frozen_seconds_total", ()] == 0.5


@pytest.mark.parametrize("role", [Role.SOURCE, Role.TARGET])
def test_migration_that_is_under_way(
  node: FakeGroups, capsys: pytest.CaptureFixture[str], role: Role
) -> None:
  made = Journal(name=NAME, id="m", uuid="u", state=State.DUMPING, role=role)
  journal.save(node.host, made)
  paths = node.host.layout.migration(NAME)
  progress.save(paths, Progress(phase="dump", sent=30, known=40))
  assert of("migration_progress_ratio") not in run(node, capsys)
  held = journal.hold_worker_lock(node.host, NAME)
  assert held is not None
  found = run(node, capsys).get(of("migration_progress_ratio"))
  os.close(held)
  assert found == (0.75 if role is Role.SOURCE else None)


@pytest.mark.parametrize(
  "text", ["", "[]", "garbage", '{"a": 1, "b": {"c": "d", "e": -1}}']
)
def test_damaged_counters_begin_anew(node: FakeGroups, text: str) -> None:
  write(counters.path(node.host), text)
  counters.increase(node.host, counters.ERRORS, "failed")
  assert counters.read(node.host)[counters.ERRORS] == {"failed": 1}
  assert json.loads(counters.path(node.host).read_text())


def test_counting_never_fails(node: FakeGroups) -> None:
  counters.increase(node.host, counters.ERRORS, "failed")
  assert counters.read(node.host) == {}


def test_file_is_replaced_at_once_and_readable_by_all(
  node: FakeGroups, tmp_path: pathlib.Path
) -> None:
  target = tmp_path / "textfile/lxc.prom"
  write(target, "old")
  inode = target.stat().st_ino
  assert metrics.main([str(target)], node.host) == metrics.FINE
  assert target.stat().st_ino != inode
  assert target.stat().st_mode & 0o777 == 0o644
  assert [p.name for p in target.parent.iterdir()] == ["lxc.prom"]
  assert parsed(target.read_text())["ganeti_lxc_up", ()] == 1


def test_file_that_cannot_be_written(
  node: FakeGroups, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
  assert metrics.main([str(tmp_path / "no/x")], node.host) == metrics.BAD
  (line,) = capsys.readouterr().err.splitlines()
  assert "cannot be written: No such file or directory" in line


def test_nothing_can_be_read(
  node: FakeGroups, capsys: pytest.CaptureFixture[str]
) -> None:
  (node.top / "proc/self/mountinfo").unlink()
  assert metrics.main([], node.host) == metrics.BAD
  said = capsys.readouterr()
  assert parsed(said.out) == {("ganeti_lxc_up", ()): 0}
  assert "nothing can be read" in said.err


def test_labels_are_escaped() -> None:
  value = 'a"b\\c\nd'
  metric = Metric("x", Kind.GAUGE, "X.", (Sample(1.5, {"l": value}),))
  assert parsed(to_text([metric])) == {("ganeti_lxc_x", (("l", value),)): 1.5}
