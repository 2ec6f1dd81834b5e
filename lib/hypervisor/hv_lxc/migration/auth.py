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


"""Proofs that both ends of a connection know the secret of one migration.

Every node has the cluster's certificate and key, so TLS alone tells no more
than that somebody is root on some node.  The secret is made for one
migration and travels with Ganeti's own messages.  A proof is an HMAC over
both nonces, the migration, the role, and what is unique to this very TLS
connection (RFC 5929, tls-unique: the client's Finished message), so that
nobody can put himself between two connections or use a proof again.

"""

import hashlib
import hmac
import os
from dataclasses import dataclass
from enum import StrEnum

_LABEL = "ganeti-lxc migration 1"
_SECRET_BYTES = 32
_NONCE_BYTES = 32


class Role(StrEnum):
  """Whose proof it is, so that none can be sent back to its maker."""

  SOURCE = "source"
  TARGET = "target"


@dataclass(frozen=True, slots=True)
class Secret:
  """The secret of one migration; shows itself to nobody by accident."""

  key: bytes

  def __post_init__(self) -> None:
    """@raise ValueError: not as long as ours are."""
    if len(self.key) != _SECRET_BYTES:
      raise ValueError("the secret of a migration has another length")

  def __repr__(self) -> str:
    return "Secret(...)"

  @classmethod
  def new(cls) -> "Secret":
    """A secret that nobody knows."""
    return cls(os.urandom(_SECRET_BYTES))

  @classmethod
  def from_text(cls, text: str) -> "Secret":
    """The secret in a migration's information.

    @raise ValueError: this is none

    """
    return cls(bytes.fromhex(text))

  def to_text(self) -> str:
    """What L{from_text} reads."""
    return self.key.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
  """What both sides know of a connection once the source has spoken.

  @ivar binding: what is unique to the TLS connection

  """

  migration: str
  source_nonce: str
  target_nonce: str
  binding: bytes

  def proof(self, secret: Secret, role: Role) -> str:
    """The proof that one side sends."""
    parts = (_LABEL, role, self.migration, self.source_nonce, self.target_nonce)
    mac = hmac.new(secret.key, digestmod=hashlib.sha256)
    for part in (*(text.encode() for text in parts), self.binding):
      # With its length before it no part can pass for two.
      mac.update(len(part).to_bytes(4, "big") + part)
    return mac.hexdigest()

  def proves(self, secret: Secret, role: Role, proof: str) -> bool:
    """Whether a proof is right; takes as long for a wrong one."""
    return hmac.compare_digest(self.proof(secret, role), proof)


def nonce() -> str:
  """A number used once."""
  return os.urandom(_NONCE_BYTES).hex()
