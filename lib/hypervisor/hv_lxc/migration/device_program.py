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

"""A list of allowed devices as a program that the kernel runs (v2).

LXC makes such a program at a start and has none after a restore.  Several
programs on the way from the root to a group must all agree
(BPF_F_ALLOW_MULTI), so this one and LXC's own do not disturb each other.
The kernel keeps it until its group is removed.

Sources: linux/bpf.h, linux/bpf_common.h (instructions, bpf_cgroup_dev_ctx),
bpf(2); kernel/bpf/cgroup.c, __cgroup_bpf_check_dev_permission.

"""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from ..devices import DeviceRule

_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}
_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_TYPE_CGROUP_DEVICE = 15
_ATTACH_TYPE_DEVICE = 6
_F_ALLOW_MULTI = 2

# linux/bpf.h: BPF_DEVCG_DEV_BLOCK, _CHAR; BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}

# Opcodes: class | size or operation | mode or source.
_LDX_W = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOV_IMM = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_MOV_REG = 0xBF  # BPF_ALU64 | BPF_MOV | BPF_X
_AND_IMM = 0x57  # BPF_ALU64 | BPF_AND | BPF_K
_RSH_IMM = 0x77  # BPF_ALU64 | BPF_RSH | BPF_K
_JNE_IMM = 0x55  # BPF_JMP | BPF_JNE | BPF_K
_EXIT = 0x95  # BPF_JMP | BPF_EXIT

_ALLOW, _DENY = 1, 0
# Registers: the verdict, the context, and what is read from it.
_R0, _CTX, _TYPE, _WANTED, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5
# Offsets in struct bpf_cgroup_dev_ctx.
_AT_ACCESS_TYPE, _AT_MAJOR, _AT_MINOR = 0, 4, 8
_ACCESS_SHIFT = 16
_TYPE_MASK = 0xFFFF


def instructions(rules: Sequence[DeviceRule]) -> bytes:
  """The program: 1 for what one of the rules allows, 0 for all else."""
  code = [
    _op(_LDX_W, _TYPE, _CTX, _AT_ACCESS_TYPE),
    _op(_MOV_REG, _WANTED, _TYPE),
    _op(_AND_IMM, _TYPE, imm=_TYPE_MASK),
    _op(_RSH_IMM, _WANTED, imm=_ACCESS_SHIFT),
    _op(_LDX_W, _MAJOR, _CTX, _AT_MAJOR),
    _op(_LDX_W, _MINOR, _CTX, _AT_MINOR),
  ]
  for rule in rules:
    code += _block(rule)
  code += _verdict(_DENY)
  return b"".join(code)


def _block(rule: DeviceRule) -> list[bytes]:
  """Returns "allowed" if the rule applies, else goes on behind it."""
  # (register to test, value); a copy of the access is masked into R0.
  tests = [(_TYPE, _KINDS[rule.kind])]
  if rule.major is not None:
    tests.append((_MAJOR, rule.major))
  if rule.minor is not None:
    tests.append((_MINOR, rule.minor))
  forbidden = ~sum(_ACCESS[letter] for letter in rule.access) & 0x7
  tail = [
    _op(_MOV_REG, _R0, _WANTED),
    _op(_AND_IMM, _R0, imm=forbidden),
  ]
  end = _verdict(_ALLOW)
  size = len(tests) + len(tail) + 1 + len(end)
  block = [
    _op(_JNE_IMM, register, offset=size - place - 1, imm=value)
    for place, (register, value) in enumerate(tests)
  ]
  return [*block, *tail, _op(_JNE_IMM, _R0, offset=len(end)), *end]


def _verdict(value: int) -> list[bytes]:
  return [_op(_MOV_IMM, _R0, imm=value), _op(_EXIT)]


def _op(
  code: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0
) -> bytes:
  """One instruction (struct bpf_insn)."""
  return struct.pack("=BBhi", code, src << 4 | dst, offset, imm)


def attach(group: Path, rules: Sequence[DeviceRule]) -> None:
  """Confines all processes of a group, and of those below, to some devices.

  @raise OSError: the kernel refuses, or this machine's bpf(2) is not known

  """
  code = instructions(rules)
  text = ctypes.create_string_buffer(code, len(code))
  licence = ctypes.create_string_buffer(b"GPL")
  load = struct.pack(
    "=IIQQ",
    _PROG_TYPE_CGROUP_DEVICE,
    len(code) // 8,
    ctypes.addressof(text),
    ctypes.addressof(licence),
  )
  directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
  try:
    program = _bpf(_PROG_LOAD, load)
    try:
      _bpf(
        _PROG_ATTACH,
        struct.pack(
          "=IIII", directory, program, _ATTACH_TYPE_DEVICE, _F_ALLOW_MULTI
        ),
      )
    finally:
      os.close(program)
  finally:
    os.close(directory)


def _bpf(command: int, attributes: bytes) -> int:
  machine = os.uname().machine
  if machine not in _SYS_BPF:
    raise OSError(None, f"bpf(2) is not known for {machine}")
  # The kernel takes bytes that are missing at the end as zero.
  buffer = ctypes.create_string_buffer(attributes, len(attributes))
  libc = ctypes.CDLL(None, use_errno=True)
  result: int = libc.syscall(
    ctypes.c_long(_SYS_BPF[machine]),
    ctypes.c_int(command),
    ctypes.byref(buffer),
    ctypes.c_uint(len(attributes)),
  )
  if result < 0:
    code = ctypes.get_errno()
    raise OSError(code, f"bpf(2): {os.strerror(code)}")
  return result
