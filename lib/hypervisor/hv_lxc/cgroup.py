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


"""What runs, told by the kernel's control groups alone.

An instance runs if and only if a process is in its group.  No LXC program
is asked: that would cost a process each, and hang on a container that is
being restored.  A directory without processes counts for nothing.

"""

import contextlib
import logging
import os
import signal
from pathlib import Path

from . import cgtree, pidfd
from .errors import Failed, Incomplete
from .freezer import freeze, is_frozen, settled, thaw
from .hierarchies import (
  PARENT,
  PIVOT,
  Hierarchies,
  Hierarchy,
  checked_name,
  config_lines,
  find,
  monitor_dir,
  payload_dir,
  valid_name,
)
from .host import Host, wait_until

__all__ = [
  "PARENT",
  "PIVOT",
  "Hierarchies",
  "Hierarchy",
  "checked_name",
  "config_lines",
  "describe",
  "find",
  "freeze",
  "has_capability",
  "init_pid",
  "is_frozen",
  "is_running",
  "kill",
  "monitor_dir",
  "monitor_pids",
  "names",
  "payload_dir",
  "prepare",
  "processes",
  "remove",
  "thaw",
]

_log = logging.getLogger(__name__)

_LIMITING = frozenset({"cpu", "cpuset", "memory"})
_KILL_S = 30.0
_REMOVE_S = 10.0
# One round of signals is given so long before the next.
_ROUND_S = 1.0
_NAMED = 5


def names(trees: Hierarchies) -> list[str]:
  """The instances that run, sorted."""
  found = set(_between_groups(trees))
  for tree in _asked(trees):
    found.update(_directories(tree.parent))
  return sorted(
    name for name in found if valid_name(name) and is_running(trees, name)
  )


def is_running(trees: Hierarchies, name: str) -> bool:
  """Whether a process of LXC or of the guest is there.

  While a guest reboots, LXC gives up both groups and makes them anew; its
  process is in the pivot group then (cgfsng_monitor_destroy).  It may come
  back just after we looked there, hence the second look.

  """
  return (
    _occupied(trees, name)
    or name in _between_groups(trees)
    or _occupied(trees, name)
  )


def monitor_pids(trees: Hierarchies, name: str) -> list[int]:
  """LXC's own processes for an instance."""
  tree = trees.reference
  return cgtree.pids(tree.monitor(name) + "/cgroup.procs") if tree else []


def processes(trees: Hierarchies, name: str) -> list[int]:
  """All processes of an instance, LXC's own first.

  @raise TooManyGroupsError: the guest has made too many groups

  """
  tree = trees.reference
  if tree is None:
    return []
  first = cgtree.all_pids(tree.monitor(name))
  between = _between_groups(trees).get(name, [])
  rest = cgtree.all_pids(tree.payload(name))
  return list(dict.fromkeys(first + between + rest))


def init_pid(host: Host, trees: Hierarchies, name: str) -> int | None:
  """The guest's process 1, as this node numbers it.

  LXC's process is its parent (also after a restore: criu runs with
  --restore-sibling), so three small files are read.  Processes joined by
  lxc-attach are nobody's 1.  Where the kernel does not list children
  (CONFIG_PROC_CHILDREN), the guest's processes are searched; a guest
  inside the guest has a deeper PID namespace.

  """
  for monitor in monitor_pids(trees, name):
    text = cgtree.read(f"{host.proc}/{monitor}/task/{monitor}/children")
    for child in map(int, (text or "").split()):
      if _pid_chain(host, child)[-1:] == [1]:
        return child
  tree = trees.reference
  if tree is None:
    return None
  inits = [
    (len(chain), chain[0])
    for chain in (
      _pid_chain(host, pid) for pid in cgtree.all_pids(tree.payload(name))
    )
    if len(chain) > 1 and chain[-1] == 1
  ]
  return min(inits)[1] if inits else None


def prepare(trees: Hierarchies, name: str) -> None:
  """Hands v2 controllers down on a hybrid node, before a start.

  On a pure v2 node LXC does so itself; on a hybrid one it does not
  (__cgfsng_delegate_controllers), and would not find the files of its
  limits.

  @raise Failed: the kernel refuses

  """
  tree = trees.unified
  if not trees.hybrid or tree is None:
    return
  wanted = _LIMITING.intersection(tree.controllers)
  if not wanted:
    return
  order = " ".join(f"+{controller}" for controller in sorted(wanted))
  try:
    Path(tree.group(name)).mkdir(mode=0o755, parents=True, exist_ok=True)
    for group in (tree.base, tree.parent, tree.group(name)):
      cgtree.write(f"{group}/cgroup.subtree_control", order)
  except OSError as err:
    raise Failed(
      f"The limits of instance {name} cannot be set up",
      evidence=f"cgroup.subtree_control in {tree.base}: {err.strerror}",
      remedy="run ganeti-lxc-doctor",
    ) from err


def describe(host: Host, trees: Hierarchies, name: str) -> str:
  """An instance's first processes, for an error's evidence."""
  said = [_describe(host, p) for p in processes(trees, name)[:_NAMED]]
  return ", ".join(said) or "no process is seen in its control groups"


def has_capability(host: Host, pid: int, number: int) -> bool:
  """Whether a process and its children can ever have a capability.

  Where that cannot be seen the answer is yes.

  @param number: as in linux/capability.h

  """
  status = cgtree.read(f"{host.proc}/{pid}/status") or ""
  bounding = status.partition("\nCapBnd:")[2].partition("\n")[0].strip()
  return not bounding or bool(int(bounding, 16) >> number & 1)


def kill(
  host: Host, trees: Hierarchies, name: str, timeout_s: float = _KILL_S
) -> None:
  """Ends every process of an instance, however fast it forks.

  v2 has cgroup.kill for that (Linux 5.14), and hybrid nodes too.  On v1
  the group is frozen, so that nothing forks, then signalled and thawed,
  and again until it is empty.

  @raise Incomplete: some are still there; the text names them

  """
  waited = 0.0
  _kill_unified(trees, name)
  while is_running(trees, name):
    _kill_round(host, trees, name)
    if wait_until(lambda: not is_running(trees, name), _ROUND_S):
      return
    waited += _ROUND_S
    if waited >= timeout_s:
      raise _still_there(host, trees, name, "cannot be killed")


def remove(
  host: Host, trees: Hierarchies, name: str, timeout_s: float = _REMOVE_S
) -> None:
  """Removes all groups of an instance that does not run.

  Whatever is left of them: those that LXC made, and those of the guest.

  @raise Incomplete: processes did not leave them in time

  """
  paths = [tree.group(name) for tree in trees.all]

  def removed() -> bool:
    busy = [path for path in paths if not cgtree.prune(path)]
    return not busy

  if not wait_until(removed, timeout_s):
    raise _still_there(host, trees, name, "has control groups in use")


def _asked(trees: Hierarchies) -> list[Hierarchy]:
  """The trees whose groups are looked at; on v2 they are one."""
  return [tree for tree in {trees.unified, trees.reference} if tree]


def _occupied(trees: Hierarchies, name: str) -> bool:
  """Whether an instance's groups have a process.

  One file is read on v2 and on hybrid nodes: cgroup.events counts
  everything below it.  v1 has nothing like it, but the guest does not
  outlive LXC's own process by more than a moment (PR_SET_PDEATHSIG), so
  that one is looked for first.

  What cannot be told, because of an error or of too many groups, counts
  as running: Ganeti starts again what is reported as down.

  """
  try:
    if trees.unified and _populated(trees.unified.group(name)):
      return True
    tree = trees.reference
    if tree is None or tree.version == 2:  # noqa: PLR2004
      return False
    if cgtree.read(tree.monitor(name) + "/cgroup.procs"):
      return True
    return cgtree.has_process(tree.payload(name))
  except (OSError, cgtree.TooManyGroupsError) as err:
    _log.warning("Whether instance %s runs cannot be told: %s", name, err)
    return True


def _between_groups(trees: Hierarchies) -> dict[str, list[int]]:
  """LXC's processes in the pivot group, by instance.

  The name is the last word of the title that LXC gives its process,
  "[lxc monitor] LXCPATH NAME" (start.c, lxccontainer.c).  Only LXC puts
  processes there, so a guest cannot forge one.

  """
  found: dict[str, list[int]] = {}
  tree = trees.reference
  if tree is None:
    return found
  for pid in cgtree.pids(f"{tree.base}/{PIVOT}/lxc.pivot/cgroup.procs"):
    title = cgtree.read(f"{trees.proc}/{pid}/cmdline") or ""
    words = title.replace("\0", " ").split()
    if len(words) > 1 and words[-2] == trees.lxcpath:
      found.setdefault(words[-1], []).append(pid)
  return found


def _directories(path: str) -> list[str]:
  try:
    with os.scandir(path) as entries:
      return [entry.name for entry in entries if entry.is_dir()]
  except FileNotFoundError:
    return []


def _populated(group: str) -> bool:
  text = cgtree.read(group + "/cgroup.events")
  return text is not None and cgtree.keyed(text, "populated") == 1


def _pid_chain(host: Host, pid: int) -> list[int]:
  """A process's numbers, from our PID namespace to its own; [] if gone."""
  text = cgtree.read(f"{host.proc}/{pid}/status") or ""
  _, _, rest = text.partition("\nNSpid:")
  return [int(number) for number in rest.partition("\n")[0].split()]


def _kill_unified(trees: Hierarchies, name: str) -> None:
  if trees.unified is None:
    return
  try:
    cgtree.write(trees.unified.group(name) + "/cgroup.kill", "1")
  except FileNotFoundError:
    return


def _kill_round(host: Host, trees: Hierarchies, name: str) -> None:
  """Freezes, signals, thaws.

  A process in the v1 freezer dies only when thawed, and a guest may have
  frozen groups of its own below.

  """
  freezer = trees.controller("freezer")
  if freezer is None or freezer.version != 1:
    _signal_all(host, trees, name)
    return
  group = freezer.group(name)
  _try_write(group + "/freezer.state", "FROZEN")
  wait_until(lambda: settled(freezer, group), _ROUND_S / 10)
  try:
    _signal_all(host, trees, name)
  finally:
    for fd in cgtree.walk(group):
      _try_write("freezer.state", "THAWED", dir_fd=fd)


def _try_write(path: str, value: str, *, dir_fd: int | None = None) -> None:
  """Writes to a group that may vanish or be out of reach."""
  with contextlib.suppress(OSError):
    cgtree.write(path, value, dir_fd=dir_fd)


def _signal_all(host: Host, trees: Hierarchies, name: str) -> None:
  tree = trees.reference
  if tree is None:
    return
  ours = f"/{PARENT}/{name}/", f"/{PIVOT}/"
  for pid in processes(trees, name):
    with contextlib.suppress(ProcessLookupError), pidfd.held(pid) as process:
      # The number may have been reused since it was read; from here on
      # the descriptor holds on to one process.
      text = cgtree.read(f"{host.proc}/{pid}/cgroup") or ""
      if any(part in text for part in ours):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _still_there(
  host: Host, trees: Hierarchies, name: str, what: str
) -> Incomplete:
  return Incomplete(
    f"Instance {name} {what}",
    evidence=describe(host, trees, name),
    remedy="a process in state D waits for a device or a file server;"
    " end that wait, then stop the instance again",
  )


def _describe(host: Host, pid: int) -> str:
  """A process as the text "process 12 (sh), state D"."""
  text = cgtree.read(f"{host.proc}/{pid}/stat") or ""
  name, _, rest = text.partition(" (")[2].rpartition(") ")
  return f"process {pid} ({name}), state {rest[:1]}"
