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


"""Which LXC is installed.

No file says it: the library's name carries the version of its interface
(1.7.0 for LXC 5.0), and loading the library into noded would keep it
there for good.  So lxc-start is asked once, and the answer is kept for as
long as the program and its library stay the same files; noded forks for
every request, so it is kept in a file.

"""

import json
import re
from pathlib import Path

from .errors import LxcError
from .host import Host, make_directory, read_optional, write_file

_PROGRAMS = ("/usr/bin/lxc-start", "/usr/local/bin/lxc-start")
_TIMEOUT_S = 10.0
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


def lxc_version(host: Host) -> list[int]:
  """The installed version, as [5, 0, 2]; [] when it cannot be found."""
  key = _key()
  if not key:
    return []
  cache = host.layout.run_dir / "lxc-version.json"
  known = _load(cache)
  if known.get("key") == key:
    return parse(str(known.get("version")))
  text = _ask(host)
  if text:
    make_directory(cache.parent)
    write_file(cache, json.dumps({"key": key, "version": text}))
  return parse(text)


def parse(text: str) -> list[int]:
  """The leading numbers of a version ("6.0.4-devel" is [6, 0, 4])."""
  match = _NUMBERS.match(text.strip())
  return [int(number) for number in match[0].split(".")] if match else []


def _key() -> list[list[object]]:
  """Identifies the program and the libraries beside it; [] without it."""
  found = [_stamp(path) for path in _PROGRAMS]
  if not any(found):
    return []
  libraries = sorted(Path("/usr/lib").glob("*/liblxc.so.1"))
  return [
    stamp for stamp in found + [_stamp(str(p)) for p in libraries] if stamp
  ]


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


def _ask(host: Host) -> str:
  try:
    result = host.run(("lxc-start", "--version"), timeout_s=_TIMEOUT_S)
  except LxcError:
    return ""
  return "" if result.failed else result.stdout.strip()
