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

"""Install the driver and the OS definitions into the nodes."""

from __future__ import annotations

import io
import pathlib
import tarfile

from .errors import LabCommandError, LabError
from .node import Node

SOURCE = "/usr/src/ganeti-lxc"
_OS_DIR = "/usr/share/ganeti/os"
_PACKAGE = "/usr/src/ganeti-lxc.deb"
# Without a package, as the README tells.
BUILD = "./autogen.sh && ./configure && make && make install"


def archive(top: pathlib.Path, names: list[str]) -> bytes:
  """A tar archive of these files, owned by root."""

  def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry

  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w") as tar:
    for name in names:
      tar.add(top / name, name, recursive=False, filter=owned_by_root)
  return buffer.getvalue()


def unpack(node: Node, what: str, data: bytes, target: str) -> None:
  """Replace a directory of the node by the archive's content."""
  node.run(
    what,
    [
      "sh",
      "-ec",
      'rm -rf "$1"; mkdir -p "$1"; tar -xf - -C "$1"',
      "unpack",
      target,
    ],
    stdin=data,
  )


def copy_checkout(node: Node, data: bytes) -> None:
  """Put the sources on a node, for the tests that run there."""
  unpack(node, "copy the checkout", data, SOURCE)


def install_package(node: Node, package: pathlib.Path) -> None:
  """What apt-get does with the driver's package, offline.

  @raise LabError: with the last lines of dpkg

  """
  script = 'cat >"$1" && dpkg --install "$1"'
  argv = ["sh", "-c", script, "install", _PACKAGE]
  try:
    node.run("install the package", argv, stdin=package.read_bytes())
  except LabCommandError as err:
    raise LabError(
      f"{err}\n(look around: qa/lab --name {node.lab} exec {node.name} -- bash)"
    ) from err


def os_definitions(checkout: pathlib.Path) -> dict[str, pathlib.Path]:
  """The OS definitions that the checkout ships, by name."""
  return {
    path.parent.name: path.parent
    for path in sorted((checkout / "qa/os").glob("*/create"))
  }


def install_os(node: Node, checkout: pathlib.Path) -> None:
  """Put every OS definition where Ganeti looks for them."""
  for name, directory in os_definitions(checkout).items():
    files = sorted(
      str(path.relative_to(directory)) for path in directory.rglob("*")
    )
    unpack(
      node,
      f"OS definition {name}",
      archive(directory, files),
      f"{_OS_DIR}/{name}",
    )
