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

"""One connection at a time brings what belongs to an instance.

A source that begins anew has given up the connection before.  What had come on
that may still be on its way to a slow disk: two connections would write images
of one guest, and whoever ends the migration would find the lock of neither.

"""

import contextlib
import threading
from collections.abc import Iterator

from ..errors import Incomplete
from .channel import Channel

# How long a connection that was given up may still write what came on it.
_BEFORE_S = 60.0


class Turns:
  """Which connection brings what, in the target's process."""

  def __init__(self) -> None:
    self._changed = threading.Condition()
    self._bringing: dict[str, Channel] = {}

  @contextlib.contextmanager
  def taken(self, name: str, channel: Channel) -> Iterator[None]:
    """It is this connection's turn; the one before is ended.

    @raise Incomplete: that does not end

    """

    def is_free() -> bool:
      before = self._bringing.get(name)
      if before is not None:
        before.cancel()
      return before is None

    with self._changed:
      if not self._changed.wait_for(is_free, _BEFORE_S):
        raise Incomplete(
          f"What came of instance {name} before is still being written",
          evidence=f"for {_BEFORE_S:.0f} s since its connection was given up",
          remedy="see the last lines of dmesg on that node",
        )
      self._bringing[name] = channel
    try:
      yield
    finally:
      with self._changed:
        del self._bringing[name]
        self._changed.notify_all()
