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


"""Where the target waits for the source, whoever else knocks.

All who connect are served in one thread, each for a limited time, and so
many at most; when there are more, the longest waiting has to go.  Who did
not prove himself costs a socket and a TLS context.

"""

import contextlib
import logging
import select
import socket
import ssl
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ..errors import LxcError
from . import handshake, tls
from .channel import Cancelled, Channel, NoAnswer
from .closing import Closes
from .messages import FROM_SOURCE, Booting, Hello, Trouble
from .waiting import Wake, poll

_MOST = 32
# A log that grows with every stranger's attempt could fill the disk.
_MOST_LOGGED = 100


@dataclass(slots=True)
class _Stranger:
  """Somebody who has not proved himself yet."""

  connection: ssl.SSLSocket
  peer: str
  steps: Generator[int, None, Hello | Booting]
  deadline: float
  events: int = select.POLLIN


class Listener(Closes):
  """Accepts sources of the migrations that it is told of.

  @param listening: from L{tls.listen}, perhaps of the process before;
      closed by L{close}
  @param certificate: server.pem, read for each connection
  @param find_secret: the secret of a migration, or None if it is not known

  """

  def __init__(
    self,
    listening: socket.socket,
    *,
    certificate: Path,
    find_secret: handshake.FindSecret,
  ):
    listening.settimeout(0)
    self._socket = listening
    self._certificate = certificate
    self._find_secret = find_secret
    self._strangers: dict[int, _Stranger] = {}
    self._wake = Wake()
    self._logged = 0

  @property
  def port(self) -> int:
    """Where it listens."""
    return int(self._socket.getsockname()[1])

  def accept(self, timeout_s: float | None = None) -> Channel:
    """The next source that proved itself.

    @raise NoAnswer: none came in time
    @raise Cancelled: by L{cancel}

    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
      ready = self._wait(deadline)
      for fd in ready & set(self._strangers):
        channel = self._step(self._strangers[fd])
        if channel:
          return channel
      if self._socket.fileno() in ready:
        self._welcome()
      self._turn_out_the_slow()

  def cancel(self) -> None:
    """Ends L{accept} in another thread."""
    self._wake.call()

  def close(self) -> None:
    """Nobody is let in any more; channels made before stay."""
    for stranger in list(self._strangers.values()):
      self._drop(stranger)
    self._socket.close()
    self._wake.close()

  def _wait(self, deadline: float | None) -> set[int]:
    fds = {fd: stranger.events for fd, stranger in self._strangers.items()}
    fds |= {self._socket.fileno(): select.POLLIN, self._wake.fd: select.POLLIN}
    ends = [stranger.deadline for stranger in self._strangers.values()]
    if deadline is not None:
      ends.append(deadline)
    now = time.monotonic()
    ready = poll(fds, max(min(ends) - now, 0.0) if ends else None)
    if self._wake.fd in ready:
      raise Cancelled("Listening for the source of a migration was given up")
    if not ready and deadline is not None and time.monotonic() >= deadline:
      raise NoAnswer("The source of the migration did not connect in time")
    return ready

  def _welcome(self) -> None:
    try:
      plain, address = self._socket.accept()
    except OSError:
      # Gone before we looked, or the listening socket is not ready after
      # all (accept(2), "Error handling").
      return
    peer = tls.shown(address[0], address[1])
    try:
      stranger = self._stranger(plain, peer)
    except (LxcError, OSError) as err:
      plain.close()
      self._log(peer, err)
      return
    if len(self._strangers) >= _MOST:
      oldest = min(self._strangers.values(), key=lambda g: g.deadline)
      self._turn_out(oldest, TimeoutError("others wait"))
    self._strangers[stranger.connection.fileno()] = stranger

  def _stranger(self, plain: socket.socket, peer: str) -> _Stranger:
    plain.settimeout(0)
    tls.watch(plain)
    identity = tls.Identity.read(self._certificate)
    context = identity.context(is_server=True)
    connection = tls.wrap(context, plain, is_server=True)
    return _Stranger(
      connection=connection,
      peer=peer,
      steps=handshake.as_target(connection, identity, self._find_secret),
      deadline=time.monotonic() + handshake.LIMIT_S,
    )

  def _step(self, stranger: _Stranger) -> Channel | None:
    try:
      stranger.events = next(stranger.steps)
    except StopIteration as done:
      del self._strangers[stranger.connection.fileno()]
      came_for = done.value
      if isinstance(came_for, Booting):
        return Channel(
          stranger.connection,
          peer=stranger.peer,
          booting=came_for.name,
          accepts=(Trouble,),
        )
      return Channel(
        stranger.connection,
        peer=stranger.peer,
        migration=came_for.migration,
        accepts=FROM_SOURCE,
      )
    except (LxcError, OSError) as err:
      self._turn_out(stranger, err)
    return None

  def _turn_out_the_slow(self) -> None:
    now = time.monotonic()
    for stranger in list(self._strangers.values()):
      if stranger.deadline <= now:
        self._turn_out(stranger, TimeoutError("took too long"))

  def _turn_out(self, stranger: _Stranger, err: Exception) -> None:
    self._drop(stranger)
    self._log(stranger.peer, err)

  def _drop(self, stranger: _Stranger) -> None:
    del self._strangers[stranger.connection.fileno()]
    # Lets "Denied" out before the connection goes.
    with contextlib.suppress(OSError, ValueError):
      stranger.connection.unwrap()
    stranger.connection.close()

  def _log(self, peer: str, err: Exception) -> None:
    self._logged += 1
    if self._logged <= _MOST_LOGGED:
      logging.warning("Turned %s out: %s", peer, err)
    if self._logged == _MOST_LOGGED:
      logging.warning("Who else is turned out is not logged")
