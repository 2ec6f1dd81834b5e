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

"""Virtual machines whose clocks run slower than the host's."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from ganeti_lab import (
  cli,
  plan,
  state,
  vm_clock,
  vm_host,
  vm_image,
  vm_machine,
  vm_qemu,
  vm_snapshot,
)
from ganeti_lab.errors import LabError

LAB = plan.LabPlan("lab", 2)
STOCK = vm_image.VmImage(pathlib.Path("/cache/vm-trixie"))


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(vm_host, "accelerator", lambda: "tcg")


def machine(slowness: int) -> vm_qemu.Machine:
  hardware = vm_machine.Hardware(1024, slowness)
  shared = pathlib.Path("guests.img")
  return vm_machine.describe(LAB, "node1", hardware, STOCK, shared)


class TestCommandLine:
  def test_a_clock_that_is_not_slow_is_the_hosts(self) -> None:
    assert vm_qemu.argv(machine(1))[0] == vm_qemu.PROGRAM

  def test_a_slow_one_is_that_of_qemu(self) -> None:
    env, preload, rate, program = vm_qemu.argv(machine(4))[:4]
    assert (env, rate) == ("/usr/bin/env", "FAKETIME=+0 x0.250000")
    assert preload.startswith("LD_PRELOAD=/")
    assert program == vm_qemu.PROGRAM

  def test_no_processor_but_an_emulated_one_is_slowed(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(vm_host, "accelerator", lambda: "kvm")
    assert machine(1).accelerator == "kvm"
    with pytest.raises(LabError, match="leave --slow-clock out"):
      machine(4)

  def test_of_the_lab(self) -> None:
    options = cli.parser().parse_args(["up", "--slow-clock", "3"])
    assert options.slow_clock == 3

  @pytest.mark.parametrize("word", ["0", "-1", "0.5"])
  def test_a_faster_clock_is_refused(self, word: str) -> None:
    with pytest.raises(SystemExit):
      cli.parser().parse_args(["up", f"--slow-clock={word}"])


class TestNow:
  def test_the_hosts_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_clock.time, "time", lambda: 1300.0)
    assert vm_clock.now(1, 1000.0) == 1300.0

  def test_a_third_of_the_seconds_since_the_lab_was_begun(
    self, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(vm_clock.time, "time", lambda: 1300.0)
    assert vm_clock.now(3, 1000.0) == 1100.0


class TestSavedMachine:
  """Its kernel has measured the TSC by the clock it was booted with."""

  @pytest.fixture(autouse=True)
  def qemu(self, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_snapshot.command, "run", lambda *_: "version 10")

  def place(self, slowness: int) -> str:
    hardware = vm_machine.Hardware(1024, slowness)
    return vm_snapshot.place(LAB, hardware, STOCK, []).name

  def test_another_clock_needs_another(self) -> None:
    assert len({self.place(1), self.place(2), self.place(3)}) == 3

  def test_one_clock_does_not_outdate_the_other(self) -> None:
    shape, _, _ = self.place(1).rpartition("-")
    assert not self.place(3).startswith(f"{shape}-")


def test_a_lab_that_an_older_checkout_made_has_the_hosts_clock() -> None:
  made = dataclasses.asdict(state.State("lab", "trixie", 2, driver=True))
  older = {k: v for k, v in made.items() if k not in ("slowness", "begun")}
  assert state.parse(json.dumps(older)).slowness == 1
