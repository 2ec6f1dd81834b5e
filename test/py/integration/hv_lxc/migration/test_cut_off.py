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

"""CRIU or the process that waits for it is killed in the middle."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import stopping
from ganeti.hypervisor.hv_lxc.errors import LxcError
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.migration import dump, journal
from ganeti.hypervisor.hv_lxc.migration.journal import Journal
from ganeti.hypervisor.hv_lxc.migration.states import State
from integration.hv_lxc.migration.moving import WAIT_S, Moving, Talk, moving

pytestmark = pytest.mark.criu

WORKER = """\
import sys
from pathlib import Path
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import dump
layout = Layout.below(*(f"{sys.argv[1]}/{part}" for part in "drlc"))
def hold():
  print("holding", flush=True)
  sys.stdin.readline()
dump.dump(Host(layout=layout), sys.argv[2], hold=hold)
"""
RESTORING = """\
import sys
from pathlib import Path
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.migration import restore
from ganeti.hypervisor.hv_lxc.model import DiskSpec
from ganeti.hypervisor.hv_lxc.partitions import Kpartx
top, name, uuid, disk = sys.argv[1:]
layout = Layout.below(*(f"{top}/{part}" for part in "drlc"))
def hold():
  print("holding", flush=True)
  sys.stdin.readline()
restore.restore(
  Host(layout=layout),
  Kpartx(),
  restore.RestoreRequest(
    name=name,
    uuid=uuid,
    disks=(DiskSpec(index=0, uuid="disk0", path=Path(disk)),),
  ),
  before_release=hold,
)
"""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    yield made


def criu_processes(guest: Moving) -> list[int]:
  """CRIU's processes that work in this guest's migration directory."""
  work = str(guest.host.layout.migration(guest.name).home)
  found = []
  for entry in Path("/proc").glob("[0-9]*/cmdline"):
    try:
      words = entry.read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
      continue
    if words[0].endswith("criu") and any(
      word.startswith(work) for word in words
    ):
      found.append(int(entry.parent.name))
  return found


def kill_criu(guest: Moving) -> None:
  pids = criu_processes(guest)
  assert pids
  for pid in pids:
    os.kill(pid, signal.SIGKILL)
  assert wait_until(lambda: not any(map(lives, pids)), WAIT_S)


def lives(pid: int) -> bool:
  try:
    text = Path(f"/proc/{pid}/stat").read_text()
  except (FileNotFoundError, ProcessLookupError):
    return False
  return text.rpartition(")")[2].split()[0] not in "ZX"


@contextlib.contextmanager
def holding(
  guest: Moving, program: str, *more: str
) -> Iterator[subprocess.Popen[bytes]]:
  """A process for which CRIU waits."""
  argv = [sys.executable, "-c", program, str(guest.top), guest.name, *more]
  with subprocess.Popen(
    argv,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
  ) as worker:
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"holding\n"
    yield worker


def note(guest: Moving, state: State) -> None:
  """What has been decided."""
  journal.save(guest.host, Journal(name=guest.name, id="m1", state=state))


def firewall(guest: Moving) -> str:
  enter = ["nsenter", f"--net=/proc/{guest.init}/ns/net"]
  result = guest.host.run([*enter, "nft", "list", "ruleset"])
  assert not result.failed, result.evidence()
  return result.stdout


def test_criu_killed_while_the_dump_is_held(guest: Moving) -> None:
  guest.start()
  talk = guest.talk()
  talk.exchange()

  def kill() -> None:
    assert "CRIU" in firewall(guest)
    kill_criu(guest)

  with pytest.raises(LxcError, match="runs on"):
    guest.dump(hold=kill)
  assert firewall(guest) == ""
  assert guest.counts_on()
  talk.exchange()
  guest.dump()
  guest.restore()
  talk.exchange()


def test_criu_killed_while_the_restore_is_held(guest: Moving) -> None:
  guest.start()
  talk = guest.talk()
  talk.exchange()
  guest.dump()
  with pytest.raises(LxcError, match="could not be restored"):
    guest.restore(before_release=lambda: kill_criu(guest))
  assert guest.leftovers() == []
  guest.restore()
  talk.exchange()
  assert guest.counts_on()


def test_migration_does_not_hang_when_init_is_killed_as_it_is_let_go(
  guest: Moving,
) -> None:
  guest.start()
  guest.dump()

  def kill_init() -> None:
    os.kill(guest.init, signal.SIGKILL)

  with pytest.raises(LxcError, match="could not be restored"):
    guest.restore(before_release=kill_init)
  assert criu_processes(guest) == []
  assert guest.leftovers() == []


def test_worker_killed_while_the_dump_is_held(guest: Moving) -> None:
  """CRIU learns it from the FIFO and has the guest run on by itself."""
  guest.start()
  talk = guest.talk()
  talk.exchange()
  with holding(guest, WORKER) as worker:
    worker.kill()
  assert wait_until(lambda: not criu_processes(guest), WAIT_S)
  assert firewall(guest) == ""
  assert guest.counts_on()
  talk.exchange()


def stands_still_until_restored(guest: Moving, talk: Talk) -> None:
  assert wait_until(lambda: not criu_processes(guest), WAIT_S)
  before = guest.count()
  time.sleep(0.3)
  assert guest.count() == before
  stopping.kill(guest.host, guest.name)
  stopping.clean_up(guest.host, guest.storage, guest.name)
  guest.restore()
  talk.exchange()
  assert guest.counts_on()


def test_a_guest_does_not_run_on_when_its_images_are_on_the_other_node(
  guest: Moving,
) -> None:
  """It went on for half a second, and its connections were lost."""
  guest.start()
  talk = guest.talk()
  talk.exchange()
  dump.save_files(guest.host, guest.name)
  with holding(guest, WORKER) as worker:
    note(guest, State.DUMPED)
    worker.kill()
  stands_still_until_restored(guest, talk)


def test_a_guest_does_not_run_on_when_something_fails_after_the_decision(
  guest: Moving,
) -> None:
  """It was restored later from images that it had gone on from."""
  guest.start()
  talk = guest.talk()
  talk.exchange()
  dump.save_files(guest.host, guest.name)

  def decide() -> None:
    note(guest, State.DUMPED)
    raise OSError(errno.ENOSPC, "No space left on device")

  with pytest.raises(OSError, match="No space"):
    dump.dump(guest.host, guest.name, hold=decide)
  stands_still_until_restored(guest, talk)


def test_a_guest_goes_on_that_was_given_to_this_node(guest: Moving) -> None:
  """The receiver was killed between the decision and CRIU's answer."""
  guest.start()
  talk = guest.talk()
  talk.exchange()
  guest.dump()
  disk = str(guest.request.disks[0].path)
  with holding(guest, RESTORING, guest.request.uuid, disk) as worker:
    note(guest, State.RESUMED)
    worker.kill()
  assert guest.counts_on()
  talk.exchange()


def test_worker_and_criu_killed(guest: Moving) -> None:
  guest.start()
  talk = guest.talk()
  talk.exchange()
  with holding(guest, WORKER) as worker:
    kill_criu(guest)
    worker.kill()
  dump.resume(guest.host, guest.name)
  assert firewall(guest) == ""
  assert guest.counts_on()
  talk.exchange()
  dump.resume(guest.host, guest.name)
  assert guest.counts_on()
