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


"""A new Debian in which a command is run: what needs no machine."""

import io
import shlex
import tarfile

import pytest
from ganeti_lab import fresh

_SECTOR = 512


def _archive(**files: bytes) -> bytes:
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w") as tar:
    for name, data in files.items():
      entry = tarfile.TarInfo(name)
      entry.size = len(data)
      tar.addfile(entry, io.BytesIO(data))
  return buffer.getvalue()


def test_the_disk_has_the_source_and_the_command() -> None:
  words = ["sh", "-c", "echo 'two  words'; exit 3"]
  found = fresh.seed_of(_archive(README=b"text"), words)
  assert len(found) % _SECTOR == 0
  with tarfile.open(fileobj=io.BytesIO(found)) as tar:
    assert tar.getnames() == ["README", "command"]
    member = tar.extractfile("command")
    assert member is not None
    assert shlex.split(member.read().decode()) == words


@pytest.mark.parametrize(
  ("line", "status"),
  [
    ("fresh-vm: status 0\r\n", "0"),
    ("fresh-vm: status 12\n", "12"),
    ("it said fresh-vm: status 0\n", None),
    ("fresh-vm: status 0 was printed\n", None),
  ],
)
def test_the_line_that_tells_how_it_ended(
  line: str, status: str | None
) -> None:
  found = fresh.ENDED.match(line)
  assert (found and found[1]) == status
