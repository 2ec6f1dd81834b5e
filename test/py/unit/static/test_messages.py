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

"""Every error tells what to do, and the tests of this find those that do not.

An error has to stand alone: what happened, what was seen, what to do.
"""

import ast
from collections.abc import Iterator

import pytest
from unit.static import project

FAMILIES = {"Refused", "Failed", "Incomplete"}
# Errors whose first part says what is allowed, or that pass on a text which
# has a remedy already: function, and why.
WITHOUT_REMEDY = {
  "paramvalues.py:number": "says the range",
  "paramvalues.py:choice": "names the choices",
  "partitions.py:_translated": "passes on what the storage layer says",
  "nic_links.py:_teardown": "part of an Incomplete that has one",
}


def errors() -> Iterator[tuple[str, str, ast.Call]]:
  """Place, function and call of every error that is made."""
  places = (project.DRIVER, project.DRIVER / "doctor")
  for path in [p for place in places for p in sorted(place.glob("*.py"))]:
    for function in ast.walk(project.tree(path)):
      if not isinstance(function, ast.FunctionDef):
        continue
      for node in ast.walk(function):
        if not isinstance(node, ast.Call):
          continue
        if isinstance(node.func, ast.Name) and node.func.id in FAMILIES:
          name = path.relative_to(project.DRIVER).as_posix()
          yield f"{name}:{node.lineno}", f"{name}:{function.name}", node


FOUND = list(errors())


def test_errors_are_found() -> None:
  assert len(FOUND) > 80


@pytest.mark.parametrize(
  ("function", "call"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_error_has_a_remedy(function: str, call: ast.Call) -> None:
  if function not in WITHOUT_REMEDY:
    assert "remedy" in {keyword.arg for keyword in call.keywords}


def test_no_exception_is_out_of_date() -> None:
  bare = {
    function
    for _, function, call in FOUND
    if "remedy" not in {keyword.arg for keyword in call.keywords}
  }
  assert set(WITHOUT_REMEDY) <= bare
