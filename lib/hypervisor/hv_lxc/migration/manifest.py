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


"""What was sent, in total, told so that both sides can compare it."""

import hashlib
from dataclasses import dataclass, field

from .messages import Begin, End, ImagesDone


@dataclass(slots=True)
class Manifest:
  """Grows by one entry for each complete file, in any order."""

  _entries: list[str] = field(default_factory=list)
  _size: int = 0

  def add(self, begin: Begin, end: End) -> None:
    """A complete file."""
    name = f"{begin.area}/{begin.name}"
    self._entries.append(f"{name} {begin.is_program} {end.size} {end.crc}\n")
    self._size += end.size

  def total(self) -> ImagesDone:
    """The message that says it."""
    text = "".join(sorted(self._entries))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ImagesDone(len(self._entries), self._size, digest)
