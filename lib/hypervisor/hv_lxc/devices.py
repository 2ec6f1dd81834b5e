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

"""The device allow-list: its syntax, its default, what it covers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import Refused

# What LXC's common.conf gives every container, but for fuse.  Making any
# node is allowed as there: it opens nothing, all file systems of a guest
# are mounted nodev, and debootstrap or tar in a guest make nodes.  Ganeti's
# own default lacks just that; its entry for 1:10 (long gone from Linux)
# stays, so that an instance which stored Ganeti's list remains covered.
DEFAULT = (
  "c *:* m,b *:* m,c 1:3 rwm,c 1:5 rwm,c 1:7 rwm,c 1:8 rwm,c 1:9 rwm"
  ",c 1:10 rwm,c 5:0 rwm,c 5:1 rwm,c 5:2 rwm,c 136:* rwm"
)


@dataclass(frozen=True, slots=True)
class DeviceRule:
  """One entry of the device allow-list.

  @ivar kind: "c" or "b" ("a" never: it would allow everything)
  @ivar major: None stands for "*"
  @ivar minor: None stands for "*"
  @ivar access: a subset of "rwm", in this order

  """

  kind: str
  major: int | None
  minor: int | None
  access: str

  def __str__(self) -> str:
    major = "*" if self.major is None else self.major
    minor = "*" if self.minor is None else self.minor
    return f"{self.kind} {major}:{minor} {self.access}"

  def covers(self, other: "DeviceRule") -> bool:
    """Whether everything that C{other} allows is allowed here too."""
    return (
      self.kind == other.kind
      and self.major in (None, other.major)
      and self.minor in (None, other.minor)
      and set(other.access) <= set(self.access)
    )


# null, zero, full, random, urandom, tty, ptmx and the terminals.
_NEEDED = tuple(
  (DeviceRule("c", major, minor, "rw"), name)
  for major, minor, name in (
    (1, 3, "null"),
    (1, 5, "zero"),
    (1, 7, "full"),
    (1, 8, "random"),
    (1, 9, "urandom"),
    (5, 0, "tty"),
    (5, 2, "ptmx"),
    (136, 0, "pts/0"),
  )
)

_RULE = re.compile(r"([cb])\s+(\d{1,4}|\*):(\d{1,7}|\*)\s+([rwm]{1,3})")
_LETTERS = "rwm"
# MINORBITS in linux/kdev_t.h is 20, which leaves 12 bits to the major.
_MAX_MAJOR = (1 << 12) - 1
_MAX_MINOR = (1 << 20) - 1


def parse(text: str) -> tuple[DeviceRule, ...]:
  """A list of rules as in "c 1:3 rw,b 8:* r".

  @raise Refused: it is no such list

  """
  entries = (entry.strip() for entry in text.split(","))
  return tuple(dict.fromkeys(_rule(entry) for entry in entries if entry))


def _rule(entry: str) -> DeviceRule:
  match = _RULE.fullmatch(entry)
  if not match or len(set(match[4])) != len(match[4]):
    raise Refused(
      f"{entry!r} is no rule for devices",
      remedy="write type (c or b), major:minor (a number or *) and access"
      " (letters of rwm), as in 'c 10:200 rwm'; rules are separated by commas",
    )
  access = "".join(letter for letter in _LETTERS if letter in match[4])
  return DeviceRule(
    match[1],
    _number(match[2], _MAX_MAJOR, entry),
    _number(match[3], _MAX_MINOR, entry),
    access,
  )


def _number(text: str, limit: int, entry: str) -> int | None:
  if text == "*":
    return None
  if int(text) > limit:
    raise Refused(
      f"{text} in the rule {entry!r} is no number of a device",
      remedy=f"write one up to {limit}, or *",
    )
  return int(text)


def not_covered(
  wanted: Iterable[DeviceRule], allowed: Iterable[DeviceRule]
) -> list[DeviceRule]:
  """The rules that allow something which C{allowed} does not.

  Each kind of access is looked at by itself: "c 10:200 rwm" is covered by
  "c *:* m" and "c 10:200 rw" together.

  """
  known = tuple(allowed)
  return [
    rule
    for rule in wanted
    if not all(any(k.covers(one) for k in known) for one in _split(rule))
  ]


def _split(rule: DeviceRule) -> list[DeviceRule]:
  return [
    DeviceRule(rule.kind, rule.major, rule.minor, letter)
    for letter in rule.access
  ]


def missing(rules: Iterable[DeviceRule]) -> list[str]:
  """Names below /dev of what every guest needs and these do not allow."""
  known = tuple(rules)
  return [name for rule, name in _NEEDED if not_covered([rule], known)]
