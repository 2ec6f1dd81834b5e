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
"""The scripts of ganeti-os-interface(7), one function each."""

import os
import pathlib
import sys
from collections.abc import Callable, Mapping

from . import disk, personal
from .request import Request, RequestError, options_of, os_of

#: Set in the process that has a mount namespace of its own.
_UNSHARED = "GANETI_LXC_OS_UNSHARED"


def create(env: Mapping[str, str]) -> None:
  """Installs the guest on disk 0; further disks as C{data} says."""
  request = Request.from_environment(env)
  if not request.disks:
    raise RequestError("the instance has no disk to install on")
  kind = request.options["fs"]
  if kind == "xfs":
    _unshare_mounts(env)
  image = request.image()
  disk.forget_contents(request.disks[0])
  area = disk.partition(request.disks[0], request.options["layout"])
  plan = disk.Plan(
    kind=kind,
    uuid=request.root_uuid(),
    errors=request.options["errors"],
    edits=tuple(personal.edits_for(request)),
  )
  disk.install(image, area, plan)
  if request.options["data"] == "ext4":
    for number, path in enumerate(request.disks[1:], start=1):
      disk.make_data(path, number)


def _unshare_mounts(env: Mapping[str, str]) -> None:
  """Starts this script again in a mount namespace of its own."""
  if _UNSHARED not in env:
    os.execvpe(
      "unshare",
      ["unshare", "--mount", sys.executable, *sys.argv],
      {**env, _UNSHARED: "1"},
    )


def export(env: Mapping[str, str]) -> None:
  """Writes the disk C{EXPORT_DEVICE} to standard output."""
  os.execvp("dd", ["dd", f"if={env['EXPORT_DEVICE']}", "bs=1M", "status=none"])


def import_(env: Mapping[str, str]) -> None:
  """Writes standard input to the disk C{IMPORT_DEVICE}."""
  device = pathlib.Path(env["IMPORT_DEVICE"])
  sparse = ",sparse" if disk.is_regular(device) else ""
  disk.forget_contents(device)
  # iflag=fullblock: a pipe gives short reads
  os.execvp(
    "dd",
    [
      "dd",
      f"of={device}",
      "bs=1M",
      "iflag=fullblock",
      "status=none",
      f"conv=notrunc{sparse}",
    ],
  )


def rename(env: Mapping[str, str]) -> None:
  """Gives the guest its new host name; C{INSTANCE_NAME} is the new one.

  A root file system other than ext4 keeps the old one: it would have to be
  mounted, and the guest's administrator can do it from inside.
  """
  request = Request.from_environment(env)
  if request.options["fs"] != "ext4":
    print(
      "rename: host name left as it is: the root file system is"
      f" {request.options['fs']}, and only ext4 is edited unmounted"
    )
    return
  disk.edit_ext4(
    disk.root_area(request.disks[0]), personal.hostname_edits(request.name)
  )


def verify(env: Mapping[str, str]) -> None:
  """Checks the OS parameters."""
  options_of(os_of(env), env)


def main(script: Callable[[Mapping[str, str]], None]) -> int:
  """Runs a script; its error on one line of standard error."""
  try:
    script(os.environ)
  except KeyError as err:
    print(
      f"{script.__name__}: the variable {err.args[0]} is not set; this"
      " script is started by Ganeti",
      file=sys.stderr,
    )
    return 1
  except (RequestError, disk.DiskError, OSError) as err:
    print(f"{script.__name__}: {err}", file=sys.stderr)
    return 1
  return 0
