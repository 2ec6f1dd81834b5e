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
import contextlib
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Everything is imported here that ganeti-noded has when it is asked.
import ganeti.server.noded  # noqa: F401
from ganeti import constants

from . import (
  adding,
  ballooning,
  checkpoint,
  imports,
  instance,
  lifecycle,
  listing,
  mapping,
  peers,
  transfer,
)
from .barelxc import BareLxc
from .figures import Figure
from .findings import Findings
from .incus import Incus
from .podman import Podman

_SCRATCH = "/var/tmp"
_PACKAGES = ("criu", "podman", "runc", "incus")
# In MiB, what guests hold that are checkpointed.
_MEMORY = (0, 64, 256)


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
    **{name: _packaged(name) for name in _PACKAGES},
  }


def _packaged(name: str) -> str:
  """The version of a package of this node, "none" if it is not there."""
  asked = subprocess.run(
    ["dpkg-query", "-W", "-f", "${Version}", name],
    capture_output=True,
    text=True,
  )
  return asked.stdout.strip() or "none"


class _Run:
  """The parts of one run, one after the other."""

  def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
    self._options = options
    self._scratch = scratch
    self.findings = Findings()
    self._peers: list[peers.Peer] = []
    self._disk = scratch / "disk"

  def run(self) -> None:
    """All that are wanted; the peers are there meanwhile."""
    parts = {
      "lifecycle": self._lifecycle,
      "listing": self._listing,
      "ballooning": self._ballooning,
      "checkpoint": self._checkpoint,
      "imports": self._simple(imports.measure),
      "mapping": self._simple(mapping.measure),
      "transfer": self._simple(transfer.measure),
      "adding": self._adding,
    }
    with self._with_peers():
      for name in self._options.parts:
        with self.findings.part(name):
          parts[name]()

  @contextlib.contextmanager
  def _with_peers(self) -> Iterator[None]:
    if not self._options.peers:
      yield
      return
    disk = self._copied_disk()
    kinds: list[peers.Peer] = [
      kind(self._scratch, disk) for kind in (Podman, Incus)
    ]
    there = peers.installed(kinds, self.findings)
    try:
      self._peers = peers.trying(
        there,
        self.findings,
        "start and stop",
        peers.start_and_stop,
      )
      yield
    finally:
      for peer in there:
        peer.sweep()

  def _copied_disk(self) -> str:
    """What an instance has on its disk, for others."""
    if not self._disk.exists():
      with instance.added():
        _, devices = instance.as_noded_gets_it()
        argv = ["cp", "--sparse=always", devices[0][1], str(self._disk)]
        subprocess.run(argv, check=True)
    return str(self._disk)

  def _lifecycle(self) -> None:
    with instance.added():
      self.findings.figures += lifecycle.measure(
        self._scratch, self._options.rounds, self._peers, _progress
      )

  def _listing(self) -> None:
    rounds = self._options.rounds
    others = listing.of_peers(self._peers, rounds, self.findings, _progress)
    for peer in self._peers:
      peer.clear()
    self.findings.figures += listing.measure(
      self._scratch, rounds, _progress, others
    )

  def _ballooning(self) -> None:
    ballooning.measure(self._peers, self.findings, _progress)

  def _checkpoint(self) -> None:
    bare = BareLxc(self._scratch, self._copied_disk())
    checkpoint.measure(
      [bare, *self._peers],
      self._options.moves,
      _MEMORY,
      self.findings,
      _progress,
    )

  def _adding(self) -> None:
    self.findings.figures += adding.measure(self._options.adds, _progress)

  def _simple(self, measure: Callable[..., list[Figure]]) -> Callable[[], None]:
    def work() -> None:
      self.findings.figures += measure(
        self._scratch, self._options.rounds, _progress
      )

    return work


def main() -> int:
  """Measures, whatever happens taking everything away again."""
  parser = argparse.ArgumentParser()
  parser.add_argument("--rounds", type=int, required=True)
  parser.add_argument("--adds", type=int, required=True)
  parser.add_argument("--moves", type=int, required=True)
  parser.add_argument("--peers", action="store_true")
  parser.add_argument("--parts", nargs="*", required=True)
  options = parser.parse_args()
  _on_signals(_interrupted)
  threading.Thread(target=_end_with_caller, daemon=True).start()
  scratch = Path(tempfile.mkdtemp(prefix="ganeti-lxc-bench.", dir=_SCRATCH))
  try:
    run = _Run(options, scratch)
    run.run()
  except KeyboardInterrupt:
    return 130
  finally:
    shutil.rmtree(scratch, ignore_errors=True)
  data = {"versions": _versions(), **run.findings.to_dict()}
  print(json.dumps(data))
  return 0


if __name__ == "__main__":
  sys.exit(main())
