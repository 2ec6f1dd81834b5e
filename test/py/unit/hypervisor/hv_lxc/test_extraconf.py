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

"""extra_config as typed: grammar, escapes, and what comes out of it."""

import json
import shlex

import pytest
from ganeti import utils
from ganeti.hypervisor.hv_lxc import extraconf, extrakeys
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.extraconf import FileItem
from hypothesis import assume, given, settings
from hypothesis import strategies as st

# Pieces that mean something to the grammar, to LXC, or to neither.
PIECES = st.sampled_from(
  [
    *"=,\\ \"'#:.a1\n\r\0\t\x0b\x85\u2028é",
    "lxc.",
    "lxc.cap.drop",
    "lxc.hook.pre-start",
    "lxc.environment=A=",
    "lxc.init.cmd=/",
    "lxc.sysctl.net.core.somaxconn=1",
    "file:",
    "../",
  ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)
VALUES = st.text(
  st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]),
  max_size=20,
).map(str.strip)
ITEMS = st.lists(
  st.builds(lambda v: ("lxc.environment", f"A={v}"), VALUES)
  | st.builds(lambda v: ("lxc.init.cmd", f"/a{v}"), VALUES)
  | st.builds(
    FileItem, st.from_regex(r"[a-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
  ),
  max_size=5,
)


def command_line(typed: str) -> str:
  """The value of extra_config after -H 'extra_config=...' in a shell."""
  (argument,) = shlex.split(typed)
  (element,) = utils.UnescapeAndSplit(argument)
  return element.partition("=")[2]


@pytest.mark.parametrize(
  ("text", "items"),
  [
    ("", ()),
    (" , ,", ()),
    ("lxc.arch=i686", (("lxc.arch", "i686"),)),
    (
      " lxc.arch  =  i686 , file: net ",
      (("lxc.arch", "i686"), FileItem("net")),
    ),
    (r"lxc.environment=A=1\,2", (("lxc.environment", "A=1,2"),)),
    (r"lxc.environment=A=\\\,", (("lxc.environment", "A=\\,"),)),
    ("lxc.environment=A=b=c #d", (("lxc.environment", "A=b=c #d"),)),
    ("file:a.conf", (FileItem("a.conf"),)),
  ],
)
def test_parse(text: str, items: tuple[object, ...]) -> None:
  assert extraconf.parse(text) == items


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("lxc.arch", "neither KEY=VALUE nor file:NAME"),
    ("lxc.arch=i686,b", r"a comma in a value is written \\,"),
    (r"lxc.arch=i\686", "backslash must be followed"),
    ("lxc.arch=i686\\", "backslash must be followed"),
    ("file:", "no plain file name"),
    ("file:/etc/passwd", "no plain file name"),
    ("file:../x", "no plain file name"),
    ("file:..", "no plain file name"),
    ("file:.hidden", "no plain file name"),
    ("file:a/b", "no plain file name"),
    ("file:" + "a" * 129, "no plain file name"),
    ("=x", "is not known"),
    ("lxc.arch=", "Key lxc.arch has no value"),
    ("lxc.environment=A=1\nlxc.hook.start=/x", "cannot be printed"),
    ("lxc.environment=A=\0", "cannot be printed"),
  ],
)
def test_refused(text: str, said: str) -> None:
  with pytest.raises(Refused, match=said):
    extraconf.parse(text)


@given(TEXTS)
@settings(max_examples=150)
def test_whatever_is_typed_nothing_is_smuggled(text: str) -> None:
  try:
    items = extraconf.parse(text)
  except Refused:
    return
  for item in items:
    if isinstance(item, FileItem):
      assert "/" not in item.name
      assert not item.name.startswith(".")
      continue
    key, value = item
    extrakeys.check(key, value, extrakeys.IN_PARAMETER)
    line = f"{key} = {value}"
    # What LXC would make of it: confile.c and parse.c split at these.
    assert not set(line) & set("\n\r\0")
    assert value == value.strip()
    assert value[0] not in "\"'"


@given(ITEMS)
@settings(max_examples=60)
def test_join_and_parse(items: list[extraconf.Item]) -> None:
  for item in items:
    assume(isinstance(item, FileItem) or item[1] == item[1].strip())
  assert extraconf.parse(extraconf.join(items)) == tuple(items)


@given(ITEMS)
@settings(max_examples=60)
def test_through_ganetis_command_line(items: list[extraconf.Item]) -> None:
  value = extraconf.join(items)
  typed = value.replace("\\", "\\\\").replace(",", "\\,")
  assert command_line(shlex.quote(f"extra_config={typed}")) == value


@pytest.mark.parametrize(
  ("typed", "items"),
  [
    (
      r"'extra_config=lxc.prlimit.nofile=4096\,file:net'",
      (("lxc.prlimit.nofile", "4096"), FileItem("net")),
    ),
    (
      r"'extra_config=lxc.environment=LIST=a\\\,b'",
      (("lxc.environment", "LIST=a,b"),),
    ),
    (
      r"'extra_config=lxc.environment=DIR=C:\\\\x'",
      (("lxc.environment", "DIR=C:\\x"),),
    ),
  ],
)
def test_the_examples_of_the_documentation(
  typed: str, items: tuple[extraconf.Item, ...]
) -> None:
  assert extraconf.parse(command_line(typed)) == items


def test_the_example_for_rapi() -> None:
  body = r'{"extra_config": "lxc.environment=LIST=a\\,b,file:net"}'
  assert extraconf.parse(json.loads(body)["extra_config"]) == (
    ("lxc.environment", "LIST=a,b"),
    FileItem("net"),
  )


def test_init_command() -> None:
  items = [("lxc.init.cmd", "/sbin/a"), ("lxc.init.cmd", "/sbin/b -c")]
  assert extraconf.init_command(items) == "/sbin/b -c"
  assert extraconf.init_command([("lxc.arch", "i686")]) is None
