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


"""What the report shows of a run, and what it says of it."""

from collections.abc import Iterator

from . import plots
from .page import Section, Tile
from .recorded import OURS, Run, median_course, number, spread, times

_START = "StartInstance"
_STOP = "StopInstance(force), CleanupInstance"
_LESS = " without network scripts and records"
_LIST = "GetAllInstancesInfo, {} containers"
_STALL = "migration: stall of a client, {} MiB held"
_COUNTS = (1, 50, 200)
_MEMORY = (0, 64, 256)
_BARE = "bare LXC"


def tiles(run: Run) -> list[Tile]:
  """The figures that are seen first, of those that were measured."""
  found = []
  for name, what in (
    (_START + _LESS, "start, as a multiple of bare LXC commands"),
    (_STOP + _LESS, "stop and clean-up, likewise"),
    (_LIST.format(_COUNTS[-1]), "list of 200 containers against lxc-ls"),
  ):
    figure = run.figure(name)
    if figure:
      own, other = spread(figure["ours"]), spread(figure["other"])
      basis = (
        f"{number(own.median)} against {number(other.median)}"
        f" {figure['unit']}, n {own.n}"
      )
      found.append(Tile(times(own.median / other.median), what, basis))
  figure = run.figure(_STALL.format(_MEMORY[0]))
  if figure:
    own = spread(figure["ours"])
    what = "stall of a client in a live migration"
    basis = f"n {own.n}, middle half {number(own.low)} to {number(own.high)} ms"
    found.append(Tile(f"{number(own.median)} ms", what, basis))
  return found


def sections(run: Run) -> list[Section]:
  """One for each plot that there are figures for."""
  return [
    *_lifecycle(run),
    *_listing(run),
    *_ballooning(run),
    *_migration(run),
  ]


def _named(sides: dict[str, list[float]]) -> dict[str, list[float]]:
  """The bare commands by a short name."""
  return {
    name if name in {OURS, "podman", "incus"} else _BARE: samples
    for name, samples in sides.items()
  }


def _lifecycle(run: Run) -> Iterator[Section]:
  if not run.figure(_START) or not run.figure(_STOP):
    return
  panels = [
    (title, "ms", _named(run.sides(name)))
    for title, name in (("start", _START), ("stop and clean up", _STOP))
  ]
  less = [run.figure(name + _LESS) for name in (_START, _STOP)]
  ratios = [times(figure["ratio"]) for figure in less if figure]
  yield Section(
    title="Start and stop",
    says="Without what the bare commands do not do at all (network scripts,"
    f" durable records) a start takes {ratios[0]} and a stop {ratios[1]} what"
    " the bare commands take.",
    plot=lambda: plots.samples(panels),
    figures=[f["name"] for s in (_START, _STOP) for f in run.beginning(s)],
    parts=["lifecycle"],
    commands=[
      (
        "ganeti-lxc: StartInstance; StopInstance(force), CleanupInstance, in a"
        " child as ganeti-noded forks it"
      ),
      (
        "bare LXC: losetup; partx -a; blkid; mount; lxc-start -d; lxc-wait -s"
        " RUNNING; then lxc-stop -k; umount; partx -d; losetup -d"
      ),
      (
        "podman: losetup; partx -a; mount; podman run -d --rootfs; then podman"
        " rm -f -t 0; umount; partx -d; losetup -d"
      ),
      "incus: incus start; incus stop --force (files in its pool beforehand)",
    ],
  )


def _listing(run: Run) -> Iterator[Section]:
  names = {n: _LIST.format(n) for n in _COUNTS if run.figure(_LIST.format(n))}
  if not names:
    return
  largest = max(names)
  sides = run.sides(names[largest])
  own = spread(sides[OURS]).median
  other = spread(sides["lxc-ls --fancy"]).median
  yield Section(
    title="Reporting against the number of containers",
    says=f"With {largest} containers a list takes {number(own)} ms,"
    f" {times(own / other)} of what lxc-ls takes.",
    plot=lambda: plots.listing(run, names),
    figures=list(names.values()),
    parts=["listing"],
    commands=[
      "ganeti-lxc: GetAllInstancesInfo",
      "lxc-ls -P LXCPATH --fancy",
      "podman ps --quiet",
      "incus list --format=csv --columns=ns4mu",
    ],
  )


def _ballooning(run: Run) -> Iterator[Section]:
  courses = run.course("ballooning")
  if not courses:
    return
  told = []
  for side, course in courses.items():
    steps = [s for s in course["steps"] if s["mib"] < course["held_mib"]]
    refused = sum(bool(s["answer"]) and not s["killed"] for s in steps)
    told.append(
      f"{side} refused {refused} of {len(steps)} such limits and"
      f" {course['killed']} processes were killed"
    )
  yield Section(
    title="Memory ballooning over time",
    says="A limit below what the guest holds: " + "; ".join(told) + ".",
    plot=lambda: plots.ballooning(courses),
    figures=[f["name"] for f in run.beginning("memory limit:")],
    parts=["ballooning"],
    commands=[
      "ganeti-lxc: BalloonInstanceMemory, as gnt-instance modify -m calls it",
      "podman update --memory=N --memory-swap=N",
      "incus config set NAME limits.memory=N",
      (
        "in the guest: 64 MiB held by a process; dd if=/dev/zero of=/busy"
        " bs=1048576 count=90, again and again"
      ),
    ],
  )


def _migration(run: Run) -> Iterator[Section]:
  courses = run.course("migration")
  if not courses:
    return
  idle = [c for c in courses if c["held_mib"] == courses[0]["held_mib"]]
  shown = [c for c in idle if c["client"]]
  middle = median_course(shown)
  stall = spread([c["stall_ms"] for c in idle])
  lost = sum(c["lost"] + c["repeated"] for c in courses)
  yield Section(
    title="A live migration, as a client sees it",
    says=f"One stall of {stall.told('ms')}; {lost} of all lines were lost or"
    f" repeated in {len(courses)} migrations{_silent(run)}. Shown is the"
    " migration whose stall is in the middle.",
    plot=lambda: plots.migration([middle]),
    figures=[
      f["name"]
      for start in ("migration:", "gnt-instance migrate")
      for f in run.beginning(start)
    ],
    parts=["migration"],
    commands=[
      (
        "gnt-instance migrate -f NAME (busybox guest, sharedfile, one NIC,"
        " migration_bandwidth=1000)"
      ),
      "in the guest: nc -ll -p 7000 -e /bin/cat",
      "client on the master: qa/cluster/counting_client.py ADDRESS 7000",
    ],
  )
  yield from _stalls(run)


def _silent(run: Run) -> str:
  """Migrations after which a client was not heard of again."""
  found = sum(one["peer"] == OURS for one in run.attempts())
  return f"; in {found} more the client got no answer any more" if found else ""


def _in_short(panels: list[tuple[str, str, dict[str, list[float]]]]) -> str:
  """How the medians of the first panel compare."""
  if not panels:
    return ""
  sides = panels[0][2]
  own = spread(sides[OURS]).median if OURS in sides else 0
  told = [
    f"{times(own / spread(samples).median)} that of {name}"
    for name, samples in sides.items()
    if own and name != OURS
  ]
  if not told:
    return "No other could do it here (see below)."
  return f"For an idle guest ours is {', '.join(told)}."


def _stalls(run: Run) -> Iterator[Section]:
  panels, names = [], []
  for mib in _MEMORY:
    own = run.figure(_STALL.format(mib))
    sides = {OURS: own["ours"]} if own else {}
    for peer in ("lxc-checkpoint", "podman", "incus"):
      other = run.figure(f"{peer}: stall of a client, {mib} MiB held")
      if other:
        sides[peer] = other["ours"]
        names.append(other["name"])
    if sides:
      panels.append((f"{mib} MiB held by the guest", "ms", sides))
  yield Section(
    title="The client's stall against the guest's memory",
    says="ganeti-lxc moves to another node; the others write a file and"
    f" restore from it on the same one. {_in_short(panels)} They were not"
    f" measured in turn: ours at a {run.load_of('migration')}, the others at a"
    f" {run.load_of('checkpoint')}.",
    plot=lambda: plots.samples(panels),
    figures=names,
    parts=["migration", "checkpoint"],
    commands=[
      "gnt-instance migrate -f NAME",
      (
        "podman container checkpoint --tcp-established --compress=none"
        " --export=FILE; podman container restore --tcp-established"
        " --import=FILE"
      ),
      "incus stop --stateful; incus start",
      (
        "lxc-checkpoint -s -D DIR; umount; partx -d; losetup -d; losetup;"
        " partx -a; mount; lxc-checkpoint -r -D DIR"
      ),
    ],
  )
