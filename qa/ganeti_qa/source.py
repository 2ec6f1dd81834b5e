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

"""Ganeti's own tests, out of Debian's source package.

Only tests are taken; what they test is the Ganeti that the lab installed.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Callable

from ganeti_lab import command, host, kept
from ganeti_lab.errors import LabError
from ganeti_lab.progress import Progress

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCES = """\
Types: deb deb-src
URIs: {uri}
Suites: {suite}
Components: main
Signed-By: {keyring}
"""
# Modules that the QA suite imports beyond what Ganeti itself depends on.
_MODULES = {"python3-yaml": "usr/lib/python3/dist-packages/yaml"}


@dataclasses.dataclass(frozen=True)
class Source:
  """One unpacked source package and what its tests import.

  @ivar top: holds "qa", "test", "lib" and so on
  @ivar modules: directories of Python modules, by nothing but their names

  """

  release: str
  version: str
  directory: pathlib.Path

  @property
  def top(self) -> pathlib.Path:
    """Where the package was unpacked."""
    return self.directory / "source"

  @property
  def modules(self) -> tuple[pathlib.Path, ...]:
    """Directories of the modules that nodes need not have."""
    return tuple(self.directory / name for name in _MODULES)


def ensure(release: str, version: str, progress: Progress) -> Source:
  """Fetch and unpack the package unless that has been done.

  @param version: Debian's version of the source package
  @raise LabError: when apt or unpacking fails

  """
  directory = kept.Kept(f"ganeti-source-{release}", [version, _MODULES]).ensure(
    f"source package ganeti {version} of {release}, fetched once",
    lambda work: _make(release, version, work, progress),
    progress,
  )
  return Source(release, version, directory)


def _make(
  release: str, version: str, work: pathlib.Path, progress: Progress
) -> None:
  if shutil.which("dpkg-source", path=command.SANE_PATH) is None:
    with progress.step("installing on this machine: dpkg-dev"):
      host.install_packages(["dpkg-dev"], progress.note)
  _fetch(release, version, work, progress.note)
  _unpack(work)


def _fetch(
  release: str,
  version: str,
  work: pathlib.Path,
  note: Callable[[str], None],
) -> None:
  """Download through an apt of our own, which leaves the host's alone.

  Each file is named with its hash in the archive's index, and that is signed;
  the .dsc file tells nothing more, and some mirrors do not have it.

  """
  options = _private_apt(release, work / "apt")
  run = ["env", "-C", str(work), "apt-get", *options]
  command.run("package lists", [*run, "update"], note=note)
  for part in ("--tar-only", "--diff-only"):
    argv = [*run, "--download-only", part, "source", f"ganeti={version}"]
    command.run("source package", argv, note=note)
  command.run("modules", [*run, "download", *_MODULES], note=note)


def _private_apt(release: str, directory: pathlib.Path) -> list[str]:
  """Options that give apt-get configuration and state of its own."""
  for name in ("etc/preferences.d", "state/lists", "cache/archives"):
    (directory / name).mkdir(parents=True)
  mirrors = host.mirrors()
  (directory / "etc/host.conf").write_text(mirrors.apt_conf)
  sources = directory / "etc/sources.list.d"
  sources.mkdir()
  (sources / "debian.sources").write_text(
    _SOURCES.format(uri=mirrors.main, suite=release, keyring=_KEYRING)
  )
  settings = {
    "Dir::Etc": "etc",
    "Dir::State": "state",
    "Dir::Cache": "cache",
  }
  options = [f"{key}={directory / name}" for key, name in settings.items()]
  options += ["Dir::State::status=/dev/null", "APT::Sandbox::User=root"]
  return [
    "-q",
    f"-c={directory}/etc/host.conf",
    *(word for option in options for word in ("-o", option)),
  ]


def _unpack(work: pathlib.Path) -> None:
  """Upstream's files with Debian's patches, and the further modules."""
  top = work / "source"
  top.mkdir()
  tar = ["tar", "-x", "-C", str(top), "--no-same-owner", "-f"]
  command.run(
    "unpack", [*tar, _only(work, "*.orig.tar.*"), "--strip-components=1"]
  )
  command.run("unpack", [*tar, _only(work, "*.debian.tar.*")])
  command.run(
    "Debian's patches",
    ["env", "-C", str(top), "dpkg-source", "--before-build", "."],
  )
  for package, path in _MODULES.items():
    scratch = work / "scratch"
    command.run(
      "unpack",
      ["dpkg-deb", "-x", _only(work, f"{package}_*.deb"), str(scratch)],
    )
    (work / package).mkdir()
    (scratch / path).rename(work / package / pathlib.Path(path).name)
    kept.remove_tree(scratch)
  kept.remove_tree(work / "apt")


def _only(directory: pathlib.Path, pattern: str) -> str:
  found = sorted(directory.glob(pattern))
  if len(found) != 1:
    raise LabError(
      f"{directory} holds {len(found)} files {pattern} after the download;"
      " one was expected"
    )
  return str(found[0])
