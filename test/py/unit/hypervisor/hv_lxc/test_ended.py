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

"""Instances that ended by their own will."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import ended, record, stopping
from ganeti.hypervisor.hv_lxc.record import Phase, Record
from unit.hypervisor.hv_lxc.fakes import BOOT_ID, NAME, UUID, FakeLxc


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path)
  node.paths().home.mkdir(parents=True)
  return node


def note(
  node: FakeLxc,
  said: str | None = "halted\n",
  *,
  phase: Phase = Phase.RUNNING,
  boot_id: str = BOOT_ID,
) -> None:
  record.save(
    node.paths(), Record(name=NAME, uuid=UUID, boot_id=boot_id, phase=phase)
  )
  if said is not None:
    node.paths().ended.write_text(said)


def test_a_guest_that_halted(node: FakeLxc) -> None:
  note(node)
  assert ended.by_itself(node.host, NAME)
  assert ended.names(node.host) == [NAME]


@pytest.mark.parametrize("said", ["died\n", "", None, "halted?"])
def test_a_guest_that_did_not_halt(node: FakeLxc, said: str | None) -> None:
  note(node, said)
  assert not ended.by_itself(node.host, NAME)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING])
def test_a_guest_that_was_told_to(node: FakeLxc, phase: Phase) -> None:
  note(node, phase=phase)
  assert not ended.by_itself(node.host, NAME)


def test_a_boot_of_the_node_is_nobodys_will(node: FakeLxc) -> None:
  note(node, boot_id="another")
  assert not ended.by_itself(node.host, NAME)


def test_without_a_record(node: FakeLxc) -> None:
  node.paths().ended.write_text("halted\n")
  assert not ended.by_itself(node.host, NAME)


def test_a_stop_of_what_halted_settles_it(node: FakeLxc) -> None:
  note(node)
  stopping.soft_stop(node.host, NAME, retry=False, timeout_s=0)
  assert not ended.by_itself(node.host, NAME)
  assert ended.names(node.host) == []


def test_no_instance_was_ever_here(tmp_path: pathlib.Path) -> None:
  assert ended.names(FakeLxc(tmp_path).host) == []
