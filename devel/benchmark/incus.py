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


"""Incus, as Debian has it, told to do what the driver does.

It has a daemon, started for the run, and storage of its own: the instance's
disk is unpacked into its "dir" pool beforehand, so that its start has no
disk to map and mount.

"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from .peers import PeerError, ask, shell

_NAME = "bench"
_LASTING = "bench-lasting"
_CROWD = "many"
_READY_S = 30
_MACS = ("02:00:00:00:02:49", "02:00:00:00:02:50")
_METADATA = """architecture: x86_64
creation_date: 1
properties:
  description: what is on the instance's disk
"""
_PRESEED = """
incus storage create bench dir
incus profile device add default root disk path=/ pool=bench
incus profile set default security.privileged=true
"""
_IMAGE = """
loop=$(losetup -f --show {disk})
partx -a $loop
mount -t ext4 -o ro,nodev ${{loop}}p1 {home}/rootfs
tar -C {home}/rootfs -cf {home}/rootfs.tar .
umount {home}/rootfs
partx -d $loop
losetup -d $loop
tar -C {home} -cf {home}/metadata.tar metadata.yaml
incus image import {home}/metadata.tar {home}/rootfs.tar --alias bench
"""
_INIT = """
incus init bench {name} -c limits.memory={memory}MiB -c limits.cpu=1 \
  -c migration.stateful=true
"""
_NIC = """
incus config device add {name} eth0 nic nictype=bridged parent=br0 \
  hwaddr={mac}
"""


class Incus:
  """Containers of a daemon that lives as long as the measurements."""

  name: ClassVar[str] = "incus"
  crowd_command: ClassVar[str] = "incus list"
  back_command: ClassVar[str] = "incus start NAME"

  def __init__(self, scratch: Path, disk: str) -> None:
    self._home = scratch / "incus"
    (self._home / "rootfs").mkdir(parents=True)
    (self._home / "metadata.yaml").write_text(_METADATA, encoding="ascii")
    self._log = self._home / "log"
    # All that it and its commands keep.
    state = self._home / "state"
    state.mkdir(mode=0o711)
    os.environ["INCUS_DIR"] = str(state)
    self._daemon: subprocess.Popen[bytes] | None = None
    self._running = 0
    self._words = {"disk": disk, "home": self._home}

  def _sh(self, script: str, **more: object) -> None:
    shell(script.format_map({**self._words, **more}), self._log)

  def prepare(self) -> None:
    """The daemon, a pool, an image, and a container that does not run."""
    log = self._home / "daemon.log"
    with log.open("wb") as stream:
      self._daemon = subprocess.Popen(
        ["/usr/libexec/incus/incusd", "--group", "root"],
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=subprocess.STDOUT,
      )
    self._wait_for_daemon(log)
    self._sh(_PRESEED)
    self._sh(_IMAGE)
    self._sh(_INIT + _NIC, name=_NAME, memory=128, mac=_MACS[0])

  def _wait_for_daemon(self, log: Path) -> None:
    begun = time.monotonic()
    while subprocess.run(["incus", "list"], capture_output=True).returncode:
      assert self._daemon is not None
      ended = self._daemon.poll() is not None
      if ended or time.monotonic() - begun > _READY_S:
        text = log.read_text(encoding="utf-8", errors="replace").strip()
        raise PeerError("incusd --group root", text.splitlines()[-1][:300])
      time.sleep(0.2)

  def start(self) -> None:
    """On the instance's bridge."""
    self._sh(f"incus start {_NAME}")

  def stop(self) -> None:
    """Kills it."""
    self._sh(f"incus stop --force {_NAME}")

  def grow_to(self, count: int) -> None:
    """Containers with no network, of the image."""
    for number in range(self._running, count):
      self._sh(f"incus launch bench {_CROWD}{number} -c limits.memory=64MiB")
    self._running = count

  def listed(self) -> int:
    """The command that people use."""
    text = ask(["incus", "list", "--format=csv", "--columns=ns4mu"])
    return text.count("RUNNING")

  def clear(self) -> None:
    """Those of the crowd."""
    for number in range(self._running):
      ask(["incus", "delete", "--force", f"{_CROWD}{number}"])
    self._running = 0

  def run(self, memory_mib: int) -> None:
    """A guest on the bridge; its init is the image's."""
    self._sh(
      _INIT + _NIC + "incus start {name}",
      name=_LASTING,
      memory=memory_mib,
      mac=_MACS[1],
    )

  def inside(self, script: str) -> None:
    """In a session of its own, with no stream left open."""
    quiet = f"exec >/dev/null 2>&1 </dev/null; setsid sh -c '{script}' &"
    ask(["incus", "exec", _LASTING, "--", "/bin/sh", "-c", quiet])

  def address(self) -> str:
    """Given by hand: nobody leases one on the lab's bridge."""
    address = ask(["ip", "-4", "-json", "address", "show", "dev", "br0"])
    own = json.loads(address)[0]["addr_info"][0]
    base, prefix = own["local"].rsplit(".", 1)[0], own["prefixlen"]
    script = f"ip address add {base}.250/{prefix} dev eth0"
    script += "; ip link set eth0 up"
    ask(["incus", "exec", _LASTING, "--", "/bin/sh", "-c", script])
    return f"{base}.250"

  def pid(self) -> int:
    """Of the node."""
    found = json.loads(ask(["incus", "list", _LASTING, "--format=json"]))
    return int(found[0]["state"]["pid"])

  def limit(self, memory_mib: int) -> None:
    """While it runs."""
    self._sh(f"incus config set {_LASTING} limits.memory={memory_mib}MiB")

  def freeze_out(self) -> None:
    """Its memory goes to its storage pool."""
    self._sh(f"incus stop --stateful {_LASTING}")

  def bring_back(self) -> None:
    """From there; of a failure incus itself says where to look."""
    try:
      self._sh(f"incus start {_LASTING}")
    except PeerError as err:
      log = ask(["incus", "info", "--show-log", _LASTING]).strip()
      raise PeerError(err.command, log.splitlines()[-1]) from err

  def end(self) -> None:
    """The lasting one."""
    subprocess.run(
      ["incus", "delete", "--force", _LASTING], capture_output=True
    )

  def sweep(self) -> None:
    """All containers, and the daemon."""
    if self._daemon is None or self._daemon.poll() is not None:
      return
    names = subprocess.run(
      ["incus", "list", "--format=csv", "--columns=n"],
      capture_output=True,
      text=True,
    ).stdout.split()
    for name in names:
      subprocess.run(["incus", "delete", "--force", name], capture_output=True)
    subprocess.run(["incus", "admin", "shutdown"], capture_output=True)
    self._daemon.terminate()
    self._daemon.wait(30)
