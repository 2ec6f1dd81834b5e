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

"""The control groups that a guest has made below its own, in the v2 tree.

CRIU makes again the groups that hold a process, on v2 too early for their
controllers, and no others.  systemd watches files of empty groups and of
controllers (cgroup.events, memory.events), and such a watch cannot be
restored where the file is missing.  So the tree is noted at the dump and
made anew once the guest's processes have left the topmost group, which is
CRIU's stage post-setup-namespaces.

In a v1 tree CRIU does all of that itself.  systemd uses the v2 tree on hybrid
nodes too.

"""

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from .. import cgtree
from ..errors import Failed
from ..hierarchies import Hierarchies
from ..host import read_optional, write_file

STAGE = "post-setup-namespaces"
_NOTE = "ganeti-groups.json"
_CONTROL = "cgroup.subtree_control"
_MAX_GROUPS = 20_000


def save(trees: Hierarchies, name: str, images: Path) -> None:
  """Notes the guest's tree among CRIU's images.

  @raise Failed: the guest has made too many groups

  """
  if trees.unified is None:
    return
  top = trees.unified.payload(name)
  found: list[dict[str, str | int]] = []
  for path, _, _, fd in os.fwalk(top):
    below = os.path.relpath(path, top)
    info = os.fstat(fd)
    found.append(
      {
        "group": below,
        "controllers": cgtree.read(_CONTROL, dir_fd=fd) or "",
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
      }
    )
    if len(found) > _MAX_GROUPS:
      raise Failed(
        f"Instance {name} has too many control groups to be checkpointed",
        evidence=f"more than {_MAX_GROUPS} below {top}",
      )
  write_file(images / _NOTE, json.dumps(found))


def rebuild(trees: Hierarchies, name: str, images: Path) -> None:
  """Makes the noted groups, with their controllers.

  @raise Failed: the kernel refuses

  """
  text = read_optional(images / _NOTE)
  if text is None or trees.unified is None:
    return
  top = os.open(
    trees.unified.payload(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
  )
  try:
    for note in json.loads(text):
      _make(top, str(note["group"]), note)
  except OSError as err:
    raise Failed(
      f"The control groups of instance {name} cannot be made",
      evidence=f"{err.filename}: {err.strerror}",
    ) from err
  finally:
    os.close(top)


def _make(top: int, below: str, note: dict[str, Any]) -> None:
  """One group; those above it are there, as they were noted first.

  CRIU compares the mode of what a process had open (files-reg.c,
  validate_file), and a guest may have given a group to somebody.

  """
  if below != ".":
    if below.startswith("/") or ".." in below.split("/"):
      raise OSError(errno.EINVAL, "not a group of the guest", below)
    with contextlib.suppress(FileExistsError):
      os.mkdir(below, 0o755, dir_fd=top)
  os.chown(below, int(note["uid"]), int(note["gid"]), dir_fd=top)
  os.chmod(below, int(note["mode"]), dir_fd=top)
  for controller in str(note["controllers"]).split():
    cgtree.write(f"{below}/{_CONTROL}", f"+{controller}", dir_fd=top)
