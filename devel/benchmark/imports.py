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

"""What the driver adds to the import of ganeti.hypervisor.

Every daemon and every gnt-* command imports it.  Two trees of links are
compared: Ganeti's modules with this driver, and with the stock module that
it replaces.

"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .figures import Figure

_PROGRAM = """
import time
begun = time.perf_counter()
import ganeti.hypervisor
spent = time.perf_counter() - begun
from ganeti.hypervisor import hv_lxc
import re
text = open("/proc/self/smaps_rollup").read()
pss = re.search(r"^Private_Dirty: *([0-9]+)", text, re.M)[1]
rss = re.search(r"^Rss: *([0-9]+)", text, re.M)[1]
print(spent * 1e3, int(rss) / 1024, int(pss) / 1024)
"""
_TOP = 4


def _tree(target: Path, source: Path, *, with_driver: bool) -> Path:
  """A tree of links to Ganeti's modules; returns it."""
  package = target / "ganeti"
  (package / "hypervisor").mkdir(parents=True)
  for entry in source.iterdir():
    if entry.name not in ("hypervisor", "__pycache__"):
      (package / entry.name).symlink_to(entry)
  for entry in (source / "hypervisor").iterdir():
    wanted = with_driver or entry.name != "hv_lxc"
    if wanted and entry.name != "__pycache__":
      (package / "hypervisor" / entry.name).symlink_to(entry)
  return target


def _python(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, *options, "-c", _PROGRAM],
    env={**os.environ, "PYTHONPATH": str(tree)},
    capture_output=True,
    text=True,
    check=True,
  )


def _run(tree: Path) -> tuple[float, float, float]:
  spent, rss, private = _python(tree).stdout.split()
  return float(spent), float(rss), float(private)


def _slowest(tree: Path) -> str:
  """What -X importtime says of the driver's modules."""
  text = _python(tree, "-X", "importtime").stderr
  found = []
  ours = False
  names = []
  for line in text.splitlines():
    match = re.match(r"import time: +(\d+) \| +(\d+) \|( +)(\S+)", line)
    if match:
      names.append((int(match[1]), int(match[2]), len(match[3]), match[4]))
  # A module is printed after those that it imports, which are indented more.
  depth = 0
  for own, _, indent, name in reversed(names):
    if name == "ganeti.hypervisor.hv_lxc":
      ours, depth = True, indent
    elif ours and indent <= depth:
      ours = False
    if ours:
      found.append((own / 1e3, name.removeprefix("ganeti.hypervisor.")))
  found.sort(reverse=True)
  largest = ", ".join(f"{name} {own:.1f}" for own, name in found[:_TOP])
  return f"{len(found)} modules; largest in ms: {largest}"


def measure(
  scratch: Path, rounds: int, progress: Callable[[str], None]
) -> list[Figure]:
  """Time, and memory once imported."""
  import ganeti  # noqa: PLC0415

  source = Path(ganeti.__file__).parent
  ours = _tree(scratch / "with", source, with_driver=True)
  stock = _tree(scratch / "without", source, with_driver=False)
  samples: dict[Path, list[tuple[float, float, float]]] = {ours: [], stock: []}
  for tree in samples:
    _run(tree)
  for number in range(rounds):
    progress(f"imports {number + 1}/{rounds}")
    for tree in (ours, stock) if number % 2 else (stock, ours):
      samples[tree].append(_run(tree))
  slowest = _slowest(ours)
  return [
    Figure(
      name=name,
      unit=unit,
      ours=tuple(sample[index] for sample in samples[ours]),
      other=tuple(sample[index] for sample in samples[stock]),
      against="with the stock module",
      limits=slowest if not index else "",
    )
    for index, (name, unit) in enumerate(
      (
        ("import ganeti.hypervisor", "ms"),
        ("its resident memory", "MiB"),
        ("its private memory", "MiB"),
      )
    )
  ]
