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

"""Nodes without a cluster, made ready for the suite."""

from __future__ import annotations

import pathlib

from ganeti_lab import install, lab, plan
from ganeti_lab.errors import LabError
from ganeti_lab.node import Node
from ganeti_lab.progress import Progress
from ganeti_lab.state import State

from . import configuration

NODE_FILES = pathlib.Path(__file__).resolve().parent / "node"
# The suite asks for an OS definition that has these; what Ganeti itself does
# with os-image is the same with every definition.
_OS_PARAMETERS = ("os-image", "param1", "param2")
_OS = f"/usr/share/ganeti/os/{configuration.OS}"
# Xen's parameters name them by default, and nodes look for them when the suite
# sets other parameters of Xen for an OS (TestOsModifyValid), Xen or no Xen.
_XEN_FILES = (
  "/boot/vmlinuz-3-xenU",
  "/etc/ganeti/vnc-cluster-password",
  "/usr/lib/xen/bin/qemu-dm",
  "/usr/lib/xen/boot/hvmloader",
)
# constants.X509_CERT_CN
_CERTIFICATE_NAME = "ganeti.example.com"
# On the first node.
TARGET = "/root/ganeti-qa"


def up(request: lab.UpRequest, progress: Progress) -> State:
  """A fresh lab; one of that name that is there is taken down first.

  @param request: without a cluster for the suite, which makes it itself
  @raise LabError: when it does not come up

  """
  lab.down(request.name, progress, purge=False)
  lab.up(request, progress)
  record = lab.existing(request.name)
  for node in lab.nodes_of(record):
    _prepare(record, node)
    if request.cluster:
      node.run("let nodes send disks", ["sh", "-ec", _transfers(record, node)])
  return record


def _prepare(record: State, node: Node) -> None:
  """What the suite expects of a machine, and no cluster gives it."""
  secondary = configuration.secondary_address(record.plan, node.name)
  renamed = configuration.renamed_address(record.plan)
  # Debian's ganeti-rapi listens for the machine itself alone.
  script = f"""
    ip address add {secondary}/24 dev {plan.BRIDGE}
    echo {renamed} {configuration.RENAMED_CLUSTER} >>/etc/hosts
    sed -i 's/-b 127.0.0.1 //' /etc/default/ganeti
    for name in {" ".join(_OS_PARAMETERS)}; do
      echo "$name of the QA suite" >>{_OS}/parameters.list
    done
    for file in {" ".join(_XEN_FILES)}; do
      mkdir -p "${{file%/*}}"
      touch "$file"
    done
  """
  node.run("prepare for the suite", ["sh", "-ec", script])


def _transfers(record: State, node: Node) -> str:
  """What lets this node send disks to the others.

  Ganeti 3.1.0~rc2 expects the name that a peer's address has in the
  certificate that all nodes share (impexpd), so that moves and exports fail
  wherever addresses have names; the QA suite's secondary ones have none.

  """
  lines = "".join(
    f"{record.plan.address(name)} {_CERTIFICATE_NAME}\\n"
    for name in record.plan.nodes
    if name != node.name
  )
  return (
    f"hosts=$(cat /etc/hosts); {{ printf '{lines}'; echo \"$hosts\"; }}"
    " >/etc/hosts"
  )


def source_version(node: Node) -> str:
  """Debian's version of the source that the node's Ganeti was built from."""
  show = ["dpkg-query", "-W", "-f", "${source:Version}", "ganeti"]
  return node.run("Ganeti's version", show).strip()


def lacks_sysrq(node: Node) -> bool:
  """Whether gnt-cluster verify has this one complaint of the kernel."""
  return (
    node.run(
      "look for sysrq",
      ["sh", "-c", "[ -e /proc/sysrq-trigger ] && echo yes || echo no"],
    ).strip()
    == "no"
  )


def push(node: Node, directory: pathlib.Path) -> None:
  """Copy a directory to L{TARGET} on a node."""
  names = sorted(
    str(path.relative_to(directory)) for path in directory.rglob("*")
  )
  if not names:
    raise LabError(f"{directory} is empty: there is nothing to run")
  install.unpack(
    node, "copy the suite", install.archive(directory, names), TARGET
  )
