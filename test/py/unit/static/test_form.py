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

"""The form of the sources: licence, columns, sizes."""

import pathlib
import re

import pytest
from unit.static import project

HEADER = (project.ROOT / "COPYING").read_text(encoding="utf-8")

COLUMNS = 80
# Text in which a line cannot be broken.
WIDE_SUFFIXES = {
  ".md",
  ".json",
  ".jsonl",
  ".toml",
  ".txt",
  ".conf",
  ".list",
  ".rules",
  ".8",
}

FUNCTION_LINES = 50
FILE_LINES = 400
FILE_LINES_OF = {"lib/hypervisor/hv_lxc/driver.py": 500}
TEST_FILE_LINES = 500


def name(path: pathlib.Path) -> str:
  return project.name_of(path)


def text_of(path: pathlib.Path) -> str:
  return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", project.sources(), ids=name)
def test_licence(path: pathlib.Path) -> None:
  start = re.sub(
    r"^(#|dnl|\.\.)? *", "", text_of(path)[:2000], flags=re.MULTILINE
  )
  missing = [line for line in HEADER.splitlines() if line not in start]
  assert not missing


@pytest.mark.parametrize("path", project.all_files(), ids=name)
def test_lines(path: pathlib.Path) -> None:
  wrong = []
  # What tools wrote, kept as they wrote it.
  is_recorded = "recorded" in path.parts or "golden" in path.parts
  is_make = path.name == "Makefile.am"
  for number, line in enumerate(text_of(path).splitlines(), 1):
    if line != line.rstrip() and not is_recorded:
      wrong.append(f"{number}: blanks at the end")
    if "\t" in line and not is_make and not is_recorded:
      wrong.append(f"{number}: a tab")
    if (
      len(line) > COLUMNS
      and not is_recorded
      and path.suffix not in WIDE_SUFFIXES
    ):
      wrong.append(f"{number}: {len(line)} columns")
  assert not wrong


def file_limit(path: pathlib.Path) -> int:
  if name(path).startswith("test/") or path.name.startswith("test_"):
    return TEST_FILE_LINES
  return FILE_LINES_OF.get(name(path), FILE_LINES)


@pytest.mark.parametrize(
  "path", [p for p in project.sources() if p.suffix != ".am"], ids=name
)
def test_file_is_short(path: pathlib.Path) -> None:
  assert len(text_of(path).splitlines()) <= file_limit(path)


@pytest.mark.parametrize(
  "path", project.python_files("lib", "qa", "devel", "test", "tools"), ids=name
)
def test_functions_are_short(path: pathlib.Path) -> None:
  lengths = dict(project.functions(path))
  long = {f: n for f, n in lengths.items() if n > FUNCTION_LINES}
  assert not long
