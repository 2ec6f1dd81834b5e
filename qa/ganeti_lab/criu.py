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

"""A CRIU for nodes in namespaces, which run on this machine's kernel.

Linux 6.16 took SO_PASSCRED from TCP sockets; CRIU 4.1 of Debian 13 asks for
it and cannot dump any of them ("Can't get 1:16 opt"). 4.2 can, and Debian's
next release has it. It is fetched by apt, which checks the signatures. A
virtual machine has Debian's own kernel and keeps Debian's own CRIU.

Debian 12 cannot have it, as it lacks the libraries, and its own 3.17 ends at
once on such a kernel ("Unexpected rt vDSO area bounds").

"""

from __future__ import annotations

import hashlib
import json
import pathlib
import platform
import tarfile
from io import BytesIO

from . import command, host, image, lock, plan
from .node import Node
from .progress import Progress

# Nodes' releases on which its packages can be installed.
RELEASES = ("trixie",)
_SUITE = "forky"
_PACKAGES = (
  "criu=4.2.1*",
  "libcompel1=4.2.1*",
  "libnet9=1.3*",
  "libnl-3-200=3.12*",
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def reason_against(release: str, backend: str) -> str:
  """Why guests cannot be migrated live in such a lab; "" where they can."""
  if backend == "vm" or release in RELEASES:
    return ""
  return f"the CRIU of Debian {release} does not start on this machine's kernel"


def directory() -> pathlib.Path:
  """Where the packages are kept."""
  recipe = json.dumps([_SUITE, _PACKAGES, platform.machine()])
  key = hashlib.sha256(recipe.encode()).hexdigest()[:12]
  return plan.CACHE_ROOT / f"criu-{key}"


def ensure(release: str, progress: Progress) -> tuple[pathlib.Path, ...]:
  """The packages for nodes of a release, fetched once; none if not needed.

  @raise LabCommandError: when apt-get fails

  """
  if release not in RELEASES:
    return ()
  target = directory()
  with lock.held("cache-criu", progress.say):
    if not target.is_dir():
      building = target.with_name(f"building-{target.name}")
      image.remove_tree(building)
      with progress.step(f"CRIU of Debian {_SUITE}, fetched once"):
        _fetch(building, host.mirrors(), progress)
      building.rename(target)
  return tuple(sorted(target.glob("*.deb")))


def _fetch(
  building: pathlib.Path, mirrors: host.Mirrors, progress: Progress
) -> None:
  """Download with an apt that knows nothing but this suite."""
  apt = building / "apt"
  for name in (
    "lists/partial",
    "cache/archives/partial",
    "etc/apt.conf.d",
    "etc/preferences.d",
  ):
    (apt / name).mkdir(parents=True)
  (apt / "etc/sources.list").write_text(
    f"deb [signed-by={_KEYRING}] {mirrors.main} {_SUITE} main\n"
  )
  (apt / "etc/apt.conf").write_text(
    f'Dir::State "{apt}";\n'
    f'Dir::Cache "{apt}/cache";\n'
    f'Dir::Etc "{apt}/etc";\n'
    'Dir::State::Status "/dev/null";\n'
    # The packages are left in a directory of root's.
    'APT::Sandbox::User "root";\n' + mirrors.apt_conf
  )
  # Read before all other settings, whose directories are thereby not read.
  env = {"APT_CONFIG": str(apt / "etc/apt.conf")}
  for argv in (
    ["apt-get", "update"],
    ["env", "-C", str(building), "apt-get", "download", *_PACKAGES],
  ):
    command.run("CRIU's packages", argv, note=progress.note, env=env)
  image.remove_tree(apt)


def install(nodes: list[Node], release: str, progress: Progress) -> None:
  """Install it on nodes of a release, if they need it.

  @raise LabError: when apt-get fails, a node is not running, dpkg fails

  """
  packages = ensure(release, progress)
  if not packages:
    return
  data = BytesIO()
  with tarfile.open(fileobj=data, mode="w") as archive:
    for path in packages:
      archive.add(path, path.name)
  script = (
    "set -e; cd $(mktemp -d); tar x;"
    " dpkg --install --force-unsafe-io *.deb; rm -- *.deb; rmdir $PWD"
  )
  for node in nodes:
    node.run("install CRIU", ["sh", "-c", script], stdin=data.getvalue())
