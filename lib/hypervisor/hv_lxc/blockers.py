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

"""What stands in the way of moving a running guest, told before it is tried.

The interface, for live migration and for ganeti-lxc-doctor::

  from .blockers import find_blockers
  from .doctor import abilities, reading

  guest = reading.read_guest(host, name)      # /proc alone; no side effect
  node = abilities.of_node(node)              # or Abilities(...) by hand
  for blocker in find_blockers(guest, node):  # pure: values in, values out
    ...

An empty tuple means that nothing was found, not that CRIU will succeed:
what can be seen from outside is looked at, queues in the kernel are not.
Each rule names what CRIU would say; sources are CRIU 3.17 to 4.2.

L{lost} tells what survives a migration in part only.

"""

from collections.abc import Iterator
from dataclasses import dataclass

from .doctor import filerules, mountrules, sessions
from .doctor.guest import Abilities, Guest, Process
from .errors import one_line

# CLONE_SUBNS of criu/namespaces.c: those of these kinds may be nested.
_MAY_NEST = frozenset({"mnt", "net"})
_NEVER_NEST = ("pid", "ipc", "uts", "user", "time", "cgroup")


@dataclass(frozen=True, slots=True)
class Blocker:
  """One thing that cannot be moved.

  @ivar pid: the process, as the node numbers it
  @ivar command: its name, made printable
  @ivar object: what of it: a descriptor, a mount, a namespace
  @ivar reason: why that cannot be moved
  @ivar remedy: what can be done about it

  """

  pid: int
  command: str
  object: str
  reason: str
  remedy: str

  def __str__(self) -> str:
    who = f"process {self.pid} ({self.command}), {self.object}"
    return f"{who}: {self.reason} ({self.remedy})"


def find_blockers(
  guest: Guest, abilities: Abilities | None = None
) -> tuple[Blocker, ...]:
  """What CRIU would fail on, in the order of processes and descriptors.

  Costs time in proportion to descriptors and mounts.

  @param abilities: of the node; the best there are, if None

  """
  node = abilities or Abilities()
  init = _init(guest)
  found: dict[tuple[int, str], Blocker] = {}
  for blocker in _all(guest, node, init):
    found.setdefault((blocker.pid, blocker.object), blocker)
  return tuple(found.values())


def lost(guest: Guest) -> tuple[Blocker, ...]:
  """What does not come along, although the migration succeeds.

  Processes that joined from outside, as those of lxc-attach and of a root
  shell on the console, are no descendants of the guest's process 1.

  """
  inside = {process.pid for process in _tree(guest)}
  return tuple(
    _blocker(
      process,
      "process",
      "it joined the guest from outside and ends with the migration",
      "leave the shell or the command (gnt-instance console, lxc-attach)",
    )
    for process in guest.processes
    if process.pid not in inside
  )


def _init(guest: Guest) -> Process:
  for process in guest.processes:
    if process.pid == guest.init:
      return process
  return Process(pid=guest.init, command="init")


def _tree(guest: Guest) -> list[Process]:
  """Process 1 and its descendants: what CRIU saves."""
  children: dict[int, list[Process]] = {}
  for process in guest.processes:
    children.setdefault(process.parent, []).append(process)
  found = [process for process in guest.processes if process.pid == guest.init]
  for process in found:
    found.extend(children.get(process.pid, ()))
  return found


def _all(guest: Guest, node: Abilities, init: Process) -> Iterator[Blocker]:
  members = _tree(guest)
  spaces = frozenset(
    text for process in members for text in process.namespaces.values()
  )
  yield from _mounts(guest, node, init)
  for process in sessions.astray(members, init):
    yield _blocker(
      process,
      f"session {process.session}",
      "its session's leader is gone or not above it, and process 1 has not"
      " adopted it (CRIU: Can't find a session leader)",
      "restart it; a daemon below another program than the guest's init had"
      " better not fork twice",
    )
  # CRIU knows them all: what a service opened before it got mounts of its own
  # is found by those of process 1 (criu/mount.c, lookup_mnt_id).
  numbers = frozenset(
    mount.number for space in guest.mounts.values() for mount in space
  )
  for process in members:
    yield from _process(process, init, node)
    yield from _memory(process)
    yield from _removed(process)
    seen = guest.mounts.get(process.namespaces.get("mnt", ""), ())
    around = filerules.Around(
      guest=guest,
      node=node,
      process=process,
      namespaces=spaces,
      mounts=numbers if seen else frozenset(),
    )
    for file in process.files:
      for reason, remedy in filerules.why_not(file, around):
        yield _blocker(process, f"fd {file.fd} {file.target}", reason, remedy)


def _blocker(process: Process, thing: str, reason: str, remedy: str) -> Blocker:
  """A guest chooses names; they are made printable here, once."""
  texts = map(one_line, (process.command, thing, reason, remedy))
  return Blocker(process.pid, *texts)


def _process(
  process: Process, init: Process, node: Abilities
) -> Iterator[Blocker]:
  if any(process.uids) and not node.sys_resource:
    # criu/cr-dump.c, dump_task_rlimits; prlimit(2).
    yield _blocker(
      process,
      f"uid {max(process.uids)}",
      "its limits cannot be read: the node has no CAP_SYS_RESOURCE (CRIU:"
      " Can't get rlimit)",
      "give the node the capability, or move the instance by"
      " gnt-instance failover",
    )
  if not process.session:
    # criu/cr-dump.c, fixup/pstree: sids of the namespace only.
    yield _blocker(
      process,
      "session",
      "it was started from outside of the guest and has not left the session"
      " there (CRIU: A session leader is outside of its pid namespace)",
      "end the program; from the root shell of gnt-instance console start it"
      " with setsid",
    )
  if process.tracer:
    # compel/src/lib/infect.c: PTRACE_SEIZE answers EPERM.
    yield _blocker(
      process,
      f"traced by process {process.tracer}",
      "CRIU cannot attach to what a debugger holds",
      "end the debugger or strace",
    )
  if process.stopped and not node.stopped_tasks:
    # ptrace(2) waits for it to be stopped by another: kernel/ptrace.c,
    # JOBCTL_TRAPPING; CRIU and the guest would stand still until then.
    yield _blocker(
      process,
      "stopped",
      "CRIU cannot attach to what was stopped before it is frozen by the v1"
      " freezer, and would wait for ever",
      "have it go on (fg, kill -CONT), or end it",
    )
  yield from _namespaces(process, init, node)


def _memory(process: Process) -> Iterator[Blocker]:
  for path in process.device_maps:
    yield _blocker(
      process,
      f"mapping of {path}",
      "memory of a device cannot be saved (CRIU: Can't handle non-regular"
      " mapping)",
      "end the program",
    )
  for path in process.sealed_maps:
    # criu/memfd.c, apply_memfd_seals: mappings are there before the seals.
    yield _blocker(
      process,
      f"mapping of {path}",
      "it is sealed against writing, which cannot be done again while it is"
      " mapped (CRIU: Cannot apply seals on memfd)",
      "end the program",
    )
  if process.program.startswith("/memfd:"):
    # criu/files-reg.c, collect_special_file: looks among files of disks only.
    yield _blocker(
      process,
      f"program {process.program}",
      "it runs from memory, where CRIU does not find it again (CRIU: No entry"
      " for reg-file-ID)",
      "end the program",
    )

  if process.is_program_barred:
    yield _blocker(
      process,
      f"program {process.program}",
      "nobody may run it any more (CRIU: PR_SET_MM_MAP failed with -13)",
      "chmod +x the file, or end the program",
    )
  if process.wakes_main_thread:
    # criu/timer.c, encode_notify_thread_id: the first thread has no number.
    yield _blocker(
      process,
      "timer",
      "it signals the first thread alone (CRIU: Can't create posix timer)",
      "end the program, or the profiler in it",
    )


def _removed(process: Process) -> Iterator[Blocker]:
  """What CRIU makes again for a moment, under the name that it had."""
  for thing in process.taken:
    yield _blocker(
      process,
      thing,
      "it was removed, and its name is another's by now or cannot be had"
      " (CRIU: Couldn't unlink remap, Can't create ghost)",
      "restart the program",
    )
  for thing, reason in process.stray_sockets:
    yield _blocker(
      process,
      thing,
      reason,
      "end the program; if it does so whenever it starts, move the instance by"
      " gnt-instance failover",
    )
  if process.foreground_gone:
    yield _blocker(
      process,
      "terminal",
      "no process is left of the group in its foreground (CRIU: tty: Failed to"
      " set group)",
      "end the session, or run a command there",
    )


def _namespaces(
  process: Process, init: Process, node: Abilities
) -> Iterator[Blocker]:
  for kind in (*_NEVER_NEST, *_MAY_NEST):
    mine, outer = process.namespaces.get(kind), init.namespaces.get(kind)
    if not mine or not outer or mine == outer:
      continue
    if kind in _MAY_NEST and (kind != "mnt" or node.nested_mounts):
      continue
    yield _blocker(
      process,
      mine,
      f"it has a {kind} namespace of its own (CRIU: Can't dump nested {kind}"
      " namespace)",
      "take the sandboxing out of its unit (ProtectHostname=, Private...=),"
      " or end the container inside the guest",
    )


def _mounts(guest: Guest, node: Abilities, init: Process) -> Iterator[Blocker]:
  outer = init.namespaces.get("mnt", "")
  holders = {p.namespaces.get("mnt", ""): p for p in reversed(_tree(guest))}
  for space, mounts in guest.mounts.items():
    process = init if space == outer else holders.get(space)
    if process is None:
      continue
    for mount in mounts:
      for reason, remedy in mountrules.why_not(mount, mounts, guest, node):
        thing = f"{mount.fs_type} on {mount.mount_point}"
        yield _blocker(process, thing, reason, remedy)
      if space != outer and mountrules.is_group_file(mount):
        yield _blocker(
          process,
          f"{mount.root} on {mount.mount_point}",
          "a file of a control group is mounted in a namespace of its own,"
          " which cannot be made again (CRIU: Failed to move_mount)",
          "set MemoryPressureWatch=off in the unit, or drop sys_admin",
        )
