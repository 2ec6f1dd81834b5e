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

"""Stop, and take away all that was there for an instance.

L{clean_up} works from the instance's name alone and from any state that a
killed process can have left; a failed start is undone by it too, so that
there is one way back, and it is walked all the time.

"""

import contextlib
import errno
import logging
import select
from collections.abc import Callable
from pathlib import Path

from . import (
  cgroup,
  disks,
  freezer,
  hierarchies,
  lxccli,
  mounts,
  nic_links,
  pidfd,
  record,
)
from .errors import Failed, Incomplete, Refused, Untidy
from .guests import MANNERS, Manners, kind_of_process
from .hierarchies import Hierarchies
from .host import Host, forget_lock, locked, wait_until
from .layout import InstancePaths
from .model import InitKind, NicMode
from .nics import NicRecord
from .partitions import Partitions
from .record import Phase, Record

LOCK_TIMEOUT_S = 120.0
# Ganeti gives up on a stop's RPC after 900 s; it asks again, with "retry",
# while the instance runs and its own timeout has not passed.
_MAX_SOFT_WAIT_S = 600.0
_KILL_TIMEOUT_S = 20.0
_REBOOT_TIMEOUT_S = 90.0
_CAP_SYS_BOOT = 22
_COMMAND_TIMEOUT_S = 20.0


def soft_stop(host: Host, name: str, *, retry: bool, timeout_s: float) -> None:
  """Asks a guest to shut down and waits for its end.

  A guest that does not obey is no error: Ganeti kills it afterwards.

  @param retry: it was asked already, so just wait
  @param timeout_s: how long to wait at the most, in seconds

  """
  groups = hierarchies.find(host)
  if not cgroup.is_running(groups, name):
    forget_end(host, name)
    return
  with locked(host, name, LOCK_TIMEOUT_S):
    paths = host.layout.instance(name)
    record.note_phase(host, paths, Phase.STOPPING)
    if not retry:
      _let_run(groups, name)
      _ask(host, groups, name)
  limit = min(timeout_s, _MAX_SOFT_WAIT_S)
  if not wait_for_end(groups, name, limit):
    logging.warning("Instance %s did not shut down within %d s", name, limit)


def _let_run(groups: Hierarchies, name: str) -> None:
  """A paused guest cannot answer a request."""
  if freezer.is_frozen(groups, name):
    freezer.thaw(groups, name)


def _ask(host: Host, groups: Hierarchies, name: str) -> None:
  command = _manners(host, groups, name).halt_command
  if command:
    argv = lxccli.attach_argv(host, name, *command)
    answer = host.run(argv, timeout_s=_COMMAND_TIMEOUT_S)
    if not answer.failed:
      return
    logging.info("Instance %s: %s", name, answer.evidence())
  result = lxccli.ask_to_stop(host, name)
  if result.failed:
    logging.warning("Instance %s: %s", name, result.evidence())


def _manners(host: Host, groups: Hierarchies, name: str) -> Manners:
  init = cgroup.init_pid(host, groups, name)
  kind = InitKind.OTHER
  if init is not None:
    kind = kind_of_process(host.proc, init)
  return MANNERS[kind]


def hard_stop(host: Host, storage: Partitions, name: str) -> None:
  """Kills a guest and takes away what was there for it.

  @raise Incomplete: something of it is left

  """
  with locked(host, name, LOCK_TIMEOUT_S):
    paths = host.layout.instance(name)
    record.note_phase(host, paths, Phase.STOPPING)
    kill(host, name)
    clean_up(host, storage, name)


def kill(host: Host, name: str) -> None:
  """Kills all processes of an instance, its monitor included.

  @raise Incomplete: some do not die

  """
  groups = hierarchies.find(host)
  if not cgroup.is_running(groups, name):
    return
  result = lxccli.kill(host, name)
  if not result.failed and wait_for_end(groups, name, _KILL_TIMEOUT_S):
    return
  logging.warning(
    "Instance %s: killing its control group, since %s",
    name, result.evidence(),
  )  # fmt: skip
  cgroup.kill(host, groups, name)


def cut_off(host: Host, name: str) -> None:
  """Takes an instance off the network whose connections go on elsewhere."""
  noted = record.load_or_none(host, host.layout.instance(name))
  nic_links.cut_off(host, _nics(noted))


def wait_for_end(groups: Hierarchies, name: str, timeout_s: float) -> bool:
  """Waits until nothing of an instance runs; False when time is up.

  The monitor is the last process of a container, so its end is waited for
  by a process descriptor, which wakes up at once.

  """
  for pid in cgroup.monitor_pids(groups, name):
    with contextlib.suppress(ProcessLookupError), pidfd.held(pid) as monitor:
      poller = select.poll()
      poller.register(monitor, select.POLLIN)
      poller.poll(max(0.0, timeout_s) * 1000)
  return wait_until(lambda: not cgroup.is_running(groups, name), 0.5)


def forget_end(host: Host, name: str) -> None:
  """An instance that ended by itself counts as stopped from now on."""
  paths = host.layout.instance(name)
  record.note_phase(host, paths, Phase.STOPPING)
  try:
    paths.ended.unlink(missing_ok=True)
  except OSError as err:
    # On a read-only file system, even if there is none (unlink(2)).
    logging.warning("Instance %s: %s", name, err)


def soft_reboot(host: Host, name: str) -> None:
  """Has a guest reboot itself and waits until it did.

  @raise Refused: it does not run, or it may not reboot
  @raise Failed: it did not

  """
  groups = hierarchies.find(host)
  old = cgroup.init_pid(host, groups, name)
  if old is None:
    raise Refused(
      f"Instance {name} does not run",
      remedy=f"start it with gnt-instance startup {name}",
    )
  _check_may_reboot(host, name, old)
  _let_run(groups, name)
  result = lxccli.ask_to_reboot(host, name)

  def rebooted() -> bool:
    new = cgroup.init_pid(host, groups, name)
    return new is not None and new != old

  if not wait_until(rebooted, _REBOOT_TIMEOUT_S):
    raise Failed(
      f"Instance {name} did not reboot within {_REBOOT_TIMEOUT_S:.0f} s",
      evidence=result.evidence(),
      remedy="use gnt-instance reboot --type=hard",
    )


def _check_may_reboot(host: Host, name: str, init: int) -> None:
  """A guest without CAP_SYS_BOOT would halt when it tries to reboot."""
  if cgroup.has_capability(host, init, _CAP_SYS_BOOT):
    return
  raise Refused(
    f"Instance {name} cannot reboot itself: its parameter drop_capabilities"
    " contains sys_boot",
    remedy=f"take it out with gnt-instance modify -H drop_capabilities=..."
    f" {name} and start the instance anew, or use gnt-instance reboot"
    " --type=hard",
  )


def clean_up_stopped(host: Host, storage: Partitions, name: str) -> None:
  """Ganeti's CleanupInstance: for an instance that does not run.

  @raise Refused: it runs again, or somebody works on it
  @raise Untidy: something is left
  @raise Incomplete: it may be in use here

  """
  with locked(host, name, LOCK_TIMEOUT_S):
    groups = hierarchies.find(host)
    if cgroup.is_running(groups, name):
      raise Refused(
        f"Instance {name} still runs on this node, or runs again",
        evidence=cgroup.describe(host, groups, name),
        remedy=f"stop it once more with gnt-instance shutdown {name}, and do"
        " not start it on another node before",
      )
    clean_up(host, storage, name)
    forget_lock(host, name)


def clean_up(host: Host, storage: Partitions, name: str) -> None:
  """Takes away all that is there for an instance; it must not run.

  Each part is tried whatever happened to the one before.

  @raise Untidy: something is left, but its disks are free
  @raise Incomplete: something is left that may use its disks
  In both cases it can be tried again.

  """
  paths = host.layout.instance(name)
  noted = record.load_or_none(host, paths)
  # A process of the guest that is left can have its own view of the mounts.
  in_use = _tried(
    name,
    lambda: cgroup.remove(host, hierarchies.find(host), name),
    lambda: _release_disks(host, storage, paths, noted),
  )
  left = _tried(
    name,
    lambda: _release_nics(host, noted),
    lambda: _release_ports(host, paths, noted),
  )
  # The record goes last: what is left now can only be found by it.
  if not in_use and not left:
    try:
      remove_home(paths)
    except OSError as err:
      # EBUSY from rmdir(2): something is mounted there.
      (in_use if err.errno == errno.EBUSY else left).append(str(err))
  if in_use:
    raise _in_use(name, "; ".join(in_use + left))
  if left:
    raise Untidy(
      f"Not everything of instance {name} could be taken away; its disks are"
      " free",
      evidence="; ".join(left),
      remedy=f"gnt-instance shutdown {name} tries it again",
    )


def _tried(name: str, *parts: Callable[[], None]) -> list[str]:
  """Has each part done; what was said of those that failed."""
  left = []
  for part in parts:
    try:
      part()
    except Exception as err:
      logging.warning("Instance %s: %s", name, err, exc_info=True)
      left.append(str(err))
  return left


def _in_use(name: str, evidence: str) -> Incomplete:
  return Incomplete(
    f"Not everything of instance {name} could be taken away, its disks may"
    " still be in use on this node",
    evidence=evidence,
    remedy=f"see to that, then stop it again with gnt-instance shutdown {name},"
    " and do not start it on another node before",
  )


def _release_nics(host: Host, noted: Record | None) -> None:
  nic_links.teardown(host, _nics(noted))


def _release_ports(
  host: Host, paths: InstancePaths, noted: Record | None
) -> None:
  """Open vSwitch, which may be gone now, has kept them over a reboot."""
  if noted is not None:
    return
  try:
    found = _nics(record.of_any_boot(paths))
    nic_links.teardown(host, [n for n in found if n.mode is NicMode.OVS])
  except Incomplete as err:
    logging.warning("Not taken away after a reboot: %s", err)


def _nics(noted: Record | None) -> list[NicRecord]:
  records = []
  for entry in noted.nics if noted else ():
    try:
      records.append(NicRecord.from_dict(entry))
    except ValueError as err:
      # Of another release; its interface has gone with the container.
      logging.warning("A NIC's record is passed over: %s", err)
  return records


def _release_disks(
  host: Host, storage: Partitions, paths: InstancePaths, noted: Record | None
) -> None:
  lost = record.is_lost(paths)
  if lost or (noted is not None and _may_be_mounting(host, paths, noted)):
    mounts.end_mounting(host, paths.home)
  # Without a record (a damaged one, a package upgrade) mounts are found by
  # their place.
  mounts.unmount_all(host, paths.home)
  attached = noted.disks if noted else ()
  for disk in reversed(attached):
    disks.release(host, storage, disk)
  # Before the record goes: whoever repeats this flushes them too.
  for disk in attached:
    disks.flush(host, disk)
  if lost:
    disks.release_lost(host, storage, paths.home.name)


def _may_be_mounting(host: Host, paths: InstancePaths, noted: Record) -> bool:
  """Whether a mount(8) or umount(8) may have outlived its caller.

  All processes are looked at for them, so not at every stop.

  """
  if noted.phase is Phase.STARTING:
    return True
  mounted = {entry.mount_point for entry in mounts.below(host, paths.home)}
  points = {disk.mount_point for disk in noted.disks if disk.mount_point}
  return not points <= mounted


def remove_home(paths: InstancePaths) -> None:
  """Removes the instance's directory, never anything mounted in it.

  Directories are removed by rmdir(2) alone, which fails on a mount point
  and on anything that is not empty, and before the record is.

  @raise OSError: something is mounted there, or something is not ours

  """
  for directory in (paths.disks, paths.home):
    if directory.is_symlink() or not directory.is_dir():
      continue
    for entry in sorted(directory.iterdir(), key=_is_file):
      if _is_file(entry):
        entry.unlink()
      else:
        entry.rmdir()
    directory.rmdir()


def _is_file(path: Path) -> bool:
  return path.is_symlink() or not path.is_dir()
