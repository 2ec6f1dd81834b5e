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

"""A guest is dumped and restored, and is as before."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import balloon, lxcfiles, record, stopping
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.record import Phase
from integration.hv_lxc.migration.moving import WAIT_S, Moving, moving

pytestmark = pytest.mark.criu

ROUNDS = 10


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    yield made


def test_connection_counter_and_limits_survive(guest: Moving) -> None:
  guest.start()
  before, count = guest.limits(), guest.count()
  talk = guest.talk()
  talk.exchange()
  guest.dump()
  assert guest.leftovers() == []
  guest.restore()
  talk.exchange()
  assert guest.counts_on()
  assert guest.count() > count
  assert guest.limits() == before
  noted = record.load(guest.host, guest.paths)
  assert noted is not None
  assert noted.phase is Phase.RUNNING


def test_ten_rounds(guest: Moving) -> None:
  guest.start()
  talk = guest.talk()
  before = guest.limits()
  for _ in range(ROUNDS):
    guest.dump()
    guest.restore()
    talk.exchange()
    assert guest.counts_on()
  assert guest.limits() == before


def test_console_before_and_after(guest: Moving) -> None:
  guest.start()
  before = guest.console()
  guest.dump()
  guest.restore()
  assert guest.console() == before


def test_mtu_alias_and_bridge_of_the_host_end(guest: Moving) -> None:
  guest.start()
  link = Path("/sys/class/net", guest.nic.host_name)

  def seen() -> list[str]:
    files = ("mtu", "ifalias", "master/ifalias", "flags")
    texts = [(link / file).read_text() for file in files]
    return [*texts, (link / "master").readlink().name]

  before = seen()
  guest.dump()
  guest.restore()
  assert seen() == before


def test_guest_cannot_use_a_device_that_it_may_not(guest: Moving) -> None:
  guest.start()
  guest.dump()
  guest.restore()
  guest.inside("head", "-c", "1", "/dev/zero")
  for device in (("c", "1", "5"), ("b", "7", "0")):
    with pytest.raises(AssertionError, match="not permitted"):
      guest.inside("mknod", "/dev/made", *device)


def test_balloon_of_the_source_lasts(guest: Moving) -> None:
  guest.start()
  balloon.set_memory(guest.host, guest.name, 80)
  lxcfiles.keep_memory(guest.host, guest.name, 80)
  before = guest.limits()
  guest.dump()
  guest.restore()
  assert guest.limits() == before
  balloon.set_memory(guest.host, guest.name, 96)
  assert guest.limits() != before


def test_further_disk_is_mounted_again(guest: Moving) -> None:
  guest = guest.with_further_disk()
  guest.start()
  guest.inside("sh", "-c", "echo kept >/mnt/disk1/file")
  guest.dump()
  assert guest.leftovers() == []
  guest.restore()
  assert guest.inside("cat", "/mnt/disk1/file") == "kept"


def test_reboot_by_the_guest_after_a_restore(guest: Moving) -> None:
  guest.start()
  before = guest.limits()
  guest.dump()
  guest.restore()
  stopping.soft_reboot(guest.host, guest.name)
  assert guest.counts_on()
  assert guest.limits() == before
  assert not guest.paths.ended.exists()
  # Now by LXC itself, as after any start.
  stopping.soft_reboot(guest.host, guest.name)
  assert guest.counts_on()
  guest.dump()
  guest.restore()
  assert guest.counts_on()


def test_rebooting_guest_is_never_seen_as_down(guest: Moving) -> None:
  guest.start()
  guest.dump()
  guest.restore()
  old = guest.init
  guest.order("reboot")
  seen: list[bool] = []

  def again() -> bool:
    seen.append(guest.running)
    return not all(seen) or _other_init(guest, old)

  assert wait_until(again, WAIT_S)
  assert all(seen)


def _other_init(guest: Moving, old: int) -> bool:
  try:
    return guest.init != old
  except AssertionError:
    return False


@pytest.mark.parametrize(
  ("act", "expected"), [("poweroff", "halted\n"), ("kill", "died\n")]
)
def test_end_after_a_restore_is_told_apart(
  guest: Moving, act: str, expected: str
) -> None:
  guest.start()
  guest.dump()
  guest.restore()
  if act == "kill":
    guest.host.run(["kill", "-KILL", str(guest.init)])
  else:
    guest.order("poweroff")
  assert wait_until(guest.paths.ended.exists, WAIT_S)
  assert wait_until(lambda: not guest.running, WAIT_S)
  assert guest.paths.ended.read_text() == expected


def test_stop_after_a_restore_leaves_nothing(guest: Moving) -> None:
  guest.start()
  guest.dump()
  guest.restore()
  stopping.soft_stop(guest.host, guest.name, retry=False, timeout_s=WAIT_S)
  assert not guest.running
  stopping.clean_up(guest.host, guest.storage, guest.name)
  assert guest.leftovers() == []


def test_hold_aborted(guest: Moving) -> None:
  guest.start()
  talk = guest.talk()

  def refuse() -> None:
    raise Failed("the other node is gone")

  with pytest.raises(Failed, match="the other node is gone"):
    guest.dump(hold=refuse)
  assert guest.counts_on()
  talk.exchange()
  guest.dump()
  with pytest.raises(Failed, match="the other node is gone"):
    guest.restore(before_release=refuse)
  assert guest.leftovers() == []
  guest.restore()
  talk.exchange()
  assert guest.counts_on()
