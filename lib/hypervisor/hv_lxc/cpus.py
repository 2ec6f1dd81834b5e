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


"""CPU lists, Ganeti's CPU masks, and the CPUs of the node."""

import functools
import re
from collections.abc import Iterable

from . import cgtree
from .errors import Refused
from .host import Host

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_MAX_CPU = 8192
# constants.CPU_PINNING_SEP and CPU_PINNING_ALL of Ganeti.
_MASK_SEPARATOR = ":"
_MASK_ALL = "all"


@functools.lru_cache(maxsize=64)
def parse(text: str) -> frozenset[int]:
  """A CPU list as the kernel and Ganeti write it ("0-2,5").

  @raise Refused: it is no such list

  """
  found: set[int] = set()
  for part in text.split(","):
    match = _RANGE.fullmatch(part.strip())
    if not match:
      raise Refused(
        f"{text!r} is not a list of CPUs",
        remedy="write numbers and ranges, as in 0-2,5",
      )
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last or last > _MAX_CPU:
      raise Refused(
        f"{part.strip()!r} in {text!r} is not a range of CPUs",
        remedy=f"write the lower number first, none above {_MAX_CPU}",
      )
    found.update(range(first, last + 1))
  return frozenset(found)


def format_list(cpus: Iterable[int]) -> str:
  """The shortest list for the kernel ("0-2,5"), "" for no CPU."""
  ranges: list[list[int]] = []
  for cpu in sorted(cpus):
    if ranges and ranges[-1][1] == cpu - 1:
      ranges[-1][1] = cpu
    else:
      ranges.append([cpu, cpu])
  return ",".join(
    str(first) if first == last else f"{first}-{last}" for first, last in ranges
  )


def from_mask(mask: str) -> str:
  """The CPUs that a cpu_mask gives to the guest as a whole.

  A container has no virtual CPUs that could be pinned one by one, so a
  multi mask ("0-1:3:all", one entry for each) counts as its union.

  @return: a list for Limits.cpuset, "" for all CPUs
  @raise Refused: it is no CPU mask

  """
  entries = [entry.strip() for entry in mask.split(_MASK_SEPARATOR)]
  if not mask.strip() or _MASK_ALL in entries:
    for entry in entries:
      if entry and entry != _MASK_ALL:
        parse(entry)
    return ""
  return format_list(frozenset().union(*map(parse, entries)))


def check_mask(mask: str, available: frozenset[int]) -> None:
  """Whether all CPUs of a mask are there.

  @param available: as L{online} gives them
  @raise Refused: some are not, or it is no CPU mask

  """
  cpuset = from_mask(mask)
  missing = parse(cpuset) - available if cpuset else frozenset()
  if missing:
    raise Refused(
      f"cpu_mask {mask!r} names CPUs that this node does not have",
      evidence=f"CPU {format_list(missing)}; there are"
      f" {format_list(available)}",
      remedy="choose among those in cpu_mask",
    )


def online(host: Host) -> frozenset[int]:
  """The CPUs that are switched on.

  @raise OSError: neither sysfs nor /proc/cpuinfo is readable

  """
  text = cgtree.read(f"{host.sys}/devices/system/cpu/online")
  if text and text.strip():
    return parse(text.strip())
  cpuinfo = cgtree.read(f"{host.proc}/cpuinfo") or ""
  found = re.findall(r"(?m)^processor\s*:\s*(\d+)\s*$", cpuinfo)
  return frozenset(map(int, found))


def sockets_and_nodes(host: Host, cpus: Iterable[int]) -> tuple[int, int]:
  """How many processor packages and NUMA nodes the CPUs are on.

  At least one of each: not every platform tells.

  """
  base = f"{host.sys}/devices/system/cpu"
  packages = {
    cgtree.read(f"{base}/cpu{cpu}/topology/physical_package_id") for cpu in cpus
  }
  nodes = cgtree.read(f"{host.sys}/devices/system/node/has_cpu")
  count = len(parse(nodes.strip())) if nodes and nodes.strip() else 1
  return max(1, len(packages - {None})), count
