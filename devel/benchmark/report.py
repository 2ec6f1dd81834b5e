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


"""Writes what a run found: the page, the record, the texts that quote it."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from .recorded import Run, median_course

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "doc" / "performance.json"
TEXT = ROOT / "doc" / "performance.rst"
_PAGE = "index.html"
_DATA = "run.json"
_PACKAGE = "python3-matplotlib"


def require_matplotlib() -> None:
  """Installs it from Debian where it is missing.

  Nothing but the report needs it.

  @raise SystemExit: that failed

  """
  try:
    import matplotlib as mpl  # noqa: F401, PLC0415
  except ImportError:
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    done = subprocess.run(
      [*argv, _PACKAGE], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
      last = done.stdout.decode().strip().splitlines()[-1:]
      raise SystemExit(
        f"devel/bench: the report needs {_PACKAGE}; apt-get: {last}"
      ) from None


def machine(kind: str) -> dict[str, Any]:
  """This machine.

  @param kind: what the nodes are

  """
  names = [
    line.split(":", 1)[1].strip()
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    if line.startswith("model name")
  ]
  pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return {
    "cpu": names[0] if names else platform.machine(),
    "cpus": os.cpu_count(),
    "memory_mib": pages >> 20,
    "kind": kind,
  }


def thinned(data: dict[str, Any]) -> dict[str, Any]:
  """Without what the client got in migrations that are not shown."""
  courses = data.get("courses", {}).get("migration") or []
  kept = []
  for mib in sorted({course["held_mib"] for course in courses}):
    these = [course for course in courses if course["held_mib"] == mib]
    kept.append(median_course(these))
  for course in courses:
    if not any(course is one for one in kept):
      course["client"] = []
  return data


def joined(kept: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
  """A run, and what was measured later of it; the later one counts."""
  parts = {load["part"] for load in more["loads"]}
  names = {figure["name"] for figure in more["figures"]}
  return {
    **more,
    "command": f"{kept['command']}; {more['command']}",
    "courses": kept["courses"] | more["courses"],
    "figures": [f for f in kept["figures"] if f["name"] not in names]
    + more["figures"],
    "attempts": kept["attempts"] + more["attempts"],
    "loads": [x for x in kept["loads"] if x["part"] not in parts]
    + more["loads"],
  }


def write_page(data: dict[str, Any], directory: Path) -> Path:
  """The page, and the run that it is made from; returns the page."""
  # matplotlib may have been installed just now.
  from . import page, sections  # noqa: PLC0415

  run = Run(data)
  directory.mkdir(parents=True, exist_ok=True)
  text = page.page(run, sections.tiles(run), sections.sections(run))
  (directory / _PAGE).write_text(text, encoding="utf-8")
  write_json(data, directory / _DATA)
  return directory / _PAGE


def write_json(data: dict[str, Any], path: Path) -> None:
  """One line for each figure and course."""
  path.write_text(text_of(data), encoding="utf-8")


def text_of(data: dict[str, Any]) -> str:
  """A run as JSON that can be compared line by line."""
  parts = [f"{json.dumps(key)}: {_value(data[key])}" for key in sorted(data)]
  return "{\n" + ",\n".join(parts) + "\n}\n"


def _value(value: Any) -> str:
  if isinstance(value, list):
    lines = [json.dumps(one, sort_keys=True) for one in value]
    return "[\n" + ",\n".join(lines) + "\n]"
  if isinstance(value, dict):
    lines = [f"{json.dumps(k)}: {json.dumps(value[k])}" for k in sorted(value)]
    return "{\n" + ",\n".join(lines) + "\n}"
  return json.dumps(value)


def record(data: dict[str, Any]) -> None:
  """Keeps a run in doc/, and has the text quote it."""
  from . import quoting  # noqa: PLC0415

  write_json(data, RECORD)
  text = TEXT.read_text(encoding="utf-8")
  TEXT.write_text(quoting.quoted(text, Run.load(RECORD)), encoding="utf-8")
