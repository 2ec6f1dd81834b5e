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

"""Who may still ask this node about an instance, and where it listens."""

import logging

from ..errors import LxcError
from ..host import Host
from . import daemons, journal, peer, protocol, task
from .journal import Journal
from .states import UNDECIDED, State

_log = logging.getLogger(__name__)


def is_awaited(
  found: Journal, state: State, *, lives: bool, is_late: bool = False
) -> bool:
  """Whether another node may have something to ask about an instance.

  @param state: what the journal says in this boot
  @param lives: a process of the instance lives on this node
  @param is_late: nobody has asked for long; whoever may, but need not, is
    served by a process that "gnt-cluster verify" starts again

  """
  # Ganeti may still take the source for the instance's node, and have it
  # started on a third one, which asks all that are up.
  is_unknown_to_ganeti = state is State.RESUMED and not found.finalized
  if is_late and state not in UNDECIDED and not is_unknown_to_ganeti:
    return False
  return protocol.needs_answerer(
    state,
    lives=lives,
    is_agreed=found.agreed or found.finalized,
    is_finalized=found.finalized,
    was_target=bool(found.secrets),
  )


def listen(host: Host, name: str) -> None:
  """Has a process listen for those who ask about an instance.

  For a migration that is under way it is where Ganeti told the source; later
  it is where all nodes of the cluster do now.

  @raise LxcError: nobody can listen there

  """
  try:
    part = task.load(host.layout.migration(name))
  except LxcError as err:
    # Without it the port is not known, and nobody can ask there.
    _log.warning("%s", err)
    return
  found = journal.look(host, name).journal
  if found and found.state in UNDECIDED:
    daemons.start_receiver(host, part.address, part.port)
    return
  address = peer.own_address(host) or part.address
  port = peer.port_of_cluster(host) or part.port
  daemons.start_receiver(host, address, port, anywhere=True)
