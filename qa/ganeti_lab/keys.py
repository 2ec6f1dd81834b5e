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

"""Files that each node has before it boots."""

from __future__ import annotations

import pathlib
import shutil

from . import command, plan
from .plan import LabPlan

_KINDS = ("rsa", "ed25519")
_SSH_CONFIG = """\
Host *
  ConnectTimeout 10
  StrictHostKeyChecking yes
"""


def make(lab: LabPlan) -> None:
  """One pair of host keys and one of root's for all nodes of the lab.

  With --no-ssh-init Ganeti expects the master's host key of every node.

  """
  directory = key_dir(lab)
  directory.mkdir(mode=0o700, parents=True, exist_ok=True)
  for kind in _KINDS:
    for prefix in ("ssh_host_", "id_"):
      path = directory / f"{prefix}{kind}{_suffix(prefix)}"
      if not path.exists():
        _generate(path, kind)


def _generate(path: pathlib.Path, kind: str) -> None:
  argv = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "ganeti-lab"]
  if kind == "rsa":
    # The fewest that ssh accepts by default: keys of a toy are made often.
    argv += ["-b", "2048"]
  command.run("ssh keys", [*argv, "-f", str(path)])


def _suffix(prefix: str) -> str:
  return "_key" if prefix == "ssh_host_" else ""


def key_dir(lab: LabPlan) -> pathlib.Path:
  """Where the keys are, those of the hosts and those of root."""
  return lab.data_dir / "keys"


def seed(lab: LabPlan, node: str) -> None:
  """Write a node's own files into the layer above the shared image."""
  upper = lab.node_dir(node) / "upper"
  etc = upper / "etc"
  for path in (etc / "ssh/ssh_config.d", etc / "ganeti"):
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
  (etc / "hostname").write_text(f"{node}\n")
  (etc / "hosts").write_text(lab.hosts())
  (etc / "ganeti/file-storage-paths").write_text(
    f"{plan.FILE_STORAGE}\n{plan.SHARED_FILE_STORAGE}\n"
  )
  (etc / "ssh/ssh_config.d/lab.conf").write_text(_SSH_CONFIG)
  (etc / "ssh/ssh_known_hosts").write_text(
    known_hosts(
      lab,
      [
        (key_dir(lab) / f"ssh_host_{kind}_key.pub").read_text()
        for kind in _KINDS
      ],
    )
  )
  _copy_keys(lab, upper)


def known_hosts(lab: LabPlan, public_keys: list[str]) -> str:
  """An ssh_known_hosts for all nodes and the cluster."""
  names = [plan.CLUSTER, lab.cluster_address]
  for node in lab.nodes:
    names += [node, f"{node}.{plan.DOMAIN}", lab.address(node)]
  return "".join(
    f"{','.join(names)} {' '.join(key.split()[:2])}\n" for key in public_keys
  )


def _copy_keys(lab: LabPlan, upper: pathlib.Path) -> None:
  root = upper / "root"
  root.mkdir(mode=0o700, exist_ok=True)
  ssh = root / ".ssh"
  ssh.mkdir(mode=0o700, exist_ok=True)
  for path in key_dir(lab).iterdir():
    target = upper / "etc/ssh" if path.name.startswith("ssh_host") else ssh
    shutil.copy2(path, target / path.name)
  (ssh / "authorized_keys").write_text(
    "".join(path.read_text() for path in sorted(key_dir(lab).glob("id_*.pub")))
  )
