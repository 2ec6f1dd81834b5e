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

"""The RPM package, built by rpmbuild and installed by rpm.

In a root of its own: this machine's /usr, to which what is written vanishes
with the mount namespace, and a made-up Ganeti.
"""

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from install.building import DRIVER, fill_share, listing, run

_SHARE = "usr/share/ganeti"
_PLACE = "/usr/sbin/ganeti-lxc-place"
# Debian's rpm does not have systemd's macros.
_MACROS = {"_udevrulesdir": "/usr/lib/udev/rules.d"}
# The namespace is that of a process that waits; $1 is an empty directory.
_MAKE_ROOT = r"""
mount -t tmpfs none "$1"
cd "$1"
mkdir -p usr upper work etc run tmp proc var/lib/rpm var/log
mount -t overlay none -o lowerdir=/usr,upperdir="$1/upper",workdir="$1/work" usr
mount --rbind /proc proc
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$name"; done
rm -rf usr/share/ganeti usr/share/ganeti-lxc usr/sbin/ganeti-lxc-* \
  usr/lib/udev/rules.d/11-ganeti* usr/lib/ganeti
echo made
exec sleep infinity
"""


class Root:
  """A root with rpm's database, seen through the process that holds it."""

  def __init__(self, process: int, path: pathlib.Path) -> None:
    self.path = pathlib.Path(f"/proc/{process}/root{path}")
    self.inner = path
    self.enter = ["nsenter", f"--mount=/proc/{process}/ns/mnt"]
    if os.geteuid() != 0:
      self.enter += [f"--user=/proc/{process}/ns/user"]

  def rpm(self, *argv: str) -> subprocess.CompletedProcess[str]:
    """Other packages are not known to this rpm, so none are asked for."""
    known = ["--root", str(self.inner), "--dbpath", "/var/lib/rpm"]
    return run([*self.enter, "rpm", *known, *argv], pathlib.Path("/"))

  def take(self, *argv: str) -> str:
    """What rpm says of something that has to succeed."""
    done = self.rpm(*argv)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr

  def inside(self, *argv: str) -> subprocess.CompletedProcess[str]:
    chroot = ["chroot", str(self.inner)]
    return run([*self.enter, *chroot, *argv], pathlib.Path("/"))

  def driver(self, version: str) -> pathlib.Path:
    return self.path / _SHARE / version / "ganeti" / DRIVER / "driver.py"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[Root]:
  namespace = ["unshare", "--mount"]
  if os.geteuid() != 0:
    namespace.append("--map-root-user")
  process = subprocess.Popen(
    [*namespace, "sh", "-euc", _MAKE_ROOT, "sh", str(tmp_path)],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  assert process.stdout
  try:
    said = process.stdout.readline()
    assert said == "made\n", said + process.stdout.read()
    yield Root(process.pid, tmp_path)
  finally:
    process.kill()
    process.communicate()


def rpmbuild(what: str, path: pathlib.Path, **macros: str) -> str:
  """Builds a package of a tarball or a specification; where it is."""
  top = path.parent / "rpm"
  shutil.rmtree(top, ignore_errors=True)
  options = {**_MACROS, "_topdir": str(top), **macros}
  defined = [
    text
    for name, value in options.items()
    for text in ("--define", f"{name} {value}")
  ]
  done = run(["rpmbuild", what, "--nodeps", *defined, str(path)], path.parent)
  assert done.returncode == 0, done.stdout + done.stderr
  (built,) = (top / "RPMS").rglob("*.rpm")
  return str(built.rename(path.with_name(built.name)))


@pytest.fixture(scope="module")
def tarball(
  source: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
  top = tmp_path_factory.mktemp("dist")
  for argv in (
    [str(source / "configure"), "--with-ganeti-versions=none"],
    ["make", "dist"],
  ):
    done = run(argv, top)
    assert done.returncode == 0, done.stdout + done.stderr
  return next(top.glob("ganeti-lxc-*.tar.gz"))


@pytest.fixture(scope="module")
def package(tarball: pathlib.Path) -> str:
  return rpmbuild("-tb", tarball)


@pytest.fixture(scope="module")
def later(tarball: pathlib.Path, package: str) -> str:
  """A release that differs in nothing but its number."""
  built = rpmbuild("-tb", tarball, dist=".next")
  assert built != package
  return built


_SPEC = """
Name: ganeti-made-up
Version: 3.0
Release: 1
Summary: made up
License: none
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/usr/share
cp -a SHARE %{buildroot}/usr/share/ganeti
%files
/usr/share/ganeti
"""


@pytest.fixture(scope="module")
def ganeti(tmp_path_factory: pytest.TempPathFactory) -> str:
  """A package of Ganeti 3.0."""
  top = tmp_path_factory.mktemp("ganeti")
  fill_share(top / "share", ("3.0",))
  spec = top / "made-up.spec"
  spec.write_text(_SPEC.replace("SHARE", str(top / "share")))
  return rpmbuild("-bb", spec)


def test_in_and_out(root: Root, package: str) -> None:
  fill_share(root.path / _SHARE)
  before = listing(root.path / _SHARE)
  said = root.take("-i", "--nodeps", package)
  for version in ("3.0", "3.1"):
    assert root.driver(version).is_file()
    assert f"Ganeti {version}: the driver is in /usr/share/ganeti" in said
  assert not root.driver("2.16").exists()
  # What rpm knows of is as it was packed.
  assert root.take("-V", "--nodeps", "ganeti-lxc") == ""
  again = root.inside(_PLACE)
  assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
  root.take("-e", "ganeti-lxc")
  assert listing(root.path / _SHARE) == before
  assert not (root.path / "usr/share/ganeti-lxc").exists()
  assert list((root.path / "usr/sbin").glob("ganeti-lxc*")) == []


def test_the_driver_stays_in_an_upgrade(
  root: Root, package: str, later: str
) -> None:
  fill_share(root.path / _SHARE)
  root.take("-i", "--nodeps", package)
  inode = root.driver("3.1").stat().st_ino
  root.take("-U", "--nodeps", later)
  assert root.driver("3.1").stat().st_ino == inode
  assert root.take("-q", "ganeti-lxc").strip().endswith(".next.noarch")


def test_ganeti_comes_later_and_goes(
  root: Root, package: str, ganeti: str
) -> None:
  said = root.take("-i", "--nodeps", package)
  assert "No Ganeti (3.0, 3.1) below /usr/share/ganeti" in said
  root.take("-i", "--nodeps", ganeti)
  assert root.driver("3.0").is_file()
  root.take("-e", "ganeti-made-up")
  assert not root.driver("3.0").exists()
