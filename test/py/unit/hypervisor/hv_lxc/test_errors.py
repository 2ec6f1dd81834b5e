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

"""Errors stand alone on one line, whatever they quote."""

import os

import pytest
from ganeti.hypervisor.hv_lxc.command import Result, checked
from ganeti.hypervisor.hv_lxc.errors import Failed, LxcError, one_line

NASTY = "a\x00b\nc\r\x1b[2Jd\x85e\u2028f\x7fg"


def test_the_order_is_what_evidence_remedy() -> None:
  error = LxcError("It broke", evidence="status 3", remedy="mend it")
  assert str(error) == "It broke: status 3 (mend it)"
  assert str(LxcError("It broke")) == "It broke"
  assert str(LxcError("It broke", remedy="mend it")) == "It broke (mend it)"


def test_nothing_that_a_terminal_would_act_upon() -> None:
  text = str(LxcError(NASTY, evidence=NASTY, remedy=NASTY))
  assert text.isprintable()
  assert text.count("d") == 3


def test_long_evidence_leaves_room_for_the_remedy() -> None:
  text = str(LxcError("x", evidence="y" * 100_000, remedy="mend it"))
  assert len(text) < 2000
  assert text.endswith("... (mend it)")


def test_one_line() -> None:
  assert one_line("  a\n\n b\t\n") == "a  b"
  assert one_line("é 雪") == "é 雪"


def test_a_file_name_that_is_no_utf_8_can_be_printed() -> None:
  name = os.fsdecode(b"/srv/caf\xe9")
  assert one_line(name).encode() == b"/srv/caf\\udce9"
  error = LxcError("It broke", evidence=name, remedy=name)
  assert str(error).isprintable()


@pytest.mark.parametrize(
  ("result", "how"),
  [
    (Result(("x",), 3), "exited with status 3"),
    (Result(("x",), -9), "killed by signal 9"),
    (Result(("x",), -9, timed_out=True), "did not end in time"),
  ],
)
def test_how_a_program_ended(result: Result, how: str) -> None:
  assert result.failed
  with pytest.raises(Failed, match=f"No luck: x .*{how}"):
    checked(result, "No luck")


def test_last_words_are_those_on_stderr() -> None:
  result = Result(("a", "b"), 1, "out\n", "first\nlast\n\n  \n")
  assert result.evidence() == "a b exited with status 1: last"
  assert Result(("a",), 1, "out\n", "\n").last_line == "out"
  assert Result(("a",), 1).evidence() == "a exited with status 1"


def test_success_is_passed_on() -> None:
  result = Result(("x",), 0, "y")
  assert checked(result, "No luck") is result
  assert Result(("x",), 0, timed_out=True).failed
