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

"""A process that lives on while its package is upgraded."""

import os
import pathlib
import socket
import sys

import ganeti.storage
import pytest
from ganeti.hypervisor.hv_lxc import packaged
from ganeti.hypervisor.hv_lxc.migration import (
  source,
  source_main,
  target,
  target_main,
)

_PACKAGE = pathlib.Path(packaged.__file__).parent
_DISKS = "ganeti.storage.kpartx"


def _scripts() -> list[str]:
  return [str(p.relative_to(_PACKAGE)) for p in _PACKAGE.rglob("*.sh")]


@pytest.mark.parametrize("role", ["source", "target"])
def test_a_migration_takes_nothing_from_the_next_release(
  role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
  """It had its disks' module and its scripts from what was upgraded to."""
  had: list[object] = []

  def work(*given: object) -> None:
    for one in given:
      if isinstance(one, socket.socket):
        one.close()
    had.extend([_DISKS in sys.modules, packaged.text.cache_info().currsize])

  packaged.text.cache_clear()
  monkeypatch.delitem(sys.modules, _DISKS, raising=False)
  monkeypatch.delattr(ganeti.storage, "kpartx", raising=False)
  monkeypatch.setattr(source, "migrate", work)
  monkeypatch.setattr(target, "serve", work)
  lock = os.memfd_create("lock")
  if role == "source":
    source_main.main(["", "web1.example.com", str(lock)])
  else:
    target_main.main(["", str(socket.socket().detach()), str(lock)])
  os.close(lock)
  assert had == [True, len(_scripts()) + 1]


def test_every_script_is_there_when_its_file_is_not_any_more(
  monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
  scripts = _scripts()
  assert len(scripts) > 4
  before = {name: (_PACKAGE / name).read_text() for name in scripts}
  before["hold.py"] = (_PACKAGE / "hold.py").read_text()
  packaged.text.cache_clear()
  packaged.preload()
  monkeypatch.setattr(packaged, "HERE", tmp_path)
  assert {name: packaged.text(name) for name in before} == before
