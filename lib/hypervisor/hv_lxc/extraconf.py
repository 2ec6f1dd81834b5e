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

r"""The parameter extra_config: further LXC keys for an instance.

Items are separated by commas: C{KEY=VALUE}, or C{file:NAME} for a file of
that name in the driver's configuration directory (see C{extrafile}).
Blanks around items, keys and values do not count.  In an item C{\,} is a
comma and C{\\} a backslash; a backslash before anything else is an error.

Ganeti's command line takes one level of the same escapes off before the
value gets here (C{utils.UnescapeAndSplit}), so commas are written there

  - between two items: C{\,}
  - in a value: C{\\\,} (and a backslash in a value: C{\\\\})

which single quotes protect from the shell::

  gnt-instance modify -H 'extra_config=lxc.prlimit.nofile=4096\,file:net' x
  gnt-instance modify -H 'extra_config=lxc.environment=LIST=a\\\,b' x

Through RAPI nothing is taken off::

  {"hvparams": {"extra_config": "lxc.environment=LIST=a\\,b,file:net"}}

is JSON for C{lxc.environment=LIST=a\,b,file:net}.

"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from . import extrafile, extrakeys
from .errors import Refused
from .host import Host

Setting = tuple[str, str]

_FILE = "file:"
# No slash, no leading dot: it cannot lead out of the directory.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FileItem:
  """A file of settings, by its plain name."""

  name: str


Item = Setting | FileItem


def parse(text: str) -> tuple[Item, ...]:
  """The items, syntax and keys checked; looks at no file.

  @raise Refused: names the key or the item

  """
  return tuple(_item(item) for item in _split(text) if item)


def load(host: Host, text: str) -> tuple[Setting, ...]:
  """All settings in their order, those of files included.

  To be called as root, when parameters are validated and again at every
  start, since a file can have changed in between.

  @return: keys and values for LXC's configuration, each value on one line
  @raise Refused: as L{parse}; or a file cannot be trusted

  """
  found: list[Setting] = []
  for item in parse(text):
    if isinstance(item, FileItem):
      found += extrafile.read(host.layout.conf_dir, item.name)
    else:
      found.append(item)
  return tuple(found)


def init_command(settings: Iterable[Setting]) -> str | None:
  """The guest's program that is to be its init, None for LXC's choice."""
  commands = [value for key, value in settings if key == "lxc.init.cmd"]
  return commands[-1] if commands else None


def join(items: Iterable[Item]) -> str:
  """The text that L{parse} reads as these items."""
  return ",".join(
    _escape(_FILE + i.name if isinstance(i, FileItem) else f"{i[0]}={i[1]}")
    for i in items
  )


def _escape(text: str) -> str:
  return text.replace("\\", "\\\\").replace(",", "\\,")


def _split(text: str) -> list[str]:
  """The items, with escapes taken off and without blanks around."""
  items = [""]
  position = 0
  while position < len(text):
    char = text[position]
    position += 1
    if char == ",":
      items.append("")
      continue
    if char == "\\":
      char = text[position : position + 1]
      position += 1
      if char not in ("\\", ","):
        raise Refused(
          r"A backslash must be followed by a comma or a backslash",
          evidence=f"after {items[-1]!r}",
          remedy=r"write \\ for a backslash",
        )
    items[-1] += char
  return [item.strip() for item in items]


def _item(item: str) -> Item:
  if _UNPRINTABLE.search(item):
    raise Refused(
      f"The item {item!r} has characters that cannot be printed",
      remedy="take them out",
    )
  if item.startswith(_FILE):
    name = item.removeprefix(_FILE).strip()
    if not _FILE_NAME.fullmatch(name):
      raise Refused(
        f"{name!r} is no plain file name",
        remedy="use letters, digits, '.', '_' and '-'; files are looked for"
        " in one directory only",
      )
    return FileItem(name)
  key, equals, value = item.partition("=")
  key, value = key.strip(), value.strip()
  if not equals:
    raise Refused(
      f"The item {item!r} is neither KEY=VALUE nor file:NAME",
      remedy=r"a comma in a value is written \,",
    )
  return (key, extrakeys.check(key, value, extrakeys.IN_PARAMETER))
