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

"""A node whose CRIU and lxc-checkpoint play along."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

from ganeti.hypervisor.hv_lxc import starting
from ganeti.hypervisor.hv_lxc.command import DEFAULT_TIMEOUT_S, Result
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import MigrationPaths
from ganeti.hypervisor.hv_lxc.migration import restore
from unit.hypervisor.hv_lxc import fakes
from unit.hypervisor.hv_lxc.fakes import INIT, NAME, UUID, FakeLxc

Play = Callable[["FakeCriu", list[str]], int]


class FakeCriu:
  """Stands for both programs; what they do is the test's to say."""

  def __init__(self, top: pathlib.Path, version: int) -> None:
    self.node = FakeLxc(top, version=version)
    self.node.add_link("br0", bridge=True)
    self.disks = (self.node.disk(0), self.node.disk(1))
    self.nics = (fakes.nic(0),)
    self.host: Host = dataclasses.replace(self.node.host, run=self)
    self.dumping: Play = dumped
    self.restoring: Play = restored
    self.env: Mapping[str, str] = {}
    self.events: list[str] = []
    for words in (("criu", "check"), ("sh",), ("sync",)):
      self.node.run.on(words, 0)
    self.node.run.on("nsenter", self._in_its_network)

  @staticmethod
  def _in_its_network(argv: tuple[str, ...]) -> str | int:
    return "[]" if argv[-1] == "link" else 1

  def __call__(
    self,
    argv: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    env: Mapping[str, str] | None = None,
  ) -> Result:
    words = without_namespace(argv)
    if words[:2] in (("criu", "dump"), ("criu", "pre-dump")):
      play = self.dumping
    elif words[0] == "lxc-checkpoint":
      play = self.restoring
    else:
      if words[0] == "sh":
        self.events.append(pathlib.Path(words[1]).name)
      return self.node.run(argv, timeout_s=timeout_s, env=env)
    self.events.append(words[0])
    self.env = env or {}
    return Result(words, play(self, list(words)))

  @property
  def work(self) -> MigrationPaths:
    return self.host.layout.migration(NAME)

  def start(self) -> None:
    request = fakes.request(self.disks, self.nics)
    starting.start(self.node.host, self.node.storage, request)
    tree = "freezer" if self.node.version == 1 else ""
    path = f"{tree}:/ganeti-lxc/{NAME}/payload/x"
    self.node.write(f"proc/{INIT}/cgroup", f"1:{path}\n")
    self.events.clear()

  def request(self) -> restore.RestoreRequest:
    return restore.RestoreRequest(name=NAME, uuid=UUID, disks=self.disks)

  def ask(self, stage: str) -> bool:
    """As criu-action.sh; whether to go on."""
    if stage not in self.env["GANETI_LXC_STAGES"].split():
      return True
    with contextlib.ExitStack() as stack:
      ask = os.open(self.env["GANETI_LXC_ASK"], os.O_WRONLY)
      stack.callback(os.close, ask)
      answer = os.open(self.env["GANETI_LXC_ANSWER"], os.O_RDONLY)
      stack.callback(os.close, answer)
      os.write(ask, f"{stage}\n".encode())
      return os.read(answer, 100) == f"{stage} go\n".encode()

  def say(self, argv: list[str], text: str) -> None:
    """Writes CRIU's log."""
    if argv[0] == "criu":
      pathlib.Path(argv[argv.index("-o") + 1]).write_text(text)
    else:
      (self.work.images / "restore.log").write_text(text)


def without_namespace(argv: Sequence[str]) -> tuple[str, ...]:
  """The program that delegation.py starts in a namespace of its own."""
  words = tuple(argv)
  return words[5:] if words[3:4] == ("apart",) else words


def dumped(node: FakeCriu, _argv: list[str]) -> int:
  (node.work.images / "inventory.img").write_text("image")
  if not node.ask("post-dump"):
    return 1
  node.node.depopulate()
  return 0


def restored(node: FakeCriu, _argv: list[str]) -> int:
  node.node.populate(nics=[nic.host_name for nic in node.nics])
  if node.ask("post-setup-namespaces") and node.ask("post-restore"):
    return 0
  node.node.depopulate()
  return 1
