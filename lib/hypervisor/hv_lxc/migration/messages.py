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


"""What the two nodes of a migration say to each other: values, no I/O.

A connection begins with three messages, by which each side proves that it
knows the one-time secret of this migration (see auth.py)::

  target -> source  Challenge        a nonce, and which version is spoken
  source -> target  Hello            which migration, a nonce, the proof
  target -> source  Welcome, Denied  the other proof

  any -> target     Booting          in place of Hello: who has this instance?

Then files travel from source to target, whole or while they grow, and the
two settle who holds the right to run the instance::

  source -> target  Begin Data Packed Anew End   one file
                    ImagesDone                   all there, in total
                    Grant Close Query Forget
  target -> source  Room                         upon the first file
                    Ready Owner Resumed Returned Closed State
  either            Trouble                      why the sender gives up

A message checks itself when it is made, whether by us or from what came
over the wire.

"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints

from ..errors import Failed
from .message_fields import (
  Area,
  Bytes,
  Check,
  Crc,
  Flag,
  Hex,
  Id,
  Instance,
  Name,
  Number,
  Size,
  Text,
  Version,
  Word,
)

VERSION = 1
# By the message's code; made when the first of its kind is.
_CHECKS: dict[int, tuple[tuple[str, Check], ...]] = {}


class ProtocolError(Failed):
  """What came is not what this protocol has, or not at this point of it."""


@dataclass(frozen=True, slots=True)
class Message:
  """Base of all messages; C{code} is the type's byte on the wire."""

  code: ClassVar[int] = 0

  def __post_init__(self) -> None:
    """Checks every field.

    @raise ProtocolError: a value that the field cannot have

    """
    for name, check in _checks(type(self)):
      value = getattr(self, name)
      if not check(value):
        raise ProtocolError(
          f"{type(self).__name__}.{name} cannot be {value!r:.100}"
        )

  def values(self) -> dict[str, Any]:
    """The fields, by name."""
    return {name: getattr(self, name) for name, _ in _checks(type(self))}

  @classmethod
  def from_values(cls, values: object) -> Self:
    """The message with exactly these fields.

    @raise ProtocolError: other fields than the message has, or values that
        they cannot have

    """
    names = {name for name, _ in _checks(cls)}
    if not isinstance(values, dict) or set(values) != names:
      raise ProtocolError(f"{cls.__name__} has other fields than {names}")
    return cls(**values)


def _checks(kind: type[Message]) -> tuple[tuple[str, Check], ...]:
  """Every field of a message, and what its values have to be."""
  if kind.code not in _CHECKS:
    hints = get_type_hints(kind, include_extras=True)
    _CHECKS[kind.code] = tuple(
      (field.name, hints[field.name].__metadata__[0])
      for field in dataclasses.fields(kind)
    )
  return _CHECKS[kind.code]


@dataclass(frozen=True, slots=True)
class Challenge(Message):
  """Each connection is another one; nonces are 256 bits from the kernel."""

  code: ClassVar[int] = 1
  version: Version
  nonce: Hex


@dataclass(frozen=True, slots=True)
class Hello(Message):
  """Which migration the source comes for, and that it may."""

  code: ClassVar[int] = 2
  migration: Id
  nonce: Hex
  proof: Hex


@dataclass(frozen=True, slots=True)
class Booting(Message):
  """In place of Hello, from any node: it is about to boot this instance.

  It takes no secret: every node of the cluster may ask, and what it gets is
  an answer.

  """

  code: ClassVar[int] = 5
  name: Instance


@dataclass(frozen=True, slots=True)
class Welcome(Message):
  """The target knows the secret too."""

  code: ClassVar[int] = 3
  proof: Hex


@dataclass(frozen=True, slots=True)
class Denied(Message):
  """No such migration here, or the proof is wrong: it is not told which."""

  code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Begin(Message):
  """A file follows; C{number} stands for it from now on.

  @ivar area: files, images, or images/1 and so on for rounds before them
  @ivar is_program: the file's mode is 0700, not 0600

  """

  code: ClassVar[int] = 16
  number: Number
  area: Area
  name: Name
  is_program: Flag


@dataclass(frozen=True, slots=True)
class Data(Message):
  """Bytes of a file; what lies between two of them is a hole.

  @ivar data: valid until the next message but one is received

  """

  code: ClassVar[int] = 17
  number: Number
  offset: Size
  data: Bytes

  @property
  def size(self) -> int:
    """Bytes in the file."""
    return len(self.data)


@dataclass(frozen=True, slots=True)
class Packed(Message):
  """As Data, compressed by zlib.

  @ivar size: bytes in the file

  """

  code: ClassVar[int] = 18
  number: Number
  offset: Size
  size: Number
  data: Bytes


@dataclass(frozen=True, slots=True)
class Anew(Message):
  """The file was replaced: what was sent of it is void."""

  code: ClassVar[int] = 19
  number: Number


@dataclass(frozen=True, slots=True)
class End(Message):
  """The file is complete.

  TLS authenticates every byte on its way; the checksum is against mistakes
  at its ends.  SHA-256 in its place cost 1.4 times the processor time of
  the whole transfer, with a processor that has instructions for it.

  """

  code: ClassVar[int] = 20
  number: Number
  size: Size
  crc: Crc


@dataclass(frozen=True, slots=True)
class ImagesDone(Message):
  """Everything was sent.

  @ivar sha256: over the name, size and checksum of every file, see
      L{manifest.Manifest}

  """

  code: ClassVar[int] = 22
  files: Number
  size: Size
  sha256: Hex


@dataclass(frozen=True, slots=True)
class Grant(Message):
  """The right to run the instance is yours."""

  code: ClassVar[int] = 32


@dataclass(frozen=True, slots=True)
class Close(Message):
  """Give the right back, or never accept it."""

  code: ClassVar[int] = 33


@dataclass(frozen=True, slots=True)
class Query(Message):
  """Tell your state."""

  code: ClassVar[int] = 34


@dataclass(frozen=True, slots=True)
class Forget(Message):
  """The migration is over for both; its journal may go."""

  code: ClassVar[int] = 35


@dataclass(frozen=True, slots=True)
class Room(Message):
  """Files are taken, up to so many bytes in all."""

  code: ClassVar[int] = 47
  size: Size


@dataclass(frozen=True, slots=True)
class Ready(Message):
  """All images are here and verified."""

  code: ClassVar[int] = 48


@dataclass(frozen=True, slots=True)
class Owner(Message):
  """The right was accepted, durably."""

  code: ClassVar[int] = 49


@dataclass(frozen=True, slots=True)
class Resumed(Message):
  """The guest runs here."""

  code: ClassVar[int] = 50


@dataclass(frozen=True, slots=True)
class Returned(Message):
  """The right was given back, durably; nothing runs or is mounted here."""

  code: ClassVar[int] = 51
  reason: Text


@dataclass(frozen=True, slots=True)
class Closed(Message):
  """This migration will never be accepted here."""

  code: ClassVar[int] = 52


@dataclass(frozen=True, slots=True)
class State(Message):
  """The answer to Query: the journal's state, in its word."""

  code: ClassVar[int] = 53
  state: Word
  reason: Text


@dataclass(frozen=True, slots=True)
class Trouble(Message):
  """Why the sender gives this connection up."""

  code: ClassVar[int] = 54
  reason: Text


Transfer = Begin | Data | Packed | Anew | End | ImagesDone
TRANSFER = (Begin, Data, Packed, Anew, End, ImagesDone)
FROM_SOURCE = (*TRANSFER, Grant, Close, Query, Forget, Trouble)
FROM_TARGET = (Room, Ready, Owner, Resumed, Returned, Closed, State, Trouble)
