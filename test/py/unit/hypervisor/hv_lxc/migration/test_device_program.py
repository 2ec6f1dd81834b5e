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

import struct
from itertools import product

import pytest
from ganeti.hypervisor.hv_lxc import devices
from ganeti.hypervisor.hv_lxc.migration import device_program

KIND = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}
MASK = (1 << 64) - 1


def verdict(code: bytes, kind: str, access: str, major: int, minor: int) -> int:
  """Runs a program as the kernel's interpreter does (kernel/bpf/core.c)."""
  wanted = sum(ACCESS[letter] for letter in access)
  context = struct.pack("=III", wanted << 16 | KIND[kind], major, minor)
  registers = [0] * 11
  place = 0
  for _ in range(len(code)):
    opcode, names, offset, value = struct.unpack_from("=BBhi", code, place * 8)
    dst, src = names & 15, names >> 4
    place += 1
    match opcode:
      case 0x61:
        assert src == 1
        (registers[dst],) = struct.unpack_from("=I", context, offset)
      case 0xB7:
        registers[dst] = value & MASK
      case 0xBF:
        registers[dst] = registers[src]
      case 0x57:
        registers[dst] &= value & MASK
      case 0x77:
        registers[dst] >>= value
      case 0x55:
        if registers[dst] != value & MASK:
          place += offset
      case 0x95:
        return registers[0]
      case _:
        pytest.fail(f"opcode {opcode:#x}")
  pytest.fail("the program does not end")


@pytest.mark.parametrize(
  ("text", "allowed"),
  [
    ("c 1:3 rwm", [("c", "rw", 1, 3), ("c", "m", 1, 3), ("c", "r", 1, 3)]),
    ("c 1:5 r", [("c", "r", 1, 5)]),
    ("b *:* m", [("b", "m", 7, 0), ("b", "m", 8, 1)]),
    ("c 136:* rw", [("c", "rw", 136, 0), ("c", "w", 136, 500)]),
  ],
)
def test_what_a_rule_allows(
  text: str, allowed: list[tuple[str, str, int, int]]
) -> None:
  code = device_program.instructions(devices.parse(text))
  for kind, access, major, minor in allowed:
    assert verdict(code, kind, access, major, minor) == 1


@pytest.mark.parametrize(
  "access",
  [
    ("c", "rw", 1, 5),
    ("c", "w", 1, 5),
    ("b", "r", 1, 5),
    ("c", "r", 1, 6),
    ("c", "r", 2, 5),
    ("b", "r", 7, 0),
  ],
)
def test_all_else_is_forbidden(access: tuple[str, str, int, int]) -> None:
  rules = devices.parse("c 1:5 r,b *:* m")
  assert verdict(device_program.instructions(rules), *access) == 0


def test_no_rule_forbids_all() -> None:
  code = device_program.instructions(())
  for kind, access in product("bc", "rwm"):
    assert verdict(code, kind, access, 1, 3) == 0


def test_default_list_against_its_own_rules() -> None:
  rules = devices.parse(devices.DEFAULT)
  code = device_program.instructions(rules)
  for kind, access, major, minor in product("bc", "rwm", range(8), range(12)):
    expected = any(
      rule.kind == kind
      and rule.major in (None, major)
      and rule.minor in (None, minor)
      and access in rule.access
      for rule in rules
    )
    assert verdict(code, kind, access, major, minor) == expected
