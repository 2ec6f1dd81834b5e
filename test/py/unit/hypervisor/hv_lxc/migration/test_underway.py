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

"""Which migrations keep the node daemon from being stopped."""

import os

import pytest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.machine import role_in
from ganeti.hypervisor.hv_lxc.migration.states import State
from ganeti.hypervisor.hv_lxc.migration.underway import under_way

NAME = "web1.example.com"
NOW = 1763733600.0
MINUTE = 60.0
GOING = (
  State.OFFERED,
  State.DUMPING,
  State.DUMPED,
  State.HANDING,
  State.EXPECTING,
  State.READY,
  State.OWNER,
)
DECIDED = (State.IDLE, State.GONE, State.RESUMED, State.CLOSED, State.RELEASED)


def written(node: Host, state: State, *, ago: float) -> None:
  """A journal that was written so many seconds ago, and nothing since."""
  record = Journal(
    name=NAME, id="m1", state=state, role=role_in(state), peer_node="node2"
  )
  journals.save(node, record)
  home = node.layout.migration(NAME).home
  for path in home.iterdir():
    os.utime(path, (NOW - ago, NOW - ago))


def told(node: Host) -> list[str]:
  return [str(one) for one in under_way(node, NOW)]


def test_a_node_that_never_took_part(node: Host) -> None:
  assert told(node) == []


@pytest.mark.parametrize("state", GOING)
def test_one_between_two_calls_of_ganeti(node: Host, state: State) -> None:
  written(node, state, ago=MINUTE)
  way = "to" if role_in(state) is Role.SOURCE else "from"
  assert told(node) == [f"instance {NAME} is being migrated {way} node2"]


@pytest.mark.parametrize("state", GOING)
def test_an_abandoned_one_keeps_nobody_waiting(
  node: Host, state: State
) -> None:
  written(node, state, ago=5 * MINUTE)
  assert told(node) == []


@pytest.mark.parametrize("state", [State.DUMPING, State.EXPECTING])
def test_one_that_a_process_works_for(node: Host, state: State) -> None:
  written(node, state, ago=5 * MINUTE)
  lock = journals.hold_worker_lock(node, NAME)
  assert lock is not None
  assert len(told(node)) == 1
  os.close(lock)


@pytest.mark.parametrize("state", [State.HANDING, State.OWNER])
def test_a_process_that_is_stuck_does_not_block_for_ever(
  node: Host, state: State
) -> None:
  """As one that asks, and again, a node that is off."""
  written(node, state, ago=60 * MINUTE)
  lock = journals.hold_worker_lock(node, NAME)
  assert lock is not None
  assert told(node) == []
  os.close(lock)


def test_what_is_sent_is_a_sign_of_life(node: Host) -> None:
  written(node, State.DUMPING, ago=60 * MINUTE)
  lock = journals.hold_worker_lock(node, NAME)
  assert lock is not None
  images = node.layout.migration(NAME).images / "1"
  images.mkdir(parents=True)
  (images / "pages-1.img").write_text("")
  os.utime(images / "pages-1.img", (NOW - MINUTE, NOW - MINUTE))
  assert len(told(node)) == 1
  os.close(lock)


@pytest.mark.parametrize("state", DECIDED)
def test_disks_are_brought_back_when_it_is_over(
  node: Host, state: State
) -> None:
  written(node, state, ago=5)
  assert told(node) == [f"a migration of instance {NAME} has just ended"]
  written(node, state, ago=MINUTE)
  assert told(node) == []


def test_one_of_another_boot(node: Host) -> None:
  written(node, State.DUMPING, ago=5)
  (node.proc / "sys/kernel/random/boot_id").write_text("boot-2\n")
  assert told(node) == []


def test_a_clock_that_was_set_back(node: Host) -> None:
  written(node, State.DUMPING, ago=-1)
  assert len(told(node)) == 1
  written(node, State.DUMPING, ago=-60 * MINUTE)
  assert told(node) == []


def test_a_damaged_journal_hides_no_other_and_keeps_nobody_waiting(
  node: Host,
) -> None:
  written(node, State.DUMPING, ago=5)
  damaged = node.layout.migration("another")
  damaged.home.mkdir()
  damaged.journal.write_text("{")
  assert len(told(node)) == 1
