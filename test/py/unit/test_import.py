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

"""Importing Ganeti's hypervisors with our package among them.

Every Ganeti job imports all drivers, as an unprivileged user on the master,
whether or not the node has LXC.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

NOBODY = 65534

# Run by a fresh Python: records what importing does beyond reading.
PROBE = """
import json, os, sys

acts = []
started = tuple(
  f"os.{n}" for n in ("system", "exec", "fork", "posix_spawn", "kill")
) + ("subprocess.Popen", "socket.connect")
changing = tuple(
  f"os.{n}" for n in ("mkdir", "remove", "rename", "chmod", "link", "symlink")
)

def watch(event, args):
  if event == "open":
    path, mode, flags = args
    if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
      acts.append(f"writes {path}")
  elif event in started + changing:
    acts.append(f"{event} {args!r}")

environment = dict(os.environ)
sys.addaudithook(watch)
from ganeti import hypervisor
from ganeti.hypervisor import hv_lxc
from ganeti.hypervisor.hv_lxc import packaged
acts += [] if environment == dict(os.environ) else ["changes os.environ"]
driver = hypervisor.GetHypervisorClass("lxc")
driver.GetAncillaryFiles()
print(json.dumps({
  "acts": acts,
  "module": hv_lxc.__file__,
  "driver": [driver.__module__, driver.__name__],
  "scripts": packaged.text.cache_info().currsize,
  "uid": os.getuid(),
  "loaded": [m for m in sys.modules if m.startswith(hv_lxc.__name__)],
}))
"""
# As in the node daemon: its module is there before the hypervisors.
IN_NODED = "import sys; sys.modules['ganeti.server.noded'] = sys\n"
FOR_NODES = {
  f"ganeti.hypervisor.hv_lxc.{name}"
  for name in (
    "balloon",
    "growth",
    "migration.calls",
    "migration.listing",
    "model",
    "params",
    "partitions",
    "report",
    "starting",
    "stopping",
    "verify",
    "versions",
  )
}


@pytest.fixture(scope="module")
def readable_tree() -> Iterator[pathlib.Path]:
  """A copy of Ganeti and our driver that every user can read."""
  with tempfile.TemporaryDirectory(prefix="ganeti-lxc-") as name:
    top = pathlib.Path(name)
    top.chmod(0o755)
    ignore = shutil.ignore_patterns("__pycache__")
    source = pathlib.Path(os.environ["GANETI_TREE"], "ganeti")
    shutil.copytree(source, top / "ganeti", ignore=ignore)
    yield top


@pytest.fixture
def probe(
  program_guard: Any, readable_tree: pathlib.Path
) -> Callable[..., Any]:
  """Runs the probe unprivileged and returns what it printed."""
  user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

  def run(before: str = "") -> dict[str, Any]:
    with program_guard.opened():
      result = subprocess.run(
        ["/usr/bin/python3", "-B", "-c", before + PROBE],
        cwd=readable_tree,
        env={"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        **(user if os.geteuid() == 0 else {}),
      )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)

  return run


def test_driver_shadows_stock_module(
  probe: Callable[..., Any], readable_tree: pathlib.Path
) -> None:
  hypervisors = readable_tree / "ganeti/hypervisor"
  assert (hypervisors / "hv_lxc.py").exists()
  answer = probe()
  assert answer["module"] == str(hypervisors / "hv_lxc/__init__.py")
  # Not the class that stands in for a driver that cannot be imported.
  assert answer["driver"] == [
    "ganeti.hypervisor.hv_lxc.driver",
    "LXCHypervisor",
  ]


def test_import_is_unprivileged_and_changes_nothing(
  probe: Callable[..., Any],
) -> None:
  answer = probe()
  assert answer["uid"] != 0
  assert answer["acts"] == []


def test_jobs_and_commands_do_not_import_what_is_for_nodes(
  probe: Callable[..., Any],
) -> None:
  answer = probe()
  assert not FOR_NODES & {*answer["loaded"]}
  assert answer["scripts"] == 0


def test_node_daemon_imports_it_once_for_all_its_children(
  probe: Callable[..., Any],
) -> None:
  answer = probe(IN_NODED)
  assert {*answer["loaded"]} >= FOR_NODES
  # An instance is not started with the scripts of the next release.
  assert answer["scripts"] > 4


def test_storage_module_is_found(readable_tree: pathlib.Path) -> None:
  assert (readable_tree / "ganeti/storage/kpartx.py").is_file()
