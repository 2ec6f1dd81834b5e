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

"""The lab builds the driver's package anew when it has to, and only then."""

import pathlib

import pytest
from ganeti_lab import package

NAMES = ["lib/driver.py", "test/test_driver.py", "debian/postinst"]


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
  for name in NAMES:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
  return tmp_path


@pytest.fixture
def before(checkout: pathlib.Path) -> str:
  return package.key(checkout, NAMES)


def test_a_changed_test_needs_no_new_package(
  checkout: pathlib.Path, before: str
) -> None:
  (checkout / "test/test_driver.py").write_text("another")
  assert package.key(checkout, NAMES) == before


@pytest.mark.parametrize("name", ["lib/driver.py", "debian/postinst"])
def test_a_changed_source_needs_a_new_package(
  checkout: pathlib.Path, before: str, name: str
) -> None:
  (checkout / name).write_text("another")
  assert package.key(checkout, NAMES) != before


def test_a_changed_mode_needs_a_new_package(
  checkout: pathlib.Path, before: str
) -> None:
  (checkout / "debian/postinst").chmod(0o755)
  assert package.key(checkout, NAMES) != before


def test_a_removed_source_needs_a_new_package(
  checkout: pathlib.Path, before: str
) -> None:
  assert package.key(checkout, NAMES[1:]) != before


def test_another_version_is_another_package(
  checkout: pathlib.Path, before: str
) -> None:
  assert package.key(checkout, NAMES, "2.0") != before
