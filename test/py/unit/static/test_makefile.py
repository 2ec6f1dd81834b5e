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

"""Makefile.am lists every file of the project, sorted."""

import re

import pytest
from unit.static import project

LISTS = {
  "hv_lxc_files": ["lib/hypervisor/hv_lxc"],
  "devel_files": ["devel"],
  "dist_growhook_SCRIPTS": ["tools/hooks/disk-grow-post.d"],
  "dist_starthook_SCRIPTS": ["tools/hooks/instance-start-pre.d"],
  "dist_reboothook_SCRIPTS": ["tools/hooks/instance-start-pre.d"],
  "dist_watcherhook_SCRIPTS": ["tools/hooks/watcher"],
  "doc_files": ["doc"],
  "packaging_files": ["debian", "contrib"],
  "qa_files": ["qa"],
  "test_files": ["test"],
  "tool_files": ["tools/ganeti_lxc_tools"],
}

DRIVER = ("dist_udevrules_DATA", "hv_lxc_files", "storage_files")
INSTALLED = (*DRIVER, "dist_sbin_SCRIPTS", "dist_man_MANS")


def listed(variable: str) -> list[str]:
  """The files of one of Makefile.am's lists."""
  text = (project.ROOT / "Makefile.am").read_text(encoding="utf-8")
  match = re.search(rf"^{variable} =((?:.*\\\n)*.*)\n", text, re.MULTILINE)
  assert match, f"no list {variable}"
  return match.group(1).replace("\\\n", "\n").split()


@pytest.mark.parametrize("variable", LISTS)
def test_every_file_is_listed(variable: str) -> None:
  found = {project.name_of(p) for p in project.files(*LISTS[variable])}
  assert set(listed(variable)) == found, "run devel/update-makefile"


@pytest.mark.parametrize("variable", [*LISTS, *INSTALLED, "build_files"])
def test_list_is_sorted(variable: str) -> None:
  names = listed(variable)
  assert names == sorted(set(names))


def test_every_driver_file_is_installed() -> None:
  found = {project.name_of(p) for p in project.files("lib")}
  assert found == {file for name in DRIVER for file in listed(name)}


def test_every_program_is_installed() -> None:
  found = {
    project.name_of(p)
    for p in project.files("tools")
    if p.parent.name == "tools"
  }
  programs = ("dist_sbin_SCRIPTS", "dist_man_MANS")
  assert found <= {file for name in programs for file in listed(name)}
