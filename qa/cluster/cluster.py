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

"""A cluster as its operator sees it: nodes, gnt-* and instances."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pexpect
import pytest
import suite
from cluster import site as sites
from cluster.nodes import DOMAIN, TIMEOUT_S, CommandError, Done, Node
from cluster.site import Site
from ganeti_lab import command, criu
from ganeti_lab import lab as whole_lab

__all__ = ["DOMAIN", "TIMEOUT_S", "CommandError", "Done", "Node"]

# The smallest disk that the busybox guest fits on, with room to write.
BUSYBOX_MIB = 160
DEBIAN_MIB = 800
DEBIAN_GUESTS = ("bookworm", "trixie", "sysvinit", "openrc")
# Below it are the instances' directories, also for lxc-* commands.
LXCPATH = "/var/lib/ganeti/lxc"
CONSOLE_LOGS = "/run/ganeti/lxc"
_NO_CRIU = (
  "needs a CRIU that works on the nodes' kernel (options: lxc-live-migration)"
)


def wait_for(
  condition: Callable[[], Any], what: str, timeout_s: float = 30.0
) -> Any:
  """Waits until a condition holds; returns what it returned."""
  timeout_s *= suite.SLOWNESS
  deadline = time.monotonic() + timeout_s
  while True:
    found = condition()
    if found:
      return found
    if time.monotonic() > deadline:
      raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
    time.sleep(0.1)


@dataclasses.dataclass
class Cluster:
  """The cluster, driven from its master.

  @ivar used: how many names of instances this test has had

  """

  lab: str
  nodes: tuple[Node, ...]
  used: int = 0

  @property
  def master(self) -> Node:
    return self.nodes[0]

  @property
  def site(self) -> Site | None:
    """What is known of a cluster that is not a lab's."""
    return self.master.site

  @property
  def link(self) -> str:
    """The bridge that NICs are plugged into by default."""
    return self.site.link if self.site else "br0"

  @functools.cached_property
  def variants(self) -> list[str]:
    """The OS definitions, each with its variant."""
    return self.gnt("os", "list", "--no-headers").split()

  def require(self, os: str, template: str) -> None:
    """Leaves a test out that needs what the operator's cluster lacks."""
    if self.site and template not in self.site.templates:
      pytest.skip(f"disk template {template} is not enabled")
    if self.site and os not in self.variants:
      pytest.skip(f"the cluster has no OS {os}")

  def node(self, host_name: str) -> Node:
    """A node by its full name."""
    return next(n for n in self.nodes if n.host_name == host_name)

  def other(self, node: Node) -> Node:
    """The first node that is another one."""
    return next(n for n in self.nodes if n != node)

  def gnt(self, tool: str, *argv: str, timeout_s: float = TIMEOUT_S) -> str:
    """Runs gnt-TOOL on the master, which has to succeed."""
    return self.master.run(f"gnt-{tool}", *argv, timeout_s=timeout_s)

  def refused(self, tool: str, *argv: str, timeout_s: float = TIMEOUT_S) -> str:
    """Runs gnt-TOOL, which has to fail; returns what it said, on one line.

    Ganeti's command line breaks long lines.

    """
    done = self.master.try_run(f"gnt-{tool}", *argv, timeout_s=timeout_s)
    if done.status == 0:
      raise CommandError(f"gnt-{tool} {argv} should fail:\n{done.output}")
    assert "Traceback" not in done.output, done.output
    return " ".join(done.output.split())

  def names(self) -> list[str]:
    """All instances, also those that were not added by this test."""
    return self.gnt("instance", "list", "--no-headers", "-o", "name").split()

  def remove_all(self) -> None:
    """Removes all instances, whatever state they are in."""
    options = ("-f", "--ignore-failures", "--shutdown-timeout=0")
    together(
      *(
        lambda name=name: self.gnt("instance", "remove", *options, name)
        for name in self.names()
      )
    )

  def statuses(self) -> dict[str, str]:
    """Status of each instance."""
    out = self.gnt(
      "instance", "list", "--no-headers", "--separator=|", "-o", "name,status"
    )
    return dict(line.split("|") for line in out.splitlines() if "|" in line)

  def instance(self) -> "Instance":
    """A name that is not in use yet."""
    self.used += 1
    if self.site is None:
      return Instance(self, f"inst{self.used}.{DOMAIN}")
    names = self.site.instances
    if self.used > len(names):
      pytest.skip(f"needs more than {len(names)} names of instances")
    return Instance(self, names[self.used - 1])

  def add(self, **wanted: Any) -> "Instance":
    """Adds an instance, see L{Instance.add}."""
    return self.instance().add(**wanted)

  def add_watched(self, **wanted: Any) -> "Instance":
    """Adds an instance that ganeti-watcher has seen run.

    It gives a name up that it has started five times within eight hours
    without having found it running (ganeti.watcher), as one test after
    another would have it.

    """
    instance = self.add(**wanted)
    self.watch()
    return instance

  def add_all(self, *wanted: dict[str, Any]) -> "list[Instance]":
    """Adds several instances at once."""
    found = [self.instance() for _ in wanted]
    together(
      *(lambda i=i, w=w: i.add(**w) for i, w in zip(found, wanted, strict=True))
    )
    return found

  @contextlib.contextmanager
  def modified(self, *changes: str, back: Sequence[str]) -> Iterator[None]:
    """While this lasts, gnt-cluster modify has been run with C{changes}."""
    self.gnt("cluster", "modify", *changes)
    try:
      yield
    finally:
      self.gnt("cluster", "modify", *back)

  def watch(self, node: Node | None = None) -> None:
    """Runs ganeti-watcher once, as cron does; on the master unless told."""
    (node or self.master).run("ganeti-watcher", "--ignore-pause")


def together(*calls: Callable[[], Any]) -> list[Any]:
  """Calls functions at the same time; returns what they returned."""
  with ThreadPoolExecutor(max_workers=max(1, len(calls))) as pool:
    futures = [pool.submit(call) for call in calls]
    return [future.result() for future in futures]


@dataclasses.dataclass
class Instance:
  """An instance, by its name."""

  cluster: Cluster
  name: str

  def add_argv(
    self,
    *,
    os: str = "busybox",
    os_params: str = "",
    template: str = "sharedfile",
    disks: Sequence[str] = (),
    on: Node | None = None,
    memory: str = "memory=64M",
    vcpus: int = 1,
    hv: Sequence[str] = (),
    nics: Sequence[str] | None = None,
    more: Sequence[str] = (),
  ) -> list[str]:
    """What gnt-instance is told to add it.

    @param os: name of an OS definition, maybe with a variant
    @param disks: options of each disk; a size of C{--disk N:...}
    @param hv: C{NAME=VALUE} of hypervisor parameters
    @param nics: options of each NIC; one with the lab's address if None

    """
    self.cluster.require(os, template)
    size = BUSYBOX_MIB if os == "busybox" else DEBIAN_MIB
    argv = ["add", "-t", template, "-o", os, "--no-wait-for-sync"]
    argv += ["--no-name-check", "--no-ip-check"]
    argv += ["-n", (on or self.cluster.master).host_name]
    argv += ["-B", f"{memory},vcpus={vcpus}"]
    for index, options in enumerate(disks or (f"size={size}M",)):
      argv += ["--disk", f"{index}:{options}"]
    if os_params:
      argv += ["-O", os_params]
    if nics is None:
      nics = (f"ip={self.address}",)
    for index, options in enumerate(nics):
      argv += ["--net", f"{index}:{options}"]
    if not nics:
      argv.append("--no-nics")
    argv += ["-H", ",".join(["lxc", *hv]).replace("lxc,", "lxc:", 1)]
    return [*argv, *more, self.name]

  @property
  def address(self) -> str:
    """Where it is in the lab's network."""
    return self.cluster.master.run("getent", "hosts", self.name).split()[0]

  def add(self, **wanted: Any) -> "Instance":
    """Adds the instance; it runs afterwards, unless told otherwise."""
    self.cluster.gnt("instance", *self.add_argv(**wanted))
    # The one before with this address had another MAC, and the kernel is
    # sure of that for up to 45 s after the last traffic (arp(7),
    # base_reachable_time).
    address = self.listed("nic.ip/0")
    if address.count(".") == 3:
      for node in self.cluster.nodes:
        node.run("ip", "neigh", "flush", "to", address)
    return self

  def add_refused(self, **wanted: Any) -> str:
    """Tries to add it, in vain; returns what Ganeti said, on one line."""
    return self.cluster.refused("instance", *self.add_argv(**wanted))

  def gnt(self, verb: str, *argv: str, timeout_s: float = TIMEOUT_S) -> str:
    """gnt-instance VERB ARGV NAME, which has to succeed."""
    return self.cluster.gnt(
      "instance", verb, *argv, self.name, timeout_s=timeout_s
    )

  def refused(self, verb: str, *argv: str) -> str:
    """The same for what has to fail; returns what it said, on one line."""
    return self.cluster.refused("instance", verb, *argv, self.name)

  def listed(self, field: str) -> str:
    """A field of gnt-instance list."""
    return self.gnt("list", "--no-headers", "-o", field).strip()

  @property
  def status(self) -> str:
    return self.listed("status")

  @property
  def node(self) -> Node:
    """The primary node."""
    return self.cluster.node(self.listed("pnode"))

  def disk_path(self, index: int = 0) -> str:
    """Where Ganeti keeps a disk, on the primary node."""
    # What a mirrored one is made of comes behind it.
    text = self.gnt("info").partition(f"- disk/{index}: ")[2]
    found = re.search(r"on primary: (\S+)", text) or re.search(
      r"logical_id: \['loop', '([^']+)'\]", text
    )
    assert found, f"{self.name} has no disk {index}"
    return found[1]

  # Inside of the guest

  def attach_argv(self, *argv: str) -> list[str]:
    """A command that runs another one in the guest."""
    return ["lxc-attach", "-P", LXCPATH, "-n", self.name, "--", *argv]

  def inside(self, script: str, timeout_s: float = TIMEOUT_S) -> str:
    """Runs a shell script in the guest, which has to succeed."""
    return self.node.run(
      *self.attach_argv("/bin/sh", "-c", script), timeout_s=timeout_s
    )

  def try_inside(self, script: str) -> Done:
    """Runs a shell script in the guest, whatever comes of it."""
    return self.node.try_run(*self.attach_argv("/bin/sh", "-c", script))

  def console_log(self) -> str:
    """Console output since boot."""
    path = f"{CONSOLE_LOGS}/{self.name}.console"
    return self.node.try_run("cat", path).output

  def init_pid(self) -> int:
    """Process 1 of the guest as the node numbers it; 0 if there is none."""
    done = self.node.try_run(
      "lxc-info", "-P", LXCPATH, "-n", self.name, "-p", "-H"
    )
    text = done.output.strip()
    return int(text) if text.isdigit() else 0

  def console(self, rows: int = 24, columns: int = 80) -> "pexpect.spawn[str]":
    """gnt-instance console on a terminal of that size."""
    argv = self.cluster.master.on_terminal("gnt-instance", "console", self.name)
    return pexpect.spawn(
      argv[0],
      argv[1:],
      dimensions=(rows, columns),
      env={**command.environment(), "TERM": "vt100"},
      encoding="utf-8",
      codec_errors="replace",
      timeout=20,
    )


def why_nothing_moves() -> str:
  """Why guests cannot be migrated live on that cluster; "" if they can."""
  path = os.environ.get("GANETI_LXC_QA")
  if path:
    moves_live = sites.load(pathlib.Path(path)).moves_live
    return "" if moves_live else _NO_CRIU
  record = whole_lab.existing(os.environ["GANETI_LAB"])
  return criu.reason_against(record.release, record.backend)


def of_environment() -> Cluster:
  """The cluster of GANETI_LXC_QA, a file, or the lab of GANETI_LAB."""
  path = os.environ.get("GANETI_LXC_QA")
  if path:
    site = sites.load(pathlib.Path(path))
    return Cluster("", tuple(Node("", h.name, site) for h in site.hosts))
  name = os.environ.get("GANETI_LAB")
  if not name:
    raise RuntimeError(
      "GANETI_LAB is not set: name a lab, as in"
      " 'qa/lab --name story up; GANETI_LAB=story pytest qa/cluster'"
    )
  from ganeti_lab import status  # noqa: PLC0415

  data = json.loads(status.as_json(status.collect(name)))
  names = [n["name"] for n in data["nodes"] if n["state"] == "running"]
  if len(names) < 2:
    raise RuntimeError(f"lab {name!r} does not have two running nodes")
  return Cluster(name, tuple(Node(name, n) for n in names))
