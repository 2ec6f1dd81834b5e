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

"""Locks between several runs of the lab command."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

from . import plan


@contextlib.contextmanager
def held(
  name: str,
  on_wait: Callable[[str], None] = lambda _: None,
  *,
  shared: bool = False,
) -> Iterator[None]:
  """Hold the lock of that name, alone unless it is shared.

  The file stays: removing a lock file lets two runs hold two different
  files of the same name. /run is empty again after a boot.

  @param on_wait: told when another run holds it

  """
  plan.STATE_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
  path = plan.STATE_ROOT / f".{name}.lock"
  handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
  kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
  try:
    try:
      fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
      on_wait(f"waiting for another run that holds {path}")
      fcntl.flock(handle, kind)
    yield
  finally:
    os.close(handle)
