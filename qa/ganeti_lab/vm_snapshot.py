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


"""Save the machines of a lab while they run, and let them go on elsewhere.

Saved machines lie in the directory of the image that their disks stand on,
and go with it. The machines of all labs have the same addresses, each lab
in a network of its own, so that those once saved serve any lab.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from . import (
  command,
  kept,
  keys,
  plan,
  state,
  vm_machine,
  vm_power,
  vm_qemu,
  wait,
)
from .errors import LabError
from .plan import LabPlan
from .vm_image import VmImage
from .vm_node import VmNode

KEYS = "keys"
_RECIPE_VERSION = 1
_PREFIX = "saved-"
_MEMORY = "memory"
# Of two machines with 2 GiB each, to and from a slow disk.
_TRANSFER_SECONDS = 300.0
_ENOUGH_BYTES_PER_SECOND = 1 << 40
_GUESTS = f"{plan.CACHE_ROOT}/guests"


def place(
  lab: LabPlan,
  hardware: vm_machine.Hardware,
  stock: VmImage,
  made_by: Sequence[str],
) -> pathlib.Path:
  """Where the saved machines are, or would be, that fit this lab.

  A saved machine goes on only in the QEMU and the hardware it was saved from.

  @param made_by: what else the content of the machines depends on

  """
  anywhere = LabPlan("any", lab.node_count, lab.network_of)
  recipe = [
    _RECIPE_VERSION,
    command.run("QEMU", [vm_qemu.PROGRAM, "--version"]),
    *made_by,
    anywhere.hosts(),
  ]
  for name in anywhere.nodes:
    nowhere = pathlib.Path("any")
    machine = vm_machine.describe(anywhere, name, hardware, stock, nowhere)
    recipe += [
      vm_qemu.argv(machine),
      sorted(vm_machine.network_files(anywhere, name).items()),
      vm_machine.set_up_script(anywhere, name),
    ]
  digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
  shape = f"{lab.node_count}x{hardware.memory}"
  if hardware.slowness != 1:
    shape += f"at{hardware.slowness}"
  return stock.directory / f"{_PREFIX}{shape}-{digest}"


def drop_outdated(
  lab: LabPlan, target: pathlib.Path, keep: pathlib.Path | None
) -> None:
  """Remove what was saved where now the target would be.

  Not while another lab may stand on it, and not for labs of another shape.

  """
  if str(target.parent) not in state.images_in_use(but=lab.name):
    shape, _, _ = target.name.rpartition("-")
    for path in target.parent.glob(f"{shape}-*"):
      if path != keep:
        kept.remove_tree(path)


def save(lab: LabPlan, target: pathlib.Path) -> None:
  """Stop the lab's machines for good, and keep them as they are.

  All stand still before the first is saved: what passes between them is then
  lost at most, as on any network.

  @raise LabError: when a machine cannot be saved

  """
  nodes = [VmNode(lab.name, name) for name in lab.nodes]
  building = target.with_name(f"building-{target.name}")
  kept.remove_tree(building)
  for node in nodes:
    (building / node.name).mkdir(mode=0o755, parents=True)
    # Each lab has guests of its own.
    node.run("prepare", ["sh", "-euc", f"umount {_GUESTS}; sync"])
    vm_power.close_connection(node)
  for node in nodes:
    vm_qemu.ask(node.monitor, "stop")
  _at_once(
    lambda node: _write_memory(node, building / node.name / _MEMORY), nodes
  )
  for node in nodes:
    _quit(node)
    for name in (
      vm_machine.ROOT_DISK,
      vm_machine.LVM_DISK,
      vm_machine.SEED_DISK,
    ):
      shutil.move(lab.node_dir(node.name) / name, building / node.name / name)
  shutil.copytree(keys.key_dir(lab), building / KEYS)
  building.rename(target)


def _at_once(act: Callable[[VmNode], None], nodes: Iterable[VmNode]) -> None:
  with ThreadPoolExecutor() as pool:
    for _ in pool.map(act, nodes):
      pass


def _write_memory(node: VmNode, path: pathlib.Path) -> None:
  bandwidth = {"max-bandwidth": _ENOUGH_BYTES_PER_SECOND}
  vm_qemu.ask(node.monitor, "migrate-set-parameters", **bandwidth)
  vm_qemu.ask(node.monitor, "migrate", uri=f"file:{path}")

  def written() -> bool:
    found = vm_qemu.ask(node.monitor, "query-migrate")
    if found.get("status") in ("failed", "cancelled"):
      raise LabError(f"{node.name} could not be saved in {path}: {found}")
    return bool(found.get("status") == "completed")

  wait.until(f"{node.name} to be saved", written, _TRANSFER_SECONDS)


def _quit(node: VmNode) -> None:
  """End QEMU, which writes its disks' tables."""
  vm_qemu.ask(node.monitor, "quit")
  wait.until(
    f"QEMU of {node.name} to end",
    lambda: node.exit_file.exists(),
    _TRANSFER_SECONDS,
  )


def wake(
  lab: LabPlan, saved: pathlib.Path, note: Callable[[str], None]
) -> None:
  """Let machines go on that have been saved.

  @raise LabError: when one does not load or does not answer

  """
  nodes = [VmNode(lab.name, name) for name in lab.nodes]
  for node in nodes:
    vm_power.power_on(node, saved / node.name / _MEMORY)
  for node in nodes:
    wait.until(
      f"{node.name} to be loaded from {saved}",
      lambda node=node: _loaded(node),  # type: ignore[misc]
      _TRANSFER_SECONDS,
    )
  for node in nodes:
    vm_qemu.ask(node.monitor, "cont")
  _at_once(lambda node: vm_power.await_boot(node, note), nodes)
  _at_once(_mount_guests, nodes)


def _loaded(node: VmNode) -> bool:
  vm_power.check_alive(node)
  try:
    status = vm_qemu.ask(node.monitor, "query-status")["status"]
  except OSError:
    return False
  return bool(status != "inmigrate")


def _mount_guests(node: VmNode) -> None:
  node.run("mount the guests", ["mount", _GUESTS])
