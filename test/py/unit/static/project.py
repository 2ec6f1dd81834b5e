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

"""What the static tests look at: the project's own sources, parsed."""

import ast
import functools
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[4]
DRIVER = ROOT / "lib/hypervisor/hv_lxc"

TOPS = (".ci", "autotools", "devel", "doc", "lib", "qa", "test", "tools")
# What autotools put beside our own files.
GENERATED = {"autotools/install-sh", "autotools/missing"}


def name_of(path: pathlib.Path) -> str:
  """A file's name as a failing test shows it."""
  return path.relative_to(ROOT).as_posix()


def files(*tops: str) -> list[pathlib.Path]:
  """The project's files below some directories."""
  found = (p for top in tops for p in sorted((ROOT / top).rglob("*")))
  return [p for p in found if p.is_file() and not is_made(p)]


def is_made(path: pathlib.Path) -> bool:
  """Whether a tool made this file."""
  below = path.relative_to(ROOT).parts[1:]
  is_cache = any(p.startswith(".") or p == "__pycache__" for p in below)
  return is_cache or name_of(path) in GENERATED


def is_script(path: pathlib.Path) -> bool:
  """Whether this is a program without a suffix, or a shell script."""
  with path.open("rb") as stream:
    return stream.read(2) == b"#!"


def all_files() -> list[pathlib.Path]:
  """Every file of the project but those autotools make."""
  top = [ROOT / name for name in ("Makefile.am", "autogen.sh", "configure.ac")]
  return top + files(*TOPS)


def sources() -> list[pathlib.Path]:
  """Every file that is a program or part of one."""
  suffixes = {".py", ".sh", ".ac", ".am"}
  return [p for p in all_files() if p.suffix in suffixes or is_script(p)]


def python_files(*tops: str) -> list[pathlib.Path]:
  """Every Python source below some directories."""
  return [p for p in files(*tops) if is_python(p)]


def is_python(path: pathlib.Path) -> bool:
  """Whether a file holds Python, by its suffix or its first line."""
  if path.suffix:
    return path.suffix == ".py"
  return b"python" in path.read_bytes().split(b"\n", 1)[0]


@functools.cache
def tree(path: pathlib.Path) -> ast.Module:
  """A Python source, parsed."""
  return ast.parse(path.read_text(encoding="utf-8"), name_of(path))


def imports(path: pathlib.Path) -> set[str]:
  """Every module a source imports, and every name from it: "a.b", "a.b.c"."""
  found = set()
  for node in ast.walk(tree(path)):
    if isinstance(node, ast.Import):
      found.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      module = "." * node.level + (node.module or "")
      found.add(module)
      dot = "" if module.endswith(".") else "."
      found.update(f"{module}{dot}{alias.name}" for alias in node.names)
  return found


def dotted_names(path: pathlib.Path) -> Iterator[str]:
  """Every "a.b.c" and bare name that a source's code mentions."""
  for node in ast.walk(tree(path)):
    if isinstance(node, ast.Name | ast.Attribute):
      yield ast.unparse(node)


def lines_of(node: ast.stmt) -> int:
  """The lines of a statement."""
  return (node.end_lineno or node.lineno) - node.lineno + 1


def functions(path: pathlib.Path) -> Iterator[tuple[str, int]]:
  """Every function of a source, and its lines without those nested in it."""
  named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
  for node in ast.walk(tree(path)):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
      nested = sum(lines_of(n) for n in node.body if isinstance(n, named))
      yield node.name, lines_of(node) - nested
