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


"""A memory limit of cgroup v1.

The limit of memory may not exceed that of memory and swap (memsw) at any
time, hence the order of the two.  A limit below what cannot be reclaimed
is refused with EBUSY, and nothing is killed
(Documentation/admin-guide/cgroup-v1/memory.rst).

"""

import contextlib
import errno
from pathlib import Path

from . import cgtree
from .balloon_types import CannotFollowError, Note, Wanted, mib, value
from .hierarchies import Hierarchy
from .host import wait_until

_LIMIT = "memory.limit_in_bytes"
_MEMSW = "memory.memsw.limit_in_bytes"
_USAGE = "memory.usage_in_bytes"
_OOM = "memory.oom_control"


def note(tree: Hierarchy, name: str) -> Note:
  """What to write to get back; memsw first, for that is the larger.

  @raise FileNotFoundError: the group is gone

  """
  group = tree.payload(name)
  limits = [
    (f"payload/{file}", value(f"{group}/{file}")) for file in _files(group)
  ]
  return Note(limits=limits, rest=[(f"payload/{_OOM}", "0")])


def change(tree: Hierarchy, name: str, wanted: Wanted) -> None:
  """Writes the limits; a smaller one is on trial first.

  While it is, the OOM killer of the group is off: a process that needs
  more is made to wait for it, and shows as "under_oom 1".  (A system call
  that needs more gets ENOMEM.)  The killer stays off on return.

  @raise CannotFollowError: the guest needs more
  @raise OSError: as the kernel answers

  """
  group = tree.payload(name)
  sizes = {_LIMIT: wanted.memory, _MEMSW: wanted.memory + wanted.swap}
  old = {file: int(value(f"{group}/{file}")) for file in _files(group)}
  shrinks = any(sizes[file] < size for file, size in old.items())
  if shrinks:
    # Linux means to drop the file one day; then there is no trial.
    with contextlib.suppress(FileNotFoundError, PermissionError):
      cgtree.write(f"{group}/{_OOM}", "1")
  memsw_first = sizes[_MEMSW] > old.get(_MEMSW, 0)
  for file in old if memsw_first else reversed(old):
    _write(group, file, sizes[file])
  if shrinks:
    _try_out(group, wanted)


def _files(group: str) -> list[str]:
  """Without swap accounting there is no memsw."""
  return [file for file in (_MEMSW, _LIMIT) if Path(group, file).exists()] or [
    _LIMIT
  ]


def _write(group: str, file: str, size: int) -> None:
  try:
    cgtree.write(f"{group}/{file}", str(size))
  except OSError as err:
    if err.errno != errno.EBUSY:
      raise
    held = int(value(f"{group}/{_USAGE}"))
    raise CannotFollowError(
      f"it holds {mib(held)}, and the kernel cannot take enough of that"
      f" away ({file}: EBUSY)"
    ) from err


def _try_out(group: str, wanted: Wanted) -> None:
  trial_s = wanted.trial(int(value(f"{group}/{_USAGE}")))
  if wait_until(lambda: _under_oom(group), trial_s):
    raise CannotFollowError(
      f"with {mib(wanted.memory)} a process waited for memory at once"
    )


def _under_oom(group: str) -> bool:
  return cgtree.keyed(value(f"{group}/{_OOM}"), "under_oom") == 1
