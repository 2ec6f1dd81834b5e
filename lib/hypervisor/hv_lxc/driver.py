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

"""LXCHypervisor: the CamelCase face that Ganeti calls.

Translates and delegates.  Ganeti makes a new object for every RPC, so the
object keeps nothing and costs nothing.  Methods are grouped and ordered as
in hv_base.py.

"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ganeti import constants, errors, objects, pathutils
from ganeti.hypervisor import hv_base

from . import late, packaged, paramtable, ssconf
from .driver_errors import as_hypervisor_error
from .driver_migration import MigrationFace
from .errors import Untidy
from .host import Host, make_directory
from .this_node import local_host

if TYPE_CHECKING:
  from . import (
    balloon,
    ended,
    growth,
    lxcfiles,
    model,
    nics,
    params,
    partitions,
    report,
    starting,
    stopping,
    terminals,
    translate,
    verify,
  )
  from .migration import calls, listing
else:
  balloon = late.Late("balloon")
  ended = late.Late("ended")
  growth = late.Late("growth")
  lxcfiles = late.Late("lxcfiles")
  model = late.Late("model")
  nics = late.Late("nics")
  params = late.Late("params")
  partitions = late.Late("partitions")
  report = late.Late("report")
  starting = late.Late("starting")
  stopping = late.Late("stopping")
  terminals = late.Late("terminals")
  translate = late.Late("translate")
  verify = late.Late("verify")
  calls = late.Late("migration.calls")
  listing = late.Late("migration.listing")

_NODE_DAEMON = "ganeti.server.noded"

paramtable.supply_defaults()
if _NODE_DAEMON in sys.modules:
  # It forks for each request, and what a child imports is imported anew by
  # the next one: 18 ms of each start and stop for partitions, more for the
  # others (devel/bench).
  partitions.preload()
  packaged.preload()
  late.load_all()


class InstanceInfo(NamedTuple):
  """The tuple of GetInstanceInfo, in Ganeti's order.

  @ivar id: process 1 of the guest as the node numbers it, or -1
  @ivar memory: the current limit, in MiB
  @ivar times: CPU time used, in seconds

  """

  name: str
  id: int
  memory: int
  vcpus: int
  state: int
  times: int


class LXCHypervisor(MigrationFace, hv_base.BaseHypervisor):
  """LXC containers as instances of a Ganeti cluster."""

  PARAMETERS = paramtable.PARAMETERS
  ANCILLARY_FILES: ClassVar[list[str]] = []
  ANCILLARY_FILES_OPT: ClassVar[list[str]] = []
  CAN_MIGRATE = True

  def __init__(
    self,
    _host: Host | None = None,
    _storage: "partitions.Partitions | None" = None,
  ) -> None:
    hv_base.BaseHypervisor.__init__(self)
    self._host = _host or local_host()
    self._given_storage = _storage

  @property
  def _storage(self) -> "partitions.Partitions":
    return self._given_storage or partitions.Kpartx()

  # Lifecycle

  @as_hypervisor_error
  def StartInstance(
    self, instance: Any, block_devices: Any, startup_paused: Any
  ) -> Any:
    """Starts an instance; on failure nothing of it is left."""
    wanted = params.parse(instance.hvparams)
    params.check_within_cluster(wanted, ssconf.hvparams(self._host))
    request = translate.start_request(
      self._host,
      instance=instance,
      block_devices=block_devices,
      networks=[_network_env(nic) for nic in instance.nics],
      params=wanted,
      memory_mib=self._InstanceStartupMemory(instance),
      ifup=_ifup_script(self._host, instance),
      paused=bool(startup_paused),
    )
    calls.start(
      self._host,
      self._storage,
      request.name,
      lambda: starting.start(self._host, self._storage, request),
      instance=instance.uuid,
      port=_port_to_ask(instance, block_devices),
    )

  def _InstanceStartupMemory(self, instance: Any) -> Any:
    """As hv_base.py has it: as much as is free between the two limits.

    To know what is free, the limits of all other instances are read; where
    the two are the same it makes no difference.

    @return: in MiB

    """
    least = instance.beparams[constants.BE_MINMEM]
    if least == instance.beparams[constants.BE_MAXMEM]:
      return least
    return super()._InstanceStartupMemory(instance)

  @as_hypervisor_error
  def VerifyInstance(self, instance: Any) -> Any:
    """Whether all that a running instance needs in /run is there."""
    return self._host.layout.instance(instance.name).console_log.exists()

  @as_hypervisor_error
  def RestoreInstance(self, instance: Any, block_devices: Any) -> Any:
    """Makes anew what was lost from /run."""
    # The monitor goes on writing to a console log that was removed, and
    # turns to this one when it next rotates the log.
    make_directory(self._host.layout.run_dir, 0o750)
    self._host.layout.instance(instance.name).console_log.touch(0o600)

  @as_hypervisor_error
  def StopInstance(
    self,
    instance: Any,
    force: Any = False,
    retry: Any = False,
    name: Any = None,
    timeout: Any = None,
  ) -> Any:
    """Asks an instance to stop, or kills it.

    Three forms: soft with a timeout, forced, and forced by name alone
    (from ganeti-watcher on a node that is offline).

    """
    name = name or instance.name
    if timeout is None:
      timeout = constants.DEFAULT_SHUTDOWN_TIMEOUT

    def stop() -> None:
      if force:
        stopping.hard_stop(self._host, self._storage, name)
      else:
        stopping.soft_stop(self._host, name, retry=retry, timeout_s=timeout)

    calls.stop(self._host, self._storage, name, stop)

  def CleanupInstance(self, instance_name: Any) -> Any:
    """Takes away what is left of an instance that does not run.

    @raise errors.OpExecError: it may run, or something of its disks may be
        in use: here, or on the other node of a migration
    @raise errors.HypervisorError: something else is left

    """
    try:
      self._clean_up(instance_name)
    except errors.HypervisorError as err:
      if isinstance(err.__cause__, Untidy):
        raise
      # Ganeti only logs a HypervisorError (backend.py, InstanceShutdown),
      # takes the instance for stopped, and a failover mounts its disks on a
      # second node.  Any other error is its node daemon's answer to the job.
      raise errors.OpExecError(str(err)) from err
    self._note_stopped(instance_name)

  @as_hypervisor_error
  def _clean_up(self, instance_name: str) -> None:
    calls.stop(
      self._host,
      self._storage,
      instance_name,
      lambda: stopping.clean_up_stopped(
        self._host, self._storage, instance_name
      ),
    )

  @as_hypervisor_error
  def _note_stopped(self, instance_name: str) -> None:
    """Tells the other node of a migration, should it ask."""
    calls.stopped(self._host, self._storage, instance_name)

  @as_hypervisor_error
  def RebootInstance(self, instance: Any) -> Any:
    """Has the guest reboot itself."""
    stopping.soft_reboot(self._host, instance.name)

  # Monitoring

  @as_hypervisor_error
  def ListInstances(self, hvparams: Any = None) -> Any:
    """The names of the instances that run here."""
    running = report.running_names(self._host)
    listing.attend(self._host, running, thorough=True)
    listing.await_answers(self._host)
    return listing.shown(self._host, running)

  @as_hypervisor_error
  def GetInstanceInfo(self, instance_name: Any, hvparams: Any = None) -> Any:
    """Figures of one instance, None if there is nothing of it."""
    usage = listing.one_usage(
      self._host, instance_name, report.usage(self._host, instance_name)
    )
    if usage is not None:
      return _info(usage)
    if ended.by_itself(self._host, instance_name):
      return _down(instance_name)
    return None

  @as_hypervisor_error
  def GetAllInstancesInfo(self, hvparams: Any = None) -> Any:
    """Figures of all instances, those that halted by themselves included."""
    usages = report.all_usage(self._host)
    listing.attend(self._host, [u.name for u in usages], thorough=False)
    found = [_info(u) for u in listing.shown_usage(self._host, usages)]
    running = {info.name for info in found}
    halted = (n for n in ended.names(self._host) if n not in running)
    found += [_down(n) for n in halted if ended.by_itself(self._host, n)]
    return found

  @as_hypervisor_error
  def GetNodeInfo(self, hvparams: Any = None) -> Any:
    """Memory in MiB and CPUs of the node.

    gnt-node list and whatever places instances ask all nodes, and for
    instances only the primary ones: this is where a target hears that it is
    asked, when it has been switched off during a migration to it.

    """
    found = report.node_info(self._host)
    listing.attend(self._host, report.running_names(self._host), thorough=True)
    return found

  @classmethod
  def GetInstanceConsole(
    cls,
    instance: Any,
    primary_node: Any,
    node_group: Any,
    hvparams: Any,
    beparams: Any,
  ) -> Any:
    """The command that connects to the instance's console."""
    ndparams = node_group.FillND(primary_node)
    return objects.InstanceConsole(
      instance=instance.name,
      kind=constants.CONS_SSH,
      host=primary_node.name,
      port=ndparams.get(constants.ND_SSH_PORT),
      user=constants.SSH_CONSOLE_USER,
      command=[*terminals.main_program(), instance.name],
    )

  # Verification

  @as_hypervisor_error
  def Verify(self, hvparams: Any = None) -> Any:
    """What this node lacks, None if nothing."""
    wanted = hvparams or {}
    extra = verify.names_in(wanted.get(constants.HV_LXC_EXTRA_CGROUPS))
    found = [str(p) for p in verify.problems(self._host, extra_cgroups=extra)]
    if wanted and not hasattr(hv_base.BaseHypervisor, "AssessParameters"):
      # Ganeti 3.0 has no other place for advice.
      found += params.advice(wanted)
    return self._FormatVerifyResults(found)

  @classmethod
  def GetAncillaryFiles(cls) -> Any:
    """No file has to be the same on all nodes."""
    return (cls.ANCILLARY_FILES, cls.ANCILLARY_FILES_OPT)

  @classmethod
  @as_hypervisor_error
  def CheckParameterSyntax(cls, hvparams: Any) -> Any:
    """Checks parameters without looking at the node."""
    filled = paramtable.filled(hvparams)
    super().CheckParameterSyntax(paramtable.unreserved(filled))
    params.parse(filled)

  @classmethod
  @as_hypervisor_error
  def ValidateParameters(cls, hvparams: Any) -> Any:
    """Checks parameters on the node."""
    filled = paramtable.filled(hvparams)
    super().ValidateParameters(paramtable.unreserved(filled))
    # Whether an instance goes beyond the cluster is checked at its start:
    # this is also called for the cluster's own new values, and nothing
    # tells the two apart.
    params.check_on_node(local_host(), params.parse(filled))

  @classmethod
  def AssessParameters(cls, hvparams: Any) -> Any:
    """Advice about parameters that are valid."""
    return params.advice(hvparams)

  # Resources of a running instance

  @as_hypervisor_error
  def BalloonInstanceMemory(self, instance: Any, mem: Any) -> Any:
    """Sets the memory limit, in MiB."""
    balloon.set_memory(self._host, instance.name, int(mem))
    lxcfiles.keep_memory(self._host, instance.name, int(mem))

  @as_hypervisor_error
  def ResizeDisk(self, instance: Any, disk: Any, new_size: Any) -> Any:
    """Lets a running guest use what its disk has grown by.

    @param new_size: in bytes

    """
    growth.grow(self._host, self._storage, instance.name, disk.uuid)

  def HotplugSupported(self, instance: Any) -> Any:
    """No device can be added to a running container yet.

    Ganeti 3.1 asks at every change of devices and then makes the change
    for the next start.

    """
    raise errors.HotplugError(
      "a running LXC instance keeps its devices, a change of them takes"
      " effect at its next start"
    )

  # The node

  @classmethod
  def PowercycleNode(cls, hvparams: Any = None) -> Any:
    """Resets the node at once."""
    # BaseHypervisor.LinuxPowercycle calls close() on a number.
    try:
      fd = os.open("/proc/sysrq-trigger", os.O_WRONLY)
      try:
        os.write(fd, b"b")
      finally:
        os.close(fd)
    except OSError:
      logging.exception("Cannot reset the node by sysrq")
      local_host().run(["reboot", "-n", "-f"])


def _port_to_ask(instance: Any, block_devices: Any) -> int:
  """Where other nodes are asked before an instance is booted, 0 for none.

  Ganeti can be told to start it on a third node while a migration between
  two others is not settled, if its disks can be reached from there.

  """
  kinds = {disk.dev_type for disk, _, _ in block_devices}
  if not kinds & (constants.DTS_EXT_MIRROR | {constants.DT_SHARED_FILE}):
    return 0
  return params.parse_migration(instance.hvparams).port


def _info(usage: "model.Usage") -> InstanceInfo:
  state = hv_base.HvInstanceState
  runs = usage.state is model.RunState.RUNNING
  return InstanceInfo(
    name=usage.name,
    id=usage.init_pid,
    memory=usage.memory_mib,
    vcpus=usage.vcpus,
    state=state.RUNNING if runs else state.SHUTDOWN,
    times=usage.cpu_seconds,
  )


def _down(name: str) -> InstanceInfo:
  return InstanceInfo(name, -1, 0, 0, hv_base.HvInstanceState.SHUTDOWN, 0)


def _network_env(nic: Any) -> dict[str, str] | None:
  if not nic.network:
    return None
  env: dict[str, str] = objects.Network.FromDict(nic.netinfo).HooksDict()
  return env


def _ifup_script(host: Host, instance: Any) -> "nics.IfupScript":
  paths = host.layout.instance(instance.name, instance.uuid)
  return nics.IfupScript(
    path=Path(pathutils.KVM_IFUP),
    override=Path(pathutils.CONF_DIR) / "kvm-vif-bridge",
    log=paths.log_file,
  )
