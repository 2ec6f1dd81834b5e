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


"""What a peer sends is put where it belongs, or refused."""

import os
import pathlib
import zlib
from collections.abc import Iterator

import pytest
from ganeti.hypervisor.hv_lxc.errors import Failed, LxcError, Refused
from ganeti.hypervisor.hv_lxc.migration import intake as intake_module
from ganeti.hypervisor.hv_lxc.migration.intake import Intake, clear
from ganeti.hypervisor.hv_lxc.migration.manifest import Manifest
from ganeti.hypervisor.hv_lxc.migration.messages import (
  Anew,
  Begin,
  Data,
  End,
  ImagesDone,
  Packed,
  ProtocolError,
)
from ganeti.hypervisor.hv_lxc.migration.wire import CHUNK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LIMIT = 1000
BEGIN = Begin(0, "images", "core-1.img", is_program=False)


def end(data: bytes, number: int = 0) -> End:
  return End(number, len(data), zlib.crc32(data))


@pytest.fixture
def home(tmp_path: pathlib.Path) -> pathlib.Path:
  return tmp_path / "home"


@pytest.fixture
def intake(home: pathlib.Path) -> Iterator[Intake]:
  home.mkdir()
  with Intake(home, limit=LIMIT) as found:
    yield found


def test_a_file(intake: Intake, home: pathlib.Path) -> None:
  for message in (BEGIN, Data(0, 0, b"ab"), Data(0, 2, b"c"), end(b"abc")):
    intake.take(message)
  total = Manifest()
  total.add(BEGIN, end(b"abc"))
  intake.take(total.total())
  assert intake.complete
  assert (home / "images" / "core-1.img").read_bytes() == b"abc"


@pytest.mark.parametrize(
  "messages",
  [
    [Data(0, 0, b"x")],
    [end(b"")],
    [Anew(0)],
    [Begin(1, "images", "a", is_program=False)],
    [BEGIN, BEGIN],
    [BEGIN, end(b""), BEGIN],
    [BEGIN, end(b""), end(b"")],
    [BEGIN, end(b""), Data(0, 0, b"x")],
    [BEGIN, Data(0, 0, b"x"), Data(0, 0, b"x")],
    [BEGIN, Data(0, 5, b"x"), Data(0, 5, b"x")],
    [BEGIN, Data(0, 0, b"abc"), end(b"ab")],
    [BEGIN, Packed(0, 0, 10, b"no zlib")],
    [BEGIN, Packed(0, 0, 9, zlib.compress(bytes(10)))],
    [BEGIN, Packed(0, 0, 11, zlib.compress(bytes(10)))],
    [BEGIN, Packed(0, 0, 10, zlib.compress(bytes(10))[:-1])],
    [BEGIN, Packed(0, 0, 10, zlib.compress(bytes(10)) + b"x")],
    [BEGIN, Packed(0, 0, CHUNK + 1, zlib.compress(bytes(CHUNK + 1)))],
    [BEGIN, ImagesDone(0, 0, "0" * 64)],
    [ImagesDone(0, 0, "0" * 64)],
    [Begin(0, "images", "parent", is_program=False)],
    [Begin(0, "images/1", "parent", is_program=False)],
    [Manifest().total(), BEGIN],
    [Manifest().total(), Manifest().total()],
  ],
  ids=lambda messages: "-".join(type(m).__name__ for m in messages),
)
def test_what_does_not_fit_is_refused(intake: Intake, messages: list) -> None:
  for message in messages[:-1]:
    intake.take(message)
  with pytest.raises(ProtocolError):
    intake.take(messages[-1])


def total(*files: tuple[Begin, End]) -> ImagesDone:
  manifest = Manifest()
  for begin, its_end in files:
    manifest.add(begin, its_end)
  return manifest.total()


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (1, 2, 4)])
def test_a_round_that_is_missing(
  intake: Intake, home: pathlib.Path, numbers: tuple[int, ...]
) -> None:
  files = []
  for place, number in enumerate(numbers):
    begin = Begin(place, f"images/{number}", "a", is_program=False)
    files.append((begin, end(b"", place)))
    for message in files[-1]:
      intake.take(message)
  with pytest.raises(ProtocolError, match="round is missing"):
    intake.take(total(*files))
  assert not intake.complete
  assert not list(home.rglob("parent"))


def test_one_round_needs_no_link(intake: Intake, home: pathlib.Path) -> None:
  for message in (BEGIN, end(b""), total((BEGIN, end(b"")))):
    intake.take(message)
  assert intake.complete
  assert not list(home.rglob("parent"))


def test_a_bomb_does_not_go_off(
  intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
  """A megabyte of zeros in a thousand bytes, said to be ten."""
  sizes = []
  unpack = zlib.decompressobj

  class Watched:
    def __init__(self) -> None:
      self.inner = unpack()

    def decompress(self, data: bytes, limit: int) -> bytes:
      found = self.inner.decompress(data, limit)
      sizes.append(len(found))
      return found

    eof = False
    unused_data = b""

  monkeypatch.setattr(intake_module.zlib, "decompressobj", Watched)
  intake.take(BEGIN)
  with pytest.raises(ProtocolError):
    intake.take(Packed(0, 0, 10, zlib.compress(bytes(1 << 20))))
  assert max(sizes) <= 11


def test_damaged_data_are_noticed(intake: Intake) -> None:
  intake.take(BEGIN)
  intake.take(Data(0, 0, b"abd"))
  with pytest.raises(Failed, match=r"core-1\.img.*CRC"):
    intake.take(end(b"abc"))


@pytest.mark.parametrize(
  "messages",
  [
    [BEGIN, Data(0, 0, bytes(LIMIT + 1))],
    [BEGIN, Data(0, LIMIT, b"x")],
    [BEGIN, Data(0, 1 << 51, b"x")],
    [BEGIN, End(0, 1 << 51, 0)],
    [BEGIN, Packed(0, 0, LIMIT + 1, zlib.compress(bytes(LIMIT + 1)))],
  ],
  ids=lambda messages: type(messages[-1]).__name__,
)
def test_there_is_a_limit(
  intake: Intake, home: pathlib.Path, messages: list
) -> None:
  intake.take(messages[0])
  with pytest.raises(Refused, match="room"):
    intake.take(messages[1])
  assert (home / "images" / "core-1.img").stat().st_size == 0


def test_a_file_system_that_is_full_is_told(
  intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
  def full(*_args: object) -> int:
    raise OSError(28, os.strerror(28))

  intake.take(BEGIN)
  monkeypatch.setattr(intake_module.os, "pwrite", full)
  with pytest.raises(Failed, match=r"No space left.*make room"):
    intake.take(Data(0, 0, b"x"))


def test_what_is_there_is_not_overwritten(
  intake: Intake, home: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  victim = tmp_path / "victim"
  victim.write_bytes(b"mine")
  (home / "images").mkdir()
  (home / "images" / "core-1.img").symlink_to(victim)
  with pytest.raises(Failed, match="exists"):
    intake.take(BEGIN)
  assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("area", ["images", "images/1"])
def test_links_to_directories_are_not_followed(
  intake: Intake, home: pathlib.Path, tmp_path: pathlib.Path, area: str
) -> None:
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  (home / area).parent.mkdir(exist_ok=True)
  (home / area).symlink_to(elsewhere)
  with pytest.raises(Failed):
    intake.take(Begin(0, area, "a", is_program=False))
  assert not list(elsewhere.iterdir())


def test_clear_removes_what_was_begun(
  intake: Intake, home: pathlib.Path
) -> None:
  intake.take(BEGIN)
  intake.take(Begin(1, "images/1", "a", is_program=False))
  (home / "images" / "parent").symlink_to("/etc")
  (home / "journal.json").write_text("{}")
  clear(home)
  assert [p.name for p in home.iterdir()] == ["journal.json"]
  clear(home)


NUMBERS = st.integers(0, 2)
OFFSETS = st.sampled_from([0, 1, 2, 5, LIMIT, 1 << 52])
MESSAGES = st.one_of(
  st.builds(
    Begin,
    NUMBERS,
    st.sampled_from(["files", "images", "images/1"]),
    st.sampled_from(["a", "pages-1.img", "parent"]),
    is_program=st.booleans(),
  ),
  st.builds(Data, NUMBERS, OFFSETS, st.binary(min_size=1, max_size=3)),
  st.builds(
    Packed,
    NUMBERS,
    OFFSETS,
    st.integers(0, 3),
    st.binary(min_size=1, max_size=3)
    | st.binary(max_size=3).map(zlib.compress),
  ),
  st.builds(Anew, NUMBERS),
  st.builds(end, st.binary(max_size=3), NUMBERS),
  st.just(Manifest().total()),
)


@settings(
  max_examples=60,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(MESSAGES, max_size=12))
def test_whatever_comes_nothing_is_outside_and_nothing_too_large(
  tmp_path_factory: pytest.TempPathFactory, messages: list
) -> None:
  top = tmp_path_factory.mktemp("any")
  (top / "home").mkdir()
  with Intake(top / "home", limit=LIMIT) as intake:
    for message in messages:
      try:
        intake.take(message)
      except LxcError:
        break
  assert [p.name for p in top.iterdir()] == ["home"]
  found = list((top / "home").rglob("*"))
  assert {p.relative_to(top / "home").parts[0] for p in found} <= {
    "files",
    "images",
  }
  sizes = [p.lstat().st_size for p in found if p.is_file()]
  assert sum(sizes) <= LIMIT
