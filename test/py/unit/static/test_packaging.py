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

"""What the packages say agrees with what the sources say."""

import re
import tomllib

import pytest
from ganeti_lxc_tools import placing
from unit.static import project


def text_of(name: str) -> str:
  return (project.ROOT / name).read_text(encoding="utf-8")


def found(pattern: str, name: str) -> str:
  """The group of a pattern that a file has exactly once."""
  (match,) = re.findall(pattern, text_of(name), re.MULTILINE)
  return str(match)


@pytest.fixture
def version() -> str:
  return found(r"^AC_INIT\(\[ganeti-lxc\], \[([^]]+)\]\)", "configure.ac")


def test_version_of_the_debian_package(version: str) -> None:
  first = text_of("debian/changelog").splitlines()[0]
  assert first.startswith(f"ganeti-lxc ({version}) ")


def test_version_of_the_rpm_package(version: str) -> None:
  assert found(r"^Version: +(\S+)$", "contrib/ganeti-lxc.spec") == version


def test_version_in_the_news(version: str) -> None:
  assert f"\nVersion {version}\n" in text_of("NEWS")


def test_supported_versions_of_ganeti() -> None:
  supported = found(r'^SUPPORTED_VERSIONS="([^"]+)"', "configure.ac").split()
  assert tuple(supported) == placing.SUPPORTED
  major, minor = supported[-1].split(".")
  control = text_of("debian/control")
  assert f"ganeti (>= {supported[0]})" in control
  assert f"ganeti (<< {major}.{int(minor) + 1}~)" in control


def test_python_of_the_packages() -> None:
  project_file = tomllib.loads(text_of("pyproject.toml"))
  python = project_file["tool"]["mypy"]["python_version"]
  assert f"python3 (>= {python}~)" in text_of("debian/control")
  assert f"python3 >= {python}" in text_of("contrib/ganeti-lxc.spec")


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_stop_at_errors(script: str) -> None:
  text = text_of(f"debian/ganeti-lxc.{script}")
  assert text.startswith("#!/bin/sh\n")
  assert "\nset -e\n" in text
  assert "\n#DEBHELPER#\n" in text
