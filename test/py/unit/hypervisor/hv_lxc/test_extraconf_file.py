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

"""Files with LXC keys: which are read, and what is said of the others."""

import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import extraconf, extrafile
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from hypothesis import given, settings
from hypothesis import strategies as st

SECRET = "root:$6$salt"
GOOD = "lxc.arch = i686\n"


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
  path = tmp_path / "etc" / "lxc"
  path.mkdir(parents=True)
  path.chmod(0o755)
  return path


def put(
  directory: pathlib.Path, text: str | bytes, *, name: str = "f"
) -> pathlib.Path:
  path = directory / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  path.chmod(0o644)
  return path


def refusal(directory: pathlib.Path, name: str = "f") -> str:
  with pytest.raises(Refused) as err:
    extrafile.read(directory, name)
  assert SECRET not in str(err.value)
  assert SECRET not in repr(err.value.__cause__)
  return str(err.value)


def test_lines(directory: pathlib.Path) -> None:
  text = """
# a comment
  # another
lxc.arch = i686
\tlxc.environment\t=\tA=b # c
lxc.mount.entry = "/srv\tsrv none bind 0 0"
lxc.cgroup.devices.allow='c 10:200 rwm'"""
  put(directory, text)
  assert extrafile.read(directory, "f") == (
    ("lxc.arch", "i686"),
    ("lxc.environment", "A=b # c"),
    ("lxc.mount.entry", "/srv srv none bind 0 0"),
    ("lxc.cgroup.devices.allow", "c 10:200 rwm"),
  )


def test_an_empty_file(directory: pathlib.Path) -> None:
  put(directory, "")
  assert extrafile.read(directory, "f") == ()


@pytest.mark.parametrize(
  ("line", "said"),
  [
    (SECRET, "line 2 is not of the form"),
    (f"{SECRET}=x", "line 2 has a key or a value"),
    (f"lxc.hook.start={SECRET}", "line 2 has a key or a value"),
    (f"lxc.no_new_privs={SECRET}", "line 2 has a key or a value"),
    ("lxc.cap.drop=", "line 2 has a key or a value"),
    ('lxc.cap.drop=""', "line 2 has a key or a value"),
    ("lxc.cap.drop='\"\"'", "line 2 has a key or a value"),
    ("lxc.cap.drop=' '", "line 2 has a key or a value"),
    (f"lxc.arch=i686\r\x0b{SECRET}", "line 2 has characters"),
    (f"lxc.environment=A=\x85{SECRET}", "line 2 has characters"),
    (f"lxc.environment=A=\u2028{SECRET}", "line 2 has characters"),
    (f"lxc.environment=A=\x00{SECRET}", "line 2 has characters"),
    ("lxc.include=/etc/lxc/default.conf", "line 2 has a key or a value"),
  ],
)
def test_a_wrong_line_is_numbered_and_not_shown(
  directory: pathlib.Path, line: str, said: str
) -> None:
  put(directory, f"{GOOD}{line}\n")
  text = refusal(directory)
  assert said in text
  assert str(directory / "f") in text
  assert "hook" not in text


def test_not_utf8(directory: pathlib.Path) -> None:
  put(directory, b"lxc.environment=A=\xff\n")
  assert "not UTF-8" in refusal(directory)


def test_missing(directory: pathlib.Path) -> None:
  text = refusal(directory)
  assert "No such file" in text
  assert "on every node" in text


def test_missing_directory(directory: pathlib.Path) -> None:
  directory.rmdir()
  assert "No such file" in refusal(directory)


def test_a_symbolic_link(directory: pathlib.Path) -> None:
  put(directory, GOOD, name="real")
  (directory / "f").symlink_to("real")
  assert "symbolic links" in refusal(directory)


def test_a_link_among_the_directories(directory: pathlib.Path) -> None:
  put(directory, GOOD)
  link = directory.parent.with_name("link")
  link.symlink_to("etc")
  extrafile.read(directory, "f")
  assert "Not a directory" in refusal(link / "lxc")


def test_a_hard_link(directory: pathlib.Path) -> None:
  put(directory, GOOD)
  (directory / "other").hardlink_to(directory / "f")
  assert "more than one name" in refusal(directory)


def test_a_fifo_does_not_hang(directory: pathlib.Path) -> None:
  os.mkfifo(directory / "f")
  assert "no regular file" in refusal(directory)


def test_a_directory(directory: pathlib.Path) -> None:
  (directory / "f").mkdir()
  assert "no regular file" in refusal(directory)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_writable_by_others(directory: pathlib.Path, mode: int) -> None:
  put(directory, GOOD).chmod(mode)
  assert "others may write" in refusal(directory)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_writable_by_others(
  directory: pathlib.Path, mode: int
) -> None:
  put(directory, GOOD)
  directory.chmod(mode)
  assert "others may write" in refusal(directory)


def test_somebody_elses(directory: pathlib.Path) -> None:
  put(directory, GOOD)
  with pytest.raises(Refused, match="own it"):
    extrafile.read(directory, "f", owner=os.geteuid() + 1)


def test_size(directory: pathlib.Path) -> None:
  put(directory, "#" * extrafile.MAX_BYTES)
  assert extrafile.read(directory, "f") == ()
  put(directory, "#" * (extrafile.MAX_BYTES + 1))
  assert "65536 bytes" in refusal(directory)


def host_for(directory: pathlib.Path) -> Host:
  elsewhere = pathlib.Path("/nonexistent")
  return Host(
    layout=Layout(
      data_dir=elsewhere,
      run_dir=elsewhere,
      log_dir=elsewhere,
      conf_dir=directory,
    )
  )


def test_load_keeps_the_order(directory: pathlib.Path) -> None:
  put(directory, "lxc.signal.halt = SIGTERM\n", name="a")
  text = "lxc.arch=i686,file:a,lxc.no_new_privs=1"
  assert extraconf.load(host_for(directory), text) == (
    ("lxc.arch", "i686"),
    ("lxc.signal.halt", "SIGTERM"),
    ("lxc.no_new_privs", "1"),
  )


def test_load_looks_again(directory: pathlib.Path) -> None:
  host = host_for(directory)
  path = put(directory, GOOD, name="a")
  extraconf.load(host, "file:a")
  path.chmod(0o666)
  with pytest.raises(Refused, match="others may write"):
    extraconf.load(host, "file:a")


LINES = st.lists(
  st.sampled_from(
    [
      *"=\"' \t\n\r\0\x85#a1é",
      "lxc.cap.drop",
      "lxc.environment=A=",
      "lxc.mount.entry=/a b c d",
      "lxc.hook.start=/x",
    ]
  ),
  max_size=12,
).map("".join)


@given(text=LINES)
@settings(max_examples=100)
def test_whatever_a_file_has_nothing_is_smuggled(
  text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
  directory = tmp_path_factory.mktemp("conf")
  put(directory, text)
  try:
    found = extrafile.read(directory, "f")
  except Refused:
    return
  for key, value in found:
    assert key in {"lxc.cap.drop", "lxc.environment", "lxc.mount.entry"}
    assert value
    assert value.isprintable()
    assert value == value.strip()
    assert value[0] not in "\"'"
