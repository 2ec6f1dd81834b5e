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

"""The manual's table of parameters is that of the driver."""

import re

import pytest
from ganeti.hypervisor.hv_lxc import params, paramvalues
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.layout import Layout
from unit.static import project

PAGE = project.ROOT / "doc/man/ganeti-lxc.rst"
FIELDS = ("Value", "Default", "Unit", "Effect")
EFFECTS = {
  "at the next start",
  "at the next migration",
  "at once",
}


def described() -> dict[str, dict[str, str]]:
  """Name of a parameter: its fields, each on one line."""
  text = PAGE.read_text()
  begin = text.index("Hypervisor parameters\n---")
  text = text[begin : text.index("Files\n-----", begin)]
  found: dict[str, dict[str, str]] = {}
  for name, body in re.findall(r"^(\w+)\n((?:  .*\n|\n)+)", text, re.MULTILINE):
    fields = re.findall(
      r"^  :(\w+): ((?:.+\n)(?:    .+\n)*)", body, re.MULTILINE
    )
    found[name] = {key: " ".join(value.split()) for key, value in fields}
    # Before the fields there is a text.
    assert body.strip()[:1].isupper() or body.strip()[:2] == "``", name
  return found


def plain(value: object) -> str:
  """A default as the manual writes it."""
  text = ", ".join(part.strip() for part in str(value).split(","))
  return f"``{text}``" if text else "nothing"


def test_every_parameter_is_described() -> None:
  assert set(described()) == set(paramvalues.defaults())


@pytest.mark.parametrize("name", sorted(paramvalues.defaults()))
def test_parameter(name: str) -> None:
  fields = described()[name]
  assert tuple(fields) == FIELDS
  assert fields["Default"] == plain(paramvalues.defaults()[name])
  assert fields["Effect"] in EFFECTS


@pytest.mark.parametrize(
  "name", [n for n, v in paramvalues.defaults().items() if isinstance(v, int)]
)
def test_range(name: str) -> None:
  """The manual's bounds are accepted, and what is beyond them is not."""
  match = re.fullmatch(
    r"a whole number from (\d+) to (\d+)", described()[name]["Value"]
  )
  assert match
  low, high = map(int, match.groups())
  for value in (low, high):
    params.parse({name: value})
  for value in (low - 1, high + 1):
    with pytest.raises(Refused, match=f"{name} .* from {low} to {high}"):
      params.parse({name: value})


# What the manual says in words, as values: (accepted, refused).
_IN_WORDS = {
  "cpu_mask": (("0-2,4", "all", "", "0:1"), ("x", "3-1")),
  "devices": (("c *:* m", "b 8:0 rwm,c 1:3 r"), ("x 1:3 rwm", "c 1:3 z")),
  "drop_capabilities": (("sys_time,bpf", ""), ("nonsense",)),
  "extra_cgroups": (("pids,cpuset", ""), ("a b",)),
  "extra_config": (
    ("lxc.prlimit.nofile=4096", "file:web", ""),
    ("lxc.rootfs.path=/", "file:../web", "x"),
  ),
  "security_domain": (
    ("", "unconfined", "lxc-container-default"),
    ("nonsense",),
  ),
}


def values_of(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """What the manual says is accepted, and something that it does not."""
  if name in _IN_WORDS:
    return _IN_WORDS[name]
  text = described()[name]["Value"]
  assert re.fullmatch(r"(nothing|``\S+``)( or ``\S+``)+", text), text
  nothing = ("",) if "nothing" in text else ()
  return (*re.findall("``(.+?)``", text), *nothing), ("nonsense",)


@pytest.mark.parametrize(
  "name", [n for n, v in paramvalues.defaults().items() if isinstance(v, str)]
)
def test_values(name: str) -> None:
  accepted, refused = values_of(name)
  for value in accepted:
    params.parse({name: value})
  for value in refused:
    with pytest.raises(Refused):
      params.parse({name: value})


def test_a_unit_is_given_for_every_number() -> None:
  units = {
    name: described()[name]["Unit"]
    for name, default in paramvalues.defaults().items()
    if isinstance(default, int)
  }
  # A port is a name.
  assert units.pop("migration_port") == "none"
  assert "none" not in units.values()


def test_files_that_are_named_exist_in_the_layout() -> None:
  layout = Layout.below(
    "/var/lib/ganeti", "/var/run/ganeti", "/var/log/ganeti", "/etc/ganeti"
  )
  paths = layout.instance("NAME", "UUID")
  text = PAGE.read_text()
  for path in (paths.home, paths.log_file, paths.console_log, layout.conf_dir):
    assert str(path) in text
