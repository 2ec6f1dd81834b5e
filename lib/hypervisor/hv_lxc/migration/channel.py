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


"""A connection between the two nodes of a migration, for messages.

Calls block, all can be ended from another thread by L{Channel.cancel}, and
one thread may send while another receives.  For that the socket itself
never blocks: OpenSSL lets only one thread at a time use a connection, and a
thread that waits must not keep the other from it.

Every error names the node, and is one of::

  NotAdmitted     the target knows no such migration (see handshake.py)
  ConnectionLost  the node, the network or the process there is gone
  NoAnswer        nothing came in time; the connection is still good
  PeerTrouble     the other side gave up, and said why
  Cancelled       by L{Channel.cancel}
  ProtocolError   something that this protocol does not have
  Failed, Refused the certificate, or the version of the driver

"""

import collections
import contextlib
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..errors import Failed, LxcError
from .closing import Closes
from .message_fields import MAX_TEXT
from .messages import (
  Data,
  Message,
  Packed,
  ProtocolError,
  Trouble,
)
from .waiting import Wake, poll
from .wire import Parser, encode, head

T = TypeVar("T")

# How long the last words of the other side, or ours to it, are waited for.
_PARTING_S = 2.0
# Data up to here are copied, to be sent with what is before and after.
_SMALL = 16 << 10


class ConnectionLost(Failed):
  """The connection is gone; what the other side did since is not known."""


class NoAnswer(Failed):
  """Nothing came in time."""


class PeerTrouble(Failed):
  """The other side gave up; the evidence is what it said."""


class Cancelled(Failed):
  """Somebody on this side ended it."""


class Channel(Closes):
  """An authenticated connection.

  @ivar peer: the other node's address, for people
  @ivar migration: which migration it belongs to, or ""
  @ivar booting: of which instance the other node asks, or ""

  """

  def __init__(
    self,
    connection: ssl.SSLSocket,
    *,
    peer: str,
    migration: str = "",
    booting: str = "",
    accepts: Iterable[type[Message]],
  ):
    self.peer = peer
    self.migration = migration
    self.booting = booting
    self._connection = connection
    self._parser = Parser(accepts)
    self._inbox: collections.deque[Message] = collections.deque()
    self._using = threading.Lock()
    self._sending = threading.Lock()
    self._receiving = threading.Lock()
    self._wake = Wake()

  def send(self, *messages: Message) -> None:
    """Sends; returns when the kernel has taken it all.

    Small ones given together go out together: a TLS record and a system
    call for each is what a thousand small files would take their time by.

    @raise LxcError: see the module

    """
    with self._sending:
      for part in _parts(messages):
        self._write(part)

  def receive(self, timeout_s: float | None = None) -> Message:
    """The next message; data are valid until the next call but one.

    @param timeout_s: None to wait as long as the connection lives
    @raise LxcError: see the module

    """
    with self._receiving:
      if self._inbox:
        return self._inbox.popleft()
      deadline = None if timeout_s is None else time.monotonic() + timeout_s
      return self._read(deadline)

  def heed(self) -> None:
    """Looks whether the other side gave up, and keeps what else it said.

    To be called now and then while a lot is sent.

    @raise LxcError: see the module

    """
    if not self._receiving.acquire(blocking=False):
      return
    try:
      while True:
        self._inbox.append(self._read(0.0))
    except NoAnswer:
      pass
    finally:
      self._receiving.release()

  def pause(self, seconds: float) -> None:
    """Waits.

    @raise Cancelled: by L{cancel}

    """
    if self._wake.wait(max(seconds, 0.0)):
      raise self._cancelled()

  def cancel(self) -> None:
    """Ends every call of other threads, and each from now on."""
    self._wake.call()

  def give_up(self, reason: str) -> None:
    """Tells the other side why, if it still listens, and closes.

    A connection that is closed while something unread is in it is reset,
    and the reason lost with it, hence what comes is read for a moment.

    """
    text = reason.encode("utf-8", "replace").decode()[:MAX_TEXT]
    with contextlib.suppress(LxcError, OSError):
      self.send(Trouble(text))
      with self._using:
        self._connection.shutdown(1)
      self._drain(time.monotonic() + _PARTING_S)
    self.close()

  def close(self) -> None:
    """Closes; the other side hears that it was on purpose.

    No other thread may be in a call: L{cancel} it first.

    """
    if self._connection.fileno() < 0:
      return
    # One attempt: the socket does not block.
    with contextlib.suppress(OSError, ValueError):
      self._connection.unwrap()
    self._connection.close()
    self._wake.close()

  def _write(self, data: memoryview) -> None:
    def some() -> bool:
      nonlocal data
      # One TLS record after the other, of 16 KiB at most.
      while data:
        data = data[self._connection.send(data) :]
      return True

    try:
      self._when_ready(some, None)
    except OSError as err:
      raise self._lost(err) from err

  def _read(self, deadline: float | None) -> Message:
    try:
      message = self._when_ready(self._read_ready, deadline)
    except ProtocolError as err:
      raise ProtocolError(
        f"Node {self.peer}: {err.what}", evidence=err.evidence
      ) from err
    except OSError as err:
      raise self._gone(err) from err
    if message is None:
      raise self._gone(None)
    if isinstance(message, Trouble):
      raise PeerTrouble(f"Node {self.peer} gave up", evidence=message.reason)
    return message

  def _read_ready(self) -> Message | None:
    """Reads while something is there; None at the stream's proper end."""
    parser, receive = self._parser, self._connection.recv_into
    while count := receive(parser.buffer()):
      message = parser.filled(count)
      if message is not None:
        return message
    parser.end()
    return None

  def _when_ready(
    self, operation: Callable[[], T], deadline: float | None
  ) -> T:
    """Does it as soon as the socket lets us."""
    while True:
      with self._using:
        try:
          return operation()
        except ssl.SSLWantReadError:
          events = select.POLLIN
        except ssl.SSLWantWriteError:
          events = select.POLLOUT
      self._wait(events, deadline)

  def _wait(self, events: int, deadline: float | None) -> None:
    left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
    fds = {self._connection.fileno(): events, self._wake.fd: select.POLLIN}
    ready = poll(fds, left)
    if self._wake.fd in ready:
      raise self._cancelled()
    if not ready:
      raise NoAnswer(
        f"Node {self.peer} did not answer in time",
        remedy="see whether the migration's process there is alive",
      )

  def _lost(self, err: OSError) -> LxcError:
    """Why sending failed: perhaps the other side said so before."""
    with self._receiving:
      try:
        while True:
          self._inbox.append(self._read(time.monotonic() + _PARTING_S))
      except PeerTrouble as trouble:
        return trouble
      except (LxcError, OSError):
        return self._gone(err)

  def _gone(self, err: OSError | None) -> ConnectionLost:
    evidence = "it was closed there"
    if err is not None:
      evidence = err.strerror or str(err)
    return ConnectionLost(
      f"The connection to node {self.peer} is lost",
      evidence=evidence,
      remedy="see whether the node and the network to it are up",
    )

  def _cancelled(self) -> Cancelled:
    return Cancelled(f"The connection to node {self.peer} was given up here")

  def _drain(self, deadline: float) -> None:
    scratch = memoryview(bytearray(64 << 10))
    connection = self._connection
    while self._when_ready(lambda: connection.recv_into(scratch), deadline):
      pass


def _parts(messages: Iterable[Message]) -> Iterator[memoryview]:
  """What to write: small frames joined, large data without a copy."""
  joined = bytearray()
  for message in messages:
    if isinstance(message, Data | Packed) and len(message.data) > _SMALL:
      yield memoryview(bytes(joined) + head(message))
      yield memoryview(message.data)
      joined.clear()
    else:
      joined += encode(message)
  if joined:
    yield memoryview(joined)
