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

"""What a purge of the Debian package leaves behind: nothing of the driver's."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "debian/ganeti-lxc.postrm"
WRITTEN = (
  "run/ganeti/lxc/web1.console",
  "var/log/ganeti/lxc/web1.log",
  "var/lib/ganeti/lxc/web1/ended",
  "var/lib/ganeti/lxc-counters.json",
  "var/lib/ganeti/lxc-migration/.receiver.lock",
  "var/lib/ganeti/lxc-migration/web1/journal.json",
  "var/lib/ganeti/lxc-migration/web1/images/pages-1.img",
)
OTHERS = (
  "srv/precious",
  "var/lib/ganeti/config.data",
  "var/lib/ganeti/lxc-notes",
  "var/log/ganeti/node-daemon.log",
)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> pathlib.Path:
  for name in (*WRITTEN, *OTHERS):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
  return tmp_path


def run(node: pathlib.Path, *argv: str) -> str:
  """The script, with the node's directories in a place of their own."""
  text = re.sub(r"(?<![\w>])/(?=var/|run/)", f"{node}/", SCRIPT.read_text())
  done = subprocess.run(
    ["sh", "-s", *argv], input=text, capture_output=True, text=True, check=True
  )
  return done.stderr


def left(node: pathlib.Path) -> set[str]:
  return {str(p.relative_to(node)) for p in node.rglob("*") if p.is_file()}


def test_a_purge_leaves_nothing_that_the_driver_wrote(
  node: pathlib.Path,
) -> None:
  assert run(node, "purge") == ""
  assert left(node) == set(OTHERS)


def test_a_removal_leaves_everything(node: pathlib.Path) -> None:
  run(node, "remove")
  assert left(node) == {*WRITTEN, *OTHERS}


def test_a_purge_follows_no_link(node: pathlib.Path) -> None:
  (node / "var/lib/ganeti/lxc-migration/web1/link").symlink_to(node / "srv")
  (node / "var/lib/ganeti/lxc/web1/link").symlink_to(node / "srv")
  run(node, "purge")
  assert left(node) == set(OTHERS)


def test_a_purge_twice(node: pathlib.Path) -> None:
  run(node, "purge")
  assert run(node, "purge") == ""
