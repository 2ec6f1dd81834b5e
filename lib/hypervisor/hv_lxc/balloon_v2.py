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


"""A memory limit of cgroup v2.

memory.max below what cannot be reclaimed makes the kernel kill, at once
(Documentation/admin-guide/cgroup-v2.rst).  memory.high never does: it
reclaims, and slows down who goes on.  So a smaller limit is memory.high
first, with a margin.  When the guest has kept to it for the time of the
trial, it is frozen, what it holds is compared for the last time, and
memory.max is written while nothing in the guest can allocate.

The group of the whole instance is frozen for that, not the payload group
that lxc-freeze freezes: so a pause that somebody asked for is left alone,
and a guest that may write to its own groups cannot thaw itself.

"""

import contextlib
import errno
import os
from pathlib import Path

from . import cgtree
from .balloon_types import CannotFollowError, Note, Wanted, mib, value
from .hierarchies import Hierarchy
from .host import wait_until

_MIB = 1 << 20
_STEP = 64 * _MIB
_MAX_STEPS = 4096
_FREEZE_S = 5.0
# Each CPU may hold a batch of 64 pages that is charged but not used
# (MEMCG_CHARGE_BATCH).
_CPU_BATCH = 64 * 4096


def note(tree: Hierarchy, name: str) -> Note:
  """What to write to get back.

  @raise FileNotFoundError: the group is gone

  """
  group = tree.payload(name)
  limits = [
    (f"payload/{file}", value(f"{group}/{file}")) for file in _files(group)
  ]
  high = value(f"{group}/memory.high")
  rest = [("payload/memory.high", high), ("cgroup.freeze", "0")]
  return Note(limits=limits, rest=rest)


def change(tree: Hierarchy, name: str, wanted: Wanted) -> None:
  """Writes the limits; a smaller one is on trial first.

  memory.high and cgroup.freeze are left as they happen to be then.

  @raise CannotFollowError: the guest needs more
  @raise OSError: as the kernel answers

  """
  group = tree.payload(name)
  old = value(f"{group}/memory.max")
  if old != "max" and int(old) <= wanted.memory:
    cgtree.write(f"{group}/memory.max", str(wanted.memory))
    _write_swap(group, wanted)
    return
  # First, or reclaim would move to swap what may not be there.
  _write_swap(group, wanted)
  aim = max(0, wanted.memory - _margin(wanted.memory))
  cgtree.write(f"{group}/memory.high", str(aim))
  _must_fit(group, wanted, aim)
  trial_s = wanted.trial(_held(group))
  if wait_until(lambda: not _fits(group, wanted, aim), trial_s):
    raise _cannot_follow(group, wanted)
  _commit(tree.group(name), group, wanted, aim)


def _commit(whole: str, group: str, wanted: Wanted, aim: int) -> None:
  cgtree.write(f"{whole}/cgroup.freeze", "1")
  if not wait_until(lambda: _frozen(whole), _FREEZE_S):
    raise CannotFollowError(
      f"not all of its processes stopped within {_FREEZE_S:.0f} s"
    )
  _must_fit(group, wanted, aim)
  # Since Linux 6.16 this means: no reclaim, no OOM killer in the write.
  size = str(wanted.memory)
  cgtree.write(f"{group}/memory.max", size, flags=os.O_NONBLOCK)


def _files(group: str) -> list[str]:
  """Without swap in the kernel there is no memory.swap.max."""
  names = ("memory.max", "memory.swap.max")
  return [file for file in names if Path(group, file).exists()] or [names[0]]


def _write_swap(group: str, wanted: Wanted) -> None:
  with contextlib.suppress(FileNotFoundError):
    cgtree.write(f"{group}/memory.swap.max", str(wanted.swap))


def _held(group: str) -> int:
  return int(value(f"{group}/memory.current"))


def _margin(limit: int) -> int:
  batches = (os.cpu_count() or 1) * _CPU_BATCH
  return min(_MIB + batches, limit // 8)


def _fits(group: str, wanted: Wanted, aim: int) -> bool:
  """Whether the guest holds no more than wanted, or gives the rest back."""
  for _ in range(_MAX_STEPS):
    held = _held(group)
    if held <= wanted.memory:
      return True
    _reclaim(group, min(held - aim, _STEP))
    if _held(group) >= held:
      return False
  return False


def _must_fit(group: str, wanted: Wanted, aim: int) -> None:
  if not _fits(group, wanted, aim):
    raise _cannot_follow(group, wanted)


def _reclaim(group: str, size: int) -> None:
  """EAGAIN: less was reclaimed; no such file before Linux 5.19."""
  try:
    cgtree.write(f"{group}/memory.reclaim", str(size))
  except OSError as err:
    if err.errno not in (errno.EAGAIN, errno.ENOENT):
      raise


def _frozen(whole: str) -> bool:
  return cgtree.keyed(value(f"{whole}/cgroup.events"), "frozen") == 1


def _cannot_follow(group: str, wanted: Wanted) -> CannotFollowError:
  return CannotFollowError(
    f"it holds {mib(_held(group))}, and the kernel cannot take enough of"
    f" that away for {mib(wanted.memory)}"
  )
