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

"""Bring a lab up, look at it, take it down."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import (
  boot,
  cgroup,
  checkout,
  cluster,
  criu,
  guests,
  host,
  image,
  install,
  kept,
  keys,
  lock,
  loops,
  network,
  package,
  plan,
  spawn,
  state,
  teardown,
  vm_host,
  vm_image,
  vm_install,
  vm_lab,
  vm_machine,
  vm_power,
  wait,
)
from .errors import LabError
from .node import Node
from .plan import LabPlan
from .progress import Progress
from .state import Phase, State
from .vm_node import VmNode

_LOG = "lab.log"
_SSHD_DEADLINE = 20.0
BACKENDS = ("namespace", "vm")


@dataclasses.dataclass(frozen=True)
class UpRequest:
  """What `up` was asked for.

  @ivar memory: limit of each node, in MiB
  @ivar backend: "namespace" or "vm"
  @ivar cluster: whether the nodes are to be made a cluster
  @ivar slowness: how much slower the clocks of virtual machines are to run

  """

  name: str
  node_count: int
  release: str
  driver: bool
  memory: int = 2048
  backend: str = BACKENDS[0]
  cluster: bool = True
  slowness: int = 1


def up(request: UpRequest, progress: Progress) -> None:
  """Make a lab that answers gnt-* commands.

  A lab that an earlier run left half made is taken down first.

  @raise LabError: at the first step that fails; what was made stays for
    inspection until `down`

  """
  host.require_root()
  record = State(
    request.name,
    request.release,
    request.node_count,
    request.driver,
    backend=request.backend,
    cluster=request.cluster,
    slowness=request.slowness,
    begun=time.time(),
  )
  _ = record.plan
  if request.driver and not checkout.has_driver():
    raise LabError(
      f"{checkout.TOP} has no autogen.sh, so no driver to"
      " install; use --no-driver for Ganeti's own"
    )
  with lock.held(f"lab-{request.name}", progress.say):
    if _already_up(request, progress):
      return
    _build(request, record, progress)
  hint = "gnt-node list" if request.cluster else "gnt-cluster init ..."
  progress.say(
    f"lab {request.name!r} is up; try: qa/lab --name"
    f" {request.name} exec node1 -- {hint}"
  )


def _already_up(request: UpRequest, progress: Progress) -> bool:
  old = state.load(request.name)
  if old is None:
    # A killed run may have left data or groups without a record.
    teardown.take_down(request.name)
    return False
  if old.phase == Phase.UP and _all_running(old):
    if _kind(old) != _kind(request):
      raise LabError(
        f"Lab {old.name!r} is up with {old.node_count} nodes of"
        f" {old.release}, backend {old.backend},"
        f" {'a cluster' if old.cluster else 'bare'}, clocks slowed"
        f" {old.slowness} times; take it down first:"
        f" qa/lab --name {old.name} down"
      )
    progress.say(f"lab {old.name!r} is up already")
    return True
  with progress.step(f"taking down what is left of lab {old.name!r}"):
    teardown.take_down(request.name)
  return False


def _kind(lab: State | UpRequest) -> tuple[object, ...]:
  return lab.node_count, lab.release, lab.backend, lab.cluster, lab.slowness


def _all_running(record: State) -> bool:
  return all(node.state == "running" for node in nodes_of(record))


def _build(request: UpRequest, record: State, progress: Progress) -> None:
  host.prepare(progress)
  kept.remove_tree(record.plan.data_dir)
  build = _build_machines if request.backend == "vm" else _build_namespaces
  record = build(request, record, progress)
  record.but(phase=Phase.UP)


def _build_namespaces(
  request: UpRequest, record: State, progress: Progress
) -> State:
  image.check_overlay(record.plan.data_dir)
  # Recorded before it is looked for: a purge leaves it alone from here on.
  record = record.but(image=str(image.directory(request.release)))
  image.ensure(request.release, progress)
  guests.build_default(progress)
  record = _boot_nodes(record, request.memory, progress)
  criu.install(nodes_of(record), request.release, progress)
  _install_nodes(record, progress, driver=request.driver)
  if request.cluster:
    cluster.init(record.plan, progress)
  return record


def _build_machines(
  request: UpRequest, record: State, progress: Progress
) -> State:
  vm_host.ensure(progress, record.slowness)
  record.plan.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
  record = record.but(image=str(vm_image.of(request.release).directory))
  vm_image.ensure(request.release, progress)
  guests.build_default(progress)
  driver = vm_install.of_checkout(record, progress) if request.driver else None
  hardware = vm_machine.Hardware(request.memory, request.slowness)
  vm_lab.start(record, hardware, driver, progress)
  _install_os(record, progress)
  if request.driver:
    with progress.step("restarting noded"):
      _on_each(nodes_of(record), cluster.restart_noded)
  return record


def _boot_nodes(record: State, memory: int, progress: Progress) -> State:
  lab = record.plan
  log = lab.state_dir / _LOG
  keys.make(lab)
  with progress.step(f"booting {len(lab.nodes)} nodes"):
    network.start_switch(lab, log)
    for name in lab.nodes:
      _boot_node(lab, name, record.image, memory, log)
      record = record.but(
        devices=tuple(
          sorted({*record.devices, *_private_devices(Node(lab.name, name))})
        )
      )
      network.connect(lab, name)
      _start_sshd(Node(lab.name, name))
  return record


def _boot_node(
  lab: LabPlan, name: str, lower: str, memory: int, log: pathlib.Path
) -> None:
  group = cgroup.group(lab.name, name)
  cgroup.create(group)
  cgroup.limit_memory(group, memory)
  spec = boot.BootSpec(
    name, lower, lab.node_dir(name), _binds(lab, name), group.hierarchies
  )
  boot.prepare(spec)
  keys.seed(lab, name)
  spawn.spawn(
    f"{name} of lab {lab.name!r}",
    group,
    boot.NAMESPACES,
    lambda: boot.boot(spec),
    log,
  )


def _binds(lab: LabPlan, name: str) -> tuple[boot.Bind, ...]:
  """Disks of instances belong on a real file system.

  The rest, /tmp too, stays on the overlay, whose device number tells even
  of a deleted file that it is the lab's.

  """
  own = lab.node_dir(name)
  return (
    boot.Bind(lab.data_dir / "shared", plan.SHARED_FILE_STORAGE),
    boot.Bind(own / "file", plan.FILE_STORAGE),
    boot.Bind(guests.CACHE, str(guests.CACHE), read_only=True),
  )


def _private_devices(node: Node) -> set[str]:
  """File systems the node sees and the host does not."""
  pid = node.pid
  if pid is None:
    raise LabError(
      f"{node.name} ended right after its start; see"
      f" {plan.STATE_ROOT / node.lab / _LOG}"
    )
  return loops.mounted_devices([pid]) - loops.mounted_devices(["self"])


def _start_sshd(node: Node) -> None:
  node.run("start sshd", ["/usr/sbin/sshd"])
  wait.until(
    f"sshd on {node.name} to listen",
    pathlib.Path(f"/proc/{node.pid}/root/run/sshd.pid").exists,
    _SSHD_DEADLINE,
  )


def _install_nodes(record: State, progress: Progress, *, driver: bool) -> None:
  _install_os(record, progress)
  nodes = nodes_of(record)
  if driver and record.backend == "vm":
    added = vm_install.of_checkout(record, progress)
    _on_each(nodes, lambda node: vm_install.unpack(node, added))
  elif driver:
    files = checkout.files()
    data = install.archive(checkout.TOP, files)
    built = package.ensure(checkout.TOP, files, progress)
    with progress.step(f"installing {built.name}"):
      _on_each(nodes, lambda node: install.copy_checkout(node, data))
      _on_each(nodes, lambda node: install.install_package(node, built))


def _install_os(record: State, progress: Progress) -> None:
  top = checkout.TOP
  names = sorted(install.os_definitions(top))
  with progress.step(f"OS definitions: {' '.join(names) or 'none'}"):
    _on_each(nodes_of(record), lambda node: install.install_os(node, top))


def _on_each(nodes: list[Node], act: Callable[[Node], None]) -> None:
  with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
    for _ in pool.map(act, nodes):
      pass


def reinstall(name: str, progress: Progress) -> None:
  """Install the checkout's driver on all nodes; noded loads it.

  @raise LabError: when the lab is not up or the build fails

  """
  host.require_root()
  with lock.held(f"lab-{name}", progress.say):
    record = existing(name)
    _install_nodes(record, progress, driver=True)
    record.but(driver=True)
    with progress.step("restarting noded"):
      _on_each(nodes_of(record), cluster.restart_noded)


def power(name: str, short: str, progress: Progress, *, on: bool) -> None:
  """Cut the power of a virtual machine, or turn it on and let it boot.

  @raise LabError: when the node is no virtual machine, or does not boot

  """
  host.require_root()
  machine = node(name, short)
  if not isinstance(machine, VmNode):
    raise LabError(
      f"{short} of lab {name!r} is no virtual machine; use --backend vm"
    )
  with lock.held(f"lab-{name}", progress.say):
    if not on:
      vm_power.power_off(machine)
      return
    vm_power.boot(machine, progress)


def existing(name: str) -> State:
  """The record of a lab.

  @raise LabError: when there is none

  """
  record = state.load(name)
  if record is None:
    raise LabError(f"There is no lab {name!r}; run: qa/lab --name {name} up")
  return record


def node(name: str, short: str) -> Node:
  """One node of a lab.

  @raise LabError: when there is no such lab or node

  """
  record = existing(name)
  if short not in record.plan.nodes:
    raise LabError(
      f"Lab {name!r} has no node {short!r}; it has"
      f" {', '.join(record.plan.nodes)}"
    )
  return _node(record, short)


def nodes_of(record: State) -> list[Node]:
  """All nodes of a lab, running or not, the first master first."""
  return [_node(record, short) for short in record.plan.nodes]


def _node(record: State, short: str) -> Node:
  kind = VmNode if record.backend == "vm" else Node
  return kind(record.name, short)


def down(name: str, progress: Progress, *, purge: bool) -> None:
  """Take everything away, whatever of it exists.

  Disks and logs of namespaced nodes stay on the host's disk until the next
  `up` or `down --purge`; those of virtual machines go.

  @raise LabError: when something would not go away

  """
  host.require_root()
  plan.check_name(name)
  with lock.held(f"lab-{name}", progress.say):
    with progress.step(f"taking lab {name!r} down"):
      teardown.take_down(name)
      vm_lab.remove_disks(name)
    if purge:
      kept.remove_tree(plan.DATA_ROOT / name)
      kept.purge(progress)
