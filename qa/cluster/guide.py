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

"""The commands in the administrator's guide, as tests run them.

A block of commands is a ``.. code-block:: console``; a command begins with
"# " and goes on in the next line after a backslash.  Other lines are what it
prints, for the reader only.  A comment before a block says what is special
about it:

  .. run: node2.example.com      on another node than the master
  .. run: every node
  .. run: source                 on every node, where the driver's source is
  .. run: terminal               on a terminal, left by Ctrl-a q
  .. run: live                   refused where the nodes' CRIU does not work
  .. run: any status             what it exits with depends on the node
  .. run: vm, WHY                needs a kernel that the lab does not have
  .. run: another cluster        on the node of one that begins without the
                                 driver, beside the package's file
"""

import dataclasses
import pathlib
import re
import textwrap
from collections.abc import Iterator

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "doc/guide"
_INDEX = GUIDE.parent / "index.rst"
_BLOCK = re.compile(
  r"^(?:\.\. run: (?P<where>.+)\n)?\.\. code-block:: console\n\n"
  r"(?P<text>(?:(?:   .*)?\n)+)",
  re.MULTILINE,
)
_PLACES = {
  "",
  "another cluster",
  "any status",
  "every node",
  "live",
  "node2.example.com",
  "source",
  "terminal",
  "vm",
}


@dataclasses.dataclass(frozen=True)
class Block:
  """Commands that belong together.

  @ivar place: the first part of what follows "run:"
  @ivar reason: the second
  @ivar script: the commands alone

  """

  page: str
  line: int
  place: str
  reason: str
  script: str

  def __str__(self) -> str:
    return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
  """All blocks, in the order in which the guide is read."""
  pages = re.findall(r"^   guide/(\S+)$", _INDEX.read_text(), re.MULTILINE)
  return [block for page in pages for block in _of_page(page)]


def commands_everywhere() -> int:
  """How many lines of the guide look like a command."""
  texts = (path.read_text() for path in GUIDE.glob("*.rst"))
  return sum(len(re.findall("^ +# ", t, re.MULTILINE)) for t in texts)


def _of_page(page: str) -> Iterator[Block]:
  text = (GUIDE / f"{page}.rst").read_text()
  for match in _BLOCK.finditer(text):
    place, _, reason = (match["where"] or "").partition(", ")
    if place not in _PLACES:
      raise ValueError(f"{page}: nothing is known about {place!r}")
    yield Block(
      page=page,
      line=text.count("\n", 0, match.start("text")) + 1,
      place=place,
      reason=reason,
      script=_script(textwrap.dedent(match["text"])),
    )


def _script(text: str) -> str:
  lines = []
  goes_on = False
  for line in text.splitlines():
    if line.startswith("# ") or goes_on:
      lines.append(line if goes_on else line[2:])
      goes_on = line.endswith("\\")
  return "\n".join(lines) + "\n"
