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

"""The command line of qa/lab."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import guests, host, image, lab, status
from .errors import LabError
from .progress import Progress


def parser() -> argparse.ArgumentParser:
  """All commands and options."""
  top = argparse.ArgumentParser(
    prog="qa/lab", description="A Ganeti cluster with LXC on this machine."
  )
  top.add_argument("--name", default="lab", help="which lab (default: lab)")
  commands = top.add_subparsers(dest="command", required=True)
  _add_up(
    commands.add_parser("up", help="build, boot, install, make a cluster")
  )
  run = commands.add_parser(
    "exec",
    help="run a command in a node",
    usage="qa/lab exec NODE -- COMMAND ...",
  )
  run.add_argument("node")
  run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
  show = commands.add_parser("status", help="show the nodes")
  show.add_argument("--json", action="store_true")
  power = commands.add_parser(
    "power", help="cut a virtual machine's power, or boot it again"
  )
  power.add_argument("node")
  power.add_argument("switch", choices=("off", "on"))
  commands.add_parser(
    "install", help="install the checkout's driver on all nodes"
  )
  build = commands.add_parser("guests", help="build guests' file systems")
  build.add_argument("guest", nargs="*")
  down = commands.add_parser("down", help="leave nothing behind")
  down.add_argument(
    "--purge",
    action="store_true",
    help="remove caches and the nodes' disks too",
  )
  return top


def _add_up(up: argparse.ArgumentParser) -> None:
  up.add_argument("--nodes", type=int, default=2, help="default: 2")
  up.add_argument(
    "--release",
    choices=image.RELEASES,
    default=image.RELEASES[0],
    help="Debian of the nodes",
  )
  up.add_argument(
    "--backend",
    choices=lab.BACKENDS,
    default=lab.BACKENDS[0],
    help="namespaces of this kernel, or virtual machines with Debian's own",
  )
  up.add_argument(
    "--no-driver",
    action="store_true",
    help="leave Ganeti's own LXC driver in place",
  )
  up.add_argument(
    "--bare",
    action="store_true",
    help="nodes with Ganeti installed, and no cluster yet",
  )
  up.add_argument(
    "--memory",
    type=int,
    default=lab.UpRequest.memory,
    metavar="MIB",
    help="memory limit of each node (default: %(default)s)",
  )
  add_slow_clock(up)


def add_slow_clock(of: argparse.ArgumentParser) -> None:
  """The option of all that makes a lab."""
  of.add_argument(
    "--slow-clock",
    type=int,
    choices=range(1, 11),
    default=1,
    metavar="N",
    help="let the clocks of emulated machines run N times slower than this"
    " machine's, so that they do in time what Ganeti has seconds for",
  )


def command_of(argv: Sequence[str]) -> list[str]:
  """What follows "NODE --".

  @raise LabError: when that is nothing

  """
  words = list(argv[1:] if argv[:1] == ["--"] else argv)
  if not words:
    raise LabError("No command given; usage: qa/lab exec NODE -- COMMAND ...")
  return words


def main(argv: Sequence[str] | None = None) -> int:
  """Run one command line.

  @return: the exit status; that of the command for `exec`

  """
  options = parser().parse_args(argv)
  try:
    _run(options)
  except LabError as err:
    print(f"qa/lab: {err}", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print("qa/lab: interrupted", file=sys.stderr)
    return 130
  return 0


def _run(options: argparse.Namespace) -> None:
  name = options.name
  match options.command:
    case "up":
      lab.up(
        lab.UpRequest(
          name,
          options.nodes,
          options.release,
          not options.no_driver,
          options.memory,
          options.backend,
          not options.bare,
          options.slow_clock,
        ),
        Progress(),
      )
    case "exec":
      lab.node(name, options.node).become(command_of(options.argv))
    case "status":
      data = status.collect(name)
      show = status.as_json if options.json else status.as_text
      print(show(data))
    case "power":
      lab.power(name, options.node, Progress(), on=options.switch == "on")
    case "install":
      lab.reinstall(name, Progress())
    case "guests":
      host.require_root()
      host.prepare(Progress())
      guests.build(tuple(options.guest), Progress())
    case "down":
      lab.down(name, Progress(), purge=options.purge)
