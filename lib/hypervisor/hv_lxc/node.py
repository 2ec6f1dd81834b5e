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

"""A node under examination, and one question to it.

Files are read at most once, and only when somebody asks.  What cannot be
known is None.

"""

import enum
import gzip
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .hierarchies import Hierarchies, find
from .host import Host, read_optional
from .model import Problem

_OPTION = re.compile(r"^(CONFIG_\w+)=([ym])$", re.MULTILINE)
_LINUX = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, kw_only=True)
class Node:
  """A node while it is examined; every file of interest is read once.

  @ivar search_path: directories of programs, as in PATH
  @ivar root: where /boot, /etc, /lib/modules are

  """

  host: Host
  search_path: str
  root: Path = Path("/")

  def read(self, path: Path) -> str:
    """A file's text; "" if there is no such file."""
    return read_optional(path) or ""

  def proc(self, path: str) -> str:
    """The text of a file below /proc; "" if there is no such file."""
    return self.read(self.host.proc / path)

  @cached_property
  def trees(self) -> Hierarchies:
    """The mounted control group trees; none in a kernel without them."""
    try:
      return find(self.host)
    except FileNotFoundError:
      return Hierarchies()

  @cached_property
  def release(self) -> str:
    """As uname -r prints it."""
    return self.proc("sys/kernel/osrelease").strip()

  @cached_property
  def command_line(self) -> list[str]:
    """The kernel's arguments (proc_cmdline(5))."""
    return self.proc("cmdline").split()

  @cached_property
  def config(self) -> dict[str, str]:
    """CONFIG_X: "y" or "m"; empty where the configuration is unknown."""
    return dict(_OPTION.findall(_config_text(self)))

  @cached_property
  def builtin(self) -> frozenset[str]:
    """Modules linked into the kernel, with "_" for "-"."""
    return _module_names(self.read(self._modules / "modules.builtin"))

  @cached_property
  def loadable(self) -> frozenset[str]:
    """Modules that modprobe finds (modules.dep(5)), with "_" for "-"."""
    return _module_names(self.read(self._modules / "modules.dep"))

  @cached_property
  def linux(self) -> tuple[int, int] | None:
    """Major and minor number of the kernel; None if it does not tell."""
    match = _LINUX.match(self.release)
    return (int(match[1]), int(match[2])) if match else None

  @property
  def _modules(self) -> Path:
    return self.root / "lib/modules" / self.release

  def has_program(self, name: str) -> bool:
    """Whether a program can be started by its name."""
    return shutil.which(name, path=self.search_path) is not None

  def has_option(self, option: str) -> bool | None:
    """Whether the kernel was built with it; None if that is unknown."""
    return option in self.config if self.config else None

  def has_module(self, module: str, option: str) -> bool | None:
    """Whether it is in the kernel or can be loaded; None if unknown.

    @param option: what it is built by, with the prefix CONFIG_

    """
    if (self.host.sys / "module" / module).is_dir():
      return True
    if module in self.builtin or self.config.get(option) == "y":
      return True
    if self.builtin or self.loadable:
      locked = self.proc("sys/kernel/modules_disabled").strip() == "1"
      return module in self.loadable and not locked
    # A node without /lib/modules of its own, such as one in namespaces:
    # the kernel loads modules from the machine's.
    return None if self.config.get(option) == "m" else self.has_option(option)


def _config_text(node: Node) -> str:
  """The kernel's configuration, from wherever lxc-checkconfig looks."""
  try:
    packed = (node.host.proc / "config.gz").read_bytes()
    return gzip.decompress(packed).decode("ascii", "replace")
  except (FileNotFoundError, gzip.BadGzipFile, EOFError):
    pass
  modules = f"lib/modules/{node.release}"
  places = (f"boot/config-{node.release}", f"{modules}/build/.config")
  for place in (*places, f"{modules}/config"):
    if text := node.read(node.root / place):
      return text
  return ""


def _module_names(text: str) -> frozenset[str]:
  """The names in modules.dep or modules.builtin."""
  paths = (line.partition(":")[0] for line in text.splitlines())
  names = (path.rpartition("/")[2].partition(".ko")[0] for path in paths)
  return frozenset(name.replace("-", "_") for name in names)


@dataclass(frozen=True, slots=True)
class Check:
  """One question to a node.

  @ivar subject: what it is about, in a list or should the question fail
  @ivar privileged: only root gets a true answer

  """

  subject: str
  examine: Callable[[Node], Problem | None]
  privileged: bool = False


class State(enum.StrEnum):
  """What came of a question."""

  OK = "ok"
  MISSING = "missing"
  DEGRADED = "degraded"
  UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
  """A requirement and how it is met; C{problem} is None if it is."""

  subject: str
  state: State
  problem: Problem | None = None


def missing_program(
  name: str, package: str, purpose: str, node: Node
) -> Problem | None:
  """The usual answer where a program is looked for.

  @param purpose: what cannot be done without it

  """
  if node.has_program(name):
    return None
  return Problem(
    f"{purpose}: the command {name} is not in {node.search_path}",
    f"run apt-get install --reinstall {package}",
  )
