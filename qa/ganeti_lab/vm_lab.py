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


"""A lab of virtual machines: a cluster that goes on from a saved one.

An emulated machine takes minutes to boot and to make a cluster; a saved one
is back in seconds. So the machines are booted once and saved; going on from
there the cluster is made once and saved, with the driver of that day; and
each lab goes on from there and is given the checkout's driver.

Ganeti has limits that an emulated node on a busy machine passes: 5 s for a
connection to noded, its TLS handshake included (RPC_CONNECT_TIMEOUT), 10 s
for ssh to connect, and what luxid waits for the first answer of a job's
process. The first was passed at a load of 7 on two processors while QEMU ran
at niceness 10, the last at a load of 18 with four machines.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import (
  checkout,
  cluster,
  kept,
  keys,
  lock,
  network,
  plan,
  vm_install,
  vm_machine,
  vm_power,
  vm_snapshot,
)
from .errors import LabError
from .plan import LabPlan
from .progress import Progress
from .state import State
from .vm_image import VmImage
from .vm_machine import Hardware
from .vm_node import VmNode

_MARK = "vm"
# gnt-cluster init stores what a driver has for defaults.
_DEFAULTS = checkout.TOP / "lib/hypervisor/hv_lxc/paramvalues.py"


def start(
  record: State, hardware: Hardware, driver: bytes | None, progress: Progress
) -> None:
  """Bring the machines up as nodes of a cluster.

  @param hardware: of each machine
  @param driver: what vm_install.build gave, None for Ganeti's own driver
  @raise LabError: with the console's last lines when one does not come up

  """
  lab = record.plan
  stock = VmImage(pathlib.Path(record.image))
  (lab.data_dir / _MARK).touch()
  _start_network(lab)
  bare = saved = vm_snapshot.place(lab, hardware, stock, [])
  if record.cluster:
    saved = vm_snapshot.place(lab, hardware, stock, _made_by(record))
  with lock.held(f"vm-{bare.name}", progress.say):
    if not bare.is_dir():
      vm_snapshot.drop_outdated(lab, bare, keep=None)
      with progress.step("machines, booted once"):
        _boot(lab, hardware, stock, progress)
        vm_snapshot.save(lab, bare)
    if not saved.is_dir():
      vm_snapshot.drop_outdated(lab, saved, keep=bare)
      with progress.step("cluster of the machines, made once"):
        _wake(lab, hardware, stock, bare, progress)
        _install(lab, driver, progress)
        master = VmNode(lab.name, lab.nodes[0])
        cluster.init(lab, progress, master, vm_machine.STORAGE)
        vm_snapshot.save(lab, saved)
  _wake(lab, hardware, stock, saved, progress)
  _install(lab, driver, progress)


def _wake(
  lab: LabPlan,
  hardware: Hardware,
  stock: VmImage,
  saved: pathlib.Path,
  progress: Progress,
) -> None:
  """Let saved machines go on as those of this lab."""
  with progress.step("waking the machines"):
    _clear(lab)
    shutil.copytree(saved / vm_snapshot.KEYS, keys.key_dir(lab))
    for name in lab.nodes:
      lab.node_dir(name).mkdir(mode=0o755)
      vm_machine.make_overlays(lab, name, saved / name)
    _describe(lab, hardware, stock)
    vm_snapshot.wake(lab, saved, progress.note)


def remove_disks(name: str) -> None:
  """Remove what the machines of a lab that is down wrote, if it had any."""
  directory = plan.DATA_ROOT / name
  if (directory / _MARK).exists():
    kept.remove_tree(directory)


def _made_by(record: State) -> list[str]:
  """What the cluster depends on.

  @raise LabError: when the checkout's driver has no defaults

  """
  recipe = cluster.init_argv(vm_machine.STORAGE)
  if record.driver:
    try:
      recipe.append(_DEFAULTS.read_text())
    except FileNotFoundError as err:
      raise LabError(
        f"{_DEFAULTS}, whose values gnt-cluster init stores, is gone: tell"
        " vm_lab.py where they are now"
      ) from err
  return recipe


def _install(lab: LabPlan, driver: bytes | None, progress: Progress) -> None:
  if driver is not None:
    with progress.step("unpacking the driver"):
      _each(lab, lambda node: vm_install.unpack(node, driver))


def _start_network(lab: LabPlan) -> None:
  network.start_switch(lab, lab.state_dir / vm_power.LOG)
  address = f"{lab.network}.1/24"
  network.in_switch(lab, ["ip", "address", "add", address, "dev", "switch"])
  for name in lab.nodes:
    vm_machine.make_tap(lab, name)


def _clear(lab: LabPlan) -> None:
  """Remove what making the cluster has left."""
  for path in (keys.key_dir(lab), *map(lab.node_dir, lab.nodes)):
    kept.remove_tree(path)


def _describe(lab: LabPlan, hardware: Hardware, stock: VmImage) -> None:
  shared = vm_machine.guests_disk(stock.directory, lab)
  for name in lab.nodes:
    machine = vm_machine.describe(lab, name, hardware, stock, shared)
    vm_machine.write_down(VmNode(lab.name, name), machine)


def _boot(
  lab: LabPlan, hardware: Hardware, stock: VmImage, progress: Progress
) -> None:
  """Boot the machines for the first time, and prepare their storage."""
  keys.make(lab)
  for name in lab.nodes:
    vm_machine.make_disks(lab, name, stock)
  _describe(lab, hardware, stock)
  with progress.step(f"  booting {len(lab.nodes)} machines"):
    for name in lab.nodes:
      vm_power.power_on(VmNode(lab.name, name))
    _each(lab, lambda node: vm_power.await_boot(node, progress.note))
  with progress.step("  volume groups and the shared directory"):
    # What the first serves must be there before the others mount it.
    _each(lab, lambda node: _set_up(lab, node), lab.nodes[:1])
    _each(lab, lambda node: _set_up(lab, node), lab.nodes[1:])


def _each(
  lab: LabPlan, act: Callable[[VmNode], None], names: list[str] | None = None
) -> None:
  nodes = [VmNode(lab.name, n) for n in (lab.nodes if names is None else names)]
  with ThreadPoolExecutor(max_workers=lab.node_count) as pool:
    for _ in pool.map(act, nodes):
      pass


def _set_up(lab: LabPlan, node: VmNode) -> None:
  script = vm_machine.set_up_script(lab, node.name)
  node.run("set up", ["sh", "-euc", script])
