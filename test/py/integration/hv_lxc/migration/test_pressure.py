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

"""Programs that wait for memory pressure, as they are after a restore."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti.hypervisor.hv_lxc.migration import pressure
from integration.hv_lxc.guest_groups import Guest, guest

# CRIU opens the file again and writes nothing to it.
_RESTORED = """
import os, select, sys, threading
fd = os.open("{path}", os.O_RDWR | os.O_NONBLOCK)
waiting = select.epoll()
waiting.register(fd, select.EPOLLPRI)
print(waiting.poll(0) == [(fd, select.EPOLLPRI | select.EPOLLERR)], flush=True)
sys.stdin.readline()
print(waiting.poll(0.5) == [], flush=True)
held = []
def hold():
  for _ in range(64):
    held.append(b"x" * (1 << 20))
threading.Thread(target=hold, daemon=True).start()
print(waiting.poll(30) == [(fd, select.EPOLLPRI)], flush=True)
os._exit(0)
"""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Guest]:
  with guest(tmp_path) as found:
    assert found.trees.unified is not None, "no cgroup v2 tree is mounted"
    yield found


def _file(made: Guest) -> Path:
  assert made.trees.unified is not None
  return Path(made.trees.unified.payload(made.name), "memory.pressure")


def _restored(made: Guest, path: Path) -> None:
  made.run(_RESTORED.format(path=path))
  assert made.said() == "True", "it does not spin before"


def _ask(made: Guest) -> str:
  stdin = made.children[-1].stdin
  assert stdin is not None
  stdin.write("go on\n")
  stdin.flush()
  return made.said()


def test_it_does_not_spin_any_more(made: Guest) -> None:
  _restored(made, _file(made))
  pressure.arm_again(made.host, made.trees, made.name)
  assert _ask(made) == "True"


def test_a_second_time_changes_nothing(made: Guest) -> None:
  _restored(made, _file(made))
  pressure.arm_again(made.host, made.trees, made.name)
  pressure.arm_again(made.host, made.trees, made.name)
  assert _ask(made) == "True"


@pytest.mark.vm  # memory.high is of cgroup v2
def test_it_is_told_when_memory_gets_tight(made: Guest) -> None:
  path = _file(made)
  path.with_name("memory.high").write_text(str(16 << 20))
  _restored(made, path)
  pressure.arm_again(made.host, made.trees, made.name)
  assert _ask(made) == "True"
  assert made.said() == "True"


def test_a_file_of_the_guests_own_with_that_name_is_left_alone(
  made: Guest, tmp_path: Path
) -> None:
  path = tmp_path / "memory.pressure"
  path.write_text("mine\n")
  made.run(
    f"held = open({str(path)!r}, 'r+')\nprint('open', flush=True)\n"
    "sys.stdin.readline()\n"
  )
  assert made.said() == "open"
  pressure.arm_again(made.host, made.trees, made.name)
  assert path.read_text() == "mine\n"
