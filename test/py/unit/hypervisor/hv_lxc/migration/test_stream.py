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


"""Files go from one directory to another, also while they are written."""

import dataclasses
import os
import pathlib
import threading
from collections.abc import Iterator

import pytest
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.migration import stream
from ganeti.hypervisor.hv_lxc.migration.channel import Channel
from ganeti.hypervisor.hv_lxc.migration.intake import Intake
from ganeti.hypervisor.hv_lxc.migration.messages import (
  Anew,
  Begin,
  Data,
  ImagesDone,
  Message,
  Packed,
)
from ganeti.hypervisor.hv_lxc.migration.stream import Sender
from ganeti.hypervisor.hv_lxc.migration.wire import CHUNK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.hypervisor.hv_lxc.migration.two_nodes import PATIENCE_S, TwoNodes

ROOM = 1 << 30
PAGE = 4096


class Direct(Channel):
  """A channel that hands every message to the other side at once.

  @ivar sent: what went over it

  """

  def __init__(self, intake: Intake):
    self.intake = intake
    self.sent: list[Message] = []
    self.paused = 0.0

  def send(self, *messages: Message) -> None:
    for message in messages:
      kept = message
      if isinstance(message, Data | Packed):
        # The sender fills its buffers again, as it may.
        kept = dataclasses.replace(message, data=bytes(message.data))
      self.sent.append(kept)
      self.intake.take(kept)  # type: ignore[arg-type]

  def heed(self) -> None:
    """Nothing comes back."""

  def pause(self, seconds: float) -> None:
    self.paused += seconds

  def count(self, kind: type[Message]) -> int:
    return sum(isinstance(message, kind) for message in self.sent)


class Pair:
  """A directory, and what has arrived of it."""

  def __init__(self, top: pathlib.Path):
    self.source = top / "source"
    self.home = top / "home"
    self.source.mkdir()
    self.home.mkdir()
    self.intake = Intake(self.home, limit=ROOM)
    self.channel = Direct(self.intake)

  def arrived(self, area: str = "images") -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (self.home / area).iterdir()}


@pytest.fixture
def pair(tmp_path: pathlib.Path) -> Iterator[Pair]:
  two = Pair(tmp_path)
  with two.intake:
    yield two


def send(pair: Pair, **options: object) -> Sender:
  sender = Sender(pair.channel, **options)  # type: ignore[arg-type]
  sender.send_directory("images", pair.source)
  sender.finish()
  return sender


def test_files_arrive_as_they_are(pair: Pair) -> None:
  files = {
    "empty.img": b"",
    "core-1.img": b"core",
    "pages-1.img": os.urandom(3 * CHUNK + 5),
    "tmpfs-dev-71.tar.gz.img": os.urandom(CHUNK),
    "zeros.img": bytes(CHUNK + PAGE),
  }
  for name, data in files.items():
    (pair.source / name).write_bytes(data)
  sender = send(pair)
  assert pair.arrived() == files
  assert pair.intake.complete
  assert sender.sent == sender.known == sum(map(len, files.values()))
  assert pair.intake.received == sender.sent


def test_logs_and_temporary_files_stay(pair: Pair) -> None:
  for name in ("dump.log", ".record.json.1.tmp", "inventory.img"):
    (pair.source / name).write_bytes(b"x")
  (pair.source / "directory").mkdir()
  os.mkfifo(pair.source / "fifo")
  send(pair)
  assert list(pair.arrived()) == ["inventory.img"]


def test_modes(pair: Pair) -> None:
  (pair.source / "config").write_bytes(b"x")
  (pair.source / "config").chmod(0o666)
  (pair.source / "hook").write_bytes(b"x")
  (pair.source / "hook").chmod(0o755)
  before = os.umask(0)
  try:
    send(pair)
  finally:
    os.umask(before)
  images = pair.home / "images"
  modes = {p.name: p.stat().st_mode & 0o7777 for p in images.iterdir()}
  assert modes == {"config": 0o600, "hook": 0o700}
  assert images.stat().st_mode & 0o7777 == 0o700


def test_rounds_are_linked_where_they_arrive(pair: Pair) -> None:
  sender = Sender(pair.channel)
  for number in (1, 2, 3):
    top = pair.source / str(number)
    top.mkdir()
    (top / "pages-1.img").write_bytes(b"%d" % number)
    (top / "parent").symlink_to("/etc")
    sender.send_directory(f"images/{number}", top)
  (pair.source / "pages-1.img").write_bytes(b"last")
  (pair.source / "parent").symlink_to("/etc")
  sender.send_directory("images", pair.source)
  sender.finish()
  assert pair.intake.complete
  chain = pair.home / "images"
  for text in (b"last", b"3", b"2", b"1"):
    assert (chain / "pages-1.img").read_bytes() == text
    chain = chain / "parent"
  assert not chain.exists()


def test_zeros_are_neither_sent_nor_written(pair: Pair) -> None:
  block = stream._BLOCK
  data = b"x" + bytes(20 * CHUNK) + b"y" + bytes(3 * block)
  (pair.source / "pages-1.img").write_bytes(data)
  send(pair)
  assert pair.arrived() == {"pages-1.img": data}
  sent = sum(len(m.data) for m in pair.channel.sent if isinstance(m, Data))
  assert sent <= 3 * block
  copy = pair.home / "images" / "pages-1.img"
  assert copy.stat().st_blocks * 512 < CHUNK


@settings(
  max_examples=30,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
  st.lists(
    st.tuples(st.sampled_from(["0", "x"]), st.integers(1, 3 * PAGE)),
    max_size=8,
  )
)
def test_any_pattern_of_zeros_arrives(
  tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[str, int]]
) -> None:
  pair = Pair(tmp_path_factory.mktemp("zeros"))
  data = b"".join(
    (b"\0" if kind == "0" else b"x") * size * 8 for kind, size in runs
  )
  (pair.source / "pages-1.img").write_bytes(data)
  with pair.intake:
    send(pair)
  assert pair.arrived() == {"pages-1.img": data}


def test_many_small_files_go_together(nodes: TwoNodes, pair: Pair) -> None:
  for number in range(200):
    (pair.source / f"core-{number}.img").write_bytes(b"x" * 900)
  writes = []
  with nodes.link() as (source, target):
    write = source._write

    def counted(data: memoryview) -> None:
      writes.append(len(data))
      write(data)

    source._write = counted  # type: ignore[method-assign]

    def receive() -> None:
      while not pair.intake.complete:
        pair.intake.take(target.receive(PATIENCE_S))  # type: ignore[arg-type]

    receiving = nodes.aside(receive)
    sender = Sender(source)
    sender.send_directory("images", pair.source)
    sender.finish()
    receiving.result(PATIENCE_S)
  assert len(pair.arrived()) == 200
  assert len(writes) < 20


def test_pages_are_sent_while_criu_writes_them(
  nodes: TwoNodes, pair: Pair
) -> None:
  """As much as has been written has arrived, before the dump is over."""
  complete = threading.Event()
  parts = [os.urandom(CHUNK // 2) for _ in range(6)]
  total: list[ImagesDone] = []

  def follow(channel: Channel) -> None:
    sender = Sender(channel)
    sender.follow("images", pair.source, complete)
    total.append(sender.finish())

  def receive_until(size: int, target: Channel) -> None:
    while pair.intake.received < size:
      pair.intake.take(target.receive(PATIENCE_S))  # type: ignore[arg-type]

  with nodes.link() as (source, target):
    following = nodes.aside(lambda: follow(source))
    written = 0
    for number, part in enumerate(parts):
      with (pair.source / f"pages-{number % 2}.img").open("ab") as file:
        file.write(part)
      written += len(part)
      receive_until(written, target)
    (pair.source / "inventory.img").write_bytes(b"last")
    complete.set()
    receive_until(written + 4, target)
    while not pair.intake.complete:
      pair.intake.take(target.receive(PATIENCE_S))  # type: ignore[arg-type]
    following.result(PATIENCE_S)
  assert pair.arrived() == {
    "pages-0.img": b"".join(parts[0::2]),
    "pages-1.img": b"".join(parts[1::2]),
    "inventory.img": b"last",
  }
  assert total[0].files == 3


class OnlyAfter(threading.Event):
  """Says that the dump goes on until it was asked some times."""

  def __init__(self, steps: list[object]):
    super().__init__()
    self.steps = steps

  def is_set(self) -> bool:
    if self.steps:
      self.steps.pop(0)()  # type: ignore[operator]
      return False
    return True


@pytest.mark.parametrize("how", ["shrunk", "replaced"])
def test_a_file_that_changed_is_sent_anew(pair: Pair, how: str) -> None:
  path = pair.source / "pages-1.img"
  new = b"b" * (10 if how == "shrunk" else 5000)

  def change() -> None:
    if how == "replaced":
      other = pair.source / ".other"
      other.write_bytes(new)
      other.rename(path)
    else:
      path.write_bytes(new)

  steps = [lambda: path.write_bytes(b"a" * 5000), lambda: None, change]
  sender = Sender(pair.channel)
  sender.follow("images", pair.source, OnlyAfter(steps))
  sender.finish()
  assert pair.arrived() == {"pages-1.img": new}
  assert pair.channel.count(Anew) == 1
  assert sender.sent == sender.known == pair.intake.received == len(new)


def test_compressed_where_the_bandwidth_is_limited(pair: Pair) -> None:
  words = b"".join(b"%d " % (n * n) for n in range(300_000))
  random = os.urandom(CHUNK)
  (pair.source / "pages-1.img").write_bytes(words)
  (pair.source / "pages-2.img").write_bytes(random)
  sender = send(pair, bandwidth_mib=8)
  assert pair.channel.count(Packed) > 0
  assert sender.on_wire < len(words) * 0.7 + len(random) * 1.1
  assert pair.arrived() == {"pages-1.img": words, "pages-2.img": random}


def test_the_bandwidth_is_kept_to(pair: Pair) -> None:
  (pair.source / "pages-1.img").write_bytes(os.urandom(8 * CHUNK))
  send(pair, bandwidth_mib=16)
  # Of half a second; what sending itself took is not waited for.
  assert 0.1 < pair.channel.paused < 4


def test_progress_is_told(pair: Pair) -> None:
  told: list[tuple[int, int]] = []
  (pair.source / "pages-1.img").write_bytes(os.urandom(3 * CHUNK))
  send(pair, progress=lambda sent, known: told.append((sent, known)))
  assert told[-1] == (3 * CHUNK, 3 * CHUNK)
  assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)


def test_a_file_with_a_name_of_its_own_is_not_sent(pair: Pair) -> None:
  (pair.source / "a b").write_bytes(b"x")
  with pytest.raises(Failed):
    send(pair)


def test_links_in_the_place_of_files_are_not_followed(pair: Pair) -> None:
  secret = pair.source.parent / "secret"
  secret.write_bytes(b"secret")
  (pair.source / "core-1.img").symlink_to(secret)
  with pytest.raises(Failed, match="core-1"):
    send(pair)
  copied = [p for p in pair.home.rglob("*") if p.is_file()]
  assert b"secret" not in [p.read_bytes() for p in copied]


def test_a_directory_that_is_not_there(pair: Pair) -> None:
  pair.source.rmdir()
  with pytest.raises(Failed, match="source"):
    send(pair)


def test_numbers_are_given_in_order(pair: Pair) -> None:
  for name in ("b", "a", "pages-3.img"):
    (pair.source / name).write_bytes(b"x")
  send(pair)
  begun = [m for m in pair.channel.sent if isinstance(m, Begin)]
  assert [m.number for m in begun] == [0, 1, 2]
