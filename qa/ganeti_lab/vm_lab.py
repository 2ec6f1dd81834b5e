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


"""Start the virtual machines of a lab and make nodes of them.

  - /dev/vda  overlay of the image's root file system
  - /dev/vdb  volume group xenvg
  - /dev/vdc  archive of the files that are this node's own, for first boot
  - /dev/vdd  the guests' file systems as they were at `up`, read-only;
    what `qa/lab guests` makes later is seen after the next `up`

The first node serves the shared-file directory to the others by NFS: the
cloud kernel has no 9p, and Debian 12 has no virtiofsd for its backported
QEMU. While the first node is down, the others wait for that directory, and
one that boots meanwhile is without it until it is mounted by hand.

Not shown yet: two nodes in one cluster, since Ganeti's own limits of 10 s
passed on a machine with other work; Debian 12; hardware acceleration.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from . import (
  cgroup,
  command,
  guests,
  image,
  install,
  keys,
  lock,
  network,
  plan,
  spawn,
  vm_host,
  vm_image,
  vm_qemu,
  wait,
)
from .errors import LabError
from .plan import BRIDGE, LabPlan
from .progress import Progress
from .state import State
from .vm_image import VmImage
from .vm_node import VmNode, last_lines

VOLUME_GROUP = "xenvg"
STORAGE = (
  "--enabled-disk-templates=plain,drbd,file,sharedfile,diskless",
  f"--vg-name={VOLUME_GROUP}",
  "--drbd-usermode-helper=/bin/true",
)
# Ganeti wants 20 GiB that LVM leaves free.
_LVM_SIZE = "32G"
_BOOT_SECONDS = 600.0
_MASTER_SECONDS = 60.0
_SSH = "ssh"
_GUESTS = "vm-guests"
_MARK = "vm"
_MACHINE = "qemu.json"
_LOG = "lab.log"
# The lab is made beside other work.
_NICENESS = "10"
_MAC_PREFIX = "02:1a:b0:01:00"
# QEMU's status outlives it: that of a crash must not look like a shutdown.
_SUPERVISE = '"$@"; echo $? >"$0"'


def boot_nodes(record: State, memory: int, progress: Progress) -> State:
  """Boot the machines and make their disks and shared directory usable.

  @raise LabError: with the console's last lines when one does not come up

  """
  lab = record.plan
  keys.make(lab)
  network.start_switch(lab, _log(lab))
  network.in_switch(
    lab, ["ip", "address", "add", f"{lab.network}.1/24", "dev", "switch"]
  )
  stock = VmImage(pathlib.Path(record.image))
  with progress.step("disks of the machines"):
    (lab.data_dir / _MARK).touch()
    shared = _guests_disk(stock.directory)
    for name in lab.nodes:
      _make_disks(lab, name, stock)
      _make_machine(lab, name, memory, stock, shared)
  with progress.step(f"booting {len(lab.nodes)} machines"):
    for name in lab.nodes:
      power_on(VmNode(lab.name, name))
    _each(lab, lambda node: await_boot(node, progress.note))
  with progress.step("volume groups and the shared directory"):
    # What the first serves must be there before the others mount it.
    _each(lab, lambda node: _set_up(lab, node), lab.nodes[:1])
    _each(lab, lambda node: _set_up(lab, node), lab.nodes[1:])
  return record


def _each(
  lab: LabPlan, act: Callable[[VmNode], None], names: list[str] | None = None
) -> None:
  nodes = [VmNode(lab.name, n) for n in (lab.nodes if names is None else names)]
  with ThreadPoolExecutor(max_workers=lab.node_count) as pool:
    for _ in pool.map(act, nodes):
      pass


def remove_disks(name: str) -> None:
  """Remove what the machines of a lab that is down wrote, if it had any."""
  directory = plan.DATA_ROOT / name
  if (directory / _MARK).exists():
    image.remove_tree(directory)


def _log(lab: LabPlan) -> pathlib.Path:
  return lab.state_dir / _LOG


def _guests_disk(directory: pathlib.Path) -> pathlib.Path:
  """A disk with the guests' file systems of now, made when one has changed.

  @return: its path; a lab that runs keeps an older one open

  """
  with lock.held("guests"):
    digest = hashlib.sha256(guests_listing(guests.CACHE).encode()).hexdigest()
    disk = directory / f"{_GUESTS}-{digest[:12]}.img"
    if not disk.exists():
      for stale in directory.glob(f"*{_GUESTS}-*"):
        stale.unlink()
      building = directory / f"building-{disk.name}"
      options = ["-q", "-O", "^has_journal", "-m", "0"]
      command.run(
        "disk of the guests",
        ["mkfs.ext4", *options, "-d", str(guests.CACHE), str(building), "4G"],
      )
      building.rename(disk)
  return disk


def guests_listing(directory: pathlib.Path) -> str:
  """Changes when a guest's file system does: their names have a hash."""
  return "\n".join(
    sorted(
      f"{path.name} {path.readlink() if path.is_symlink() else ''}"
      for path in directory.iterdir()
      if not path.name.startswith(".")
    )
  )


def _make_disks(lab: LabPlan, name: str, stock: VmImage) -> None:
  keys.seed(lab, name)
  directory = lab.node_dir(name)
  upper = directory / "upper"
  for path, text in network_files(lab, name).items():
    (upper / path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    (upper / path).write_text(text)
  names = sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))
  (directory / "seed.tar").write_bytes(install.archive(upper, names))
  overlay = ["-F", "raw", "-b", str(stock.disk), str(directory / "root.qcow2")]
  _qemu_img(*overlay)
  _qemu_img(str(directory / "lvm.qcow2"), _LVM_SIZE)


def _qemu_img(*words: str) -> None:
  command.run("disk", ["qemu-img", "create", "-q", "-f", "qcow2", *words])


def network_files(lab: LabPlan, name: str) -> dict[str, str]:
  """What systemd-networkd reads on that node, by path without the slash.

  The bridge has an address of its own: without one it takes the lowest of
  its ports', and changes it when an instance comes or goes.

  """
  directory = "etc/systemd/network"
  index = lab.nodes.index(name)
  return {
    f"{directory}/10-{BRIDGE}.netdev": f"[NetDev]\nName={BRIDGE}\nKind=bridge\n"
    f"MACAddress={_MAC_PREFIX}:{index + 1:02x}\n"
    "[Bridge]\nForwardDelaySec=0\nSTP=no\n",
    f"{directory}/20-eth0.network": "[Match]\nName=eth0\n"
    f"[Network]\nBridge={BRIDGE}\nLinkLocalAddressing=no\n",
    f"{directory}/30-{BRIDGE}.network": f"[Match]\nName={BRIDGE}\n[Network]\n"
    f"Address={lab.address(name)}/24\nIPv6AcceptRA=no\n",
  }


def _make_machine(
  lab: LabPlan, name: str, memory: int, stock: VmImage, shared: pathlib.Path
) -> None:
  """Write down how the machine is started, each time it is."""
  tap = f"tap-{name}"
  network.in_switch(lab, ["ip", "tuntap", "add", tap, "mode", "tap"])
  network.in_switch(lab, ["ip", "link", "set", tap, "master", "switch", "up"])
  node = VmNode(lab.name, name)
  directory = lab.node_dir(name)
  machine = vm_qemu.Machine(
    name=name,
    accelerator=vm_host.accelerator(),
    memory=memory,
    kernel=stock.kernel,
    initrd=stock.initrd,
    disks=(
      vm_qemu.Disk(directory / "root.qcow2", "qcow2"),
      vm_qemu.Disk(directory / "lvm.qcow2", "qcow2"),
      vm_qemu.Disk(directory / "seed.tar", "raw", read_only=True),
      vm_qemu.Disk(shared, "raw", read_only=True),
    ),
    tap=tap,
    mac=f"{_MAC_PREFIX}:{0x80 + lab.nodes.index(name):02x}",
    monitor=node.monitor,
    console=node.console,
    arguments=(f"systemd.hostname={name}",),
  )
  _machine_file(node).write_text(json.dumps(vm_qemu.argv(machine)))


def _machine_file(node: VmNode) -> pathlib.Path:
  return plan.DATA_ROOT / node.lab / node.name / _MACHINE


def power_on(node: VmNode) -> None:
  """Start QEMU; the system is still to boot.

  @raise LabError: when the lab has no such machine or it runs already

  """
  if node.pid is not None:
    raise LabError(f"{node.name} of lab {node.lab!r} runs already")
  try:
    qemu = json.loads(_machine_file(node).read_text())
  except FileNotFoundError as err:
    raise LabError(f"{node.name} of lab {node.lab!r} was never made") from err
  node.exit_file.unlink(missing_ok=True)
  enter = [*node.in_network(), "nice", "-n", _NICENESS]
  argv = ["/bin/sh", "-c", _SUPERVISE, str(node.exit_file), *enter, *qemu]
  _fresh(node.group)
  log = plan.STATE_ROOT / node.lab / _LOG
  what = f"{node.name} of lab {node.lab!r}"
  spawn.spawn(what, node.group, 0, _become(argv), log)


def power_off(node: VmNode) -> None:
  """Cut the power: nothing in the machine is told.

  @raise LabError: when its processes do not end

  """
  cgroup.kill(node.group)
  cgroup.kill(_ssh_group(node))


def _fresh(group: cgroup.Group) -> None:
  """An empty group that can be entered.

  One that an earlier run has left hands controllers to its children, and
  cannot: EBUSY, cgroups(7).

  """
  cgroup.kill(group)
  cgroup.remove(group)
  cgroup.create(group)


def _become(argv: list[str]) -> Callable[[], NoReturn]:
  def become() -> NoReturn:
    os.execvpe(argv[0], argv, command.environment())

  return become


def await_boot(node: VmNode, note: Callable[[str], None]) -> None:
  """Wait for sshd and open the connection that commands use.

  @raise LabError: with the last lines of its console when it does not come

  """
  lines: list[str] = []

  def up() -> bool:
    lines[:] = last_lines(_console(node), 5)
    if lines:
      note(f"{node.name}: {lines[-1]}")
    if node.exit_file.exists():
      raise LabError(
        f"QEMU of {node.name} ended with status"
        f" {node.exit_file.read_text().strip()}; see"
        f" {plan.STATE_ROOT / node.lab / _LOG}"
      )
    return node.answers(seconds=2)

  wait.until(
    f"sshd on {node.name}",
    up,
    _BOOT_SECONDS,
    lambda: "\n".join(["; its console ends with:", *lines]),
  )
  _open_connection(node)


def _console(node: VmNode) -> str:
  try:
    return node.console.read_text(errors="replace")
  except FileNotFoundError:
    return ""


def _ssh_group(node: VmNode) -> cgroup.Group:
  return cgroup.group(node.lab, f"{_SSH}-{node.name}")


def _open_connection(node: VmNode) -> None:
  """Keep one ssh connection for all that follow."""
  socket = plan.STATE_ROOT / node.lab / f"{node.name}.ssh"
  log = plan.STATE_ROOT / node.lab / f"{node.name}.ssh-log"
  group = _ssh_group(node)
  _fresh(group)
  socket.unlink(missing_ok=True)
  argv = node.ssh([], "-N", "-M")
  spawn.spawn(f"ssh to {node.name}", group, 0, _become(argv), log)
  wait.until(
    f"an ssh connection to {node.name}",
    socket.exists,
    _MASTER_SECONDS,
    lambda: f"; see {log}",
  )


def _set_up(lab: LabPlan, node: VmNode) -> None:
  node.run("set up", ["sh", "-euc", set_up_script(lab, node.name)])


def set_up_script(lab: LabPlan, name: str) -> str:
  """Run once in each node, in the first before the others."""
  shared = plan.SHARED_FILE_STORAGE
  lines = [f"vgcreate -q {VOLUME_GROUP} {vm_image.LVM_DEVICE}"]
  first = lab.nodes[0]
  if lab.node_count == 1:
    return lines[0]
  if name == first:
    export = f"{lab.network}.0/24(rw,sync,no_root_squash,no_subtree_check)"
    lines += [
      f"echo '{shared} {export}' >/etc/exports",
      "systemctl enable -q --now nfs-server",
    ]
  else:
    options = "nfs4 vers=4.2,hard,nofail,_netdev,retry=3 0 0"
    lines += [
      f"echo '{first}.{plan.DOMAIN}:{shared} {shared} {options}' >>/etc/fstab",
      "systemctl daemon-reload",
      f"mount {shared}",
    ]
  return "\n".join(lines)
