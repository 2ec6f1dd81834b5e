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

"""Building, installing and removing, with make and a made-up Ganeti."""

import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from install.building import DRIVER, fill_share, listing, run

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  return tmp_path_factory.mktemp("work")


@pytest.fixture
def share(work: pathlib.Path) -> Iterator[pathlib.Path]:
  """A made-up /usr/share/ganeti, new for every test."""
  top = work / "share"
  fill_share(top)
  yield top
  shutil.rmtree(top)


@pytest.fixture
def configure(
  source: pathlib.Path, tmp_path: pathlib.Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
  return lambda *options: run([str(source / "configure"), *options], tmp_path)


@pytest.fixture(scope="module")
def build(source: pathlib.Path, work: pathlib.Path) -> pathlib.Path:
  """A build directory, configured for the made-up Ganeti."""
  fill_share(work / "share")
  top = work / "build"
  top.mkdir()
  options = (
    f"--with-ganeti-share={work}/share",
    f"--with-udevrulesdir={work}/rules.d",
    f"--with-hooksdir={work}/hooks",
    f"--prefix={work}/usr",
  )
  result = run([str(source / "configure"), *options], top)
  assert result.returncode == 0, result.stdout + result.stderr
  shutil.rmtree(work / "share")
  return top


@pytest.fixture
def make(build: pathlib.Path, share: pathlib.Path) -> Make:
  """Runs make where the made-up Ganeti has been found."""
  return lambda *args: run(["make", *args], build)


@pytest.fixture(scope="module")
def driver_files(source: pathlib.Path) -> list[str]:
  """What is installed, relative to lib/ and to Ganeti's package."""
  lib = source / "lib"
  found = (p for p in lib.rglob("*") if p.is_file())
  return [str(p.relative_to(lib)) for p in found if p.suffix != ".rules"]


def test_configure_names_versions_found(
  configure: Make, share: pathlib.Path
) -> None:
  out = configure(f"--with-ganeti-share={share}").stdout
  assert "Ganeti        3.0 3.1 (in " in out
  assert "Ganeti 2.16... ignored: not supported (3.0 3.1 are)" in out
  assert "default" not in out


def test_configure_without_ganeti(
  configure: Make, tmp_path: pathlib.Path
) -> None:
  result = configure(f"--with-ganeti-share={tmp_path}/nowhere")
  assert result.returncode != 0
  assert "no supported Ganeti (3.0 3.1) below" in result.stderr
  assert "apt-get install ganeti" in result.stderr
  assert "--with-ganeti-versions" in result.stderr


def test_configure_for_a_package(configure: Make) -> None:
  result = configure("--with-ganeti-versions=none")
  assert result.returncode == 0
  assert "Ganeti        none (in " in result.stdout


def test_configure_refuses_unsupported_version(configure: Make) -> None:
  result = configure("--with-ganeti-versions=2.16")
  assert result.returncode != 0
  assert "Ganeti 2.16 is not supported" in result.stderr


def test_configure_refuses_old_python(
  configure: Make, tmp_path: pathlib.Path
) -> None:
  python = tmp_path / "python3"
  python.write_text(
    "#!/bin/sh\ncase $2 in *platform*) echo 3.9.2;; *) false;; esac\n"
  )
  python.chmod(0o755)
  result = configure(f"PYTHON={python}", "--with-ganeti-versions=3.1")
  assert result.returncode != 0
  assert "Python 3.9.2 is too old; 3.11 is needed" in result.stderr


def test_configure_tells_what_runs_instances(configure: Make) -> None:
  out = configure("--with-ganeti-versions=3.1", "CRIU=/opt/criu").stdout
  assert "criu          /opt/criu" in out


def test_install_adds_and_uninstall_removes(
  make: Make, share: pathlib.Path, driver_files: list[str]
) -> None:
  before = listing(share)
  assert make().returncode == 0
  result = make("install")
  assert result.returncode == 0, result.stderr
  after = listing(share)
  assert {k: after[k] for k in before} == before
  for version in ("3.0", "3.1"):
    for name in driver_files:
      assert f"{version}/ganeti/{name}" in after
  assert not any(k.startswith(f"2.16/ganeti/{DRIVER}/") for k in after)
  assert any("storage/__pycache__/kpartx.cpython" in k for k in after)

  result = make("uninstall")
  assert result.returncode == 0, result.stderr
  assert listing(share) == before
  assert not (share / "3.1/ganeti" / DRIVER).exists()


def test_installed_programs_run_on_their_own(
  make: Make, share: pathlib.Path, work: pathlib.Path
) -> None:
  make("install")
  place = work / "usr/sbin/ganeti-lxc-place"
  shutil.rmtree(share / "3.0/ganeti" / DRIVER)
  result = run([str(place)], work)
  assert result.returncode == 0, result.stderr
  assert (share / "3.0/ganeti" / DRIVER / "driver.py").exists()
  assert list((work / "usr").rglob("*.pyc")) == []
  pages = {p.name for p in (work / "usr/share/man/man8").iterdir()}
  assert pages >= {"ganeti-lxc-place.8", "ganeti-lxc-forget-params.8"}
  make("uninstall")
  assert [p for p in (work / "usr").rglob("*") if p.is_file()] == []


def test_install_adds_udev_rules(
  make: Make, share: pathlib.Path, work: pathlib.Path
) -> None:
  make("install")
  name = "57-ganeti-kpartx.rules"
  assert [p.name for p in (work / "rules.d").iterdir()] == [name]
  make("uninstall")
  assert list((work / "rules.d").iterdir()) == []


def test_install_adds_hooks_for_ganeti_and_for_the_watcher(
  make: Make, share: pathlib.Path, work: pathlib.Path
) -> None:
  make("install")
  hooks = [p for p in (work / "hooks").rglob("*") if p.is_file()]
  where = {str(hook.parent.relative_to(work / "hooks")) for hook in hooks}
  before = {"instance-start-pre.d", "instance-reboot-pre.d"}
  assert where == {"disk-grow-post.d", *before, "watcher"}
  for hook in hooks:
    assert hook.stat().st_mode & 0o777 == 0o755
    assert f'"{share}"' in hook.read_text()
    assert run([str(hook)], work).returncode == 0
  make("uninstall")
  assert [p for p in (work / "hooks").rglob("*") if p.is_file()] == []


def test_install_makes_scripts_executable(
  make: Make, share: pathlib.Path, driver_files: list[str]
) -> None:
  make("install")
  for name in driver_files:
    installed = share / "3.1/ganeti" / name
    mode = 0o755 if name.endswith(".sh") else 0o644
    assert installed.stat().st_mode & 0o777 == mode


def test_install_with_destdir(
  make: Make, share: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  before = listing(share)
  destination = tmp_path / "destination"
  assert make("install", f"DESTDIR={destination}").returncode == 0
  assert listing(share) == before
  installed = destination / str(share)[1:] / "3.1/ganeti" / DRIVER
  module = next(installed.glob("__pycache__/__init__.*.pyc")).read_bytes()
  assert str(destination).encode() not in module
  assert make("uninstall", f"DESTDIR={destination}").returncode == 0
  assert listing(destination) == {}


def test_install_replaces_an_older_driver(
  make: Make, share: pathlib.Path
) -> None:
  make("install")
  package = share / "3.1/ganeti" / DRIVER
  (package / "gone.py").write_text("")
  with (package / "MANIFEST").open("a") as manifest:
    manifest.write(f"{DRIVER}/gone.py\n")
  assert make("install").returncode == 0
  assert not (package / "gone.py").exists()


@pytest.mark.parametrize("name", [f"{DRIVER}/__init__.py", "storage/kpartx.py"])
def test_install_refuses_what_is_not_ours(
  make: Make, share: pathlib.Path, name: str
) -> None:
  foreign = share / "3.0/ganeti" / name
  foreign.parent.mkdir(exist_ok=True)
  foreign.write_text("FOREIGN = True\n")
  before = listing(share / "3.0")
  result = make("install")
  assert result.returncode != 0
  assert "was not installed by ganeti-lxc" in result.stderr
  assert listing(share / "3.0") == before


def test_uninstall_leaves_what_is_not_ours(
  make: Make, share: pathlib.Path
) -> None:
  make("install")
  mine = share / "3.1/ganeti" / DRIVER / "notes.txt"
  mine.write_text("somebody's\n")
  result = make("uninstall")
  assert mine.read_text() == "somebody's\n"
  assert "left in place" in result.stdout


def test_dist_holds_every_file(
  make: Make, build: pathlib.Path, driver_files: list[str]
) -> None:
  result = make("dist")
  assert result.returncode == 0, result.stderr
  archive = next(build.glob("ganeti-lxc-*.tar.gz"))
  names = run(["tar", "-tf", str(archive)], build).stdout.splitlines()
  inside = {n.split("/", 1)[1] for n in names}
  expected = {f"lib/{f}" for f in driver_files}
  expected |= {"configure", "README.md", "devel/check", "debian/control"}
  assert expected <= inside


def test_help_lists_targets(make: Make) -> None:
  out = make("help").stdout
  for target in ("check", "check-kernel", "check-cluster", "format"):
    assert f"\n{target} " in f"\n{out}"
