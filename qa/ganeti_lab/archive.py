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

"""Packages of another suite than the nodes', fetched by apt and kept.

Apt checks the signatures; it knows nothing but the one suite, and writes
nothing of this machine's own.

"""

from __future__ import annotations

import dataclasses
import pathlib
import platform
import tarfile
from io import BytesIO

from . import command, host, kept
from .node import Node
from .progress import Progress

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclasses.dataclass(frozen=True)
class Packages:
  """Some packages of a suite.

  @ivar label: what they are kept as, a part of a file's name
  @ivar names: as "apt-get download" takes them, with "=VERSION"

  """

  label: str
  suite: str
  names: tuple[str, ...]

  def ensure(self, progress: Progress) -> tuple[pathlib.Path, ...]:
    """Their files, fetched once.

    @raise LabCommandError: when apt-get fails

    """
    recipe = [self.suite, self.names, platform.machine()]
    directory = kept.Kept(self.label, recipe).ensure(
      f"{self.label} of {self.suite}, fetched once",
      lambda building: self._fetch(building, host.mirrors(), progress),
      progress,
    )
    return tuple(sorted(directory.glob("*.deb")))

  def _fetch(
    self, building: pathlib.Path, mirrors: host.Mirrors, progress: Progress
  ) -> None:
    apt = building / "apt"
    for name in (
      "lists/partial",
      "cache/archives/partial",
      "etc/apt.conf.d",
      "etc/preferences.d",
    ):
      (apt / name).mkdir(parents=True)
    (apt / "etc/sources.list").write_text(
      f"deb [signed-by={_KEYRING}] {mirrors.main} {self.suite} main\n"
    )
    (apt / "etc/apt.conf").write_text(
      f'Dir::State "{apt}";\n'
      f'Dir::Cache "{apt}/cache";\n'
      f'Dir::Etc "{apt}/etc";\n'
      'Dir::State::Status "/dev/null";\n'
      # The packages are left in a directory of root's.
      'APT::Sandbox::User "root";\n' + mirrors.apt_conf
    )
    # Read before all other settings, whose directories are thereby not read.
    env = {"APT_CONFIG": str(apt / "etc/apt.conf")}
    for argv in (
      ["apt-get", "update"],
      ["env", "-C", str(building), "apt-get", "download", *self.names],
    ):
      what = f"{self.label} of {self.suite}"
      command.run(what, argv, note=progress.note, env=env)
    kept.remove_tree(apt)


def install(node: Node, packages: tuple[pathlib.Path, ...]) -> str:
  """Has dpkg install package files on a node; what it says.

  @raise LabError: when the node is not running, when dpkg fails

  """
  data = BytesIO()
  with tarfile.open(fileobj=data, mode="w") as archive:
    for path in packages:
      archive.add(path, path.name)
  script = (
    "set -e; export DEBIAN_FRONTEND=noninteractive; cd $(mktemp -d); tar x;"
    " dpkg --install --force-unsafe-io *.deb 2>&1; rm -- *.deb; rmdir $PWD"
  )
  argv = ["sh", "-c", script]
  return node.run("install packages", argv, stdin=data.getvalue())
