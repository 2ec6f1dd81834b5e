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


"""Frames: how messages between the two nodes of a migration are written.

A frame is one byte for the type, four for the length (network order), and
so many bytes of payload.  Control messages are JSON objects with exactly
the fields of their class (see messages.py).  Two types carry data::

  Data      number u32, offset u64, bytes
  Packed    number u32, offset u64, unpacked length u32, zlib stream

No I/O happens here: L{Parser} says where the next bytes go and is told how
many came.  Whatever they are, the one error is L{ProtocolError}, and
nothing larger than a frame of an expected type may have is ever allocated.

"""

import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from .messages import Data, Message, Packed, ProtocolError

_HEADER = struct.Struct("!BI")
_DATA = struct.Struct("!IQ")
_PACKED = struct.Struct("!IQI")

# The largest control message is a reason of 2000 characters, each of which
# JSON may write as twelve ("\ud83d\ude00").
CONTROL_LIMIT = 32 << 10
# What one data frame carries of a file.
CHUNK = 1 << 20


def encode(message: Message) -> bytes:
  """The frame of a message, which is not large."""
  if isinstance(message, Data | Packed):
    return head(message) + bytes(message.data)
  payload = json.dumps(message.values(), separators=(",", ":")).encode()
  return _HEADER.pack(message.code, len(payload)) + payload


def head(message: Data | Packed) -> bytes:
  """The frame of a message but for its data, which are sent as they are."""
  if isinstance(message, Data):
    fields = _DATA.pack(message.number, message.offset)
  else:
    fields = _PACKED.pack(message.number, message.offset, message.size)
  size = len(fields) + len(message.data)
  return _HEADER.pack(message.code, size) + fields


class Parser:
  """Makes messages of bytes.

  To be used in turn: write some bytes into L{buffer} and tell L{filled} how
  many.  What was refused once stays refused.

  @param accepts: the types that may come now

  """

  def __init__(self, accepts: Iterable[type[Message]]):
    self._types: dict[int, type[Message]] = {}
    self._header = bytearray(_HEADER.size)
    # Two in turn: one can still be hashed while the other is filled.
    self._chunks: list[bytearray] = []
    self._into = memoryview(self._header)
    self._have = 0
    self._type: type[Message] | None = None
    self._refused: ProtocolError | None = None
    self.accept(accepts)

  def accept(self, accepts: Iterable[type[Message]]) -> None:
    """Other types may come from the next frame on."""
    self._types = {kind.code: kind for kind in accepts}

  def buffer(self) -> memoryview:
    """Where the next bytes go; never empty.

    @raise ProtocolError: the stream has been refused

    """
    if self._refused:
      raise self._refused
    return self._into[self._have :]

  def filled(self, count: int) -> Message | None:
    """So many bytes were written into L{buffer}.

    @return: a message if that was its last byte
    @raise ProtocolError: this is no frame that may come now

    """
    self._have += count
    if self._have < len(self._into):
      return None
    try:
      return self._complete()
    except ProtocolError as err:
      self._refused = err
      raise

  def feed(self, data: bytes) -> Iterator[Message]:
    """Messages in some bytes; data are valid until the next but one is taken.

    @raise ProtocolError: as L{filled}

    """
    left = memoryview(data)
    while left:
      buffer = self.buffer()
      count = min(len(buffer), len(left))
      buffer[:count] = left[:count]
      left = left[count:]
      message = self.filled(count)
      if message is not None:
        yield message

  def end(self) -> None:
    """The other side sends no more.

    @raise ProtocolError: in the middle of a frame

    """
    if self._have or self._type:
      self._refuse("The stream ends in the middle of a message")

  def _complete(self) -> Message | None:
    if self._type is None:
      kind, size = _HEADER.unpack(self._header)
      self._type = self._allowed(kind, size)
      self._into = self._room(self._type, size)
      self._have = 0
      return None
    message = _decode(self._type, self._into)
    self._type = None
    self._into = memoryview(self._header)
    self._have = 0
    return message

  def _allowed(self, kind: int, size: int) -> type[Message]:
    found = self._types.get(kind)
    if found is None:
      self._refuse(f"A message of type {kind} is not expected now")
    least, most = _limits(found)
    if not least <= size <= most:
      self._refuse(f"{found.__name__} cannot have {size} bytes")
    return found

  def _room(self, kind: type[Message], size: int) -> memoryview:
    if kind not in (Data, Packed):
      return memoryview(bytearray(size))
    if not self._chunks:
      self._chunks = [bytearray(_PACKED.size + CHUNK) for _ in range(2)]
    self._chunks.reverse()
    return memoryview(self._chunks[0])[:size]

  def _refuse(self, what: str) -> NoReturn:
    self._refused = ProtocolError(what)
    raise self._refused


def _limits(kind: type[Message]) -> tuple[int, int]:
  """The least and the largest payload."""
  if kind is Data:
    return _DATA.size + 1, _DATA.size + CHUNK
  if kind is Packed:
    return _PACKED.size + 1, _PACKED.size + CHUNK
  return 2, CONTROL_LIMIT


def _decode(kind: type[Message], payload: memoryview) -> Message:
  if kind is Data:
    number, offset = _DATA.unpack_from(payload)
    return Data(number, offset, payload[_DATA.size :])
  if kind is Packed:
    number, offset, size = _PACKED.unpack_from(payload)
    return Packed(number, offset, size, payload[_PACKED.size :])
  try:
    values = json.loads(
      bytes(payload).decode("utf-8"),
      object_pairs_hook=_without_repeats,
      parse_constant=_no_number,
    )
  # A deep nest of brackets ends in a RecursionError.
  except (ValueError, RecursionError) as err:
    text = f"{kind.__name__} is not JSON"
    raise ProtocolError(text, evidence=str(err)) from err
  return kind.from_values(values)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  values = dict(pairs)
  if len(values) != len(pairs):
    raise ValueError("a field is there twice")
  return values


def _no_number(text: str) -> NoReturn:
  raise ValueError(f"{text} is no number")
