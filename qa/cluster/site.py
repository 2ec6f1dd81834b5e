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

"""A test cluster that a file describes, in the style of Ganeti's own suite.

The file is JSON: what Ganeti's qa/qa-sample.json has of the cluster, and
options on how its nodes are reached.  A key that nothing is known of stays
unread, so that one file can serve both suites; see qa/README.rst.
"""

import dataclasses
import json
import pathlib
from typing import Any

_DEFAULT_TEMPLATES = ("sharedfile", "file")
_DEFAULT_STORAGE = {
  "default-file-storage-dir": "/srv/ganeti/file-storage",
  "default-shared-file-storage-dir": "/srv/ganeti/shared-file-storage",
}
_OPTIONS = {
  "lxc-kernel-tests", "lxc-live-migration",
  "ssh-enter", "ssh-options", "ssh-user",
}  # fmt: skip
_NODES = 2


class SiteError(Exception):
  """A file does not describe a cluster; the text says what to change."""


@dataclasses.dataclass(frozen=True)
class Host:
  """A node.

  @ivar name: the one that Ganeti knows it by
  @ivar address: where ssh finds it

  """

  name: str
  address: str


@dataclasses.dataclass(frozen=True)
class Access:
  """How the nodes are reached.

  @ivar enter: the command that ssh is started by, such as nsenter; none if
    empty
  @ivar options: of ssh, as in its configuration: "Name=value"

  """

  user: str = "root"
  enter: tuple[str, ...] = ()
  options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Site:
  """A cluster, and what of it the stories may use.

  @ivar hosts: the nodes, the master first
  @ivar instances: names that no instance has yet and that the nodes resolve
  @ivar templates: the disk templates that are enabled
  @ivar storage: directories that hold disks
  @ivar link: the bridge of a NIC for which none was named
  @ivar own_kernels: whether the nodes have a kernel with all of Debian's
    parts: LVM, DRBD and the rights that containers' host needs
  @ivar moves_live: whether the nodes' CRIU works on their kernel
  @ivar wanted: test -> whether to run it; "default" is for all the others

  """

  path: str
  hosts: tuple[Host, ...]
  instances: tuple[str, ...]
  templates: tuple[str, ...] = _DEFAULT_TEMPLATES
  storage: tuple[str, ...] = tuple(_DEFAULT_STORAGE.values())
  link: str = "br0"
  access: Access = Access()
  own_kernels: bool = False
  moves_live: bool = True
  wanted: tuple[tuple[str, bool], ...] = ()

  def host(self, name: str) -> Host:
    """A node, by its name."""
    return next(h for h in self.hosts if h.name == name)


def load(path: pathlib.Path) -> Site:
  """The site that a file describes.

  @raise SiteError: when it does not

  """
  try:
    return parse(path.read_text(), str(path))
  except (OSError, UnicodeDecodeError) as err:
    raise SiteError(f"{path} cannot be read: {err}") from err


def parse(text: str, path: str) -> Site:
  """The site that a text describes.

  @param path: where it is from
  @raise SiteError: when it does not

  """
  try:
    data = json.loads(text)
  except ValueError as err:
    raise SiteError(f"{path} is not JSON: {err}") from err
  if not isinstance(data, dict):
    raise SiteError(f"{path} holds no JSON object but {type(data).__name__}")
  reader = _Reader(path, data)
  options = _Reader(f"{path}: options", reader.value("options", dict, {}))
  _check_options(options)
  nicparams = reader.value("default-nicparams", dict, {})
  return Site(
    path=path,
    hosts=_hosts(reader),
    instances=tuple(
      _Reader(f"{path}: instances", one).value("name", str)
      for one in reader.dicts("instances")
    ),
    templates=reader.strings("enabled-disk-templates", _DEFAULT_TEMPLATES),
    storage=tuple(
      reader.value(key, str, default)
      for key, default in _DEFAULT_STORAGE.items()
    ),
    link=_Reader(f"{path}: default-nicparams", nicparams).value(
      "link", str, "br0"
    ),
    access=Access(
      user=options.value("ssh-user", str, "root"),
      enter=options.strings("ssh-enter", ()),
      options=options.strings("ssh-options", ()),
    ),
    own_kernels=options.value("lxc-kernel-tests", bool, False),  # noqa: FBT003
    moves_live=options.value("lxc-live-migration", bool, True),  # noqa: FBT003
    wanted=_wanted(path, reader.value("tests", dict, {})),
  )


def _check_options(options: "_Reader") -> None:
  """Refuses a misspelt option of ours; Ganeti's suite has others."""
  for key in options.data:
    if key.startswith(("ssh-", "lxc-")) and key not in _OPTIONS:
      raise SiteError(
        f"{options.where}: nothing is known of {key!r};"
        f" there are {', '.join(sorted(_OPTIONS))}"
      )


def _hosts(reader: "_Reader") -> tuple[Host, ...]:
  found = []
  for one in reader.dicts("nodes"):
    node = _Reader(f"{reader.where}: nodes", one)
    name = node.value("primary", str)
    found.append(Host(name, node.value("address", str, name)))
  if len(found) < _NODES:
    raise SiteError(
      f"{reader.where}: the stories need {_NODES} nodes, and there"
      f' {"is one" if found else "are none"}: add to "nodes"'
    )
  names = {host.name for host in found}
  if len(names) < len(found):
    raise SiteError(f"{reader.where}: one of the nodes is there twice")
  return tuple(found)


def _wanted(path: str, tests: dict[str, Any]) -> tuple[tuple[str, bool], ...]:
  for name, value in tests.items():
    if not name.startswith("#") and not isinstance(value, bool):
      raise SiteError(f"{path}: tests: {name!r} is neither true nor false")
  return tuple((n, v) for n, v in tests.items() if not n.startswith("#"))


@dataclasses.dataclass(frozen=True)
class _Reader:
  """A JSON object, read with an eye on types.

  @ivar where: for messages

  """

  where: str
  data: dict[str, Any]

  def value(self, key: str, kind: type, default: Any = None) -> Any:
    """A value; without a default it has to be there."""
    found = self.data.get(key, default)
    if found is None:
      raise SiteError(f"{self.where}: {key!r} is missing")
    if not isinstance(found, kind):
      raise SiteError(
        f"{self.where}: {key!r} should be a {kind.__name__}, and is {found!r}"
      )
    return found

  def strings(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """A list of strings."""
    found = self.value(key, list, list(default))
    if not all(isinstance(one, str) for one in found):
      raise SiteError(f"{self.where}: {key!r} should hold nothing but strings")
    return tuple(found)

  def dicts(self, key: str) -> list[dict[str, Any]]:
    """A list of objects."""
    found: list[dict[str, Any]] = self.value(key, list)
    if not all(isinstance(one, dict) for one in found):
      raise SiteError(f"{self.where}: {key!r} should hold nothing but objects")
    return found
