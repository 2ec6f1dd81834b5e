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

"""What the doctor found, as a table for people and as JSON for programs."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from ..blockers import Blocker
from ..model import Problem
from ..node import Finding, State
from .elsewhere import Destination
from .facts import Facts

_COLUMNS = 79
_DEEP = " " * 10
_ANSWERS = {True: "fits", False: "does not fit", None: "not known"}
_MARK_WIDTH = max(map(len, State)) + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestReport:
  """All about one running instance.

  @ivar unseen: processes that the caller may not look into
  @ivar differences: from the node it was compared with; None without one
  @ivar destinations: the other nodes, if they were asked

  """

  name: str
  processes: int
  blockers: tuple[Blocker, ...]
  lost: tuple[Blocker, ...]
  live: tuple[Finding, ...]
  facts: Facts
  unseen: int = 0
  differences: tuple[Problem, ...] | None = None
  destinations: tuple[Destination, ...] = ()

  @property
  def hindrances(self) -> tuple[str, ...]:
    """What of the node stands in the way, whatever the guest does."""
    return tuple(str(p) for p in self.differences or ()) + tuple(
      str(finding.problem)
      for finding in self.live
      if finding.problem and finding.subject == "CRIU"
    )

  @property
  def movable(self) -> bool:
    """Whether nothing was found that stands in the way."""
    fits_nowhere = self.destinations and all(
      other.fits is False for other in self.destinations
    )
    return not (self.blockers or self.hindrances or self.unseen or fits_nowhere)


def node_table(findings: Sequence[Finding]) -> str:
  """Requirements that are not met first, each with its remedy."""
  lines = []
  for state in (State.MISSING, State.DEGRADED):
    for finding in findings:
      if finding.state is state and finding.problem:
        lines += _problem(state, finding.subject, finding.problem)
  fine = [f.subject for f in findings if f.state is State.OK]
  lines += [_row(State.OK, subject) for subject in fine]
  return "\n".join([*lines, "", counts(findings)]) + "\n"


def counts(findings: Iterable[Finding]) -> str:
  """As "52 ok, 0 missing, 3 degraded"."""
  states = [finding.state for finding in findings]
  shown = (State.OK, State.MISSING, State.DEGRADED)
  text = ", ".join(f"{states.count(state)} {state}" for state in shown)
  unknown = states.count(State.UNKNOWN)
  return f"{text}, {unknown} {State.UNKNOWN}" if unknown else text


def node_json(findings: Iterable[Finding], facts: Facts) -> str:
  """The same for programs."""
  return _dump({"requirements": _findings(findings), "facts": asdict(facts)})


def guest_table(report: GuestReport) -> str:
  """The answer first, then the reasons, then the node's facts."""
  answer = "can" if report.movable else "cannot"
  lines = [f"{report.name} {answer} be migrated live from this node now"]
  lines += [f"  node: {text}" for text in report.hindrances]
  lines += _blockers(report.blockers)
  if report.lost:
    lines += ["", "What would not come along:", *_blockers(report.lost)]
  lines += _destinations(report.destinations)
  degraded = [f for f in report.live if f.problem and f.subject != "CRIU"]
  if degraded:
    lines += ["", "What is worse than it could be on this node:"]
    for finding in degraded:
      lines += _wrapped(f"- {finding.problem}", "  ", "    ")
  lines += ["", "This node, to be compared with another:"]
  lines += [f"  {text}" for text in facts_lines(report.facts)]
  if report.differences is None and not report.destinations:
    lines += [
      "",
      "To compare: run ganeti-lxc-doctor --facts on the other node, and here",
      f"ganeti-lxc-doctor --compare FILE {report.name}",
    ]
  return "\n".join(lines) + "\n"


def _destinations(destinations: Sequence[Destination]) -> list[str]:
  """Each with what speaks against it, and what could be done."""
  if not destinations:
    return []
  lines = ["", "Nodes, as places for it:"]
  width = max(len(other.node) for other in destinations)
  for other in destinations:
    answer = _ANSWERS[other.fits]
    lines.append(f"  {other.node:<{width}}  {answer}")
    for problem in other.problems:
      lines += _wrapped(problem.what, _DEEP, _DEEP)
      lines.append(f"{_DEEP}-> {problem.remedy}")
    if other.unknown:
      lines += _wrapped(f"cannot be asked: {other.unknown}", _DEEP, _DEEP)
  return lines


def guest_json(report: GuestReport) -> str:
  """The same for programs."""
  return _dump(
    {
      "instance": report.name,
      "migratable": report.movable,
      "processes": report.processes,
      "unseen_processes": report.unseen,
      "blockers": [asdict(blocker) for blocker in report.blockers],
      "lost": [asdict(blocker) for blocker in report.lost],
      "node": list(report.hindrances),
      "requirements": _findings(report.live),
      "facts": asdict(report.facts),
      "differences": None
      if report.differences is None
      else [asdict(problem) for problem in report.differences],
      "destinations": [
        {**asdict(other), "fits": other.fits} for other in report.destinations
      ],
    }
  )


def facts_lines(facts: Facts) -> list[str]:
  """A line for each fact; CPU flags are only counted."""
  features = ", ".join(facts.criu_features) or "no features"
  return [
    f"kernel   {facts.kernel}",
    f"LXC      {facts.lxc or 'none'}",
    f"CRIU     {facts.criu or 'none'} ({features})",
    f"cgroup   {facts.cgroup}",
    f"AppArmor {'on' if facts.apparmor else 'off'}",
    f"CPU      {facts.cpu_model or 'unknown'}, {len(facts.cpu_flags)} flags",
  ]


def _row(state: State, text: str) -> str:
  return f"{state:<{_MARK_WIDTH}}{text}"


def _problem(state: State, subject: str, problem: Problem) -> list[str]:
  """A remedy is one line, as it may be a command to be copied."""
  indent = " " * _MARK_WIDTH
  lines = _wrapped(f"{subject}: {problem.what}", _row(state, ""), indent)
  return [*lines, f"{indent}-> {problem.remedy}"] if problem.remedy else lines


def _wrapped(text: str, first: str, rest: str) -> list[str]:
  return textwrap.wrap(
    text,
    _COLUMNS,
    initial_indent=first,
    subsequent_indent=rest,
    break_long_words=False,
    break_on_hyphens=False,
  )


def _blockers(blockers: Iterable[Blocker]) -> list[str]:
  """Alike ones together: who and what, then why and what to do, once."""
  groups: dict[tuple[str, str], list[Blocker]] = {}
  for blocker in blockers:
    groups.setdefault((blocker.reason, blocker.remedy), []).append(blocker)
  lines = []
  for (reason, remedy), members in groups.items():
    lines += [f"  {b.pid:>7} {b.command:<15} {b.object}" for b in members]
    lines += _wrapped(reason, _DEEP, _DEEP)
    lines.append(f"{_DEEP}-> {remedy}")
  return lines


def _findings(findings: Iterable[Finding]) -> list[dict[str, str]]:
  return [
    {
      "subject": finding.subject,
      "state": str(finding.state),
      "what": finding.problem.what if finding.problem else "",
      "remedy": finding.problem.remedy if finding.problem else "",
    }
    for finding in findings
  ]


def _dump(data: dict[str, object]) -> str:
  return json.dumps(data, indent=1, sort_keys=True) + "\n"
