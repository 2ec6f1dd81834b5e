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


"""Bytes from the wire become messages, or one kind of error."""

import contextlib
import json
import struct

import pytest
from ganeti.hypervisor.hv_lxc.migration import message_fields, messages, wire
from ganeti.hypervisor.hv_lxc.migration.messages import ProtocolError
from hypothesis import given, settings
from hypothesis import strategies as st

HEX = "0123456789abcdef" * 4
ALL = (
  *messages.FROM_SOURCE,
  *messages.FROM_TARGET,
  messages.Challenge,
  messages.Hello,
  messages.Welcome,
  messages.Denied,
)
EXAMPLES = (
  messages.Challenge(messages.VERSION, HEX),
  messages.Hello("00000000-0000-4000-8000-000000000001", HEX, HEX),
  messages.Welcome(HEX),
  messages.Denied(),
  messages.Begin(0, "images/1", "pages-1.img", is_program=False),
  messages.Data(0, 1 << 40, b"\0" * wire.CHUNK),
  messages.Packed(0, 5, 100, b"x"),
  messages.Anew(7),
  messages.End(7, 0, (1 << 32) - 1),
  messages.Room(1 << 40),
  messages.ImagesDone(0, 0, HEX),
  messages.Grant(),
  messages.State("owner", "Grüße, 友, \U0001f600" * 100),
  messages.Trouble("\U0001f600" * message_fields.MAX_TEXT),
)


def parse(data: bytes, accepts=ALL) -> list[messages.Message]:
  parser = wire.Parser(accepts)
  found = list(parser.feed(data))
  parser.end()
  return found


def frame(code: int, payload: bytes) -> bytes:
  return struct.pack("!BI", code, len(payload)) + payload


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_what_is_encoded_is_parsed(message: messages.Message) -> None:
  assert parse(wire.encode(message)) == [message]


def test_all_types_have_their_own_code() -> None:
  assert len({kind.code for kind in ALL}) == len(set(ALL))


SHORT = tuple(m for m in EXAMPLES if len(wire.encode(m)) < 300)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(SHORT), max_size=4), st.data())
def test_it_does_not_matter_how_the_bytes_are_cut(
  sent: list[messages.Message], data: st.DataObject
) -> None:
  stream = b"".join(wire.encode(message) for message in sent)
  parser = wire.Parser(ALL)
  found = []
  while stream:
    size = data.draw(st.integers(1, len(stream)))
    found += parser.feed(stream[:size])
    stream = stream[size:]
  parser.end()
  assert found == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_a_protocol_error(data: bytes) -> None:
  with contextlib.suppress(ProtocolError):
    parse(data)


@given(st.sampled_from([kind.code for kind in ALL]), st.binary(max_size=200))
def test_any_payload_is_a_message_or_a_protocol_error(
  code: int, payload: bytes
) -> None:
  with contextlib.suppress(ProtocolError):
    parse(frame(code, payload))


JSON = st.recursive(
  st.none()
  | st.booleans()
  | st.integers(-(1 << 70), 1 << 70)
  | st.floats()
  | st.sampled_from([HEX, "files", "../0", "x.img", "..", "a/b", "\ud800"])
  | st.text(max_size=5),
  lambda inner: st.lists(inner, max_size=2),
  max_leaves=3,
)


@given(st.data())
def test_any_values_of_fields_are_a_message_or_a_protocol_error(
  data: st.DataObject,
) -> None:
  example = data.draw(
    st.sampled_from([m for m in EXAMPLES if not hasattr(m, "data")])
  )
  values = {name: data.draw(JSON) for name in example.values()}
  payload = json.dumps(values).encode()
  with contextlib.suppress(ProtocolError):
    (found,) = parse(frame(example.code, payload))
    assert found.values() == values


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_truncated_stream_is_refused(message: messages.Message) -> None:
  data = wire.encode(message)
  for size in (1, 4, 5, len(data) - 1):
    if 0 < size < len(data):
      with pytest.raises(ProtocolError, match="middle"):
        parse(data[:size])


@pytest.mark.parametrize(
  ("code", "size"),
  [
    (messages.Data.code, wire.CHUNK + 13),
    (messages.Data.code, 12),
    (messages.Data.code, 0),
    (messages.Packed.code, (1 << 32) - 1),
    (messages.Packed.code, 16),
    (messages.Grant.code, wire.CONTROL_LIMIT + 1),
    (messages.Grant.code, (1 << 32) - 1),
    (messages.Grant.code, 0),
  ],
)
def test_a_size_that_cannot_be_is_refused_before_any_of_it_came(
  code: int, size: int
) -> None:
  parser = wire.Parser(ALL)
  with pytest.raises(ProtocolError, match="bytes"):
    list(parser.feed(struct.pack("!BI", code, size)))


def test_what_is_not_expected_is_refused_at_its_first_bytes() -> None:
  parser = wire.Parser([messages.Hello])
  with pytest.raises(ProtocolError, match="not expected"):
    list(parser.feed(wire.encode(messages.Grant())[:5]))


def test_a_refused_stream_stays_refused() -> None:
  parser = wire.Parser(ALL)
  with pytest.raises(ProtocolError):
    list(parser.feed(frame(200, b"")))
  with pytest.raises(ProtocolError):
    list(parser.feed(wire.encode(messages.Grant())))


@pytest.mark.parametrize(
  "payload",
  [
    b"[" * 30_000,
    b'{"a":' * 6_000,
    b'{"number":' + b"9" * 30_000 + b"}",
    b'{"number":1,"number":1}',
    b'{"number":NaN}',
    b'{"number":1.0}',
    b'{"number":true}',
    b'{"number":-1}',
    b'{"number":"1"}',
    b'{"number":1,"more":1}',
    b"{}",
    b"[1]",
    b"null",
    b"\xff\xfe",
    b'{"number":1}\0',
  ],
  ids=lambda p: repr(p[:12]),
)
def test_json_that_is_no_message(payload: bytes) -> None:
  with pytest.raises(ProtocolError):
    parse(frame(messages.Anew.code, payload))


@pytest.mark.parametrize(
  "name",
  [
    "",
    ".",
    "..",
    "a/b",
    "/a",
    "a\n",
    "a\0b",
    ".a",
    "-a",
    "a b",
    "ä",
    "a" * 201,
  ],
)
def test_names_that_are_not_one_plain_component(name: str) -> None:
  with pytest.raises(ProtocolError):
    messages.Begin(0, "files", name, is_program=False)


@pytest.mark.parametrize(
  "area",
  [
    *("", "file", "images/", "images/..", "images/1/2", "/images", "images/A"),
    *("images/0", "images/01", "images/100", "files/1"),
  ],
)
def test_areas_that_there_are_not(area: str) -> None:
  with pytest.raises(ProtocolError):
    messages.Begin(0, area, "a", is_program=False)


def test_data_stay_valid_until_the_next_but_one() -> None:
  parser = wire.Parser(ALL)
  stream = b"".join(
    wire.encode(messages.Data(0, at, bytes([at]))) for at in range(5)
  )
  held: list[messages.Data] = []
  for message in parser.feed(stream):
    held.append(message)
    assert all(m.data == bytes([m.offset]) for m in held[-2:])
  assert len(held) == 5


def test_data_get_no_buffer_before_they_are_expected() -> None:
  before_proof = wire.Parser([messages.Hello])
  with pytest.raises(ProtocolError):
    list(before_proof.feed(wire.encode(EXAMPLES[5])[:5]))
  assert not before_proof._chunks
