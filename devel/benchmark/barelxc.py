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


"""LXC's own checkpoint and restore of a guest, by bare commands.

With the unmount and the mount that a move to another node has in between.

"""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import ClassVar

from .peers import MOUNT, UNMOUNT, ask, shell

_NAME = "bench-checkpoint"
# liblxc cannot restore a guest with a console of its own.
_CONFIG = """lxc.uts.name = {name}
lxc.rootfs.path = dir:{home}/rootfs
lxc.mount.auto = proc:mixed sys:mixed
lxc.init.cmd = /bin/busybox sleep 1000000
lxc.console.path = none
lxc.tty.max = 0
lxc.pty.max = 16
lxc.autodev = 1
lxc.net.0.type = veth
lxc.net.0.link = br0
lxc.net.0.flags = up
lxc.net.0.hwaddr = 02:00:00:00:02:51
lxc.net.0.ipv4.address = {address}/{prefix}
lxc.cgroup.memory.limit_in_bytes = {memory}M
"""
_START = """
lxc-start -P {lxcpath} -n {name} -d
lxc-wait -P {lxcpath} -n {name} -s RUNNING -t 30
"""
# Seconds since CRIU was started.
_STAMP = re.compile(r"\((\d+\.\d+)\)")
_FROZEN_SINCE = "freezing cgroup"
_FREEZE_OUT = """
lxc-checkpoint -P {lxcpath} -n {name} -s -v -D {home}/images
lxc-wait -P {lxcpath} -n {name} -s STOPPED -t 30
"""
_BRING_BACK = """
lxc-checkpoint -P {lxcpath} -n {name} -r -v -D {home}/images
lxc-wait -P {lxcpath} -n {name} -s RUNNING -t 30
"""


class BareLxc:
  """One guest, with what a checkpoint of it needs."""

  name: ClassVar[str] = "lxc-checkpoint"
  back_command: ClassVar[str] = "lxc-checkpoint -r -D DIR"

  def __init__(self, scratch: Path, disk: str) -> None:
    self._lxcpath = scratch / "lxc-checkpoint"
    self._home = self._lxcpath / _NAME
    (self._home / "rootfs").mkdir(parents=True)
    self._log = self._lxcpath / "log"
    self._spent: dict[str, float] = {}
    bridge = ask(["ip", "-4", "-json", "address", "show", "dev", "br0"])
    own = json.loads(bridge)[0]["addr_info"][0]
    self._address = f"{own['local'].rsplit('.', 1)[0]}.251"
    self._words = {
      "address": self._address,
      "disk": disk,
      "home": self._home,
      "lxcpath": self._lxcpath,
      "name": _NAME,
      "prefix": own["prefixlen"],
    }

  def _sh(self, script: str) -> None:
    shell(script.format_map(self._words), self._log)

  def run(self, memory_mib: int) -> None:
    """On the disk, with an address on the lab's bridge."""
    text = _CONFIG.format_map({**self._words, "memory": memory_mib})
    (self._home / "config").write_text(text, encoding="ascii")
    self._sh(MOUNT + _START)

  def inside(self, script: str) -> None:
    """In a session of its own, with no stream left open."""
    quiet = f"exec >/dev/null 2>&1 </dev/null; setsid sh -c '{script}' &"
    argv = ["lxc-attach", "-P", str(self._lxcpath), "-n", _NAME, "--"]
    ask([*argv, "/bin/sh", "-c", quiet])

  def address(self) -> str:
    """On the lab's bridge."""
    return self._address

  def pid(self) -> int:
    """Of the node."""
    argv = ["lxc-info", "-P", str(self._lxcpath), "-n", _NAME, "-p", "-H"]
    return int(ask(argv))

  def freeze_out(self) -> None:
    """To files, and the disk is let go."""
    (self._home / "images").mkdir()
    self._sh(_FREEZE_OUT)
    begun = time.monotonic()
    self._sh(UNMOUNT)
    self._spent["unmount"] = time.monotonic() - begun

  def bring_back(self) -> None:
    """The disk is mounted again, as on another node."""
    begun = time.monotonic()
    self._sh(MOUNT)
    self._spent["mount"] = time.monotonic() - begun
    self._sh(_BRING_BACK)

  def steps(self) -> dict[str, float]:
    """What each step of the last time took, in milliseconds.

    CRIU's own share of it, by its logs; a script takes about a millisecond to
    be started.

    """
    dump, back = (
      (self._home / "images" / name).read_text(encoding="utf-8")
      for name in ("dump.log", "restore.log")
    )
    steps = {
      "dump, frozen": frozen(dump),
      **self._spent,
      "restore": _last(back),
    }
    return {name: seconds * 1e3 for name, seconds in steps.items()}

  def end(self) -> None:
    """Whatever is left."""
    argv = ["lxc-stop", "-P", str(self._lxcpath), "-n", _NAME, "-k"]
    subprocess.run(argv, capture_output=True)
    if (self._home / "loop").exists():
      script = UNMOUNT.format_map(self._words)
      subprocess.run(["sh", "-c", script], capture_output=True)
    shutil.rmtree(self._home / "images", ignore_errors=True)


def frozen(log: str) -> float:
  """How long the guest stood still in a dump, by CRIU's log."""
  return _last(log) - _last(log.partition(_FROZEN_SINCE)[0])


def _last(log: str) -> float:
  """The last time in a log of CRIU's."""
  return float(_STAMP.findall(log)[-1])
