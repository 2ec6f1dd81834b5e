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

"""Building with make, and a Ganeti that was made up."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
DRIVER = "hypervisor/hv_lxc"
_TOPS = (
  ".ci",
  "contrib",
  "debian",
  "devel",
  "doc",
  "lib",
  "qa",
  "test",
  "tools",
)


def run(argv: list[str], cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
  """How a command ended."""
  return subprocess.run(
    argv, cwd=cwd, capture_output=True, text=True, errors="replace"
  )


def make_source(top: pathlib.Path) -> None:
  """The checkout's files, as links, with "configure" generated."""
  for name in _TOPS:
    for path in (ROOT / name).rglob("*"):
      if path.is_file() and "__pycache__" not in path.parts:
        link = top / path.relative_to(ROOT)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
  for path in ROOT.iterdir():
    if path.is_file() and path.name not in {"configure", "Makefile"}:
      (top / path.name).symlink_to(path)
  result = run(["./autogen.sh"], top)
  assert result.returncode == 0, result.stderr


def fill_share(
  top: pathlib.Path, versions: tuple[str, ...] = ("2.16", "3.0", "3.1")
) -> None:
  """Makes a directory like /usr/share/ganeti: versions and a link."""
  names = (
    "hypervisor/__init__.py",
    "hypervisor/hv_lxc.py",
    "storage/base.py",
    "storage/__pycache__/base.cpython-311.pyc",
  )
  for version in versions:
    for name in names:
      path = top / version / "ganeti" / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text("STOCK = True\n")
  (top / "default").symlink_to(versions[-1])


def listing(top: pathlib.Path) -> dict[str, bytes]:
  """What the files below a directory hold."""
  return {
    str(p.relative_to(top)): p.read_bytes()
    for p in sorted(top.rglob("*"))
    if p.is_file()
  }
