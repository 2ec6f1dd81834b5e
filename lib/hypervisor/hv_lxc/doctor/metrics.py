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

"""The program ganeti-lxc-metrics, but for the line that starts it.

Exit status: 0 figures were written; 1 they could not be read or written; 2
wrong arguments.

"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import LxcError
from ..host import Host, write_file
from . import exposition, figures

NAME = "ganeti-lxc-metrics"
FINE, BAD = range(2)
# Whoever runs node_exporter reads it.
_MODE = 0o644


def main(argv: Sequence[str], host: Host) -> int:
  """Writes this node's figures; returns the exit status.

  @param argv: without the program's name

  """
  options = _parser().parse_args(argv)
  status = FINE
  try:
    metrics = figures.collect(host)
  except (OSError, LxcError) as err:
    print(f"{NAME}: nothing can be read: {err}", file=sys.stderr)
    metrics, status = figures.down(), BAD
  text = exposition.to_text(metrics)
  if not options.file:
    sys.stdout.write(text)
    return status
  try:
    write_file(options.file, text, mode=_MODE)
  except OSError as err:
    print(
      f"{NAME}: {options.file} cannot be written: {err.strerror} (name a file"
      " in a directory that exists, and run it as root)",
      file=sys.stderr,
    )
    return BAD
  return status


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog=NAME,
    description="Figures of the LXC instances on this node, in the text"
    " format of Prometheus.",
    epilog="Exit status: 0 written, 1 not written or not readable, 2 wrong"
    " arguments.",
  )
  parser.add_argument(
    "file",
    nargs="?",
    type=Path,
    help="replaced atomically, for node_exporter's textfile collector;"
    " standard output without it",
  )
  return parser
