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


"""Podman, as Debian has it, told to do what the driver does.

Its own disk handling is for layers of images; the instance's disk is given
to it mounted, as the bare commands do.  Where a container has to be written
to a file it runs from an image, since podman exports no other.

"""

import json
import subprocess
from pathlib import Path
from typing import ClassVar

from .peers import MOUNT, UNMOUNT, ask, shell

# crun refuses: "cgroups in hybrid mode not supported".
_ENGINE = (
  "podman",
  "--runtime=runc",
  "--cgroup-manager=cgroupfs",
  "--events-backend=file",
  "--storage-driver=vfs",
)
_TOOL = " ".join(_ENGINE)
_NAME = "bench"
_LASTING = "bench-lasting"
_CROWD = "many"
_IMAGE = "localhost/bench"
_OPTIONS = (
  "--log-driver=k8s-file --memory=128m --memory-swap=128m --cpus=1"
  " --systemd=false"
)
_START = """
{tool} run -d --name {name} {options} --network={network} \
  --rootfs {home}/rootfs /sbin/init
"""
_STOP = """
{tool} rm -f -t 0 {name}
"""
# Same bridge as the instance's, which podman is told to leave alone.
_PREPARE = """
{tool} network create --interface-name=br0 --opt mode=unmanaged \
  --ipam-driver=none bench
{tool} network create --disable-dns --subnet 10.99.0.0/24 bench-own
"""
_IMPORT = """
tar -C {home}/rootfs -c . | {tool} import - {image}
"""


class Podman:
  """The containers it makes are its own; nothing of Ganeti's is touched."""

  name: ClassVar[str] = "podman"
  crowd_command: ClassVar[str] = "podman ps"
  back_command: ClassVar[str] = (
    "podman container restore --tcp-established --import=FILE"
  )

  def __init__(self, scratch: Path, disk: str) -> None:
    self._home = scratch / "podman"
    (self._home / "rootfs").mkdir(parents=True)
    self._log = self._home / "log"
    self._export = self._home / "exported.tar"
    self._network = "bench"
    self._running = 0
    self._words = {
      "disk": disk,
      "home": self._home,
      "image": _IMAGE,
      "name": _NAME,
      "options": _OPTIONS,
      "tool": _TOOL,
    }

  def _sh(self, script: str, **more: str) -> None:
    words = {**self._words, "network": self._network, **more}
    shell(script.format_map(words), self._log)

  def prepare(self) -> None:
    """Networks, and an image of what is on the disk."""
    self._sh(_PREPARE)
    self._sh(MOUNT + _IMPORT + UNMOUNT)

  def start(self) -> None:
    """On the instance's disk and bridge."""
    self._sh(MOUNT + _START)

  def stop(self) -> None:
    """Kills it, and lets go of the disk."""
    self._sh(_STOP + UNMOUNT)

  def grow_to(self, count: int) -> None:
    """Containers without a network, of the image."""
    for number in range(self._running, count):
      self._sh(
        f"{_TOOL} run -d --name {_CROWD}{number} --network=none"
        f" --log-driver=none --memory=64m {_IMAGE} /bin/busybox sleep 1000000"
      )
    self._running = count

  def listed(self) -> int:
    """The command that people use."""
    return len(ask([*_ENGINE, "ps", "--quiet"]).split())

  def clear(self) -> None:
    """All that there are."""
    ask([*_ENGINE, "rm", "-a", "-f", "-t", "0"])
    self._running = 0

  def run(self, memory_mib: int) -> None:
    """A guest with an address of its own."""
    self._sh(
      f"{_TOOL} run -d --name {_LASTING} --network=bench-own"
      " --ip=10.99.0.50 --mac-address=02:00:00:00:02:52"
      f" --log-driver=k8s-file --systemd=false --memory={memory_mib}m"
      f" --memory-swap={memory_mib}m {_IMAGE} /bin/busybox sleep 1000000"
    )

  def inside(self, script: str) -> None:
    """With no stream left open, which could not be checkpointed."""
    argv = [*_ENGINE, "exec", "-d", _LASTING, "/bin/sh", "-c", script]
    ask(argv)

  def address(self) -> str:
    """In podman's own network."""
    found = json.loads(ask([*_ENGINE, "inspect", _LASTING]))[0]
    networks = found["NetworkSettings"]["Networks"]
    return str(networks["bench-own"]["IPAddress"])

  def pid(self) -> int:
    """Of the node."""
    found = json.loads(ask([*_ENGINE, "inspect", _LASTING]))[0]
    return int(found["State"]["Pid"])

  def limit(self, memory_mib: int) -> None:
    """With the swap that goes with it."""
    self._sh(
      f"{_TOOL} update --memory={memory_mib}m --memory-swap={memory_mib}m"
      f" {_LASTING}"
    )

  def freeze_out(self) -> None:
    """Uncompressed, which is fastest; on tmpfs or disk as the scratch is."""
    self._sh(
      f"{_TOOL} container checkpoint --tcp-established --compress=none"
      f" --export={self._export} {_LASTING}\n{_TOOL} rm -f -t 0 {_LASTING}"
    )

  def bring_back(self) -> None:
    """As it would be done on another node."""
    self._sh(
      f"{_TOOL} container restore --tcp-established --import={self._export}"
    )

  def end(self) -> None:
    """The lasting one."""
    subprocess.run(
      [*_ENGINE, "rm", "-f", "-t", "0", _LASTING], capture_output=True
    )

  def sweep(self) -> None:
    """All containers and networks of this run."""
    subprocess.run([*_ENGINE, "rm", "-a", "-f", "-t", "0"], capture_output=True)
    if (self._home / "loop").exists():
      script = UNMOUNT.format_map(self._words)
      subprocess.run(["sh", "-c", script], capture_output=True)
    subprocess.run(
      [*_ENGINE, "network", "rm", "-f", "bench", "bench-own"],
      capture_output=True,
    )
