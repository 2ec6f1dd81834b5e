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

"""Unit tests start no programs."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from typing import NoReturn

import pytest
from hypothesis import settings, strategies

# How long a test takes is the machine's affair.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Everything in the standard library that starts a program ends in one of
# these: os.popen, pty.spawn and multiprocessing too.
STARTERS = (
  (subprocess.Popen, "__init__"),
  (os, "system"),
  (os, "posix_spawn"),
  (os, "posix_spawnp"),
  (os, "fork"),
  (os, "forkpty"),
  (os, "execv"),
  (os, "execve"),
)


def pytest_collection_finish() -> None:
  """Makes hypothesis's tables of characters, which cost it over a second.

  It makes them for the first strategy that needs them and keeps them in
  .hypothesis, so that on a fresh checkout some test, another one each time,
  would be charged for them and exceed its limit.
  """
  strategies.characters(codec="utf-8").validate()


class ProgramStarted(BaseException):
  """A unit test was about to start a program.

  Not an Exception, so that no "except Exception" of the code under test
  turns it into something the test takes for an answer.
  """


class Guard:
  """Lets a fixture start a program all the same."""

  def __init__(self) -> None:
    self.is_open = False

  @contextlib.contextmanager
  def opened(self) -> Iterator[None]:
    """Programs may be started inside this context."""
    self.is_open = True
    try:
      yield
    finally:
      self.is_open = False


@pytest.fixture(autouse=True)
def program_guard(monkeypatch: pytest.MonkeyPatch) -> Guard:
  """Makes the start of any program an error in every unit test."""
  guard = Guard()

  def wrap(name, real):
    def checked(*args, **kwargs) -> NoReturn:
      if guard.is_open:
        return real(*args, **kwargs)
      # The first argument of Popen.__init__ is a Popen that has no repr yet.
      shown = [repr(a) for a in args if not isinstance(a, subprocess.Popen)]
      message = f"a unit test started a program: {name}({', '.join(shown)})"
      raise ProgramStarted(message)

    return checked

  for owner, attribute in STARTERS:
    name = f"{owner.__name__}.{attribute}"
    real = getattr(owner, attribute)
    monkeypatch.setattr(owner, attribute, wrap(name, real))
  return guard
