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


"""Which LXC and which CRIU are installed, and which may meet in a move.

No file says LXC's version: the library's name carries the version of its
interface (1.7.0 for LXC 5.0), and loading the library into noded would keep
it there for good.  So each program is asked once, and the answer is kept for
as long as the program and its library stay the same files; noded forks for
every request, so it is kept in a file.

"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import LxcError
from .host import Host, make_directory, read_optional, write_file

_TIMEOUT_S = 10.0
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
# Of each program, in what nodes tell each other.
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
  """A program that is asked for its version.

  @ivar label: its name in the file that keeps the answer
  @ivar libraries: pattern below /usr/lib of what it is made of besides

  """

  label: str
  paths: tuple[str, ...]
  argv: tuple[str, ...]
  libraries: str = ""


LXC = Program(
  label="lxc",
  paths=("/usr/bin/lxc-start", "/usr/local/bin/lxc-start"),
  argv=("lxc-start", "--version"),
  libraries="*/liblxc.so.1",
)
CRIU = Program(
  label="criu",
  paths=("/usr/sbin/criu", "/usr/local/sbin/criu"),
  argv=("criu", "--version"),
)


def lxc_version(host: Host) -> list[int]:
  """The installed LXC, as [5, 0, 2]; [] when it cannot be found."""
  return _version(host, LXC)


def criu_version(host: Host) -> list[int]:
  """The installed CRIU, as [4, 1, 1]; [] when it cannot be found."""
  return _version(host, CRIU)


def for_ganeti(host: Host) -> list[int]:
  """What Ganeti compares between two nodes before a move (hv_version).

  Three numbers for LXC and three for CRIU, where it is installed; [] without
  LXC.  Ganeti takes a list of whole numbers only (Rpc.hs).

  """
  lxc = lxc_version(host)
  return _padded(lxc) + _padded(criu_version(host)) if lxc else []


def safe_for_migration(source: list[int], target: list[int]) -> bool:
  """Whether a guest may move between nodes with these (L{for_ganeti}).

  CRIU reads the images of earlier releases, not those of later ones
  (criu.org/Versions); a configuration is written with keys that LXC 5 to 7
  know, but none goes back to an older LXC's control group layout.

  """
  if len(source) < 2 * _PARTS or len(target) < 2 * _PARTS:
    return False
  return source[0] <= target[0] and source[_PARTS:] <= target[_PARTS:]


def parse(text: str) -> list[int]:
  """The leading numbers of a version ("6.0.4-devel" is [6, 0, 4])."""
  match = _NUMBERS.match(text.strip().removeprefix("Version: "))
  return [int(number) for number in match[0].split(".")] if match else []


def _padded(version: list[int]) -> list[int]:
  return (version + [0] * _PARTS)[:_PARTS] if version else []


def _version(host: Host, program: Program) -> list[int]:
  key = _key(program)
  if not key:
    return []
  cache = host.layout.run_dir / f"{program.label}-version.json"
  known = _load(cache)
  if known.get("key") == key:
    return parse(str(known.get("version")))
  text = _ask(host, program)
  if text:
    make_directory(cache.parent)
    write_file(cache, json.dumps({"key": key, "version": text}))
  return parse(text)


def _key(program: Program) -> list[list[object]]:
  """Identifies the program and the libraries beside it; [] without it."""
  found = [_stamp(path) for path in program.paths]
  if not any(found):
    return []
  if program.libraries:
    libraries = sorted(Path("/usr/lib").glob(program.libraries))
    found += [_stamp(str(path)) for path in libraries]
  return [stamp for stamp in found if stamp]


def _stamp(path: str) -> list[object]:
  try:
    status = Path(path).stat()
  except OSError:
    return []
  return [path, status.st_ino, status.st_size, status.st_mtime_ns]


def _load(path: Path) -> dict[str, object]:
  try:
    data = json.loads(read_optional(path) or "{}")
  except (OSError, ValueError):
    return {}
  return data if isinstance(data, dict) else {}


def _ask(host: Host, program: Program) -> str:
  try:
    result = host.run(program.argv, timeout_s=_TIMEOUT_S)
  except LxcError:
    return ""
  lines = result.stdout.strip().splitlines()
  return "" if result.failed or not lines else lines[0]
