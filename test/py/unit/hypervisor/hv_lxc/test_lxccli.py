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

"""How the lxc-* tools are called."""

import pathlib
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc import lxccli
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from unit.hypervisor.hv_lxc.fakes import FakeRun

LXC = ("lxc-start", "lxc-wait", "lxc-stop")


@pytest.fixture
def run() -> FakeRun:
  return FakeRun(dict.fromkeys(LXC, 0))


@pytest.fixture
def host(run: FakeRun, tmp_path: pathlib.Path) -> Host:
  layout = Layout.below("/data", "/run", "/log", "/etc")
  return Host(layout=layout, run=run, proc=tmp_path)


CALLS: dict[str, Callable[[Host], object]] = {
  "start": lambda h: lxccli.start(h, "web1", "/log/x", 90),
  "wait": lambda h: lxccli.wait_running_or_stopped(h, "web1", 30),
  "stop": lambda h: lxccli.ask_to_stop(h, "web1"),
  "reboot": lambda h: lxccli.ask_to_reboot(h, "web1"),
  "kill": lambda h: lxccli.kill(h, "web1"),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_names_our_containers(
  host: Host, run: FakeRun, call: str
) -> None:
  CALLS[call](host)
  (argv,) = run.calls
  assert argv[1:5] == ("-P", "/data/lxc", "-n", "web1")


@pytest.mark.parametrize(
  "argv_of",
  [
    lambda h: lxccli.console_argv(h, "web1", 0),
    lambda h: lxccli.attach_argv(h, "web1", "/bin/sh", "-l"),
  ],
)
def test_programs_that_take_over_too(host: Host, argv_of) -> None:
  assert argv_of(host)[1:5] == ["-P", "/data/lxc", "-n", "web1"]


def test_what_runs_in_the_guest_cannot_be_taken_for_options(
  host: Host,
) -> None:
  argv = lxccli.attach_argv(host, "web1", "--rcfile", "x")
  assert argv[argv.index("--") :] == ["--", "--rcfile", "x"]
  assert "--clear-env" in argv[: argv.index("--")]


@pytest.mark.parametrize(
  ("asked", "passed"), [(30, "30"), (1, "1"), (0, "1"), (-5, "1")]
)
def test_a_wait_of_0_would_last_for_ever(
  host: Host, run: FakeRun, asked: int, passed: str
) -> None:
  lxccli.wait_running_or_stopped(host, "web1", asked)
  assert run.calls[0][run.calls[0].index("-t") + 1] == passed


def test_the_wait_ends_with_the_container(host: Host, run: FakeRun) -> None:
  lxccli.wait_running_or_stopped(host, "web1", 30)
  states = run.calls[0][run.calls[0].index("-s") + 1]
  assert set(states.split("|")) == {"RUNNING", "STOPPED"}


def test_a_request_neither_waits_nor_kills(host: Host, run: FakeRun) -> None:
  lxccli.ask_to_stop(host, "web1")
  lxccli.ask_to_reboot(host, "web1")
  for argv in run.calls:
    assert "-W" in argv
    assert "-k" not in argv


def test_the_tool_outlives_lxcs_own_wait(host: Host) -> None:
  """lxc-wait is to say that time is up, not to be killed for it."""
  limits: list[float] = []

  def run(argv: object, *, timeout_s: float = 0, env: object = None):
    limits.append(timeout_s)
    return FakeRun({"lxc-wait": 0})(["lxc-wait"])

  other = Host(layout=host.layout, run=run)
  lxccli.wait_running_or_stopped(other, "web1", 100)
  assert limits[0] > 100
