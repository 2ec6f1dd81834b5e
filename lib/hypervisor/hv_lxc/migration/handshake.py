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


"""How a connection begins, on both sides: TLS, the certificate, the secret.

The steps are generators that yield what they wait for (C{select.POLLIN} or
C{POLLOUT}), so that the target can take any number of them, slow or
hostile, in one thread.  Until the last step only messages of the handshake
are read, and nothing is made for the other side but its buffers.

"""

import select
import ssl
from collections.abc import Callable, Generator

from ..errors import Failed, Refused
from . import tls
from .auth import Dialogue, Role, Secret, nonce
from .messages import (
  VERSION,
  Booting,
  Challenge,
  Denied,
  Hello,
  Message,
  ProtocolError,
  Welcome,
)
from .wire import Parser, encode

Waiting = Generator[int, None, None]
FindSecret = Callable[[str], Secret | None]

# From the connection to the last message; a node under load needs some.
LIMIT_S = 10.0


class NotAdmitted(Failed):
  """The target does not take us for the source of a migration it knows.

  There is none under this number, or our secret is another one.  It comes
  from a node that has the cluster's certificate and key.

  """


def as_source(
  connection: ssl.SSLSocket,
  identity: tls.Identity,
  secret: Secret,
  migration: str,
) -> Waiting:
  """The source's side.

  @raise NotAdmitted: see there
  @raise Failed: the other side has another certificate, or another secret
  @raise ProtocolError: it speaks something else
  @raise OSError: the connection is lost

  """
  challenge = yield from _challenged(connection, identity)
  mine = nonce()
  dialogue = Dialogue(
    migration=migration,
    source_nonce=mine,
    target_nonce=challenge.nonce,
    binding=tls.binding(connection),
  )
  proof = dialogue.proof(secret, Role.SOURCE)
  yield from _say(connection, Hello(migration, mine, proof))
  answer = yield from _hear(connection, Parser((Welcome, Denied)))
  if not isinstance(answer, Welcome):
    raise NotAdmitted(
      f"The target knows no migration {migration} with our secret",
      remedy="it was ended there; gnt-instance migrate --cleanup settles it",
    )
  if not dialogue.proves(secret, Role.TARGET, answer.proof):
    raise Failed(
      "The target does not know the secret of this migration",
      remedy="see which program listens on migration_port there",
    )


def as_asker(
  connection: ssl.SSLSocket, identity: tls.Identity, name: str
) -> Waiting:
  """The side of a node that is about to boot an instance.

  @raise Failed: the other side has another certificate
  @raise ProtocolError: it speaks something else
  @raise OSError: the connection is lost

  """
  yield from _challenged(connection, identity)
  yield from _say(connection, Booting(name))


def as_target(
  connection: ssl.SSLSocket, identity: tls.Identity, find_secret: FindSecret
) -> Generator[int, None, Hello | Booting]:
  """The target's side; returns what the other side comes for.

  @raise Failed: the other side may not talk to us
  @raise ProtocolError: it speaks something else
  @raise OSError: the connection is lost

  """
  yield from _secure(connection, identity)
  mine = nonce()
  yield from _say(connection, Challenge(VERSION, mine))
  hello = yield from _hear(connection, Parser((Hello, Booting)))
  if isinstance(hello, Booting):
    return hello
  if not isinstance(hello, Hello):
    raise ProtocolError("Not a Hello")
  dialogue = Dialogue(
    migration=hello.migration,
    source_nonce=hello.nonce,
    target_nonce=mine,
    binding=tls.binding(connection),
  )
  # With a secret that nobody has an unknown migration is refused as a
  # wrong proof is, in the same time.
  found = find_secret(hello.migration)
  right = dialogue.proves(found or Secret.new(), Role.SOURCE, hello.proof)
  if found is None or not right:
    yield from _say(connection, Denied())
    raise Failed("A peer does not know the secret of any migration here")
  yield from _say(connection, Welcome(dialogue.proof(found, Role.TARGET)))
  return hello


def _challenged(
  connection: ssl.SSLSocket, identity: tls.Identity
) -> Generator[int, None, Challenge]:
  """How whoever comes to a target begins."""
  yield from _secure(connection, identity)
  challenge = yield from _hear(connection, Parser((Challenge,)))
  if not isinstance(challenge, Challenge):
    raise ProtocolError("Not a Challenge")
  if challenge.version != VERSION:
    raise _other_version(challenge.version)
  return challenge


def _secure(connection: ssl.SSLSocket, identity: tls.Identity) -> Waiting:
  while True:
    try:
      connection.do_handshake()
      break
    except ssl.SSLWantReadError:
      yield select.POLLIN
    except ssl.SSLWantWriteError:
      yield select.POLLOUT
    except ssl.SSLError as err:
      raise _other_certificate(err.reason or str(err)) from err
  if not identity.is_of(connection):
    raise _other_certificate("another one was shown")


def _hear(
  connection: ssl.SSLSocket, parser: Parser
) -> Generator[int, None, Message]:
  message = None
  while message is None:
    try:
      count = connection.recv_into(parser.buffer())
    except ssl.SSLWantReadError:
      yield select.POLLIN
    except ssl.SSLWantWriteError:
      yield select.POLLOUT
    except ssl.SSLError as err:
      # With TLS 1.3 a client hears only now that it was refused.
      if "ALERT" in (err.reason or ""):
        raise _other_certificate(err.reason) from err
      raise
    else:
      if not count:
        raise ConnectionResetError("the other side closed the connection")
      message = parser.filled(count)
  return message


def _say(connection: ssl.SSLSocket, message: Message) -> Waiting:
  left = memoryview(encode(message))
  while left:
    try:
      left = left[connection.send(left) :]
    except ssl.SSLWantReadError:
      yield select.POLLIN
    except ssl.SSLWantWriteError:
      yield select.POLLOUT


def _other_certificate(evidence: str) -> Failed:
  return Failed(
    "The other side does not have this cluster's certificate as we have it",
    evidence=evidence,
    remedy="gnt-cluster verify tells which node's differs; gnt-cluster"
    " renew-crypto gives all nodes the same",
  )


def _other_version(version: int) -> Refused:
  return Refused(
    f"The target speaks version {version} of the migration's protocol, this"
    f" node {VERSION}",
    remedy="install the same version of the driver on both nodes",
  )
