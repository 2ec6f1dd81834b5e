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

"""Files of this package that are read and copied: scripts, mostly.

A process may live on while the package is upgraded: the node daemon until it
is restarted, a migration's until it is over.  What it takes from the package
must be of the release that it runs, so it reads everything at its start.

"""

import contextlib
import functools
from pathlib import Path

from .host import read_text

HERE = Path(__file__).parent
_PROGRAM = "hold.py"


@functools.cache
def text(name: str) -> str:
  """What a file has, or had when it was first asked for.

  @param name: relative to this package
  @raise OSError: it cannot be read

  """
  return read_text(HERE / name)


def preload() -> None:
  """Reads all; one that cannot be is an error when it is needed."""
  for path in [*HERE.rglob("*.sh"), HERE / _PROGRAM]:
    with contextlib.suppress(OSError):
      text(str(path.relative_to(HERE)))
