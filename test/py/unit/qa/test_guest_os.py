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
"""The OS definitions of the tests and the cache of their guests."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
  from collections.abc import Callable

OS_DIR = pathlib.Path(__file__).resolve().parents[4] / "qa" / "os"
sys.path[:0] = [str(OS_DIR), str(OS_DIR / "busybox")]

import guest_cache  # noqa: E402
import guest_recipes  # noqa: E402
from guestos import disk, edits, personal, request, scripts  # noqa: E402

ENV = {
  "INSTANCE_NAME": "web.example.com",
  "OS_NAME": "busybox",
  "DISK_COUNT": "2",
  "DISK_0_PATH": "/disks/0",
  "DISK_1_PATH": "/disks/1",
  "NIC_COUNT": "2",
  "NIC_0_IP": "10.1.2.3",
  "NIC_0_MODE": "bridged",
  "NIC_0_NETWORK_SUBNET": "10.1.0.0/16",
  "NIC_0_NETWORK_GATEWAY": "10.1.0.1",
}


@pytest.fixture
def cache(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
  """A cache that holds one guest, busybox."""
  guest = tmp_path / "busybox-0123456789ab"
  guest.mkdir()
  (guest / "recipe.json").write_text('{"root_uuid": "the-uuid"}')
  (tmp_path / "busybox").symlink_to(guest.name)
  monkeypatch.setattr(request, "CACHE", tmp_path)
  return tmp_path


def asked(**changes: str) -> request.Request:
  return request.Request.from_environment({**ENV, **changes})


def written(found: list[edits.Edit], path: str) -> str:
  return next(
    edit.text
    for edit in found
    if isinstance(edit, edits.WriteFile) and edit.path == path
  )


class TestRequest:
  def test_disks_and_defaults(self) -> None:
    found = asked()
    assert [str(path) for path in found.disks] == ["/disks/0", "/disks/1"]
    assert found.guest == "busybox"
    assert found.options["layout"] == "partitioned"
    assert found.options["hostile"] == "no"

  def test_bridged_address_takes_the_networks_prefix(self) -> None:
    (nic,) = asked().nics
    assert str(nic.address) == "10.1.2.3/16"
    assert str(nic.gateway) == "10.1.0.1"

  def test_routed_address_is_a_single_host(self) -> None:
    (nic,) = asked(NIC_0_MODE="routed").nics
    assert str(nic.address) == "10.1.2.3/32"
    assert nic.routed

  def test_no_network_means_24(self) -> None:
    (nic,) = asked(NIC_0_NETWORK_SUBNET="", NIC_0_NETWORK_GATEWAY="").nics
    assert str(nic.address) == "10.1.2.3/24"
    assert nic.gateway is None

  @pytest.mark.parametrize(
    ("variant", "guest"),
    [("trixie", "debian-trixie"), ("", "debian-bookworm")],
  )
  def test_variant(self, variant: str, guest: str) -> None:
    assert asked(OS_NAME="debian", OS_VARIANT=variant).guest == guest

  @pytest.mark.parametrize(
    ("changes", "message"),
    [
      ({"OSP_LAYOUT": "mbr"}, "layout='mbr': accepted are partitioned"),
      ({"OS_NAME": "plan9"}, "no OS definition 'plan9'"),
      ({"NIC_0_IP": "10.1.2"}, "NIC 0:"),
      ({"DISK_COUNT": "3"}, "DISK_2_PATH is not set"),
    ],
  )
  def test_refused(self, changes: dict[str, str], message: str) -> None:
    with pytest.raises(request.RequestError, match=message):
      asked(**changes)

  def test_guest_that_was_not_built(self, cache: pathlib.Path) -> None:
    (cache / "busybox").unlink()
    with pytest.raises(request.RequestError, match="build-guests busybox"):
      asked().image()


class TestDefinitions:
  @pytest.mark.parametrize("name", sorted(request.PARAMETERS))
  def test_declared_parameters_are_the_accepted_ones(self, name: str) -> None:
    text = (OS_DIR / name / "parameters.list").read_text()
    # a line without a description makes Ganeti fail with an IndexError
    declared = [line.split(None, 1) for line in text.splitlines()]
    assert all(len(line) == 2 for line in declared)
    assert {line[0] for line in declared} == set(request.PARAMETERS[name])

  def test_every_variant_has_a_recipe(self) -> None:
    variants = (OS_DIR / "debian/variants.list").read_text().split()
    recipes = {f"debian-{variant}" for variant in variants} | {"busybox"}
    assert recipes == set(guest_recipes.RECIPES)

  @pytest.mark.parametrize("name", sorted(request.PARAMETERS))
  def test_scripts_of_api_20(self, name: str) -> None:
    assert (OS_DIR / name / "ganeti_api_version").read_text() == "20\n"
    for script in ("create", "export", "import", "rename", "verify"):
      assert os.access(OS_DIR / name / script, os.X_OK)


class TestPersonal:
  def test_names_and_address(self, cache: pathlib.Path) -> None:
    assert cache.is_dir()
    found = personal.edits_for(asked())
    assert written(found, "etc/hostname") == "web\n"
    assert "127.0.1.1 web.example.com web" in written(found, "etc/hosts")
    interfaces = written(found, "etc/network/interfaces")
    assert "  address 10.1.2.3\n  netmask 255.255.0.0\n" in interfaces
    assert "  gateway 10.1.0.1\n" in interfaces

  def test_fstab_of_a_virtual_machine(self, cache: pathlib.Path) -> None:
    assert cache.is_dir()
    fstab = written(personal.edits_for(asked(OSP_FSTAB="vm")), "etc/fstab")
    assert "UUID=the-uuid / ext4" in fstab
    assert " none swap " in fstab
    assert "nofail" not in fstab

  def test_fstab_is_left_alone_by_default(self) -> None:
    paths = [getattr(edit, "path", "") for edit in personal.edits_for(asked())]
    assert "etc/fstab" not in paths

  def test_everything_hostile_diverts_etc_last(self) -> None:
    found = personal.edits_for(asked(OSP_HOSTILE="all"))
    diverted = [edit for edit in found if isinstance(edit, edits.Divert)]
    assert diverted == found[-len(diverted) :]
    assert len(diverted) == 8
    assert diverted[-1].path == "etc"
    assert all(
      edit.target == f"{personal.HOSTILE_TARGET}/{edit.path}"
      for edit in diverted
    )

  @pytest.mark.parametrize("kind", ["exits", "ignores"])
  def test_init_of_its_own(self, kind: str) -> None:
    init = written(personal.edits_for(asked(OSP_INIT=kind)), "sbin/init")
    assert init.startswith("#!/bin/sh\n")


class TestEdits:
  CHANGES = (
    edits.WriteFile("etc/hostname", "web\n", 0o600),
    edits.Divert("run", "/elsewhere"),
    edits.Remove("sbin/init"),
  )

  def test_in_a_tree(self, tmp_path: pathlib.Path) -> None:
    for name in ("etc", "run", "sbin"):
      (tmp_path / name).mkdir()
    (tmp_path / "sbin/init").touch()
    edits.apply_to_tree(self.CHANGES, tmp_path)
    assert (tmp_path / "etc/hostname").read_text() == "web\n"
    assert (tmp_path / "etc/hostname").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "run").readlink() == pathlib.Path("/elsewhere")
    assert (tmp_path / "run.real").is_dir()
    assert not (tmp_path / "sbin/init").exists()

  def test_a_link_is_replaced_not_followed(
    self, tmp_path: pathlib.Path
  ) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").symlink_to(outside)
    edits.apply_to_tree(self.CHANGES[:1], root)
    assert outside.read_text() == "untouched"

  def test_as_commands(self, tmp_path: pathlib.Path) -> None:
    lines = edits.debugfs_script(self.CHANGES, tmp_path).splitlines()
    assert lines[:3] == [
      "rm etc/hostname",
      f"write {tmp_path / '0'} etc/hostname",
      "sif etc/hostname mode 0100600",
    ]
    assert lines[-4:] == [
      "ln run run.real",
      "unlink run",
      "symlink run /elsewhere",
      "rm sbin/init",
    ]
    assert (tmp_path / "0").read_text() == "web\n"


class TestDisk:
  def test_only_data_is_copied(self, tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as handle:
      handle.write(b"head")
      handle.seek(8 << 20)
      handle.write(b"middle")
      handle.truncate(64 << 20)
    target.touch()
    os.truncate(target, 65 << 20)
    disk.copy_data(source, target, 1 << 20)
    content = target.read_bytes()
    assert content[1 << 20 :] == source.read_bytes()
    assert content[: 1 << 20] == bytes(1 << 20)
    assert target.stat().st_blocks * 512 < 1 << 20

  def test_root_is_found_only_where_create_puts_it(
    self, tmp_path: pathlib.Path
  ) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(3 << 20))
    with pytest.raises(disk.DiskError, match="no ext4 file system"):
      disk.root_area(image)
    with image.open("r+b") as handle:
      handle.seek((1 << 20) + 0x438)
      handle.write(b"\x53\xef")
    assert disk.root_area(image) == disk.Area(image, 1 << 20, 2 << 20)

  def test_disk_too_small_for_a_partition(self, tmp_path: pathlib.Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    with pytest.raises(disk.DiskError, match="too few for a partition"):
      disk.partition(image, "gpt")


class TestScripts:
  def test_verify_names_the_parameter(
    self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
  ) -> None:
    monkeypatch.setenv("OS_NAME", "busybox")
    monkeypatch.setenv("OSP_GETTY", "tty9")
    assert scripts.main(scripts.verify) == 1
    assert "getty='tty9': accepted are tty1" in capsys.readouterr().err

  def test_started_by_hand(
    self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
  ) -> None:
    monkeypatch.delenv("EXPORT_DEVICE", raising=False)
    assert scripts.main(scripts.export) == 1
    assert "EXPORT_DEVICE is not set" in capsys.readouterr().err


class TestCache:
  @pytest.fixture
  def builder(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Builds without programs; what was built."""
    built: list[str] = []

    def root(work: pathlib.Path) -> None:
      built.append("busybox")
      (work / "root.tar").write_text("tar")

    def image(_recipe: Any, work: pathlib.Path) -> None:
      (work / "root.ext4").write_text("ext4")

    monkeypatch.setattr(guest_cache, "_build_busybox", root)
    monkeypatch.setattr(guest_cache, "_make_image", image)
    return built

  def test_built_once(self, builder: list[str], tmp_path: pathlib.Path) -> None:
    recipe = guest_recipes.RECIPES["busybox"]
    assert guest_cache.build(recipe, tmp_path, None)
    assert not guest_cache.build(recipe, tmp_path, None)
    assert builder == ["busybox"]
    assert (tmp_path / "busybox/root.tar").read_text() == "tar"
    link = (tmp_path / "busybox").readlink()
    assert str(link) == f"busybox-{recipe.digest()}"

  def test_failure_leaves_nothing(
    self,
    builder: list[str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
  ) -> None:
    def fail(_recipe: Any, _work: pathlib.Path) -> None:
      raise guest_cache.BuildError("mkfs.ext4 exited with status 1")

    monkeypatch.setattr(guest_cache, "_make_image", fail)
    with pytest.raises(guest_cache.BuildError, match=r"mkfs\.ext4"):
      guest_cache.build(guest_recipes.RECIPES["busybox"], tmp_path, None)
    assert builder == ["busybox"]
    assert [path.name for path in tmp_path.iterdir()] == [".busybox.lock"]

  def test_superseded_builds_go_others_stay(
    self, builder: list[str], tmp_path: pathlib.Path
  ) -> None:
    old = tmp_path / "busybox-0123456789ab"
    other = tmp_path / "busybox-with-bash"
    old.mkdir()
    other.mkdir()
    guest_cache.build(guest_recipes.RECIPES["busybox"], tmp_path, None)
    assert builder
    assert other.is_dir()
    assert not old.exists()

  @pytest.mark.parametrize(
    "change",
    [
      lambda recipe: dataclasses.replace(recipe, suite="sid"),
      lambda recipe: dataclasses.replace(recipe, packages=("nano",)),
      lambda recipe: dataclasses.replace(recipe, customize=("true",)),
    ],
  )
  def test_digest_is_the_recipes(
    self, change: Callable[[guest_recipes.Recipe], guest_recipes.Recipe]
  ) -> None:
    recipe = guest_recipes.RECIPES["debian-trixie"]
    assert change(recipe).digest() != recipe.digest()
    assert dataclasses.replace(recipe).digest() == recipe.digest()

  @pytest.mark.parametrize(
    ("output", "expected"),
    [
      (
        "Debian-Security http://security/\nDebian http://mirror/debian/\n",
        "http://mirror/debian/",
      ),
      ("Node.js http://elsewhere/\n", None),
    ],
  )
  def test_mirror_is_the_hosts(
    self, output: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
  ) -> None:
    monkeypatch.setattr(guest_cache, "_run", lambda _argv: output)
    if expected is None:
      with pytest.raises(guest_cache.BuildError, match="--mirror"):
        guest_cache.host_mirror()
    else:
      assert guest_cache.host_mirror() == expected
