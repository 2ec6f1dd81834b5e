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

"""The source's process against a target that does what the test says.

CRIU plays along, the connection, the journal and all files are real.
"""

import os
import pathlib
import threading
from collections.abc import Callable

import pytest
from ganeti.hypervisor.hv_lxc.migration import (
  criu_processes,
  intake,
  progress,
  source,
  task,
)
from ganeti.hypervisor.hv_lxc.migration import journal as journals
from ganeti.hypervisor.hv_lxc.migration.channel import Channel, ConnectionLost
from ganeti.hypervisor.hv_lxc.migration.journal import Journal, Role
from ganeti.hypervisor.hv_lxc.migration.messages import (
  TRANSFER,
  Close,
  Forget,
  Grant,
  Message,
  Owner,
  Ready,
  Resumed,
  Room,
)
from ganeti.hypervisor.hv_lxc.migration.states import State
from unit.hypervisor.hv_lxc.fakes import NAME, UUID
from unit.hypervisor.hv_lxc.migration.fake_criu import FakeCriu, dumped
from unit.hypervisor.hv_lxc.migration.two_nodes import (
  LOOPBACK,
  MIGRATION,
  TwoNodes,
)

MIB = 1 << 20
ROOM = 1 << 40
DUMPS = ("pre-dump", "dump")


class Target:
  """Takes what comes, and answers.

  @ivar room: which it says it has
  @ivar verdict: what it answers to GRANT
  @ivar trouble: why it gives up upon the first file, "" if it does not

  """

  def __init__(self, nodes: TwoNodes, home: pathlib.Path) -> None:
    self.nodes = nodes
    self.home = home
    self.room = ROOM
    self.verdict: tuple[Message, ...] = (Owner(), Resumed())
    self.trouble = ""
    self.said: list[str] = []
    self.channel: Channel | None = None
    self._thread = threading.Thread(target=self._serve, daemon=True)
    home.mkdir()

  def start(self) -> None:
    self._thread.start()

  def end(self) -> None:
    self.nodes.listener.cancel()
    self._thread.join()

  def files(self, area: str) -> set[str]:
    """What has arrived."""
    top = self.home / area
    return {p.name for p in top.iterdir()} if top.is_dir() else set()

  def _serve(self) -> None:
    while True:
      try:
        with self.nodes.listener.accept() as channel:
          self.channel = channel
          self._talk(channel)
      except ConnectionLost:
        continue
      except Exception as err:  # noqa: BLE001 - told to the test
        self.said.append(str(err))
        if "given up" in str(err):
          return

  def _talk(self, channel: Channel) -> None:
    taking: intake.Intake | None = None
    while True:
      message = channel.receive()
      if isinstance(message, TRANSFER):
        if taking is None:
          if self.trouble:
            channel.give_up(self.trouble)
            return
          intake.clear(self.home)
          taking = intake.Intake(self.home, limit=ROOM)
          channel.send(Room(self.room))
        taking.take(message)
        if taking.complete:
          taking.close()
          channel.send(Ready())
      elif isinstance(message, Grant | Close):
        channel.send(*self.verdict)
        # The source's next connection may come before it ends this one.
        return
      elif isinstance(message, Forget):
        self.said.append("forget")


class Source:
  """The node that the guest leaves; see fake_criu.py.

  @ivar complaints: what CRIU logs in dumps that fail, one after the other

  """

  def __init__(
    self, node: FakeCriu, target: Target, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    self.node = node
    self.target = target
    self.dumps: list[list[str]] = []
    self.before: Callable[[str], None] = lambda _what: None
    self.after: Callable[[str], None] = lambda _what: None
    self.complaints: list[str] = []
    self.sizes = [4 * MIB, MIB, MIB // 2]
    self.status = 0
    node.dumping = self._play
    monkeypatch.setattr(criu_processes, "is_held", lambda *_: True)
    monkeypatch.setattr(criu_processes, "is_waiting", lambda *_: True)
    node.start()
    certificate = node.host.layout.certificate
    certificate.write_bytes(target.nodes.certificate.read_bytes())
    journals.save(node.host, self._journal())

  def _journal(self) -> Journal:
    return Journal(
      name=NAME,
      uuid=UUID,
      id=MIGRATION,
      secret=self.target.nodes.secret.to_text(),
      state=State.DUMPING,
      role=Role.SOURCE,
      peer_node="node2",
      peer_address=LOOPBACK,
      port=self.target.nodes.port,
    )

  def migrate(self, *, live: bool = True) -> None:
    part = task.Task(
      uuid=UUID, disks=self.node.disks, live=live, downtime_ms=30
    )
    task.save(self.node.work, part)
    source.migrate(self.node.host, self.node.node.storage, NAME)

  @property
  def state(self) -> State:
    return journals.load(self.node.host, NAME).state

  @property
  def progress(self) -> progress.Progress:
    return progress.load(self.node.work)

  def actions(self) -> list[str]:
    return [argv[1] for argv in self.dumps]

  def untracked(self) -> None:
    """The kernel does not note which pages are written."""
    words = ("criu", "check", "--feature", "mem_dirty_track")
    self.node.node.run.on(words, 1)

  def _play(self, node: FakeCriu, argv: list[str]) -> int:
    self.dumps.append(argv)
    self.before(argv[1])
    images = pathlib.Path(argv[argv.index("-D") + 1])
    if "--prev-images-dir" in argv:
      parent = argv[argv.index("--prev-images-dir") + 1]
      (images / "parent").symlink_to(parent)
    size = self.sizes[min(len(self.dumps), len(self.sizes)) - 1]
    (images / "pages-1.img").write_bytes(os.urandom(size))
    if argv[1] == "dump":
      if self.complaints:
        node.say(argv, self.complaints.pop(0))
        return 1
      return dumped(node, argv)
    (images / "inventory.img").write_text(f"round {images.name}")
    self.after(argv[1])
    return self.status
