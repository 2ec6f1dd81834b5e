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

"""The architecture's rules that can be read from the driver's imports."""

import ast
import pathlib
import re

import pytest
from unit.static import project

RUNNERS = re.compile(
  r"(subprocess|os\.(system|popen|posix_spawnp?|exec[lv]p?e?"
  r"|spawn\w+)|pty\.\w+|multiprocessing|asyncio|utils\.(\w+\.)?"
  r"(RunCmd|RunParts|StartDaemon|RunInSeparateProcess)|RunCmd)"
  r"(\..*)?"
)
DOOR = "command.py"
# The class Ganeti calls, and the one it gets when that cannot be imported.
BOUNDARIES = {"driver.py", "driver_migration.py", "degraded.py"}
BOUNDARY_IMPORTS = {"ganeti.objects", "ganeti.hypervisor.hv_base"}
CLOCKS = {"clock.py", "host.py"}


def name_of(path: pathlib.Path) -> str:
  """A module as "driver.py" or "doctor/reading.py"."""
  return path.relative_to(project.DRIVER).as_posix()


def modules() -> dict[str, set[str]]:
  """The driver's modules with everything their code names."""
  return {
    name_of(p): set(project.dotted_names(p)) | project.imports(p)
    for p in project.DRIVER.rglob("*.py")
  }


def test_there_is_a_driver() -> None:
  assert {DOOR, "__init__.py", *BOUNDARIES} <= set(modules())


def test_one_door_to_programs() -> None:
  found = {
    module: sorted(n for n in names if RUNNERS.fullmatch(n))
    for module, names in modules().items()
    if module != DOOR
  }
  assert not {m: n for m, n in found.items() if n}


def test_the_door_itself_is_seen() -> None:
  assert any(RUNNERS.fullmatch(n) for n in modules()[DOOR])


def test_storage_has_one_door_too() -> None:
  found = {
    path.name
    for path in project.python_files("lib/storage")
    if any(
      RUNNERS.fullmatch(name)
      for name in {*project.dotted_names(path), *project.imports(path)}
    )
  }
  assert found == {"programs.py"}


def test_ganeti_objects_stop_at_the_door() -> None:
  found = {
    module: names & BOUNDARY_IMPORTS
    for module, names in modules().items()
    if module not in BOUNDARIES
  }
  assert not {m: n for m, n in found.items() if n}


def test_one_module_sleeps() -> None:
  sleepers = {m for m, n in modules().items() if n & {"time.sleep", "sleep"}}
  assert len(sleepers) <= 1
  assert sleepers <= CLOCKS


@pytest.mark.parametrize(
  "package",
  [p.parent for p in sorted(project.DRIVER.rglob("__init__.py"))],
  ids=name_of,
)
def test_package_docstring_is_the_list_of_modules(
  package: pathlib.Path,
) -> None:
  docstring = ast.get_docstring(project.tree(package / "__init__.py"))
  listed = re.findall(r"^ *([a-z0-9_]+)\.py\b", docstring or "", re.MULTILINE)
  assert sorted(listed) == sorted(
    p.stem for p in package.glob("*.py") if p.name != "__init__.py"
  )


def test_nothing_imports_the_driver_but_the_package() -> None:
  importers = {
    m for m, n in modules().items() if n & {".driver", ".driver.LXCHypervisor"}
  }
  assert importers <= {"__init__.py"}


def test_storage_does_not_know_lxc() -> None:
  for path in project.python_files("lib/storage"):
    assert not [i for i in project.imports(path) if "lxc" in i], path.name
