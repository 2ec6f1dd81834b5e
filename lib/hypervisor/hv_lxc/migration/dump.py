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

"""Turns a running guest into files.

  current_run(host, name) -> Run
  save_files(host, name) -> None
  pre_dump(host, name, images, *, run, parent=None) -> None
  dump(host, name, *, hold, run=None, parent=None, timeout_s=...) -> DumpTimes
  resume(host, name) -> None

The migration's C{files/}, C{images/} and CRIU's logs (layout.MigrationPaths)
are written.  C{hold()} is called when the images are complete and the guest
is stopped; when it returns, CRIU ends the guest's processes, when it raises
(or this process dies) they run on, unless the journal says that the guest is
dumped: then they stay stopped.

"""

import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .. import cgroup, freezer, hierarchies, procfs, stopping
from ..errors import Failed, Incomplete, LxcError, Refused
from ..hierarchies import Hierarchies
from ..host import Host, make_directory, wait_until, write_file
from . import (
  criu,
  delegation,
  group_tree,
  guest_network,
  held,
  instance_files,
  journal,
  netlock,
  stalled,
)
from .progress import Times
from .states import State

_log = logging.getLogger(__name__)

_STAGE = "post-dump"
# liblxc's own note for its restore (criu.c, save_tty_major_minor).
_TTY_INFO = "tty.info"
_FROZEN_SINCE = "freezing cgroup"
_END_S = 60.0
# Processes that were killed are still seen for a moment.
_GONE_S = 2.0
_MAX_DUMP_S = 6 * 3600.0
# Of /proc/PID/stat (proc(5)), counted after the command's name.
_STARTTIME = 19


@dataclass(frozen=True, slots=True)
class Run:
  """A guest's life from one start or reboot to the next.

  @ivar init: its process 1 as the node numbers it
  @ivar started: when that was, in the kernel's ticks

  """

  init: int
  started: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpTimes(Times):
  """How long the parts of a dump took, in seconds.

  @ivar dump: until the images were complete
  @ivar hold: what the caller took
  @ivar end: from then until nothing of the guest was left
  @ivar frozen: the part of C{dump} in which the guest did not run

  """

  dump: float
  hold: float
  end: float
  frozen: float


def current_run(host: Host, name: str) -> Run:
  """What runs now.

  @raise Refused: nothing does

  """
  init = cgroup.init_pid(host, hierarchies.find(host), name)
  if init is None:
    raise Refused(f"Instance {name} does not run on this node")
  fields = procfs.stat_fields(host.proc, init)
  return Run(init, fields[_STARTTIME] if len(fields) > _STARTTIME else "")


def save_files(host: Host, name: str) -> None:
  """Writes C{files/}; the guest can run meanwhile.

  @raise Failed: it cannot be done

  """
  try:
    instance_files.save(
      host.layout.instance(name), host.layout.migration(name).files
    )
  except OSError as err:
    raise Failed(
      f"The files of instance {name} cannot be copied", evidence=str(err)
    ) from err


def dump(
  host: Host,
  name: str,
  *,
  hold: Callable[[], None],
  run: Run | None = None,
  parent: Path | None = None,
  timeout_s: float = _MAX_DUMP_S,
) -> DumpTimes:
  """Dumps a running instance; afterwards none of its processes is left.

  Its disks stay mounted, and its directory stays: stopping.clean_up takes
  them away.  The caller keeps others from starting or stopping it.

  @param hold: see above; what it raises is raised again
  @param run: what the pre-dumps were of
  @param parent: the images of the last pre-dump
  @param timeout_s: for everything, what C{hold} takes included
  @raise Refused: it cannot be dumped; it runs on
  @raise Failed: it was not dumped; it runs on (criu.PassingError: try again)
  @raise Incomplete: it was not dumped, and it is not as before

  """
  trees = hierarchies.find(host)
  paths = host.layout.instance(name)
  work = host.layout.migration(name)
  order = _last_order(host, name, run).based_on(parent)
  begun = time.monotonic()
  reached: list[float] = []

  def held_back() -> None:
    guest_network.save_connections(host, name, order.pid, work.images)
    reached.append(time.monotonic())
    hold()
    write_file(paths.moving, "")
    reached.append(time.monotonic())

  argv, stages = criu.dump_argv(order), {_STAGE: held_back}
  stop = held.freezer_of(trees, name)
  with delegation.kept(host) as apart, stalled.seizing(host, name, order):
    story = held.run(
      apart, argv, work, stages, timeout_s=timeout_s, freezer=stop
    )
  if _STAGE not in story.passed or not _ended(host, trees, name, story):
    _give_back(host, name, story)
    raise _error(host, name, order.log, story)
  _wait_for_monitor(trees, name)
  hold_s = reached[1] - reached[0]
  return DumpTimes(
    dump=reached[0] - begun,
    hold=hold_s,
    end=time.monotonic() - reached[1],
    frozen=_frozen(order.log, hold_s),
  )


def pre_dump(
  host: Host,
  name: str,
  images: Path,
  *,
  run: Run,
  parent: Path | None = None,
  timeout_s: float = _MAX_DUMP_S,
) -> None:
  """Copies a guest's memory while it runs, or what changed since C{parent}.

  Needs C{criu.has_feature(host, "mem_dirty_track")}: without it CRIU dies
  with the guest's processes stopped (mem.c, BUG_ON).

  @param images: directory to write to, on the same file system as all others
  @param run: what is copied; another run has nothing in common with it
  @raise Refused: it does not run
  @raise Failed: it could not be done; the guest runs on, or ended by itself

  """
  log = host.layout.migration(name).log("pre-dump")
  order = replace(_order(host, name, images, run).based_on(parent), log=log)
  with delegation.kept(host) as apart, stalled.seizing(host, name, order):
    result = apart.run(criu.pre_dump_argv(order), timeout_s=timeout_s)
  if result.failed:
    story = held.Story(result)
    _give_back(host, name, story)
    raise _error(host, name, log, story)


def resume(host: Host, name: str) -> None:
  """Has a guest run on whose dump was cut off, whatever was killed.

  Can be called any number of times, also when the guest has ended.

  @raise Failed: it runs, but is cut off from its network

  """
  trees = hierarchies.find(host)
  moving = host.layout.instance(name).moving
  if moving.exists():  # Else unlink(2) fails on a read-only file system.
    moving.unlink(missing_ok=True)
  init = cgroup.init_pid(host, trees, name)
  if init is None:
    return
  # Not before: see criu-action.sh.
  netlock.release(host, trees, name, init)
  if freezer.is_frozen(trees, name):
    freezer.thaw(trees, name)


def _last_order(host: Host, name: str, run: Run | None) -> criu.DumpOrder:
  """Writes what a restore needs besides CRIU's images, too."""
  images = host.layout.migration(name).images
  order = _order(host, name, images, run)
  if order.tty:
    write_file(images / _TTY_INFO, order.tty)
  group_tree.save(hierarchies.find(host), name, images)
  guest_network.save(host, name, order.pid, images)
  return order


def _order(
  host: Host, name: str, images: Path, expected: Run | None
) -> criu.DumpOrder:
  trees = hierarchies.find(host)
  work = host.layout.migration(name)
  run = current_run(host, name)
  if run != (expected or run):
    raise Failed(
      f"Instance {name} was rebooted while its memory was copied",
      remedy="start the migration anew",
    )
  tree = trees.controller("freezer")
  if tree is None:
    raise Refused(f"Instance {name} cannot be stopped: there is no freezer")
  if freezer.is_frozen(trees, name):
    raise Refused(
      f"Instance {name} is paused",
      remedy="open its console to let it go on, and try again",
    )
  make_directory(work.home)
  instance_files.empty(images)
  config = instance_files.config(host.layout.instance(name).config)
  return criu.DumpOrder(
    pid=run.init,
    images=images,
    log=work.log("dump"),
    freezer=tree.payload(name),
    roots=_roots(host, trees, run.init, name),
    mounts=criu.mapped_mounts(config),
    tty=_console(host, run.init, config),
    lock=criu.network_lock(host),
    script=held.script(work),
  )


def _console(host: Host, init: int, config: list[tuple[str, str]]) -> str:
  """The guest's console in CRIU's words; "" when it has none.

  A link that the guest put there is not followed.

  """
  if ("lxc.console.path", "none") in config:
    return ""
  try:
    found = os.lstat(host.proc / f"{init}/root/dev/console")
  except OSError:
    return ""
  if not stat.S_ISCHR(found.st_mode):
    return ""
  return f"tty[{found.st_rdev:x}:{found.st_dev:x}]"


def _roots(
  host: Host, trees: Hierarchies, init: int, name: str
) -> tuple[str, ...]:
  """The guest's group in each tree, as CRIU sees it (/proc/PID/cgroup).

  For v2 all controllers are named, as liblxc does.  With none, CRIU notes
  cgroup.subtree_control, and cannot write it back before the processes have
  left the group.

  """
  top = "/" + cgroup.payload_dir(name)
  roots = []
  for tree, path in hierarchies.groups_of(host, init).items():
    before, found, _ = path.partition(top)
    if not found:
      continue
    _, _, names = tree.partition(":")
    if not names and trees.unified is not None:
      names = ",".join(trees.unified.controllers)
    root = before + top
    roots.append(f"{names}:{root}" if names else root)
  return tuple(roots)


def _ended(
  host: Host, trees: Hierarchies, name: str, story: held.Story
) -> bool:
  """Whether the guest has ended after it was given up.

  CRIU may have been killed after it was allowed to end the guest; the
  first process that it kills is process 1, with which all others end.

  """

  def gone() -> bool:
    return cgroup.init_pid(host, trees, name) is None

  return wait_until(gone, _GONE_S if story.result.failed else _END_S)


def _wait_for_monitor(trees: Hierarchies, name: str) -> None:
  if stopping.wait_for_end(trees, name, _END_S):
    return
  raise Incomplete(
    f"Instance {name} was checkpointed, but LXC's process for it does not end",
    evidence=f"{_END_S:.0f} s after its processes have ended",
  )


def _give_back(host: Host, name: str, story: held.Story) -> None:
  """Has the guest run on, unless its images are the guest by now."""
  if journal.load(host, name).state is State.DUMPED:
    return
  try:
    resume(host, name)
  except LxcError as err:
    told = story.error or story.evidence()
    raise Incomplete(
      f"Instance {name} could not be checkpointed and is not as before",
      evidence=f"{err}; the checkpoint failed since: {told}",
    ) from err


def _error(host: Host, name: str, log: Path, story: held.Story) -> Exception:
  if isinstance(story.error, Exception):
    return story.error
  text = criu.read_log(log)
  found = criu.trouble(text)
  if found is None:
    evidence, remedy = story.evidence(), ""
  else:
    evidence, remedy = str(found), found.remedy
  runs = cgroup.init_pid(host, hierarchies.find(host), name) is not None
  now = "it runs on" if runs else "it has ended"
  kind = criu.PassingError if runs and found and found.passes else Failed
  return kind(
    f"Instance {name} could not be checkpointed, {now}",
    evidence=evidence,
    remedy=remedy or f"see {log}",
  )


def _frozen(log: Path, hold_s: float) -> float:
  seconds = criu.seconds_since(criu.read_log(log), _FROZEN_SINCE)
  return max(0.0, seconds - hold_s)
