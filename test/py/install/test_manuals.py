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

"""The manuals are built without a warning, and what is shipped is current."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DOC = ROOT / "doc"
RECORDED = DOC / "man/recorded"


def build(builder: str, target: pathlib.Path) -> None:
  argv = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
  argv += ["-b", builder, "-d", f"{target}.cache", str(DOC), str(target)]
  done = subprocess.run(argv, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  target = tmp_path_factory.mktemp("man") / "out"
  build("man", target)
  return target


def test_html(tmp_path: pathlib.Path) -> None:
  build("html", tmp_path / "html")
  assert (tmp_path / "html/man/ganeti-lxc.html").exists()


def test_pages_that_are_installed_are_current(pages: pathlib.Path) -> None:
  """Make them anew with: devel/make-man-pages."""
  made = {p.name: p.read_text() for p in pages.glob("*.[0-9]")}
  shipped = {p.name: p.read_text() for p in RECORDED.iterdir()}
  assert made == shipped


def test_every_program_has_a_page() -> None:
  programs = {
    p.name for p in (ROOT / "tools").glob("ganeti-lxc-*[a-z]") if p.is_file()
  }
  pages = [*RECORDED.glob("*.8"), *(ROOT / "tools").glob("*.8")]
  assert {p.stem for p in pages} >= programs
