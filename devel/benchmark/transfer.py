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


"""How fast images go to another node, against a bare TLS stream.

Two processes on one machine, over its loopback interface: there is no
network to wait for, so that every loss shows.  Also by itself, on any
machine: C{PYTHONPATH=devel:build/ganeti-3.1 python3 -m benchmark.transfer}.

"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from . import figures
from .figures import Figure

_MIB = 1 << 20
_SIZE_MIB = 512
# With a bandwidth of 32 MiB/s, which is Ganeti's default.
_LIMIT_MIB = 32
_LIMITED_MIB = 64
_PIECE_MIB = 8
_ROUNDS = 10


def measure(
  scratch: Path, rounds: int, progress: Callable[[str], None]
) -> list[Figure]:
  """Throughput and processor time; throughput where it is limited."""
  certificate = _certificate(scratch)
  images = scratch / "random"
  _write(images, _SIZE_MIB, lambda: os.urandom(_PIECE_MIB * _MIB))
  samples: dict[str, list[dict[str, float]]] = {"ours": [], "bare": []}
  for number in range(rounds):
    progress(f"transfer {number + 1}/{rounds}")
    for kind in ("ours", "bare") if number % 2 else ("bare", "ours"):
      samples[kind].append(_transfer(kind, certificate, images))
  limits = f"{_SIZE_MIB} MiB from page cache to page cache"
  found = [
    _figure("transfer", "MiB/s", samples, _speed, "0.8", limits),
    _figure("its processor time, both ends", "s", samples, _cpu, "", ""),
  ]
  return [*found, _limited(scratch, certificate)]


def _limited(scratch: Path, certificate: Path) -> Figure:
  """Programs and libraries stand in for the memory of a guest."""
  images = scratch / "programs"
  text = b"".join(_programs())
  pieces = iter(range(0, len(text), _PIECE_MIB * _MIB))
  _write(images, _LIMITED_MIB, lambda: text[next(pieces) :])
  took = _transfer("ours", certificate, images, limit=_LIMIT_MIB)
  return Figure(
    name=f"the same where migration_bandwidth is {_LIMIT_MIB}",
    unit="MiB/s",
    ours=(_LIMITED_MIB / took["seconds"],),
    other=(float(_LIMIT_MIB),),
    against="uncompressed",
    limits=f"{_LIMITED_MIB} MiB of programs and libraries",
  )


def _figure(  # noqa: PLR0917
  name: str,
  unit: str,
  samples: dict[str, list[dict[str, float]]],
  value: Callable[[dict[str, float]], float],
  aim: str,
  limits: str,
) -> Figure:
  return Figure(
    name=name,
    unit=unit,
    ours=tuple(value(sample) for sample in samples["ours"]),
    other=tuple(value(sample) for sample in samples["bare"]),
    against="a bare TLS stream",
    aim=aim and f"ratio at least {aim}",
    limits=limits,
  )


def _speed(sample: dict[str, float]) -> float:
  return _SIZE_MIB / sample["seconds"]


def _cpu(sample: dict[str, float]) -> float:
  return sample["cpu"]


def _transfer(
  kind: str, certificate: Path, images: Path, limit: int = 0
) -> dict[str, float]:
  """Sends a directory into a new one, which is removed afterwards."""
  home = Path(tempfile.mkdtemp(prefix="home.", dir=images.parent))
  with contextlib.ExitStack() as stack:
    stack.callback(shutil.rmtree, home)
    target = stack.enter_context(_end(f"{kind}-target", certificate, home))
    stack.callback(target.kill)
    assert target.stdout is not None
    port = target.stdout.readline().strip()
    options = ("--port", port, "--bandwidth", str(limit))
    with _end(f"{kind}-source", certificate, images, *options) as source:
      sent = json.loads(source.communicate()[0])
    received = json.loads(target.communicate()[0])
  return {
    "seconds": sent["seconds"],
    "cpu": sent["cpu"] + received["cpu"],
  }


def _end(
  name: str, certificate: Path, directory: Path, *options: str
) -> "subprocess.Popen[str]":
  module = f"{__package__}.transfer_end"
  argv = [sys.executable, "-m", module, name, certificate, directory, *options]
  return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def _certificate(scratch: Path) -> Path:
  path = scratch / "server.pem"
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ganeti.utils import x509  # noqa: PLC0415

    x509.GenerateSelfSignedSslCert(str(path), 1)
  return path


def _programs() -> list[bytes]:
  """Files of this system, together more than is sent."""
  found, size = [], 0
  for path in sorted(Path("/usr/bin").iterdir()):
    if path.is_file() and not path.is_symlink():
      found.append(path.read_bytes())
      size += len(found[-1])
    if size >= _LIMITED_MIB * _MIB:
      break
  return found


def _write(directory: Path, mib: int, piece: Callable[[], bytes]) -> None:
  directory.mkdir()
  with (directory / "pages-1.img").open("wb") as file:
    for _ in range(mib // _PIECE_MIB):
      file.write(piece()[: _PIECE_MIB * _MIB])


def main() -> None:
  """Measures without a lab."""
  with tempfile.TemporaryDirectory(prefix="ganeti-lxc-bench.") as scratch:
    found = measure(Path(scratch), _ROUNDS, lambda _: None)
  print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
  print(figures.table([f.to_dict() for f in found]))


if __name__ == "__main__":
  main()
