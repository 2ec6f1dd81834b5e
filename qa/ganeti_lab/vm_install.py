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


"""Install the driver into virtual machines, built by the host's processor.

The same commands as in a namespaced node run in an overlay of the root file
system that the machine's image was made from; what they changed there is
unpacked in the machine. In the machine itself they take a minute or more of
an emulated processor.
"""

from __future__ import annotations

import io
import pathlib
import tarfile

from . import checkout, command, image, install, kept
from .errors import LabCommandError, LabError
from .node import Node
from .progress import Progress
from .state import State

# Mounts and processes end with the shell. The checkout comes by its
# standard input.
_CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
# Of the files that were added, without the leading slash.
_LISTING = "var/lib/ganeti-lxc-lab-driver"
_SCRIPT = """\
mount -t overlay overlay \
  -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
exec chroot "$2/root" sh -ec "$3"
"""
_INSIDE = f"""\
rm -rf {install.SOURCE}
mkdir -p {install.SOURCE}
tar -xf - -C {install.SOURCE}
cd {install.SOURCE}
{install.BUILD}
"""


def of_checkout(record: State, progress: Progress) -> bytes:
  """Build the checkout's driver for a lab's machines.

  @raise LabError: with the last lines of the build

  """
  with progress.step("building the driver from the checkout"):
    data = install.archive(checkout.TOP, checkout.files())
    return build(record.release, record.plan.data_dir / "driver", data)


def build(release: str, scratch: pathlib.Path, checkout: bytes) -> bytes:
  """Install the checkout into a copy of a node's root file system.

  @param scratch: a directory to work in, on a file system that can be the
    upper layer of an overlay
  @param checkout: a tar archive
  @return: a tar archive of what is to be added to a node
  @raise LabError: with the last lines of the build

  """
  lower = image.directory(release)
  if not lower.is_dir():
    raise LabError(
      f"{lower}, on which the driver is built, is gone; run: qa/lab up"
    )
  kept.remove_tree(scratch)
  for name in ("upper", "work", "root"):
    (scratch / name).mkdir(mode=0o755, parents=True)
  words = ["sh", "-euc", _SCRIPT, "build", str(lower), str(scratch), _INSIDE]
  try:
    command.run(
      "install the driver",
      [*_CONTAINED, *words],
      stdin=checkout,
      shown=["sh", "-c", install.BUILD],
    )
    return _archive(scratch / "upper")
  finally:
    kept.remove_tree(scratch)


def _archive(upper: pathlib.Path) -> bytes:
  """What the build added; a file it removed would be a device number 0."""
  paths = [
    path
    for path in sorted(upper.rglob("*"))
    if path.is_symlink() or path.is_dir() or path.is_file()
  ]
  files = [str(p.relative_to(upper)) for p in paths if not _is_directory(p)]
  listing = "".join(f"{name}\0" for name in [*files, _LISTING]).encode()
  entry = tarfile.TarInfo(_LISTING)
  entry.size = len(listing)
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode="w") as tar:
    for path in paths:
      tar.add(path, str(path.relative_to(upper)), recursive=False)
    tar.addfile(entry, io.BytesIO(listing))
  return buffer.getvalue()


def _is_directory(path: pathlib.Path) -> bool:
  return path.is_dir() and not path.is_symlink()


def script(root: str) -> str:
  """What is run in a node to add the archive on its standard input."""
  return (
    f"cd {root}; rm -rf .{install.SOURCE};"
    f" if [ -e {_LISTING} ]; then xargs -0 rm -f <{_LISTING}; fi;"
    " tar --extract --preserve-permissions --keep-directory-symlink --file=-"
  )


def unpack(node: Node, added: bytes) -> None:
  """Add to a node what `build` gave, and take away what it gave before.

  @raise LabError: when the node does not run or the archive cannot be
    unpacked

  """
  text = f"{script('/')}; udevadm control --reload"
  try:
    node.run("install the driver", ["sh", "-ec", text], stdin=added)
  except LabCommandError as err:
    raise LabError(f"{err}\n(the source is in {install.SOURCE})") from err
