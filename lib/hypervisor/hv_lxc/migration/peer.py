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

"""The source's question: does the other node hold the token?"""

import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from .. import ssconf
from ..errors import LxcError, Refused
from ..host import Host
from . import connecting
from .auth import Secret
from .channel import Channel
from .journal import Journal
from .messages import Close, Closed, Forget, Owner, Resumed, Returned, State
from .states import Event
from .states import State as Journaled

_log = logging.getLogger(__name__)

# Ten seconds is also what Ganeti gives a connection between its daemons.
ANSWER_S = 10.0
# Nodes that are down and not marked so make a start wait this long.
_CONNECT_S = 3.0
# The other node may have to unmount something before it can say.  Ganeti waits
# 15 minutes for a start (RPC_TMO_NORMAL).
_ANSWER_ALL_S = 300.0
_AT_ONCE = 16
_BY_STATE = {
  Journaled.CLOSED: Event.PEER_CLOSED,
  Journaled.RELEASED: Event.PEER_RELEASED,
  Journaled.RESUMED: Event.PEER_RUNS,
  Journaled.OWNER: Event.PEER_BUSY,
  Journaled.IDLE: Event.PEER_FORGOT,
}


def open_channel(
  journal: Journal, certificate: Path, timeout_s: float = ANSWER_S
) -> Channel:
  """A connection to the target of a migration.

  @raise LxcError: see channel.py

  """
  return connecting.connect(
    journal.peer_address,
    journal.port,
    certificate=certificate,
    secret=Secret.from_text(journal.secret),
    migration=journal.id,
    timeout_s=timeout_s,
  )


def ask(host: Host, journal: Journal, certificate: Path) -> Event:
  """Asks for the token, and says what came of it.

  @return: one of protocol.PEER_EVENTS

  """
  if not journal.secret or not journal.peer_address:
    return _silent(host, journal)
  now = port_of_cluster(host) or journal.port
  for port in dict.fromkeys((journal.port, now)):
    try:
      with open_channel(replace(journal, port=port), certificate) as channel:
        channel.send(Close())
        return meaning(channel.receive(ANSWER_S))
    except (LxcError, ValueError) as err:
      _log.info("Migration of %s: %s", journal.name, err)
  return _silent(host, journal)


def ask_everybody(host: Host, name: str, port: int) -> list[Event]:
  """Tells all other nodes that an instance is about to be booted here.

  Nobody listens on a node that has no part in a migration, so most answer
  with a refused connection, at once.  Who listens is up and had a part: if that
  one does not say, nobody can tell that the instance is not there.

  @param port: migration_port
  @return: what those say who answer
  @raise Refused: one was asked, and does not

  """
  others = [address for _, address in other_nodes(host) if address]
  if not others:
    return []

  def one(address: str) -> Event:
    try:
      channel = connecting.ask(
        address,
        port,
        certificate=host.layout.certificate,
        name=name,
        connect_s=_CONNECT_S,
      )
    except LxcError as err:
      _log.info("Instance %s: %s", name, err)
      return Event.PEER_SILENT
    with channel:
      return _answer(channel, name, address)

  with ThreadPoolExecutor(min(len(others), _AT_ONCE)) as pool:
    return list(pool.map(one, others))


def _answer(channel: Channel, name: str, address: str) -> Event:
  try:
    return meaning(channel.receive(_ANSWER_ALL_S))
  except LxcError as err:
    raise Refused(
      f"Instance {name} may be on node {address}, which does not say whether it"
      " is",
      evidence=str(err),
      remedy="see to that there and repeat this; if that node is off for good,"
      " mark it with gnt-node modify --offline=yes",
    ) from err


def other_nodes(host: Host) -> list[tuple[str, str]]:
  """Name and address of all nodes not marked offline, but this one."""
  offline = ssconf.words(host, "offline_nodes")
  return [
    (node, address)
    for node, address in ssconf.pairs(host, "node_secondary_ips")
    if node not in offline and not _is_here(node, address)
  ]


def own_name(host: Host) -> str:
  """What Ganeti calls this node; the kernel may know a short name only."""
  name, _ = _here(host)
  return name or os.uname().nodename


def own_address(host: Host) -> str:
  """This node's secondary IP address, "" if it was told none."""
  _, address = _here(host)
  return address


def _here(host: Host) -> tuple[str, str]:
  pairs = ssconf.pairs(host, "node_secondary_ips")
  return next((pair for pair in pairs if _is_here(*pair)), ("", ""))


def port_of_cluster(host: Host) -> int:
  """The port on which nodes listen for migrations now; 0 if not known."""
  text = (ssconf.hvparams(host) or {}).get("migration_port", "")
  return int(text) if text.isdigit() else 0


def _is_here(node: str, address: str) -> bool:
  """Whether a node of the cluster is this one.

  Neither sign is enough: nodes of two domains can share the first part of
  their names, and with ip_nonlocal_bind every address can be bound.

  """
  here = os.uname().nodename
  if node.partition(".")[0] != here.partition(".")[0]:
    return False
  family = socket.AF_INET6 if ":" in address else socket.AF_INET
  with socket.socket(family, socket.SOCK_STREAM) as probe:
    try:
      probe.bind((address, 0))
    except OSError:
      return False
  return True


def forget(journal: Journal, certificate: Path) -> None:
  """Tells the target that the source knows where the instance is now."""
  try:
    with open_channel(journal, certificate) as channel:
      channel.send(Forget())
  except (LxcError, ValueError) as err:
    _log.info("Migration of %s: %s", journal.name, err)


def meaning(message: object) -> Event:
  """What an answer of the target means for the source."""
  match message:
    case Closed() | Returned():
      return Event.PEER_CLOSED
    case Resumed():
      return Event.PEER_RUNS
    case Owner():
      return Event.PEER_BUSY
    case State(state):
      return _BY_STATE.get(Journaled(state), Event.PEER_SILENT)
    case _:
      return Event.PEER_SILENT


def _silent(host: Host, journal: Journal) -> Event:
  return Event.PEER_OFFLINE if is_offline(host, journal) else Event.PEER_SILENT


def is_offline(host: Host, journal: Journal) -> bool:
  """Whether Ganeti's administrator marked the other node offline.

  Or took it out of the cluster, which comes to the same.

  """
  node, known = journal.peer_node, ssconf.words(host, "node_list")
  is_removed = bool(known) and node not in known
  offline = ssconf.words(host, "offline_nodes")
  return bool(node) and (node in offline or is_removed)


def node_name(host: Host, address: str) -> str:
  """The node with a primary or secondary IP address; "" if unknown."""
  for key in ("node_secondary_ips", "node_primary_ips"):
    for name, ip in ssconf.pairs(host, key):
      if ip == address:
        return name
  return ""
