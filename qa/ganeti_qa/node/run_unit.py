#!/usr/bin/env python3
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

"""Runs one of Ganeti's programs of unit tests, and notes each test's end.

Usage: run_unit.py PROGRAM EVENTS, where one JSON object a line is written to
the file EVENTS.
"""

import json
import pathlib
import runpy
import sys
import unittest
from typing import Any

_EVENTS = pathlib.Path(sys.argv[2])


class Noting(unittest.TextTestResult):
  """A result as usual, which also writes down what is added to it."""

  def _note(self, test: Any, result: str, message: str = "") -> None:
    name = test.id().removeprefix("__main__.")
    event = {"test": name, "result": result, "message": message}
    with _EVENTS.open("a", encoding="utf-8") as stream:
      stream.write(f"{json.dumps(event)}\n")

  def addSuccess(self, test: Any) -> None:
    super().addSuccess(test)
    self._note(test, "passed")

  def addFailure(self, test: Any, err: Any) -> None:
    super().addFailure(test, err)
    self._note(test, "failed", str(err[1]))

  def addError(self, test: Any, err: Any) -> None:
    super().addError(test, err)
    self._note(test, "failed", repr(err[1]))

  def addSkip(self, test: Any, reason: str) -> None:
    super().addSkip(test, reason)
    self._note(test, "off", reason)

  def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
    super().addSubTest(test, subtest, err)
    if err is not None:
      self._note(subtest, "failed", str(err[1]))

  def addExpectedFailure(self, test: Any, err: Any) -> None:
    super().addExpectedFailure(test, err)
    self._note(test, "passed")

  def addUnexpectedSuccess(self, test: Any) -> None:
    super().addUnexpectedSuccess(test)
    self._note(test, "failed", "it was expected to fail")


unittest.TextTestRunner.resultclass = Noting  # type: ignore[assignment]
sys.argv[:] = [sys.argv[1]]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
