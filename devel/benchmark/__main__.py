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

"""Runs all measurements on a node; JSON on standard output."""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Everything is imported here that ganeti-noded has when it is asked.
import ganeti.server.noded  # noqa: F401
from ganeti import constants

from . import adding, imports, instance, lifecycle, listing, transfer
from .figures import Figure

_SCRATCH = "/var/tmp"


def _progress(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def _interrupted(_number: int, _frame: Any) -> None:
  """Ends the run; what is taken away then is not interrupted again."""
  _on_signals(signal.SIG_IGN)
  raise KeyboardInterrupt


def _on_signals(handler: Any) -> None:
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, handler)


def _end_with_caller() -> None:
  """Interrupts this run when devel/bench has closed our input."""
  while os.read(0, 1):
    pass
  os.kill(os.getpid(), signal.SIGINT)


def _versions() -> dict[str, str]:
  lxc = subprocess.run(
    ["lxc-start", "--version"], capture_output=True, text=True
  )
  release = platform.freedesktop_os_release()
  return {
    "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    "ganeti": constants.RELEASE_VERSION,
    "lxc": lxc.stdout.strip(),
    "python": platform.python_version(),
    "kernel": platform.release(),
    "system": release["PRETTY_NAME"],
    "load": f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} CPUs",
  }


def _measure(options: argparse.Namespace, scratch: Path) -> list[Figure]:
  rounds = options.rounds

  def lifecycle_of_one() -> list[Figure]:
    with instance.added():
      return lifecycle.measure(scratch, rounds, _progress)

  parts: dict[str, Callable[[], list[Figure]]] = {
    "lifecycle": lifecycle_of_one,
    "listing": lambda: listing.measure(scratch, rounds, _progress),
    "imports": lambda: imports.measure(scratch, rounds, _progress),
    "transfer": lambda: transfer.measure(scratch, rounds, _progress),
    "adding": lambda: adding.measure(options.adds, _progress),
  }
  wanted = options.only or list(parts)
  return [figure for name in wanted for figure in parts[name]()]


def main() -> int:
  """Measures, whatever happens taking everything away again."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--rounds", type=int, required=True)
  parser.add_argument("--adds", type=int, required=True)
  parser.add_argument("--only", action="append")
  options = parser.parse_args()
  _on_signals(_interrupted)
  threading.Thread(target=_end_with_caller, daemon=True).start()
  scratch = Path(tempfile.mkdtemp(prefix="ganeti-lxc-bench.", dir=_SCRATCH))
  try:
    found = _measure(options, scratch)
  except KeyboardInterrupt:
    return 130
  finally:
    shutil.rmtree(scratch, ignore_errors=True)
  data = {"versions": _versions(), "figures": [f.to_dict() for f in found]}
  print(json.dumps(data))
  return 0


if __name__ == "__main__":
  sys.exit(main())
