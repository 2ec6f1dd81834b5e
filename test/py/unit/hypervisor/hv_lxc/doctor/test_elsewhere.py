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

"""To which nodes a guest could be moved, told by these."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence

import pytest
from ganeti.hypervisor.hv_lxc.command import Result
from ganeti.hypervisor.hv_lxc.doctor import elsewhere, facts, output
from ganeti.hypervisor.hv_lxc.doctor.elsewhere import Destination
from ganeti.hypervisor.hv_lxc.doctor.facts import Facts
from ganeti.hypervisor.hv_lxc.doctor.output import GuestReport
from ganeti.hypervisor.hv_lxc.errors import Failed
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout
from ganeti.hypervisor.hv_lxc.model import Problem
from ganeti.hypervisor.hv_lxc.node import Node
from unit.hypervisor.hv_lxc.doctor.samples import FACTS

NAME = "inst1.lab"
# The nodes, and who answers what.
SAID: dict[str, Callable[[], Result]] = {
  "like.lab": lambda: told(FACTS),
  "old.lab": lambda: told(
    dataclasses.replace(
      FACTS, cpu_flags=("sse",), criu="3.17", lxc="5.0.2", kernel="6.1.0"
    )
  ),
  "dead.lab": lambda: Result(("ssh",), 255, "", "No route to host"),
  "other.lab": lambda: Result(("ssh",), 0, "{}"),
}


def told(found: Facts) -> Result:
  return Result(("ssh",), 0, facts.to_text(found))


class Cluster:
  """What Ganeti has on this node, and other nodes that are reached by ssh."""

  def __init__(self, top: pathlib.Path) -> None:
    self.layout = Layout.below(*(str(top / n) for n in ("d", "r", "l", "c")))
    self.asked: list[tuple[str, ...]] = []
    (top / "d").mkdir()
    lines = [f"{name} 192.0.2.{n}" for n, name in enumerate((*SAID, "off.lab"))]
    self.write(self.layout.ssconf("node_secondary_ips"), "\n".join(lines))
    self.write(self.layout.ssconf("offline_nodes"), "off.lab\n")
    self.write(self.layout.ssconf("cluster_name"), "cluster.lab\n")

  def write(self, path: pathlib.Path, text: str) -> None:
    path.write_text(text)

  def run(self, argv: Sequence[str], **_: object) -> Result:
    self.asked.append(tuple(argv))
    (host,) = [word for word in argv if word.startswith("root@")]
    return SAID[host.removeprefix("root@")]()

  def disks(self, kind: str, *nodes: str) -> None:
    """Writes a configuration of an instance with one disk."""
    uuids = {name: f"uuid of {name}" for name in (*SAID, "off.lab")}
    disk = {
      "dev_type": kind,
      "logical_id": [*(uuids[name] for name in nodes), 11000, 0],
    }
    config = {
      "instances": {"i": {"name": NAME, "disks": ["d"]}},
      "disks": {"d": disk},
      "nodes": {uuid: {"name": name} for name, uuid in uuids.items()},
    }
    self.write(self.layout.cluster_config, json.dumps(config))

  def found(self) -> dict[str, Destination]:
    host = Host(layout=self.layout, run=self.run)
    node = Node(host=host, search_path="/nowhere")
    all_of_them = elsewhere.destinations(node, FACTS, NAME)
    return {other.node: other for other in all_of_them}


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> Cluster:
  return Cluster(tmp_path)


def test_every_node_that_is_not_offline_is_asked(cluster: Cluster) -> None:
  found = cluster.found()
  assert {name: other.fits for name, other in found.items()} == {
    "like.lab": True,
    "old.lab": False,
    "dead.lab": None,
    "other.lab": None,
  }
  said = " ".join(str(problem) for problem in found["old.lab"].problems)
  for text in (" avx ", "CRIU 3.17 on", "LXC 5.0.2 on", "Linux 6.1.0 on"):
    assert text in said
  assert "No route to host" in found["dead.lab"].unknown
  assert "of this release" in found["other.lab"].unknown


def test_as_ganeti_reaches_its_nodes(cluster: Cluster) -> None:
  cluster.found()
  for argv in cluster.asked:
    assert argv[0] == "ssh"
    assert argv[-2:] == ("ganeti-lxc-doctor", "--facts")
    assert "-oHostKeyAlias=cluster.lab" in argv
    assert "-oStrictHostKeyChecking=yes" in argv
    assert f"-oGlobalKnownHostsFile={cluster.layout.known_hosts}" in argv


def test_a_node_whose_ssh_is_at_another_port_is_asked_there(
  cluster: Cluster,
) -> None:
  """As `gnt-group modify --node-parameters ssh_port=` has it."""
  ports = cluster.layout.ssconf("ssh_ports")
  cluster.write(ports, "like.lab=2222\nold.lab=22\n")
  cluster.found()
  asked = {argv[-3]: argv for argv in cluster.asked}
  assert "-oPort=2222" in asked["root@like.lab"]
  assert "-oPort=22" in asked["root@old.lab"]


def test_no_ssh(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
  def fails(*_: object, **__: object) -> Result:
    raise Failed("ssh cannot be started")

  monkeypatch.setattr(cluster, "run", fails)
  assert {other.fits for other in cluster.found().values()} == {None}


def test_only_the_secondary_node_has_the_disks(cluster: Cluster) -> None:
  cluster.disks("drbd", "off.lab", "like.lab")
  found = cluster.found()
  assert found["like.lab"].fits
  for name in ("old.lab", "dead.lab", "other.lab"):
    (problem, *_) = found[name].problems
    assert "does not have the instance's disks (drbd)" in problem.what
    assert f"replace-disks -n {name}" in problem.remedy


@pytest.mark.parametrize("kind", ["file", "plain"])
def test_disks_that_are_here_alone(cluster: Cluster, kind: str) -> None:
  cluster.disks(kind)
  assert {other.fits for other in cluster.found().values()} == {False}


@pytest.mark.parametrize("kind", ["sharedfile", "rbd", "ext", "blockdev"])
def test_disks_that_all_nodes_have(cluster: Cluster, kind: str) -> None:
  cluster.disks(kind)
  assert cluster.found()["like.lab"].fits


@pytest.mark.parametrize(
  "text",
  ["", "[]", "{}", "\0", '{"instances": {}}', '{"instances": {"i": 3}}'],
)
def test_a_configuration_that_says_nothing(cluster: Cluster, text: str) -> None:
  cluster.write(cluster.layout.cluster_config, text)
  assert cluster.found()["like.lab"].fits


def test_no_cluster(tmp_path: pathlib.Path) -> None:
  layout = Layout.below(*(str(tmp_path / n) for n in ("d", "r", "l", "c")))
  node = Node(host=Host(layout=layout), search_path="/nowhere")
  assert elsewhere.destinations(node, FACTS, NAME) == ()


def report(*destinations: Destination) -> GuestReport:
  return GuestReport(
    name=NAME,
    processes=1,
    blockers=(),
    lost=(),
    live=(),
    facts=FACTS,
    destinations=destinations,
  )


FITS = Destination(node="a.lab")
BAD = Destination(node="b.example.lab", problems=(Problem("No", "run it"),))
SILENT = Destination(node="c.lab", unknown="no route")


@pytest.mark.parametrize(
  ("others", "movable"),
  [
    ((), True),
    ((FITS, BAD), True),
    ((BAD, SILENT), True),
    ((BAD,), False),
  ],
)
def test_an_instance_that_fits_nowhere_cannot_be_moved(
  others: tuple[Destination, ...], movable: bool
) -> None:
  assert report(*others).movable is movable


def test_as_people_and_programs_read_it() -> None:
  both = report(FITS, BAD, SILENT)
  text = output.guest_table(both)
  assert (
    "  a.lab          fits\n"
    "  b.example.lab  does not fit\n"
    "          No\n"
    "          -> run it\n"
    "  c.lab          not known\n"
    "          cannot be asked: no route\n"
  ) in text
  assert "--compare" not in text
  data = json.loads(output.guest_json(both))["destinations"]
  assert [other["fits"] for other in data] == [True, False, None]
  assert data[1]["problems"] == [{"what": "No", "remedy": "run it"}]
