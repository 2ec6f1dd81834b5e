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

"""The machine the lab runs on: what it needs, where its packages are from."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
from collections.abc import Callable

from . import command
from .errors import LabError
from .progress import Progress

# Program: the package that has it, in Debian 12 and 13.
_PROGRAMS = {
  "debootstrap": "debootstrap",
  "ip": "iproute2",
  "nsenter": "util-linux",
  "partx": "util-linux",
  "setpriv": "util-linux",
  "ssh-keygen": "openssh-client",
  "tar": "tar",
  "mkfs.ext4": "e2fsprogs",
  "xz": "xz-utils",
  # What devel/build-package runs.
  "autoconf": "autoconf",
  "automake": "automake",
  "dh": "debhelper",
  "dpkg-buildpackage": "dpkg-dev",
  "make": "make",
  # What qa/os/build-guests runs.
  "mmdebstrap": "mmdebstrap",
  "openssl": "openssl",
}
_FILES = {
  # dpkg-buildpackage insists on it.
  "/usr/share/build-essential/list": "build-essential",
  "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
DEFAULT_MIRROR = "http://deb.debian.org/debian"
_APT_ENV = {"DEBIAN_FRONTEND": "noninteractive"}
_SOURCES = pathlib.Path("/etc/apt")
_ONE_LINE = re.compile(
  r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?"
  r"(?P<uri>\S+)\s+(?P<rest>.+)"
)
# Settings of the host's apt without which its mirrors may not be usable.
_APT_SETTINGS = re.compile(
  r"Acquire::(https?::Proxy|https?::Proxy::.*|Check-Valid-Until|Check-Date"
  r"|https::Verify-.*|https::CaInfo) ",
  re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Source:
  """One line of a sources.list."""

  uri: str
  suite: str


@dataclasses.dataclass(frozen=True)
class Mirrors:
  """Where the packages of a release come from.

  @ivar security: URI of the security archive, "" when the host uses none
  @ivar apt_conf: settings of the host's apt that reaching them may need

  """

  main: str
  security: str
  updates: bool
  apt_conf: str

  def sources(self, release: str) -> str:
    """A sources.list for that release."""
    lines = [f"deb {self.main} {release} main"]
    if self.updates:
      lines.append(f"deb {self.main} {release}-updates main")
    if self.security:
      lines.append(f"deb {self.security} {release}-security main")
    return "\n".join(lines) + "\n"

  def proxies(self) -> dict[str, str]:
    """The proxies of apt as environment variables, for debootstrap."""
    found = re.findall(
      r'Acquire::(https?)::Proxy "([^"]+)";', self.apt_conf, re.IGNORECASE
    )
    return {f"{scheme.lower()}_proxy": url for scheme, url in found}


def require_root() -> None:
  """Refuse anybody else.

  @raise LabError: when not root

  """
  if os.geteuid() != 0:
    raise LabError(
      "The lab makes namespaces, mounts and cgroups: run it as root"
    )


def prepare(progress: Progress) -> None:
  """Install what the lab needs on this machine.

  @raise LabCommandError: when apt-get fails

  """
  missing = missing_packages()
  if missing or not has_package_lists():
    with progress.step("package lists of this machine"):
      update_package_lists(progress.note)
  if missing:
    with progress.step(f"installing on this machine: {' '.join(missing)}"):
      install_packages(missing, progress.note)


def missing_packages() -> list[str]:
  """Packages the host lacks, by what the lab runs."""
  wanted = [
    package
    for program, package in _PROGRAMS.items()
    if shutil.which(program, path=command.SANE_PATH) is None
  ]
  wanted += [
    package
    for path, package in _FILES.items()
    if not pathlib.Path(path).exists()
  ]
  return sorted(set(wanted))


def has_package_lists() -> bool:
  """Whether apt knows any package; a container image may come without."""
  lists = pathlib.Path("/var/lib/apt/lists")
  return any(lists.glob("*_Packages*"))


def update_package_lists(note: Callable[[str], None]) -> None:
  """Fetch the lists of the host's archives.

  @raise LabCommandError: when apt-get fails

  """
  command.run(
    "packages of the host",
    ["apt-get", "update"],
    note=note,
    env=_APT_ENV,
    finish=True,
  )


def install_packages(packages: list[str], note: Callable[[str], None]) -> None:
  """Install packages on this machine.

  @raise LabCommandError: when apt-get fails

  """
  argv = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "--yes"]
  command.run(
    "packages of the host",
    [*argv, "--no-install-recommends", *packages],
    note=note,
    env=_APT_ENV,
    finish=True,
  )


def parse_one_line(text: str) -> list[Source]:
  """The binary package sources of a sources.list with component main."""
  found = []
  for line in text.splitlines():
    match = _ONE_LINE.match(line.strip())
    if match is not None:
      suite, *components = match["rest"].split("#")[0].split()
      if "main" in components:
        found.append(Source(match["uri"].rstrip("/"), suite))
  return found


def parse_deb822(text: str) -> list[Source]:
  """The same of a *.sources file."""
  found = []
  for stanza in re.split(r"\n\s*\n", text):
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
      if line.startswith("#"):
        continue
      if line[:1].isspace():
        fields[key] = f"{fields.get(key, '')} {line.strip()}"
        continue
      key, _, value = line.partition(":")
      key = key.strip().lower()
      fields[key] = value.strip()
    if (
      "deb" in fields.get("types", "").split()
      and "main" in fields.get("components", "").split()
      and fields.get("enabled", "yes").lower() != "no"
    ):
      found += [
        Source(uri.rstrip("/"), suite)
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
      ]
  return found


def choose_mirrors(
  sources: list[Source], codename: str, apt_conf: str
) -> Mirrors:
  """The archive the host itself uses; Debian's own when it uses none."""
  main = [s.uri for s in sources if s.suite in (codename, "stable")]
  security = [
    s.uri
    for s in sources
    if s.suite in (f"{codename}-security", "stable-security")
  ]
  uri = main[0] if main else DEFAULT_MIRROR
  updates = any(s.uri == uri and s.suite.endswith("-updates") for s in sources)
  kept = "".join(
    f"{line}\n" for line in apt_conf.splitlines() if _APT_SETTINGS.match(line)
  )
  return Mirrors(uri, security[0] if security else "", updates, kept)


def mirrors() -> Mirrors:
  """What this host's apt is set up with."""
  sources = []
  lists = [
    _SOURCES / "sources.list",
    *sorted((_SOURCES / "sources.list.d").glob("*.list")),
  ]
  for path in lists:
    if path.exists():
      sources += parse_one_line(path.read_text())
  for path in sorted((_SOURCES / "sources.list.d").glob("*.sources")):
    sources += parse_deb822(path.read_text())
  settings = command.run("apt's settings", ["apt-config", "dump"])
  return choose_mirrors(sources, codename(), settings)


def codename() -> str:
  """The release this machine runs, such as "bookworm"."""
  text = pathlib.Path("/etc/os-release").read_text()
  match = re.search(r'^VERSION_CODENAME="?([a-z]+)', text, re.MULTILINE)
  return match[1] if match else ""
