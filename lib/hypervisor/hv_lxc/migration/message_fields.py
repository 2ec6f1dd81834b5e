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

"""What the fields of messages can be: types, each with its check."""

import re
from collections.abc import Callable
from typing import Annotated

MAX_TEXT = 2000
# Sizes and their sums stay numbers that any reader of JSON takes as they
# are (RFC 8259, section 6).
MAX_SIZE = 1 << 52
# Also more than a portion of a file has bytes.
MAX_FILES = 1 << 24

Check = Callable[[object], bool]


def _matching(pattern: str) -> Check:
  compiled = re.compile(pattern)

  def check(value: object) -> bool:
    return type(value) is str and bool(compiled.fullmatch(value))

  return check


def _up_to(limit: int) -> Check:
  # bool is a subclass of int.
  return lambda value: type(value) is int and 0 <= value <= limit


def _is_text(value: object) -> bool:
  if type(value) is not str or len(value) > MAX_TEXT:
    return False
  # JSON can carry half of a surrogate pair, which no file or log takes.
  return not any("\ud800" <= char <= "\udfff" for char in value)


def _is_flag(value: object) -> bool:
  return type(value) is bool


def _is_data(value: object) -> bool:
  return isinstance(value, bytes | memoryview) and len(value) > 0


Flag = Annotated[bool, _is_flag]
Text = Annotated[str, _is_text]
Bytes = Annotated[bytes | memoryview, _is_data]
Number = Annotated[int, _up_to(MAX_FILES)]
Size = Annotated[int, _up_to(MAX_SIZE)]
Crc = Annotated[int, _up_to((1 << 32) - 1)]
Version = Annotated[int, _up_to(255)]
# 256 bits: a nonce, a digest, a proof.
Hex = Annotated[str, _matching(r"[0-9a-f]{64}")]
Id = Annotated[str, _matching(r"[0-9a-f-]{16,64}")]
Instance = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9.-]{0,253}")]
Word = Annotated[str, _matching(r"[a-z][a-z-]{0,31}")]
# One component; no leading dot. CRIU's images are named like
# "pages-1.img", "tmpfs-dev-71.tar.gz.img", "cgroup.img".
Name = Annotated[str, _matching(r"[A-Za-z0-9_][A-Za-z0-9@%+=_,.:-]{0,199}")]
# The instance's files, the last images, and those of rounds before them.
Area = Annotated[str, _matching(r"files|images(/[1-9][0-9]?)?")]
