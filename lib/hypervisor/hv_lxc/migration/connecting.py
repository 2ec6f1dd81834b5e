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


"""The ways to the target: of the source, and of whoever asks."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import LxcError
from . import handshake, tls
from .auth import Secret
from .channel import Channel, ConnectionLost
from .messages import FROM_TARGET
from .waiting import poll


def connect(
  address: str,
  port: int,
  *,
  certificate: Path,
  secret: Secret,
  migration: str,
  timeout_s: float = handshake.LIMIT_S,
) -> Channel:
  """The source's side of a new connection.

  @param address: the target's
  @param certificate: server.pem
  @raise LxcError: see channel.py

  """

  def begin(link: ssl.SSLSocket, identity: tls.Identity) -> handshake.Waiting:
    return handshake.as_source(link, identity, secret, migration)

  where = _Where(address, port, certificate, timeout_s, timeout_s)
  return Channel(
    _open(where, begin),
    peer=tls.shown(address, port),
    migration=migration,
    accepts=FROM_TARGET,
  )


def ask(
  address: str,
  port: int,
  *,
  certificate: Path,
  name: str,
  connect_s: float,
) -> Channel:
  """A connection on which the other node says whether it has an instance.

  @param connect_s: how long a node may take that is down; one that is up may
    take longer until it talks to us
  @raise LxcError: see channel.py

  """

  def begin(link: ssl.SSLSocket, identity: tls.Identity) -> handshake.Waiting:
    return handshake.as_asker(link, identity, name)

  where = _Where(address, port, certificate, handshake.LIMIT_S, connect_s)
  return Channel(
    _open(where, begin),
    peer=tls.shown(address, port),
    accepts=FROM_TARGET,
  )


class _Where(NamedTuple):
  address: str
  port: int
  certificate: Path
  timeout_s: float
  connect_s: float


def _open(
  where: _Where,
  begin: Callable[[ssl.SSLSocket, tls.Identity], handshake.Waiting],
) -> ssl.SSLSocket:
  deadline = time.monotonic() + where.timeout_s
  identity = tls.Identity.read(where.certificate)
  context = identity.context(is_server=False)
  plain = tls.connect(where.address, where.port, where.connect_s)
  plain.settimeout(0)
  peer = tls.shown(where.address, where.port)
  connection = tls.wrap(context, plain, is_server=False)
  try:
    _drive(begin(connection, identity), connection, deadline)
  except BaseException as err:
    connection.close()
    if isinstance(err, LxcError):
      raise _with_node(err, peer) from err
    if isinstance(err, OSError):
      raise ConnectionLost(
        f"The connection to node {peer} was lost before it was of use",
        evidence=err.strerror or str(err),
        remedy="see whether the migration's process there is alive",
      ) from err
    raise
  return connection


def _drive(
  steps: handshake.Waiting, connection: ssl.SSLSocket, deadline: float
) -> None:
  """Takes the steps one after the other, waiting in between.

  @raise OSError: not done in time

  """
  for events in steps:
    left = max(deadline - time.monotonic(), 0.0)
    if not poll({connection.fileno(): events}, left):
      raise TimeoutError("no answer in time")


def _with_node(err: LxcError, peer: str) -> LxcError:
  return type(err)(
    f"Node {peer}: {err.what}", evidence=err.evidence, remedy=err.remedy
  )
