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

"""Races between processes, and processes killed at every step."""

import json
import multiprocessing
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest
from ganeti.storage import kpartx, loop_device, loop_mapping
from integration import disks
from integration.storage.conftest import loops_on

ImageFn = Callable[[str], pathlib.Path]

PROCESSES = 16
ROUNDS = 5
FORK = multiprocessing.get_context("fork")


def in_child(act: Callable[[], None]) -> int:
  """Runs a function in a child; returns its status as os.waitpid does."""
  pid = os.fork()
  if pid == 0:
    try:
      act()
    finally:
      os._exit(1)
  return os.waitpid(pid, 0)[1]


def dies(before: bool, name: str, call: int) -> None:
  """Lets a function of loop_device end the process at its n-th call."""
  original = getattr(loop_device, name)
  calls = 0

  def killer(*args: Any, **kwargs: Any) -> Any:
    nonlocal calls
    calls += 1
    if calls == call and before:
      os.kill(os.getpid(), signal.SIGKILL)
    result = original(*args, **kwargs)
    if calls == call:
      os.kill(os.getpid(), signal.SIGKILL)
    return result

  setattr(loop_device, name, killer)


POINTS = [
  (name, call, before)
  for name, call in (
    ("attach", 1),
    ("add_partition", 1),
    ("add_partition", 2),
    ("add_partition", 4),
    ("delete_partition", 1),
    ("delete_partition", 3),
    ("detach", 1),
  )
  for before in (True, False)
]


@pytest.mark.parametrize(("name", "call", "before"), POINTS)
def test_killed_at_every_step(
  image: ImageFn, tmp_path: pathlib.Path, name: str, call: int, before: bool
) -> None:
  path = image("gpt-cloud")
  record = tmp_path / "record"

  def map_and_unmap() -> None:
    dies(before, name, call)
    mapping = kpartx.MapDisk(
      str(path), claim=lambda claimed: record_to(record, claimed)
    )
    kpartx.UnmapDisk(mapping)

  status = in_child(map_and_unmap)
  assert os.WIFSIGNALED(status), status
  assert os.WTERMSIG(status) == signal.SIGKILL
  claimed = json.loads(record.read_text())
  kpartx.UnmapDisk(claimed)
  assert kpartx.InUse(str(path)) is None
  loop = kpartx.Mapping.FromDict(claimed).loop
  assert loop is not None
  if loop_device.status_of(loop) is None:
    assert loop_device.partition_numbers(loop) == []


def record_to(path: pathlib.Path, claimed: dict[str, Any]) -> None:
  path.write_text(json.dumps(claimed))


def racer(path: str, barrier: Any, results: Any) -> None:
  for _ in range(ROUNDS):
    claims: list[dict[str, Any]] = []
    barrier.wait()
    mapping = kpartx.MapDisk(path, claim=claims.append)
    status = loop_device.status_of(mapping.device)
    own = status is not None and status.tag == mapping.tag
    numbers = loop_device.partition_numbers(mapping.device)
    with pathlib.Path(mapping.device).open("rb") as handle:
      handle.seek(-16, os.SEEK_END)
      content = handle.read()
    barrier.wait()
    kpartx.UnmapDisk(mapping)
    gone = not loop_mapping.is_attached(mapping)
    last_claim = kpartx.Mapping.FromDict(claims[-1]).loop == mapping.loop
    results.put(
      (mapping.device, own, numbers, content.decode(), gone, last_claim)
    )


def test_sixteen_processes_at_once(
  image: ImageFn, tmp_path: pathlib.Path
) -> None:
  barrier = FORK.Barrier(PROCESSES)
  results = FORK.Queue()
  workers = []
  made = image("dos-one")
  for index in range(PROCESSES):
    path = tmp_path / f"{index}.img"
    disks.run("cp", "--sparse=always", str(made), str(path))
    with path.open("r+b") as handle:
      handle.seek(-16, os.SEEK_END)
      handle.write(b"%016d" % index)
    workers.append(
      FORK.Process(target=racer, args=(str(path), barrier, results))
    )
  for worker in workers:
    worker.start()
  found = [results.get(timeout=30) for _ in range(PROCESSES * ROUNDS)]
  for worker in workers:
    worker.join(timeout=30)
    assert worker.exitcode == 0
  contents = [result[3] for result in found]
  assert sorted(contents) == sorted(
    f"{index:016d}" for index in range(PROCESSES) for _ in range(ROUNDS)
  )
  assert {result[1:3] + result[4:] for result in map(freeze, found)} == {
    (True, (1,), True, True)
  }
  assert loops_on(tmp_path) == []


def freeze(result: tuple[Any, ...]) -> tuple[Any, ...]:
  return (*result[:2], tuple(result[2]), *result[3:])
