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

"""Start an instance.

Whatever goes wrong on the way, L{stopping.clean_up} walks the way back.

"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import (
  apparmor,
  cgroup,
  devnodes,
  disks,
  extraconf,
  fstab,
  guestfs,
  hierarchies,
  lxccli,
  lxcfiles,
  lxclog,
  nic_links,
  nics,
  record,
  stopping,
  uplinks,
)
from .errors import (
  Failed,
  Incomplete,
  LxcError,
  Refused,
  failed_by_system,
  one_line,
)
from .guests import MANNERS
from .hierarchies import Hierarchies
from .host import (
  Host,
  locked,
  make_directory,
  read_optional,
  write_file,
)
from .layout import InstancePaths
from .model import ContainerSpec, DiskSpec, InitKind
from .partitions import Partitions
from .record import DiskRecord, Phase, Record
from .request import StartRequest

# Beside startup_timeout, for what lxc-start does before init is executed.
_START_MARGIN_S = 60.0
_SYS_ADMIN = "sys_admin"


def start(host: Host, storage: Partitions, request: StartRequest) -> None:
  """Starts an instance; afterwards it runs, or nothing of it is left.

  @raise Refused: it cannot be started, nothing was changed
  @raise Failed: it did not start, everything was undone
  @raise Incomplete: it did not start, and something is left

  """
  name = request.name
  if not request.disks:
    raise Refused(
      f"Instance {name} has no disk",
      remedy="a container needs its root file system on disk 0; recreate"
      " the instance with a disk",
    )
  groups = hierarchies.find(host)
  _check_controllers(groups, request)
  with locked(host, name, stopping.LOCK_TIMEOUT_S):
    if cgroup.is_running(groups, name):
      raise Refused(
        f"Instance {name} runs already on this node",
        remedy=f"leave it so, or run gnt-instance reboot {name}",
      )
    stopping.clean_up(host, storage, name)
    for nic in request.nics:
      nic_links.check(host, name, nic)
    paths = host.layout.instance(name, request.uuid)
    with _undone_on_failure(host, storage, name):
      _bring_up(host, storage, request, groups, paths)


def _check_controllers(trees: Hierarchies, request: StartRequest) -> None:
  for name in request.params.extra_cgroups:
    if trees.by_any_name(name) is None:
      raise Refused(
        f"Instance {request.name} cannot be started: this node does not have"
        f" the control group controller {name}",
        remedy="enable it, or change the parameter extra_cgroups",
      )


@contextlib.contextmanager
def _undone_on_failure(
  host: Host, storage: Partitions, name: str
) -> Iterator[None]:
  try:
    yield
  except BaseException as err:
    try:
      stopping.kill(host, name)
      stopping.clean_up(host, storage, name)
    except LxcError as second:
      raise Incomplete(
        f"Instance {name} could not be started, and not everything could"
        " be undone",
        evidence=f"{second}; the start failed since: {err}",
        remedy=f"see to that, then run gnt-instance shutdown {name}",
      ) from err
    if isinstance(err, OSError):
      what = f"Instance {name} could not be started"
      raise failed_by_system(what, err) from err
    raise


def _bring_up(
  host: Host,
  storage: Partitions,
  request: StartRequest,
  groups: Hierarchies,
  paths: InstancePaths,
) -> None:
  make_directory(host.layout.data_dir)
  make_directory(host.layout.run_dir, 0o750)
  make_directory(paths.home)
  noted = Record(
    name=request.name,
    uuid=request.uuid,
    boot_id=host.boot_id(),
    phase=Phase.STARTING,
    nics=tuple(
      uplinks.noted(host, nics.NicRecord.of(n)).to_dict() for n in request.nics
    ),
  )
  record.save(paths, noted)
  noted = attach_disks(
    host,
    storage,
    noted,
    request.disks,
    paths=paths,
    block_disks=request.params.block_disks,
  )
  spec = _specify(host, request, paths, noted)
  lxcfiles.write(groups, request, spec, paths)
  _run(host, request, groups, paths)
  record.save(paths, noted.in_phase(Phase.RUNNING))


def attach_disks(
  host: Host,
  storage: Partitions,
  noted: Record,
  wanted: Sequence[DiskSpec],
  *,
  paths: InstancePaths,
  block_disks: bool = False,
) -> Record:
  """Attaches an instance's disks, each noted before it is attached.

  @param noted: the record so far
  @param block_disks: leave all but the first one block devices
  @return: the record with the disks
  @raise Refused: as L{disks.attach}
  @raise Failed: as L{disks.attach}

  """
  current = noted

  def note(disk: DiskRecord) -> None:
    nonlocal current
    current = current.with_disk(disk)
    record.save(paths, current)

  for disk in wanted:
    as_block = disk.index > 0 and block_disks
    attached = disks.attach(
      host,
      storage,
      paths,
      disk,
      name=noted.name,
      note=note,
      as_block=as_block,
    )
    current = current.with_disk(attached)
  return current


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guest:
  """What was seen of the guest's file system.

  @ivar fstab: the start of its /etc/fstab

  """

  init: InitKind
  tmp_on_tmpfs: bool
  fstab: str


def _look_at_guest(
  name: str, paths: InstancePaths, mounted: list[DiskRecord], init: str
) -> _Guest:
  with guestfs.opened_root(paths.rootfs) as root:
    guestfs.check_mount_targets(name, root)
    for disk in mounted:
      target = disks.GUEST_MOUNT.format(index=disk.index)
      guestfs.make_directories(name, root, target)
    text = guestfs.read_small(root, "etc/fstab", fstab.MAX_BYTES)
    return _Guest(
      init=guestfs.find_init(name, root, init),
      tmp_on_tmpfs=guestfs.wants_tmp_mount(root),
      fstab=text or "",
    )


def _specify(
  host: Host, request: StartRequest, paths: InstancePaths, noted: Record
) -> ContainerSpec:
  """Looks at the mounted root and decides what the container is."""
  params = request.params
  extra = extraconf.load(host, params.extra_config)
  command = (extraconf.init_command(extra) or guestfs.INIT).split()[0]
  further = [disk for disk in noted.disks if disk.index > 0]
  mounted = [disk for disk in further if disk.mount_point]
  guest = _look_at_guest(request.name, paths, mounted, command)
  may_mount = _SYS_ADMIN not in params.drop_capabilities
  text = fstab.for_container(guest.fstab, may_mount=may_mount)
  write_file(paths.fstab, text, mode=0o644)
  read_only = {disk.index: disk.read_only for disk in request.disks}
  return ContainerSpec(
    name=request.name,
    uuid=request.uuid,
    limits=request.limits,
    nics=request.nics,
    drop_capabilities=params.drop_capabilities,
    devices=params.devices,
    nodes=devnodes.nodes_for(host, params.devices),
    mounted_disks=tuple(
      disks.guest_mount(d, read_only=read_only[d.index]) for d in mounted
    ),
    block_disks=tuple(
      disks.guest_device(d, read_only=read_only[d.index])
      for d in further
      if d not in mounted
    ),
    root_read_only=read_only[0],
    tmp_on_tmpfs=guest.tmp_on_tmpfs,
    num_ttys=params.num_ttys,
    init=guest.init,
    halt_signal=MANNERS[guest.init].halt_signal,
    reboot_signal=MANNERS[guest.init].reboot_signal,
    apparmor_profile=apparmor.profile(host, params.apparmor_profile),
    # Who has terminals cannot be migrated live anyway.
    own_clock=not params.num_ttys and (host.proc / "self/ns/time").exists(),
    extra=extra,
  )


def _run(
  host: Host,
  request: StartRequest,
  groups: Hierarchies,
  paths: InstancePaths,
) -> None:
  name = request.name
  timeout_s = request.params.startup_timeout_s
  offset = lxclog.prepare(paths.log_file)
  paths.console_log.unlink(missing_ok=True)
  result = lxccli.start(
    host, name, str(paths.log_file), timeout_s + _START_MARGIN_S
  )
  if result.failed:
    raise _start_error(request, paths, offset, result.evidence())
  waited = lxccli.wait_running_or_stopped(host, name, timeout_s)
  if waited.failed:
    raise _start_error(
      request, paths, offset,
      f"not RUNNING within startup_timeout={timeout_s} s:"
      f" {waited.evidence()}",
    )  # fmt: skip
  if cgroup.init_pid(host, groups, name) is None:
    raise _start_error(
      request, paths, offset, "its init ended at once after it was started"
    )


def _start_error(
  request: StartRequest, paths: InstancePaths, offset: int, how: str
) -> Failed:
  """The whole story on one line, the first cause in front."""
  causes = [
    nic_links.ifup_error(paths.nic_env(nic.index)) for nic in request.nics
  ]
  causes.append(lxclog.first_error(paths.log_file, offset))
  causes.append(_console_tail(paths))
  told = [one_line(cause) for cause in causes if cause]
  return Failed(
    f"Instance {request.name} could not be started",
    evidence="; ".join([*told, how]),
    remedy=f"see {paths.log_file}",
  )


def _console_tail(paths: InstancePaths) -> str:
  """The last thing that the guest said, if it said anything."""
  text = read_optional(paths.console_log) or ""
  lines = [line for line in text.splitlines() if line.strip()]
  return f"its console says {one_line(lines[-1])}" if lines else ""
