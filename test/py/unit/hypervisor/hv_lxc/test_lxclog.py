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

"""The evidence of a failed start in LXC's log."""

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import lxclog


def line(level: str, message: str, where: str = "conf:lxc_setup") -> str:
  return (
    f"lxc-start web1 20260101120000.123 {level:8} conf -"
    f" ../src/lxc/{where}:3940 - {message}\n"
  )


ERROR = "Failed to mount /dev - no such thing"
CONSEQUENCES = "".join(
  line("ERROR", message, where)
  for message, where in (
    ("Received container state ABORTING", "lxccontainer.c:wait_on_daemonized"),
    ("Failed to spawn container x", "start.c:__lxc_start"),
  )
)


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
  return tmp_path / "lxc/web1.log"


def write(log: pathlib.Path, text: str | bytes) -> None:
  log.parent.mkdir(exist_ok=True)
  data = text if isinstance(text, bytes) else text.encode()
  with log.open("ab") as stream:
    stream.write(data)


def test_the_first_error_is_the_cause(log: pathlib.Path) -> None:
  write(
    log,
    line("DEBUG", "this is no ERROR at all")
    + line("WARN", "careful")
    + line("ERROR", ERROR)
    + line("ERROR", "and then this"),
  )
  assert lxclog.first_error(log, 0) == ERROR


def test_what_every_failure_says_is_said_only_alone(
  log: pathlib.Path,
) -> None:
  write(log, CONSEQUENCES)
  assert lxclog.first_error(log, 0) == "Received container state ABORTING"
  write(log, line("ERROR", ERROR))
  assert lxclog.first_error(log, 0) == ERROR


def test_earlier_starts_are_no_evidence(log: pathlib.Path) -> None:
  write(log, line("ERROR", "yesterday"))
  offset = lxclog.prepare(log)
  assert lxclog.first_error(log, offset) == ""
  write(log, line("ERROR", "today"))
  assert lxclog.first_error(log, offset) == "today"


def test_a_log_that_was_emptied_during_the_start(log: pathlib.Path) -> None:
  write(log, line("ERROR", "yesterday") * 10)
  offset = lxclog.prepare(log)
  log.write_text("")
  write(log, line("ERROR", "today"))
  assert lxclog.first_error(log, offset) == "today"


@pytest.mark.parametrize("level", ["ERROR", "FATAL", "CRIT", "ALERT", "EMERG"])
def test_levels(log: pathlib.Path, level: str) -> None:
  write(log, line(level, "x"))
  assert lxclog.first_error(log, 0) == "x"


@pytest.mark.parametrize(
  "text",
  [b"", b"\xff\xfe ERROR \n", b" ERROR ", b"\n\n", b"a" * 5_000_000],
)
def test_any_bytes(log: pathlib.Path, text: bytes) -> None:
  write(log, text)
  assert len(lxclog.first_error(log, 0)) < 100


def test_no_log(log: pathlib.Path) -> None:
  assert lxclog.first_error(log, 0) == ""


def test_a_large_log_is_kept_once(log: pathlib.Path) -> None:
  old = log.with_name("web1.log.1")
  for round_ in ("first", "second", "third"):
    write(log, f"{round_}\n" + "x" * (1 << 20))
    assert lxclog.prepare(log) == 0
    assert not log.exists()
    assert old.read_text().startswith(round_)
  assert len(list(log.parent.iterdir())) == 1


def test_the_directory_is_made(log: pathlib.Path) -> None:
  assert lxclog.prepare(log) == 0
  assert log.parent.stat().st_mode & 0o777 == 0o750
