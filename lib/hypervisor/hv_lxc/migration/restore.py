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

"""Brings a guest to life again from what dump.py made of it.

  restore(host, storage, request, *, before_release) -> RestoreTimes

C{before_release()} is called when the guest's processes exist, none of them
has run, and limits, devices and NICs are as they must be.  When it returns
they run; when it raises (or this process dies) nothing of the guest is
left on this node, except the migration's C{files/} and C{images/}, from
which it is made (layout.MigrationPaths).

"""

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import (
  cgroup,
  hierarchies,
  lxclog,
  nic_links,
  record,
  starting,
  stopping,
  uplinks,
)
from ..errors import Failed, Incomplete, LxcError, Refused
from ..hierarchies import Hierarchies
from ..host import Host, make_directory
from ..layout import InstancePaths, MigrationPaths
from ..model import DiskSpec
from ..nics import NicRecord
from ..partitions import Partitions
from ..record import Phase, Record
from . import (
  announce,
  criu,
  criu_processes,
  delegation,
  enforce,
  group_tree,
  guest_network,
  held,
  instance_files,
  orphaned,
  pressure,
  reload,
  stalled,
  taking_life,
  wake_peers,
)
from .progress import Times

_log = logging.getLogger(__name__)

_POST_RESTORE = "post-restore"
_MAX_RESTORE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
  """What is to be restored, and from what.

  @ivar disks: as for a start: regular files or block devices of this node

  """

  name: str
  uuid: str
  disks: tuple[DiskSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTimes(Times):
  """How long the parts of a restore took, in seconds.

  @ivar disks: until the disks were mounted
  @ivar restore: until the processes existed
  @ivar network: until limits and NICs were set, and what CRIU leaves out
  @ivar hold: what the caller took
  @ivar release: from then until everything was as after a start

  """

  disks: float
  restore: float
  network: float
  hold: float
  release: float


def restore(
  host: Host,
  storage: Partitions,
  request: RestoreRequest,
  *,
  before_release: Callable[[], None],
  timeout_s: float = _MAX_RESTORE_S,
) -> RestoreTimes:
  """Restores an instance; afterwards it runs, or nothing of it is left.

  The caller keeps others from starting or stopping it.

  @param before_release: see above; what it raises is raised again
  @param timeout_s: for everything, what C{before_release} takes included
  @raise Refused: it cannot be restored here; nothing was changed
  @raise Failed: it was not restored; everything was undone
  @raise Incomplete: it was not restored, and something is left

  """
  name = request.name
  if cgroup.is_running(hierarchies.find(host), name):
    raise Refused(f"Instance {name} runs already on this node")
  stopping.clean_up(host, storage, name)
  paths = host.layout.instance(name, request.uuid)
  try:
    return _bring_up(
      host,
      storage,
      request,
      paths=paths,
      before_release=before_release,
      timeout_s=timeout_s,
    )
  except BaseException as err:
    try:
      taking_life.take_down(host, storage, name)
    except LxcError as second:
      raise Incomplete(
        f"Instance {name} could not be restored, and not everything could"
        " be undone",
        evidence=f"{second}; the restore failed since: {err}",
      ) from err
    raise


def _bring_up(
  host: Host,
  storage: Partitions,
  request: RestoreRequest,
  *,
  paths: InstancePaths,
  before_release: Callable[[], None],
  timeout_s: float,
) -> RestoreTimes:
  clock = [time.monotonic()]
  noted = _put_files(host, request, paths)
  noted = starting.attach_disks(
    host, storage, noted, request.disks, paths=paths
  )
  trees = hierarchies.find(host)
  cgroup.prepare(trees, request.name)
  config = instance_files.config(paths.config)
  enforce.allow_devices(trees, request.name, config)
  images = host.layout.migration(request.name).images
  clock.append(time.monotonic())

  def restored() -> None:
    clock.append(time.monotonic())
    enforce.forbid_making(trees, request.name, config)
    enforce.set_limits(trees, request.name, config, paths)
    # Before it is connected: it would say that addresses of others are its own.
    init = _init(host, trees, request.name)
    guest_network.complete(host, request.name, init, images)
    for nic in _nics(noted):
      nic_links.configure(host, paths.nic_hook("up"), paths.nic_env(nic.index))
    guest_network.join_groups(host, request.name, init, images)
    pressure.arm_again(host, trees, request.name)
    reload.tell_init(host, trees, request.name)
    clock.append(time.monotonic())
    before_release()
    peers.begin(cgroup.init_pid(host, trees, request.name))
    clock.append(time.monotonic())

  # What a guest sends first waits until its kernel knows where to send it.
  with wake_peers.watch(host, request.name) as peers:
    _run(
      host,
      trees,
      request,
      paths=paths,
      restored=restored,
      timeout_s=timeout_s,
    )
    record.save(paths, noted.in_phase(Phase.RUNNING))
    settle(host, trees, request.name)
  clock.append(time.monotonic())
  spent = [after - before for before, after in itertools.pairwise(clock)]
  return RestoreTimes(
    disks=spent[0],
    restore=spent[1],
    network=spent[2],
    hold=spent[3],
    release=spent[4],
  )


def settle(host: Host, trees: Hierarchies, name: str) -> None:
  """What follows when a restored guest runs; it can be repeated."""
  init = cgroup.init_pid(host, trees, name)
  if init is not None:
    announce.announce(host, name, init)
    reload.complete(host, trees, name, init)


def _init(host: Host, trees: Hierarchies, name: str) -> int:
  init = cgroup.init_pid(host, trees, name)
  if init is None:
    # It must not run with what it had while its sockets were made.
    raise Failed(f"Instance {name} has ended before it was let go")
  return init


def _put_files(
  host: Host, request: RestoreRequest, paths: InstancePaths
) -> Record:
  """Puts the instance's directory in place and notes that it starts."""
  make_directory(host.layout.data_dir)
  make_directory(host.layout.run_dir, 0o750)
  instance_files.put(host.layout.migration(request.name).files, paths)
  told = record.from_text(paths.record.read_text(encoding="utf-8"))
  # What it says of disks and uplinks is true on the other node only.
  noted = replace(
    told,
    uuid=request.uuid,
    boot_id=host.boot_id(),
    phase=Phase.STARTING,
    disks=(),
    nics=tuple(uplinks.noted(host, n).to_dict() for n in _nics(told)),
  )
  record.save(paths, noted)
  paths.restored.touch(0o600)
  # LXC does not write to it any more, but Ganeti looks for it.
  paths.console_log.touch(0o600)
  return noted


def _nics(noted: Record) -> list[NicRecord]:
  return [NicRecord.from_dict(entry) for entry in noted.nics]


def _run(
  host: Host,
  trees: Hierarchies,
  request: RestoreRequest,
  *,
  paths: InstancePaths,
  restored: Callable[[], None],
  timeout_s: float,
) -> None:
  work = host.layout.migration(request.name)
  guest_network.mend_images(request.name, work.images)
  offset = lxclog.prepare(paths.log_file)
  argv = criu.restore_argv(
    host.layout.lxcpath,
    request.name,
    work.images,
    held.script(work),
    paths.log_file,
  )

  def end_criu() -> None:
    criu_processes.end(host, request.name)

  is_held = threading.Event()

  def released() -> None:
    is_held.set()
    try:
      restored()
      watched.begin(cgroup.init_pid(host, trees, request.name))
    finally:
      is_held.clear()

  def done() -> object:
    if is_held.is_set():
      return time.monotonic()
    log = work.images / criu.RESTORE_LOG
    return stalled.work_done(host, trees, request.name, log)

  def prepare() -> None:
    group_tree.rebuild(trees, request.name, work.images)
    init = cgroup.init_pid(host, trees, request.name)
    if init is not None:
      guest_network.prepare(host, request.name, init, work.images)

  stages: dict[str, Callable[[], None]] = {
    group_tree.STAGE: prepare,
    _POST_RESTORE: released,
  }
  with (
    delegation.kept(host) as apart,
    stalled.watch(done, end_criu),
    orphaned.watch(end_criu) as watched,
  ):
    story = held.run(apart, argv, work, stages, timeout_s=timeout_s)
  _keep_log(work)
  running = cgroup.init_pid(host, trees, request.name) is not None
  if isinstance(story.error, Exception):
    raise story.error
  if story.result.failed or _POST_RESTORE not in story.passed or not running:
    raise _error(work, paths, offset, story)


def _keep_log(work: MigrationPaths) -> None:
  """CRIU's log goes with the images, unless it is moved."""
  log = work.images / criu.RESTORE_LOG
  if log.exists():
    log.replace(work.log("restore"))


def _error(
  work: MigrationPaths, paths: InstancePaths, offset: int, story: held.Story
) -> Failed:
  log = work.log("restore")
  found = criu.trouble(criu.read_log(log))
  told = [
    str(found) if found else "",
    lxclog.first_error(paths.log_file, offset),
    story.evidence(),
  ]
  return Failed(
    f"Instance {paths.home.name} could not be restored",
    evidence="; ".join(text for text in told if text),
    remedy=(found.remedy if found else "") or f"see {log}",
  )
