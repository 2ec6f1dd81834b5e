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

"""Memory is copied in rounds while a guest runs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc import freezer, stopping
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import wait_until
from ganeti.hypervisor.hv_lxc.migration import dump, precopy
from integration.hv_lxc.migration.moving import WAIT_S, Moving, moving

# Keeps a few MiB that nobody can guess, and tells their checksum when asked.
HOLD = """\
#!/bin/sh
b=/bin/busybox
x=$($b head -c 4000000 /dev/urandom | $b base64)
printf %s "$x" | $b md5sum >/var/first
while :; do
  if [ -e /var/ask ]; then
    printf %s "$x" | $b md5sum >/var/second && $b rm /var/ask
  fi
  sleep 0.1
done
"""
BUSYBOX = "/bin/busybox"
HELD = "/etc/hold >/dev/null 2>&1 </dev/null &"


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  with moving(tmp_path) as made:
    yield made


def images(guest: Moving, area: str = "") -> Path:
  return guest.host.layout.migration(guest.name).images / area


def pages(directory: Path) -> int:
  return sum(p.stat().st_size for p in directory.glob("pages-*.img"))


def hold_memory(guest: Moving) -> str:
  """Has the guest hold memory; its checksum."""
  program = guest.paths.rootfs / "etc/hold"
  program.write_text(HOLD)
  program.chmod(0o755)
  guest.inside("sh", "-c", f"{BUSYBOX} setsid {HELD}")
  first = guest.paths.rootfs / "var/first"
  assert wait_until(lambda: first.exists() and first.read_text(), WAIT_S)
  return first.read_text()


def checksum_now(guest: Moving) -> str:
  (guest.paths.rootfs / "var/ask").touch()
  second = guest.paths.rootfs / "var/second"
  assert wait_until(lambda: second.exists() and second.read_text(), WAIT_S)
  return second.read_text()


@pytest.mark.vm  # CONFIG_MEM_SOFT_DIRTY
def test_rounds_grow_small_and_the_guest_is_all_of_them(guest: Moving) -> None:
  assert precopy.is_possible(guest.host)
  guest.start()
  before = hold_memory(guest)
  talk = guest.talk()
  talk.exchange()
  run = dump.current_run(guest.host, guest.name)
  last: Path | None = None
  for number in ("1", "2"):
    made = images(guest, number)
    dump.pre_dump(guest.host, guest.name, made, run=run, parent=last)
    last = made
    talk.exchange()
    assert guest.counts_on()
  dump.save_files(guest.host, guest.name)
  dump.dump(guest.host, guest.name, hold=lambda: None, run=run, parent=last)
  stopping.clean_up(guest.host, guest.storage, guest.name)
  assert pages(images(guest, "1")) > 4_000_000
  assert pages(images(guest, "2")) < pages(images(guest, "1")) / 2
  assert pages(images(guest)) < pages(images(guest, "1")) / 2
  guest.restore()
  talk.exchange()
  assert guest.counts_on()
  assert checksum_now(guest) == before


@pytest.mark.criu
@pytest.mark.parametrize("timeout_s", [0.03, 0.1, 0.3, 10.0])
def test_guest_goes_on_whenever_criu_ends_in_a_round(
  guest: Moving, timeout_s: float
) -> None:
  """It is killed then; with a kernel that tracks nothing it fails by itself."""
  guest.start()
  talk = guest.talk()
  talk.exchange()
  run = dump.current_run(guest.host, guest.name)
  with contextlib.suppress(Failed):
    dump.pre_dump(
      guest.host, guest.name, images(guest, "1"), run=run, timeout_s=timeout_s
    )
  assert not freezer.is_frozen(guest.trees, guest.name)
  assert dump.current_run(guest.host, guest.name) == run
  talk.exchange()
  assert guest.counts_on()
  guest.dump()
  guest.restore()
  talk.exchange()
  assert guest.counts_on()


def test_guest_that_reboots_is_not_taken_for_what_it_was(
  guest: Moving,
) -> None:
  guest.start()
  run = dump.current_run(guest.host, guest.name)
  stopping.soft_reboot(guest.host, guest.name)
  with pytest.raises(Failed, match="was rebooted"):
    dump.dump(guest.host, guest.name, hold=lambda: None, run=run)
  assert guest.counts_on()
