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


"""Builds the cached root file systems of the test guests.

Every guest is a directory C{NAME-DIGEST} holding C{root.tar}, C{root.ext4}
and C{recipe.json}; the symbolic link C{NAME} names the current one.  Both
appear by rename, so a reader never sees half a guest, and a guest is built
again only when its recipe changed.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence

import guest_recipes
from guest_recipes import Recipe

DEFAULT_CACHE = pathlib.Path("/var/cache/ganeti-lxc-lab/guests")
#: program -> Debian package that holds it
PROGRAMS = {
  "mmdebstrap": "mmdebstrap",
  "mkfs.ext4": "e2fsprogs",
  "tar": "tar",
  "dpkg-deb": "dpkg",
  "apt-get": "apt",
  "openssl": "openssl",
}


class BuildError(Exception):
  """A guest could not be built; the text stands alone."""


def _run(argv: Sequence[str], cwd: pathlib.Path | None = None) -> str:
  """Runs a program and returns its standard output.

  @raise BuildError: it failed; holds the last lines it wrote

  """
  result = subprocess.run(
    argv,
    cwd=cwd,
    capture_output=True,
    check=False,
    text=True,
    errors="replace",
    stdin=subprocess.DEVNULL,
  )
  if result.returncode != 0:
    evidence = " | ".join(result.stderr.strip().splitlines()[-4:])
    raise BuildError(
      f"{argv[0]} exited with status {result.returncode}: {evidence}"
    )
  return result.stdout


def missing_packages() -> list[str]:
  """Debian packages to install before anything can be built."""
  return sorted(
    {
      package
      for program, package in PROGRAMS.items()
      if shutil.which(program) is None
    }
  )


def host_mirror() -> str:
  """URI of the Debian archive that this host installs from."""
  lines = _run(
    [
      "apt-get",
      "indextargets",
      "--format",
      "$(LABEL) $(REPO_URI)",
      "Created-By: Packages",
    ]
  )
  for line in lines.splitlines():
    label, _, uri = line.partition(" ")
    if label == "Debian":
      return uri
  raise BuildError(
    "no Debian archive in the host's APT sources; run"
    " 'apt-get update', or name one with --mirror"
  )


def _build_debian(recipe: Recipe, mirror: str, work: pathlib.Path) -> None:
  """Writes C{work/root.tar} with mmdebstrap(1)."""
  source = f"deb {mirror} {recipe.suite} main"
  _run(
    [
      "mmdebstrap",
      "--variant=minbase",
      "--include=" + ",".join(recipe.packages),
      "--dpkgopt=path-exclude=/usr/share/doc/*",
      "--dpkgopt=path-exclude=/usr/share/man/*",
      "--dpkgopt=path-exclude=/usr/share/locale/*",
      *(f"--customize-hook={hook}" for hook in recipe.customize),
      recipe.suite,
      str(work / "root.tar"),
      source,
    ]
  )


def _fetch_busybox(work: pathlib.Path) -> pathlib.Path:
  """Unpacks Debian's statically linked busybox; returns the program."""
  _run(
    ["apt-get", "download", "-o", "APT::Sandbox::User=root", "busybox-static"],
    cwd=work,
  )
  packages = list(work.glob("busybox-static_*.deb"))
  if len(packages) != 1:
    raise BuildError(
      f"apt-get download left {len(packages)} packages of"
      " busybox-static; expected one"
    )
  _run(["dpkg-deb", "-x", str(packages[0]), str(work / "package")])
  for candidate in ("bin/busybox", "usr/bin/busybox"):
    if (work / "package" / candidate).is_file():
      return work / "package" / candidate
  raise BuildError(f"{packages[0].name} holds no bin/busybox")


def _password_line() -> str:
  hashed = _run(
    [
      "openssl",
      "passwd",
      "-6",
      "-salt",
      "ganetilxc",
      guest_recipes.ROOT_PASSWORD,
    ]
  ).strip()
  return f"root:{hashed}:19000:0:99999:7:::\n"


def _build_busybox(work: pathlib.Path) -> None:
  """Writes C{work/root.tar}: one program, its links, a few files."""
  program = _fetch_busybox(work)
  root = work / "root"
  for name in guest_recipes.BUSYBOX_DIRS:
    (root / name).mkdir(parents=True, exist_ok=True)
  (root / "tmp").chmod(0o1777)
  shutil.copy(program, root / "bin/busybox")
  for applet in _run([str(program), "--list-full"]).split():
    path = root / applet
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
      path.symlink_to("/bin/busybox")
  files = dict(guest_recipes.BUSYBOX_FILES)
  files["etc/shadow"] = (0o600, _password_line())
  for name, (mode, text) in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
  (root / "etc/mtab").symlink_to("../proc/self/mounts")
  with tarfile.open(work / "root.tar", "w") as archive:
    archive.add(root, arcname=".", filter=_owned_by_root)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
  # TarInfo.replace() is missing before Python 3.11.4
  entry.uid = entry.gid = 0
  entry.uname = entry.gname = "root"
  return entry


def _make_image(recipe: Recipe, work: pathlib.Path) -> None:
  """Writes C{work/root.ext4}, sparse, from C{work/root.tar}."""
  tree = work / "tree"
  tree.mkdir(mode=0o755)
  _run(
    [
      "tar",
      "-x",
      "--numeric-owner",
      "--xattrs",
      "--xattrs-include=*",
      "-f",
      str(work / "root.tar"),
      "-C",
      str(tree),
    ]
  )
  tree.chmod(0o755)
  image = work / "root.ext4"
  size = guest_recipes.IMAGE_MIB[recipe.family]
  _run(
    [
      "mkfs.ext4",
      "-q",
      "-F",
      "-b",
      "4096",
      "-m",
      "0",
      "-L",
      "root",
      "-U",
      guest_recipes.ROOT_UUID,
      "-E",
      "lazy_itable_init=1,nodiscard",
      "-d",
      str(tree),
      str(image),
      f"{size}M",
    ]
  )


def _publish(recipe: Recipe, work: pathlib.Path, target: pathlib.Path) -> None:
  """Moves what was built to C{target} and lets C{NAME} point at it."""
  fresh = work / "fresh"
  fresh.mkdir(mode=0o755)
  for name in ("root.tar", "root.ext4"):
    (work / name).chmod(0o644)
    (work / name).rename(fresh / name)
  about = {**dataclasses.asdict(recipe), "root_uuid": guest_recipes.ROOT_UUID}
  (fresh / "recipe.json").write_text(
    json.dumps(about, indent=2) + "\n", encoding="utf-8"
  )
  fresh.rename(target)


def _point_at(link: pathlib.Path, target: pathlib.Path) -> None:
  """Replaces the symbolic link C{link}, then drops superseded builds."""
  replacement = link.with_name(f".{link.name}.{os.getpid()}")
  replacement.unlink(missing_ok=True)
  replacement.symlink_to(target.name)
  replacement.rename(link)
  digits = len(target.name.rpartition("-")[2])
  for other in link.parent.glob(f"{link.name}-*"):
    digest = other.name[len(link.name) + 1 :]
    if (
      other != target
      and len(digest) == digits
      and set(digest) <= set("0123456789abcdef")
    ):
      shutil.rmtree(other)


@contextlib.contextmanager
def _locked(cache: pathlib.Path, name: str) -> Iterator[None]:
  """One builder per guest; a second one waits and finds it built."""
  with (cache / f".{name}.lock").open("w") as handle:
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield


def build(recipe: Recipe, cache: pathlib.Path, mirror: str | None) -> bool:
  """Builds one guest unless the cache holds it.

  @param mirror: URI of a Debian archive; None: the host's own
  @return: whether it had to be built
  @raise BuildError: a program failed

  """
  cache.mkdir(parents=True, exist_ok=True)
  target = cache / f"{recipe.name}-{recipe.digest()}"
  with _locked(cache, recipe.name):
    built = not target.is_dir()
    if built:
      with tempfile.TemporaryDirectory(
        dir=cache, prefix=f".{recipe.name}.tmp."
      ) as name:
        work = pathlib.Path(name)
        # mmdebstrap's APT reads hooks' files as another user
        work.chmod(0o755)
        if recipe.family == "busybox":
          _build_busybox(work)
        else:
          _build_debian(recipe, mirror or host_mirror(), work)
        _make_image(recipe, work)
        _publish(recipe, work, target)
    _point_at(cache / recipe.name, target)
  return built


def allocated_mib(directory: pathlib.Path) -> int:
  """MiB that the files of a guest really occupy."""
  blocks = sum(
    entry.stat().st_blocks
    for entry in directory.iterdir()
    if stat.S_ISREG(entry.stat().st_mode)
  )
  return blocks * 512 // (1 << 20)


def build_and_report(
  recipe: Recipe, cache: pathlib.Path, mirror: str | None
) -> None:
  """L{build}, with a line of progress on standard error."""
  began = time.monotonic()
  print(
    f"guest {recipe.name}: {recipe.digest()} ...", file=sys.stderr, flush=True
  )
  built = build(recipe, cache, mirror)
  size = allocated_mib(cache / recipe.name)
  how = "built" if built else "already built"
  print(
    f"guest {recipe.name}: {how}, {size} MiB, {time.monotonic() - began:.1f} s",
    file=sys.stderr,
    flush=True,
  )
