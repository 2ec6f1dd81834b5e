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

"""Tests that need a CRIU which starts on this kernel, and a guest to move."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import suite
from ganeti_lab import criu
from integration.hv_lxc.migration.moving import Moving, moving


def pytest_runtest_setup(item: pytest.Item) -> None:
  """Leaves them out on nodes of a lab that have none."""
  if item.get_closest_marker("criu"):
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    reason = criu.reason_against(release, "vm" if suite.IN_VM else "namespace")
    if reason:
      pytest.skip(reason)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Moving]:
  """It runs; a module whose guest is another one has a fixture of its own."""
  with moving(tmp_path) as made:
    made.start()
    yield made
