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

"""Which instances a node shows to Ganeti while they are between two nodes.

The source shows an instance as running until it knows that it has gone,
also when no process of it lives there; the target only when the guest may
have run.  Whoever looks also has unsettled migrations taken care of.

"""

import contextlib
import logging
from collections.abc import Iterable

from .. import ssconf
from ..errors import LxcError
from ..host import Host, wait_until
from ..model import RunState, Usage
from . import answering, daemons, intake, journal, protocol, task
from .journal import Journal, Listed, Role
from .states import HANDED, UNDECIDED, State

_log = logging.getLogger(__name__)

_IN_BETWEEN = (*HANDED, State.OWNER, State.RETRYING)
# A node that is up answers within seconds once its receiver has been started.
_ANSWER_S = 10.0
# A guest with much memory is restored for longer; both together are less than
# the minute that Ganeti gives a node (RPC_TMO_URGENT, instance_list).
_RESTORE_S = 35.0


def shown(host: Host, running: Iterable[str]) -> list[str]:
  """The names to list, sorted.

  @param running: those that have processes here

  """
  names = set(running)
  for listed in journal.load_all(host):
    if _is_shown(host, listed, lives=listed.name in names):
      names.add(listed.name)
    else:
      names.discard(listed.name)
  return sorted(names)


def shown_usage(host: Host, found: list[Usage]) -> list[Usage]:
  """The same for figures."""
  listed = journal.load_all(host)
  if not listed:
    return found
  by_name = {usage.name: usage for usage in found}
  for one in listed:
    if not _is_shown(host, one, lives=one.name in by_name):
      by_name.pop(one.name, None)
    elif one.name not in by_name:
      by_name[one.name] = _between(host, one.name)
  return [by_name[name] for name in sorted(by_name)]


def one_usage(host: Host, name: str, found: Usage | None) -> Usage | None:
  """The same for the figures of one instance."""
  if not host.layout.migration(name).journal.exists():
    return found
  if not _is_shown(host, journal.look(host, name), lives=found is not None):
    return None
  return found or _between(host, name)


def _is_shown(host: Host, listed: Listed, *, lives: bool) -> bool:
  if listed.journal is None:
    _log.warning("%s", listed.problem)
    return lives
  return protocol.lists_as_running(_state(host, listed.journal), lives=lives)


def _state(host: Host, found: Journal) -> State:
  """What the journal says, of which part may be of another boot."""
  if found.boot_id in ("", host.boot_id()):
    return found.state
  return protocol.after_boot(found.state)


def _between(host: Host, name: str) -> Usage:
  memory = vcpus = 0
  with contextlib.suppress(LxcError):
    part = task.load(host.layout.migration(name))
    memory, vcpus = part.memory_mib, part.vcpus
  return Usage(
    name=name, state=RunState.RUNNING, memory_mib=memory, vcpus=vcpus
  )


def attend(host: Host, running: Iterable[str], *, thorough: bool) -> None:
  """Has what is unsettled settled by a process of its own.

  Never fails: a list of instances must not depend on it.

  @param running: those that have processes here
  @param thorough: listen also where hardly anybody will ask

  """
  names = set(running)
  for listed in journal.load_all(host):
    try:
      _attend(host, listed, lives=listed.name in names, thorough=thorough)
    except (LxcError, OSError) as err:
      _log.warning("Migration of %s: %s", listed.name, err)


def _attend(host: Host, listed: Listed, *, lives: bool, thorough: bool) -> None:
  found = listed.journal
  if found is None or journal.worker(host, listed.name) is not None:
    return
  if _is_past(host, found):
    forget(host, listed.name)
    return
  has_images = intake.holds(host.layout.migration(listed.name).home)
  agreed = found.agreed or found.finalized
  state = _state(host, found)
  is_unsettled = protocol.needs_settling(
    state, has_images=has_images, lives=lives, is_agreed=agreed
  )
  has_work = is_unsettled and (found.role is not Role.TARGET or has_images)
  if has_work:
    daemons.start_worker(host, listed.name, settle=True)
  # The source can wait for what this node has nothing more to do about, or
  # nothing but to remove what had come.
  is_under_way = found.state in UNDECIDED
  if (is_unsettled and not has_work and is_under_way) or (
    thorough and answering.is_awaited(found, state, lives=lives)
  ):
    answering.listen(host, listed.name)


def await_answers(
  host: Host, answer_s: float = _ANSWER_S, restore_s: float = _RESTORE_S
) -> None:
  """Waits a moment for other nodes to say where instances are.

  An instance whose source is still asking, or whose target is still restoring
  it, is shown on both nodes or on none, and gnt-instance migrate --cleanup,
  which has all nodes list at once, cannot do anything with that.  The very
  same listing has the other node answer, and this one go on.

  @param answer_s: so long it is waited anyway
  @param restore_s: and then so long while a process works for one of them

  """
  if wait_until(lambda: not _in_between(host), answer_s):
    return
  wait_until(
    lambda: all(journal.worker(host, n) is None for n in _in_between(host)),
    restore_s,
  )


def _in_between(host: Host) -> list[str]:
  found = (listed.journal for listed in journal.load_all(host))
  return [j.name for j in found if j and _state(host, j) in _IN_BETWEEN]


def _is_past(host: Host, found: Journal) -> bool:
  """Whether the instance is in the cluster no more (ssconf_instance_list)."""
  if found.state not in (State.IDLE, State.GONE, State.CLOSED, State.RELEASED):
    return False
  text = ssconf.text(host, "instance_list")
  return text is not None and found.name not in text.split()


def forget(host: Host, name: str) -> None:
  """Removes all that is left of an instance's migrations."""
  home = host.layout.migration(name).home
  intake.clear(home)
  for entry in home.iterdir():
    entry.unlink()
  home.rmdir()
