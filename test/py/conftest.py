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

"""What all tests need: the shared plugin, and Ganeti with our driver.

GANETI_TREE names the directory that holds the "ganeti" package. Without
it, it is the newest of those that "devel/check unit" made.
"""

import os
import pathlib
import sys

import pytest
import suite

ROOT = pathlib.Path(__file__).resolve().parents[2]


def ganeti_tree() -> str:
  """The directory to import "ganeti" from.

  Raises:
    pytest.UsageError: there is none yet.

  """
  if tree := os.environ.get("GANETI_TREE"):
    return tree
  trees = sorted((ROOT / "build").glob("ganeti-[0-9]*"))
  if not trees:
    message = 'no Ganeti to test with: run "devel/check unit" once'
    raise pytest.UsageError(message)
  return str(trees[-1])


sys.path.insert(0, ganeti_tree())


def pytest_configure(config: pytest.Config) -> None:
  """Sets marks, time limits and counts up."""
  suite.register(config)
