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


"""What the two ways to change a memory limit have in common."""

from dataclasses import dataclass, field

from . import cgtree

_MIB = 1 << 20
# Memory that a guest at full speed fills in a second, at the least: the
# kernel zeroes and maps pages at a few times this rate.
_FILL_RATE = 512 * _MIB
_TRIAL_MIN_S = 0.5
_TRIAL_MAX_S = 5.0


class CannotFollowError(Exception):
  """The guest needs more; the text says how that was seen."""


@dataclass(frozen=True, slots=True)
class Wanted:
  """The limits to be.

  @ivar memory: in bytes
  @ivar swap: in bytes, on top of memory
  @ivar trial_s: how long a smaller limit is on trial, in seconds; None
    for about as long as a guest takes to fill it up

  """

  memory: int
  swap: int = 0
  trial_s: float | None = None

  def trial(self, held: int) -> float:
    """The trial's length for a guest that holds so many bytes."""
    if self.trial_s is not None:
      return self.trial_s
    fill_s = (self.memory - held) / _FILL_RATE
    return min(max(fill_s, _TRIAL_MIN_S), _TRIAL_MAX_S)


@dataclass(frozen=True, slots=True)
class Note:
  """How to get back, as (file below the instance's group, value).

  @ivar limits: written when the change failed
  @ivar rest: written whether it failed or not

  """

  limits: list[tuple[str, str]] = field(default_factory=list)
  rest: list[tuple[str, str]] = field(default_factory=list)


def mib(size: int) -> str:
  """A size for people, rounded up."""
  return f"{-(-size // _MIB)} MiB"


def value(path: str) -> str:
  """The contents of a control file without the line's end.

  @raise FileNotFoundError: the group is gone

  """
  text = cgtree.read(path)
  if text is None:
    raise FileNotFoundError(path)
  return text.strip()
