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


"""Memory limits of a running guest, made larger or smaller.

A smaller limit that a guest cannot keep to must not cost it a process.
Three things see to that.

 - The limit is not lowered below what the guest holds and does not give
   back: v1 answers EBUSY, v2 would kill (so there it is reclaimed first,
   and written while the guest is frozen and within the limit).

 - What a guest holds at one moment says little about the next.  So a
   smaller limit is on trial first, long enough for a guest at full speed
   to fill it up: on v1 with the OOM killer off (memory.oom_control), where
   a guest that needs more waits; on v2 with memory.high, where it is slowed
   down.  A guest that hits the limit in that time gets its old one back.

 - The driver may be killed at any point.  What to restore is noted in an
   extended attribute of the instance's control group before anything is
   touched, and a lock on the group's directory tells whether its writer
   lives.  Whoever finds a note without a lock puts everything back
   (L{repair}); lists of instances look for them.

"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator

from . import balloon_v1, balloon_v2, cgroup, cgtree
from .balloon_types import CannotFollowError, Note, Wanted, mib
from .errors import Failed, Incomplete, Refused
from .hierarchies import Hierarchies, Hierarchy
from .host import Host, wait_until

_START = "start it with gnt-instance startup {}"
_MIB = 1 << 20
_LOCK_S = 10.0
_NOTE = "trusted.ganeti-lxc.balloon"
_GONE = frozenset({errno.ENOENT, errno.ENODEV})
# No extended attribute there, or none can be had for groups.
_NO_NOTE = _GONE | {errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM}


def set_memory(
  host: Host,
  name: str,
  memory_mib: int,
  *,
  swap_mib: int = 0,
  trial_s: float | None = None,
) -> None:
  """Sets what a running guest may use of memory.

  @param memory_mib: in MiB
  @param swap_mib: in MiB, on top of it
  @param trial_s: how long a smaller limit is on trial, in seconds; None
    for about as long as the guest takes to fill it
  @raise Refused: it does not run, or its limit is being changed already
  @raise Failed: it needs more; the old limits are in force
  @raise Incomplete: the old limits could not be restored

  """
  trees = cgroup.find(host)
  tree = trees.controller("memory")
  if tree is None or not cgroup.is_running(trees, name):
    raise Refused(
      f"Instance {name} does not run: its memory is not changed",
      remedy=_START.format(name),
    )
  wanted = Wanted(memory_mib * _MIB, swap_mib * _MIB, trial_s)
  with _locked(tree, name, _LOCK_S):
    _repair(tree, name)
    _change(tree, name, wanted)


def repair(trees: Hierarchies, name: str) -> bool:
  """Undoes a change whose writer was killed; True if there was one.

  Costs one system call where there is nothing to do, and never waits.

  @raise Incomplete: the old limits could not be restored

  """
  tree = trees.controller("memory")
  if tree is None or _read_note(tree, name) is None:
    return False
  try:
    with _locked(tree, name, 0.0):
      return _repair(tree, name)
  except Refused:
    return False


def _repair(tree: Hierarchy, name: str) -> bool:
  note = _read_note(tree, name)
  if note is None:
    return False
  _write_back(tree, name, note.limits + note.rest)
  _drop_note(tree, name)
  return True


def _change(tree: Hierarchy, name: str, wanted: Wanted) -> None:
  version = balloon_v1 if tree.version == 1 else balloon_v2
  back: list[tuple[str, str]] = []
  try:
    note = version.note(tree, name)
    back = note.limits + note.rest
    _write_note(tree, name, note)
    version.change(tree, name, wanted)
    back = note.rest
  except CannotFollowError as err:
    raise Failed(
      f"Instance {name} cannot do with {mib(wanted.memory)} of memory",
      evidence=str(err),
      remedy="it keeps what it had; stop programs in it or ask for less",
    ) from err
  except OSError as err:
    raise Failed(
      f"The memory limit of instance {name} cannot be changed",
      evidence="it has just stopped" if err.errno in _GONE else str(err),
      remedy="see what ganeti-lxc-doctor says of the node",
    ) from err
  finally:
    _write_back(tree, name, back)
    _drop_note(tree, name)


def _write_back(
  tree: Hierarchy, name: str, values: list[tuple[str, str]]
) -> None:
  """Writes what was there; a group that is gone needs nothing.

  @raise Incomplete: the kernel refuses; all others were written

  """
  refused = []
  for file, value in values:
    try:
      cgtree.write(f"{tree.group(name)}/{file}", value)
    except OSError as err:
      if err.errno not in _GONE:
        refused.append(f"{file} = {value}: {err.strerror}")
  if refused:
    raise Incomplete(
      f"The limits of instance {name} could not be restored",
      evidence=", ".join(refused),
      remedy="set its memory again with gnt-instance modify -m",
    )


@contextlib.contextmanager
def _locked(tree: Hierarchy, name: str, timeout_s: float) -> Iterator[None]:
  """Holds the lock on the instance's group; the kernel lets go of it.

  @raise Refused: it is held by somebody else all the time, or gone

  """
  try:
    fd = os.open(tree.group(name), os.O_RDONLY | os.O_DIRECTORY)
  except FileNotFoundError as err:
    raise Refused(
      f"Instance {name} does not run", remedy=_START.format(name)
    ) from err
  try:
    if not wait_until(lambda: _try_lock(fd), timeout_s):
      raise Refused(
        f"The memory of instance {name} is being changed already",
        remedy="wait for it to end and try again",
      )
    yield
  finally:
    os.close(fd)


def _try_lock(fd: int) -> bool:
  try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True


def _read_note(tree: Hierarchy, name: str) -> Note | None:
  try:
    data = json.loads(os.getxattr(tree.group(name), _NOTE))
  except OSError as err:
    if err.errno in _NO_NOTE:
      return None
    raise
  pairs = {key: [(str(f), str(v)) for f, v in data[key]] for key in data}
  return Note(**pairs)


def _write_note(tree: Hierarchy, name: str, note: Note) -> None:
  text = json.dumps({"limits": note.limits, "rest": note.rest})
  with _no_notes_kept():
    os.setxattr(tree.group(name), _NOTE, text.encode("ascii"))


def _drop_note(tree: Hierarchy, name: str) -> None:
  with _no_notes_kept():
    os.removexattr(tree.group(name), _NOTE)


@contextlib.contextmanager
def _no_notes_kept() -> Iterator[None]:
  try:
    yield
  except OSError as err:
    if err.errno not in _NO_NOTE:
      raise
