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


"""Room that is set aside for a small file that must be writable."""

import errno
import os
from pathlib import Path

from ..host import write_durably

# Several times what a journal with all that it remembers takes.
_BYTES = 64 << 10
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def write(path: Path, reserve: Path, text: str) -> None:
  """Replaces a file durably, in the room set aside if there is no other.

  A node that cannot note that it gave the token back keeps it, and the
  guest runs nowhere until somebody makes room.

  @param reserve: the file that takes the room, in the same file system
  @raise OSError: it could not be written; the old one is still there

  """
  try:
    write_durably(path, text)
  except OSError as err:
    if err.errno not in _NO_ROOM or not reserve.exists():
      raise
    reserve.unlink()
    write_durably(path, text)
  else:
    _set_aside(reserve)


def _set_aside(reserve: Path) -> None:
  """Takes the room, if there is any."""
  if reserve.exists():
    return
  fd = os.open(reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
  try:
    os.posix_fallocate(fd, 0, _BYTES)
  except OSError:
    reserve.unlink()
  finally:
    os.close(fd)
