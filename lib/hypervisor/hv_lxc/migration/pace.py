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


"""How fast to send, and whether compressing pays: no I/O, no clock."""

from dataclasses import dataclass

MIB = 1 << 20
# What may be caught up with after a pause, in seconds of the rate.
_BURST_S = 0.1


class Pace:
  """Keeps to a rate.

  @param mib_per_s: 0 for as fast as it goes

  """

  def __init__(self, mib_per_s: int):
    self.rate = mib_per_s * MIB
    self._due = 0.0

  def spend(self, size: int, now: float) -> float:
    """So many bytes are sent now; how many seconds to wait afterwards."""
    if not self.rate:
      return 0.0
    self._due = max(self._due, now - _BURST_S) + size / self.rate
    return max(self._due - now, 0.0)


# Of zlib's levels 1 is the fastest. Above this rate (bytes/s) of the
# connection no processor we know packs fast enough, so that not even a try
# is made; what it takes is measured on the way.
_NO_TRY = 256 * MIB
# A try is made with so many bytes, and again after so many chunks.
_SAMPLE = 64 << 10
_TRY_AGAIN = 16
# Of the last measurement, in an average.
_WEIGHT = 0.25


@dataclass(slots=True)
class Packing:
  """Whether the next chunk should be compressed.

  The kernel sends while we compress, so that a chunk takes the longer of
  the time to compress it and the time to send what is left of it; it is
  worth it if both are shorter than sending it as it is.

  @ivar limit: what the connection may be used for, bytes/s; 0 if unknown

  """

  limit: int = 0
  _wire_s: float = 0.0
  _pack_s: float = 0.0
  _share: float = 0.0
  _since: int = 0

  def wanted(self, size: int) -> int:
    """How many bytes of the next chunk, of some size, to compress.

    Less than all of them is a try, of which only L{packed} is told.

    """
    plain = self._plain_s()
    if not plain or plain < 1 / _NO_TRY:
      return 0
    if not self._pack_s:
      return min(size, _SAMPLE)
    if max(self._pack_s, plain * self._share) < plain:
      return size
    self._since += 1
    is_due = self._since % _TRY_AGAIN == 0 and self._pack_s < plain
    return min(size, _SAMPLE) if is_due else 0

  def packed(self, size: int, left: int, seconds: float) -> None:
    """What it took to compress so many bytes, and what was left of them."""
    self._pack_s = _average(self._pack_s, seconds / size)
    # Not averaged: random pages come in long runs, as empty ones do.
    self._share = left / size

  def sent(self, size: int, seconds: float) -> None:
    """What sending so many bytes took, waiting included."""
    self._wire_s = _average(self._wire_s, seconds / size)

  def _plain_s(self) -> float:
    """Seconds a byte takes that is sent as it is; 0 if not known."""
    least = 1 / self.limit if self.limit else 0.0
    return max(self._wire_s, least)


def _average(before: float, now: float) -> float:
  return before + _WEIGHT * (now - before) if before else now
