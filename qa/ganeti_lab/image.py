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

"""The nodes' root file system: built once per release and recipe."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping

from . import command, host
from .errors import LabError
from .kept import Kept
from .progress import Progress

RELEASES = ("trixie", "bookworm")
_RECIPE_VERSION = 1
_PACKAGES = (
  # Ganeti, LXC and what the driver runs.
  "ganeti",
  "lxc",
  "criu",
  "kpartx",
  "iptables",
  "nftables",
  "fping",
  "openssh-server",
  "openssh-client",
  "bridge-utils",
  "lvm2",
  "rsync",
  "util-linux-extra",
  "fdisk",
  "e2fsprogs",
  "parted",
  "python3-psutil",
  "python3-pyparsing",
  "iproute2",
  "procps",
  "psmisc",
  "kmod",
  "dmsetup",
  "xfsprogs",
  "btrfs-progs",
  "dosfstools",
  "gdisk",
  "xz-utils",
  "zstd",
  "e2fsprogs",
  "udev",
  # To install the driver from its source and to run its tests.
  "make",
  "automake",
  "autoconf",
  "python3-pytest",
  "python3-pexpect",
  "iputils-ping",
  "socat",
  "tcpdump",
  "strace",
  "less",
  "libcap2-bin",
  "busybox-static",
  "debootstrap",
  "tini",
  "ca-certificates",
)
# Namespaces of its own: a build that is interrupted or killed leaves neither
# mounts nor processes that go on writing.
_CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_POLICY = "#!/bin/sh\nexit 101\n"


def kept(release: str) -> Kept:
  """The root file system of this recipe, built or not."""
  recipe = [_RECIPE_VERSION, release, sorted(set(_PACKAGES))]
  return Kept(f"rootfs-{release}", recipe)


def directory(release: str) -> pathlib.Path:
  """Where the finished root file system of this recipe is."""
  return kept(release).directory


def ensure(release: str, progress: Progress) -> pathlib.Path:
  """Build the root file system unless it is there.

  @raise LabError: when the release is unknown or the build fails

  """
  if release not in RELEASES:
    raise LabError(
      f"Release {release!r} is not known; choose one of {', '.join(RELEASES)}"
    )
  return kept(release).ensure(
    f"root file system {release}, built once",
    lambda root: _build(release, root, progress),
    progress,
  )


def _build(release: str, root: pathlib.Path, progress: Progress) -> None:
  mirrors = host.mirrors()
  progress.say(f"  packages from {mirrors.main}")
  with progress.step("  debootstrap"):
    debootstrap(release, root, mirrors, progress.note, variant="minbase")
  with progress.step("  Ganeti, LXC and tools"):
    install_packages(release, root, _PACKAGES, mirrors, progress.note)


def debootstrap(
  release: str,
  root: pathlib.Path,
  mirrors: host.Mirrors,
  note: Callable[[str], None],
  *,
  variant: str,
) -> None:
  """Make a new root file system.

  @param variant: "minbase", or "-" for what Debian's installer begins with
  @raise LabCommandError: when debootstrap fails

  """
  argv = [
    "debootstrap",
    f"--variant={variant}",
    "--include=ca-certificates",
    "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg",
    release,
    str(root),
    mirrors.main,
  ]
  scripts = pathlib.Path("/usr/share/debootstrap/scripts")
  if not (scripts / release).exists():
    # A debootstrap older than the release; all of Debian's use this one.
    argv.append(str(scripts / "sid"))
  command.run(
    "debootstrap",
    [*_CONTAINED, "--mount-proc", *argv],
    note=note,
    env=mirrors.proxies(),
  )


def install_packages(
  release: str,
  root: pathlib.Path,
  packages: Iterable[str],
  mirrors: host.Mirrors,
  note: Callable[[str], None],
) -> None:
  """Install packages into a root file system; nothing is started there.

  @raise LabCommandError: when apt-get fails

  """
  policy = root / "usr/sbin/policy-rc.d"
  policy.write_text(_POLICY)
  policy.chmod(0o755)
  shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
  # The tree is renamed into place only when complete: no need to sync.
  (root / "etc/dpkg/dpkg.cfg.d/lab").write_text("force-unsafe-io\n")
  (root / "etc/apt/apt.conf.d/90host").write_text(mirrors.apt_conf)
  (root / "etc/apt/sources.list").write_text(mirrors.sources(release))
  env = {"DEBIAN_FRONTEND": "noninteractive"}
  for argv in (
    ["apt-get", "update"],
    [
      "apt-get",
      "install",
      "--yes",
      "--no-install-recommends",
      *sorted(set(packages)),
    ],
    ["apt-get", "clean"],
  ):
    command.run(
      "packages of the node",
      [*_CONTAINED, f"--mount-proc={root}/proc", "chroot", str(root), *argv],
      note=note,
      env={**env, **mirrors.proxies()},
    )
  _clean(root)


def write_files(root: pathlib.Path, files: Mapping[str, str]) -> None:
  """Write texts by their paths below a root file system."""
  for name, text in files.items():
    path = root / name
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)


def _clean(root: pathlib.Path) -> None:
  """Remove what only the build needed and what must differ per node."""
  for name in ("var/lib/apt/lists", "etc/machine-id"):
    path = root / name
    if path.is_dir():
      shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
  (root / "etc/machine-id").write_text("")
  for path in [
    *root.glob("etc/ssh/ssh_host_*"),
    root / "usr/sbin/policy-rc.d",
    root / "etc/apt/apt.conf.d/90host",
  ]:
    path.unlink()


def check_overlay(scratch: pathlib.Path) -> None:
  """Make sure that nodes can stand on an overlay.

  @raise LabError: when the kernel has no overlay file system

  """
  scratch.mkdir(mode=0o755, parents=True, exist_ok=True)
  if "\toverlay\n" not in pathlib.Path("/proc/filesystems").read_text():
    try:
      command.run("overlay file system", ["modprobe", "overlay"])
    except (LabError, OSError) as err:
      raise LabError(
        "The kernel has no overlay file system, on which the nodes stand"
      ) from err
