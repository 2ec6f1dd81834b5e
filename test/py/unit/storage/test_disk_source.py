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

"""What a disk is opened as, before anybody knows that it is one."""

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ganeti import errors
from ganeti.storage import disk_source


@pytest.fixture
def lent(tmp_path: Path) -> Iterator[Path]:
  """A file that is lent out, as to an NFS client, who gives it back."""
  path = tmp_path / "disk"
  path.write_bytes(bytes(4096))
  fd = os.open(path, os.O_RDWR)

  def give_back(_signal: int, _frame: object) -> None:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)

  before = signal.signal(signal.SIGIO, give_back)
  fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
  yield path
  os.close(fd)
  signal.signal(signal.SIGIO, before)


def test_a_disk_that_an_nfs_client_has_a_delegation_of(lent: Path) -> None:
  with disk_source.opened_disk(str(lent)) as disk:
    assert disk.is_file


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
  path = tmp_path / "fifo"
  os.mkfifo(path)
  with (
    pytest.raises(errors.BlockDeviceError),
    disk_source.opened_disk(str(path)),
  ):
    pass
