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

"""Which terminal gnt-instance console meets."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import terminals
from unit.hypervisor.hv_lxc.fakes import INIT, NAME, SHELL, FakeLxc


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def node(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> FakeLxc:
  node = FakeLxc(tmp_path, version=request.param)
  node.populate()
  process(node, INIT, tty=0, age_s=1000)
  return node


def process(
  node: FakeLxc,
  pid: int,
  *,
  tty: int = 0x8801,
  stdin: str = "",
  age_s: float = 100,
  name: str = "getty",
) -> None:
  """A process of the guest, which also may have an odd name."""
  start = int((5000 - age_s) * 100)
  fields = ["S", "1", "1", "1", str(tty), *["0"] * 14, str(start), "0"]
  node.write(f"proc/{pid}/stat", f"{pid} ({name}) {' '.join(fields)}\n")
  if stdin:
    (node.top / f"proc/{pid}/fd").mkdir(exist_ok=True)
    (node.top / f"proc/{pid}/fd/0").symlink_to(stdin)
  for base in node.groups:
    procs = base / "ganeti-lxc" / NAME / "payload/cgroup.procs"
    if str(pid) not in procs.read_text().split():
      procs.write_text(procs.read_text() + f"{pid}\n")


def choose(node: FakeLxc) -> tuple[str, str, int | None]:
  choice = terminals.choose(node.host, NAME)
  assert choice.argv[1:5] == ["-P", str(node.layout.data_dir), "-n", NAME]
  return choice.argv[0], choice.argv[-1], choice.size_of


def test_a_getty_on_the_console(node: FakeLxc) -> None:
  process(node, SHELL, stdin="/dev/console")
  assert choose(node) == ("lxc-console", "0", INIT)


def test_a_getty_on_tty1(node: FakeLxc) -> None:
  process(node, SHELL, stdin="/dev/tty1")
  assert choose(node) == ("lxc-console", "1", None)


def test_the_console_is_preferred(node: FakeLxc) -> None:
  process(node, SHELL, stdin="/dev/tty1")
  process(node, SHELL + 1, stdin="/dev/console")
  assert choose(node)[:2] == ("lxc-console", "0")


def test_a_guest_without_any_login(node: FakeLxc) -> None:
  choice = terminals.choose(node.host, NAME)
  assert choice.argv[0] == "lxc-attach"
  assert "root shell" in choice.notice
  assert NAME in choice.notice


@pytest.mark.parametrize("name", ["a) R 1 1 1 99 (", ") ) )", "x\ny", "getty"])
def test_names_of_processes_are_the_guests_to_choose(
  node: FakeLxc, name: str
) -> None:
  process(node, SHELL, stdin="/dev/tty1", name=name)
  assert choose(node)[:2] == ("lxc-console", "1")


def test_a_daemon_that_has_the_console_open_is_no_login(
  node: FakeLxc,
) -> None:
  process(node, SHELL, stdin="/dev/console", tty=0)
  assert choose(node)[0] == "lxc-attach"


def test_inits_own_terminal_is_no_login(node: FakeLxc) -> None:
  process(node, INIT, stdin="/dev/console", age_s=1000)
  assert choose(node)[0] == "lxc-attach"


def test_a_guest_that_boots_may_open_its_terminals_yet(
  node: FakeLxc,
) -> None:
  process(node, INIT, tty=0, age_s=3)
  assert choose(node) == ("lxc-console", "0", INIT)


def test_a_paused_guest_is_met_at_its_console(node: FakeLxc) -> None:
  process(node, SHELL, stdin="/dev/tty1")
  payload = node.groups[0] / "ganeti-lxc" / NAME / "payload"
  if node.version == 1:
    (payload / "freezer.state").write_text("FROZEN\n")
  else:
    (payload / "cgroup.freeze").write_text("1\n")
  assert choose(node) == ("lxc-console", "0", INIT)


def test_a_process_that_ends_meanwhile(node: FakeLxc) -> None:
  process(node, SHELL, stdin="/dev/tty1")
  (node.top / f"proc/{SHELL}/stat").unlink()
  process(node, SHELL + 1)
  assert choose(node)[0] == "lxc-attach"


def test_links_of_the_guest_are_read_and_not_followed(
  node: FakeLxc, tmp_path: pathlib.Path
) -> None:
  (tmp_path / "tty1").symlink_to("/dev/tty1")
  process(node, SHELL, stdin=str(tmp_path / "tty1"))
  assert choose(node)[0] == "lxc-attach"


def test_the_program_that_ganeti_runs_is_there() -> None:
  interpreter, program = terminals.main_program()
  assert interpreter.startswith("/")
  assert pathlib.Path(program).is_file()


def test_a_running_guest_is_not_resumed(node: FakeLxc) -> None:
  """No child is made for it: the unit tests' guard would tell."""
  terminals.resume_soon(node.host, NAME)


def test_a_process_cannot_claim_a_terminal_by_its_name(
  node: FakeLxc,
) -> None:
  process(node, SHELL, stdin="/dev/tty1", tty=0, name="a) S 1 1 1 99 1 1 (")
  assert choose(node)[0] == "lxc-attach"
