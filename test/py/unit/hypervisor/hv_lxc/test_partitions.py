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

"""The edge to ganeti.storage.kpartx."""

import dataclasses
from typing import Any

import pytest
from ganeti import errors
from ganeti.hypervisor.hv_lxc import partitions
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.partitions import AttachedDisk, FoundFilesystem


@dataclasses.dataclass
class Part:
  device: str
  number: int
  role: str = "linux"


class Mapping:
  """As kpartx.Mapping."""

  def __init__(self, scheme: str, *parts: Part) -> None:
    self.device = "/dev/loop0"
    self.scheme = scheme
    self.partitions = parts
    self.whole = Part("/dev/loop0", 0)

  def ToDict(self) -> dict[str, Any]:  # noqa: N802
    return {"device": self.device}


class Module:
  """As ganeti.storage.kpartx."""

  Mapping = type("Mapping", (), {"FromDict": staticmethod(dict)})

  def __init__(self, answer: Any) -> None:
    self.answer = answer
    self.asked: list[tuple[Any, ...]] = []

  def __getattr__(self, name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
      self.asked.append((name, args, kwargs))
      if isinstance(self.answer, Exception):
        raise self.answer
      return self.answer

    return call


@pytest.fixture
def kpartx(monkeypatch: pytest.MonkeyPatch) -> Any:
  def make(answer: Any) -> Module:
    module = Module(answer)
    monkeypatch.setattr(partitions, "_kpartx", lambda: module)
    return module

  return make


def attach() -> AttachedDisk:
  return partitions.Kpartx().attach(
    "/d", lambda _: None, owner="x", read_only=True
  )


def test_what_is_marked_as_root_comes_first(kpartx: Any) -> None:
  kpartx(
    Mapping(
      "gpt",
      Part("/dev/loop0p1", 1, "efi-system"),
      Part("/dev/loop0p2", 2),
      Part("/dev/loop0p3", 3, "swap"),
      Part("/dev/loop0p4", 4, "root"),
    )
  )
  assert attach().candidates == (("/dev/loop0p4", 4), ("/dev/loop0p2", 2))


def test_a_disk_without_a_table_is_its_own_candidate(kpartx: Any) -> None:
  kpartx(Mapping("none"))
  assert attach().candidates == (("/dev/loop0", 0),)


def test_a_table_without_partitions_is_not_the_whole_disk(
  kpartx: Any,
) -> None:
  kpartx(Mapping("dos"))
  assert attach().candidates == ()


@pytest.mark.parametrize(
  "call",
  [
    lambda k: k.attach("/d", lambda _: None, owner="x", read_only=False),
    lambda k: k.detach({}),
    lambda k: k.detach_lost("x", []),
    lambda k: k.grow({}, 1),
    lambda k: k.filesystem("/dev/x"),
    lambda k: k.used_by("/d"),
  ],
)
def test_ganetis_errors_are_ours(kpartx: Any, call: Any) -> None:
  kpartx(errors.BlockDeviceError("table is corrupt"))
  with pytest.raises(Failed, match="table is corrupt"):
    call(partitions.Kpartx())


def test_the_real_module_has_what_is_asked_of_it() -> None:
  module = partitions._kpartx()
  for name in (
    "MapDisk",
    "UnmapDisk",
    "UnmapLost",
    "GrowDisk",
    "ProbeFilesystem",
    "InUse",
  ):
    assert callable(getattr(module, name))
  assert callable(module.Mapping.FromDict)


def test_the_first_supported_file_system() -> None:
  class Storage:
    def filesystem(self, device: str) -> str | None:
      return {"/a": None, "/b": "vfat", "/c": "xfs", "/d": "ext4"}[device]

  disk = AttachedDisk(
    "/dev/x", {}, (("/a", 1), ("/b", 2), ("/c", 3), ("/d", 4))
  )
  find = partitions.find_filesystem
  supported = ("ext4", "xfs")
  assert find(Storage(), disk, supported) == FoundFilesystem("/c", 3, "xfs")
  assert find(Storage(), disk, ("btrfs",)) is None
