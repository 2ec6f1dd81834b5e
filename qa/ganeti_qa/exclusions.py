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

"""What is switched off, and why: one checked-in file."""

from __future__ import annotations

import ast
import dataclasses
import json
import pathlib
import re
import tomllib
from collections.abc import Iterable, Mapping

from ganeti_lab.errors import LabError

FILE = pathlib.Path(__file__).resolve().parents[1] / "ganeti-qa-exclusions.toml"
# Sections that hold wherever the suite runs; the others name a lab's backend.
_EVERYWHERE = ("any-hypervisor", "driver")
BACKENDS = ("namespace", "vm")
_TEMPLATE = re.compile(r"\[[a-z]+\]$")


@dataclasses.dataclass(frozen=True)
class Exclusion:
  """One test that is switched off.

  @ivar name: a test of the suite's configuration ("cluster-oob"), or one of
    its functions ("qa_node.TestNodeInfo"), which a disk template in brackets
    may follow
  @ivar section: where it cannot pass

  """

  name: str
  section: str
  reason: str


def parse(text: str) -> tuple[Exclusion, ...]:
  """Read the file.

  @raise LabError: when a section is unknown or a reason is missing

  """
  found = []
  try:
    sections = tomllib.loads(text)
  except tomllib.TOMLDecodeError as err:
    raise LabError(f"{FILE.name} cannot be read: {err}") from err
  for section, entries in sections.items():
    if section not in (*_EVERYWHERE, *BACKENDS):
      raise LabError(f"{FILE.name} has a section {section!r}, which is unknown")
    for name, reason in entries.items():
      if not isinstance(reason, str) or not reason.strip():
        raise LabError(f"{FILE.name} gives no reason for {name!r}")
      found.append(Exclusion(name, section, " ".join(reason.split())))
  return tuple(found)


def for_backend(
  exclusions: Iterable[Exclusion], backend: str
) -> dict[str, Exclusion]:
  """Those that hold on a lab of that kind, by name."""
  sections = (*_EVERYWHERE, backend)
  return {e.name: e for e in exclusions if e.section in sections}


def check(exclusions: Iterable[Exclusion], known: frozenset[str]) -> None:
  """Refuse an exclusion of what the suite does not have.

  @raise LabError: naming every such exclusion

  """
  unknown = sorted(
    e.name for e in exclusions if _TEMPLATE.sub("", e.name) not in known
  )
  if unknown:
    raise LabError(
      f"{FILE.name} excludes what is no test of this suite:"
      f" {', '.join(unknown)}; take it out or correct its name"
    )


def known_tests(top: pathlib.Path) -> frozenset[str]:
  """All names that the suite has: of its configuration and of functions.

  @param top: the source package

  """
  sample = json.loads((top / "qa/qa-sample.json").read_text())
  names = {name for name in sample["tests"] if not name.startswith("#")}
  program = ast.parse((top / "qa/ganeti-qa.py").read_text())
  names |= {
    word
    for word in _strings(program)
    if re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", word)
  }
  names |= _skipped(program)
  for path in sorted((top / "qa").glob("qa_*.py")):
    names |= {
      f"{path.stem}.{node.name}"
      for node in ast.parse(path.read_text()).body
      if isinstance(node, ast.FunctionDef) and node.name.startswith("Test")
    }
  return frozenset(names)


def _strings(tree: ast.AST) -> set[str]:
  return {
    node.value
    for node in ast.walk(tree)
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
  }


def _skipped(program: ast.AST) -> set[str]:
  """What it calls tests that it does not run; not all are configured."""
  return {
    word
    for node in ast.walk(program)
    if isinstance(node, ast.Call)
    and isinstance(node.func, ast.Name)
    and node.func.id == "ReportTestSkip"
    for word in _strings(node.args[1])
  }


def idle(
  active: Mapping[str, Exclusion], used: Iterable[str]
) -> tuple[Exclusion, ...]:
  """Exclusions that switched nothing off in a whole run."""
  reached = set(used)
  return tuple(e for name, e in active.items() if name not in reached)
