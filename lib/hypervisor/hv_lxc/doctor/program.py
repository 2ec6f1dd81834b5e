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

"""The program ganeti-lxc-doctor, but for the line that starts it.

Exit status: 0 nothing is missing, or the instance can be migrated; 1
something is missing, or stands in the way; 2 the question could not be
answered.

"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .. import blockers, ssconf, verify
from .. import paramvalues as values
from ..command import SEARCH_PATH
from ..errors import LxcError, Refused
from ..host import Host, read_text
from ..node import Finding, Node, State
from . import abilities, elsewhere, facts, livecheck, output, reading

NAME = "ganeti-lxc-doctor"
FINE, BAD, UNANSWERED = range(3)


def main(
  argv: Sequence[str],
  host: Host,
  *,
  root: Path = Path("/"),
  search_path: str = SEARCH_PATH,
) -> int:
  """Examines a node, or an instance on it; returns the exit status.

  @param argv: without the program's name

  """
  options = _parser().parse_args(argv)
  node = Node(host=host, search_path=search_path, root=root)
  try:
    if options.facts:
      _print(facts.to_text(facts.of_node(node)))
      return FINE
    if options.instance:
      return _instance(node, options)
    return _node(node, options)
  except PermissionError as err:
    _say(f"not root, so nothing can be told: {err.filename} cannot be read")
    return UNANSWERED
  except (LxcError, OSError) as err:
    print(f"{NAME}: {err}", file=sys.stderr)
    return UNANSWERED


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    self.exit(UNANSWERED, f"{self.prog}: {message} (see --help)\n")


def _parser() -> argparse.ArgumentParser:
  parser = _Parser(
    prog=NAME,
    description="What this node lacks for LXC instances; or whether an"
    " instance that runs on it can be migrated live now, and what stands in"
    " the way.  Nothing is changed, no guest is disturbed.",
    epilog="Exit status: 0 fine, 1 something is missing or in the way,"
    " 2 no answer.",
  )
  parser.add_argument("instance", nargs="?", help="an instance's full name")
  parser.add_argument("--json", action="store_true", help="for programs")
  parser.add_argument(
    "--facts",
    action="store_true",
    help="print what two nodes have to have in common, as JSON",
  )
  parser.add_argument(
    "--here",
    action="store_true",
    help="do not ask the cluster's other nodes, by ssh, whether they could"
    " take the instance",
  )
  parser.add_argument(
    "--compare",
    metavar="FILE",
    type=Path,
    help="the --facts of another node: tell what speaks against moving the"
    " instance there",
  )
  return parser


def _node(node: Node, options: argparse.Namespace) -> int:
  if options.compare:
    raise Refused(
      "--compare needs the name of an instance",
      remedy=f"run {NAME} --compare FILE INSTANCE",
    )
  is_root = os.geteuid() == 0
  hvparams = ssconf.hvparams(node.host) or {}
  found = verify.findings(
    node,
    extra_cgroups=verify.names_in(hvparams.get(values.EXTRA_CGROUPS)),
    cpu_mask=hvparams.get(values.CPU_MASK) or "",
    privileged=is_root,
  )
  if options.json:
    _print(output.node_json(found, facts.of_node(node)))
  else:
    _print(output.node_table(found))
  unknown = [f.subject for f in found if f.state is State.UNKNOWN]
  if unknown:
    _say(f"not root, so this cannot be told: {', '.join(unknown)}")
  return BAD if any(f.state is State.MISSING for f in found) else FINE


def _instance(node: Node, options: argparse.Namespace) -> int:
  other = _facts_of(options.compare) if options.compare else None
  guest = reading.read_guest(node.host, options.instance)
  mine = facts.of_node(node)
  report = output.GuestReport(
    name=guest.name,
    processes=len(guest.processes),
    blockers=blockers.find_blockers(guest, abilities.of_node(node)),
    lost=blockers.lost(guest),
    live=_live(node),
    facts=mine,
    unseen=guest.unseen,
    differences=facts.differences(mine, other) if other else None,
    destinations=_destinations(node, options, mine),
  )
  as_text = output.guest_json if options.json else output.guest_table
  if guest.unseen:
    _say(
      f"not root, so files and namespaces of {guest.unseen} of"
      f" {len(guest.processes)} processes cannot be seen"
    )
    if not options.json:
      return UNANSWERED
  _print(as_text(report))
  if guest.unseen:
    return UNANSWERED
  return FINE if report.movable else BAD


def _destinations(
  node: Node, options: argparse.Namespace, mine: facts.Facts
) -> tuple[elsewhere.Destination, ...]:
  """None for whoever has named one, and for those whom nobody lets in."""
  if options.compare or options.here or os.geteuid() != 0:
    return ()
  return elsewhere.destinations(node, mine, options.instance)


def _live(node: Node) -> tuple[Finding, ...]:
  return tuple(verify.answered(node, livecheck.wishes(), State.DEGRADED))


def _facts_of(path: Path) -> facts.Facts:
  try:
    return facts.from_text(read_text(path))
  except ValueError as err:
    raise Refused(
      f"{path} does not hold a node's facts",
      evidence=str(err),
      remedy=f"make it with {NAME} --facts on the other node",
    ) from err


def _print(text: str) -> None:
  """What the locale's encoding does not have is escaped, as on stderr."""
  encoding = sys.stdout.encoding or "utf-8"
  known = text.encode(encoding, "backslashreplace")
  sys.stdout.write(known.decode(encoding))


def _say(text: str) -> None:
  print(f"{NAME}: {text}", file=sys.stderr)
