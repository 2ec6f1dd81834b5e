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
"""Sockets of this process stand for those of a guest; they join on "lo"."""

import contextlib
import errno
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ganeti.hypervisor.hv_lxc.migration import (
  memberships,
  multicast_sockets,
  multicast_tables,
  sockets,
)
from unit.hypervisor.hv_lxc.fakes import INIT, NAME, SHELL, FakeLxc

GROUP, HOPS = "224.0.0.18", 255
NUMBER = 5
IP_ADD_SOURCE_MEMBERSHIP = 39
IGMP = f"""\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
{socket.if_nametoindex("lo")}\tlo        :     2      V3
\t\t\t\t%s     1 0:00000000\t\t0
"""


class Process:
  """Like sockets.Sockets."""

  def __init__(self, its: Mapping[int, socket.socket]) -> None:
    self._its = its

  def names(self) -> dict[int, str]:
    return {number: name(one) for number, one in self._its.items()}

  def duplicate(self, number: int) -> socket.socket:
    if number not in self._its:
      raise OSError(errno.EBADF, "Bad file descriptor")
    return self._its[number].dup()


def name(one: socket.socket) -> str:
  return f"socket:[{os.fstat(one.fileno()).st_ino}]"


class Guest:
  """One whose processes have the sockets that it is given."""

  def __init__(self, top: Path) -> None:
    self.node = FakeLxc(top)
    self.node.populate()
    self.network = self.node.write(f"proc/{INIT}/ns/net")
    self.elsewhere = self.node.write("another-network")
    self.images = top / "images"
    self.images.mkdir()
    self.has: dict[int, dict[int, socket.socket]] = {}
    self.strange = ""
    self.list_group(GROUP)

  def list_group(self, group: str) -> None:
    word = int.from_bytes(socket.inet_aton(group), sys.byteorder)
    self.node.write(f"proc/{INIT}/net/igmp", IGMP % f"{word:08X}")

  def new(
    self, pid: int = INIT, kind: int = socket.SOCK_DGRAM
  ) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    self.has.setdefault(pid, {})[NUMBER] = made
    return made

  def add_process(self, pid: int, numbers: str) -> None:
    self.node.write(f"proc/{pid}/status", f"Name:\tx\nNSpid:\t{numbers}\n")
    for procs in self.node.top.rglob("payload/cgroup.procs"):
      procs.write_text(f"{procs.read_text()}{pid}\n")

  @contextlib.contextmanager
  def sockets_of(self, _host: object, pid: int) -> Iterator[Process]:
    yield Process(self.has.get(pid, {}))

  def open_network_of(self, one: socket.socket, _request: int) -> int:
    is_strange = name(one) == self.strange
    return os.open(self.elsewhere if is_strange else self.network, os.O_RDONLY)

  def save(self) -> list[Any]:
    memberships.save(self.node.host, NAME, INIT, self.images)
    note = self.images / "ganeti-multicast.json"
    return list(json.loads(note.read_text()))

  def restore(self) -> None:
    memberships.restore(self.node.host, NAME, INIT, self.images)

  def says(self, one: socket.socket) -> multicast_sockets.Said | None:
    groups = multicast_tables.joined(self.node.host, INIT)
    return multicast_sockets.ask(one, groups)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
  made = Guest(tmp_path)
  monkeypatch.setattr(sockets, "of", made.sockets_of)
  monkeypatch.setattr("fcntl.ioctl", made.open_network_of)
  yield made
  for its in made.has.values():
    for one in its.values():
      one.close()


def join(one: socket.socket) -> None:
  member = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
  one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def test_a_socket_joins_again_and_sends_as_it_did(guest: Guest) -> None:
  with guest.new() as before:
    join(before)
    before.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
    before.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    was = guest.says(before)
    guest.save()
  assert was is not None
  assert len(was.groups) == 1
  assert [value for _, _, value in was.options] == [HOPS, 0]
  after = guest.new()
  assert guest.says(after) is None
  guest.restore()
  assert guest.says(after) == was


def test_a_socket_that_hears_one_source(guest: Guest) -> None:
  with guest.new() as before:
    ends = (GROUP, "127.0.0.1", "192.0.2.7")
    wanted = b"".join(map(socket.inet_aton, ends))
    before.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, wanted)
    was = guest.says(before)
    guest.save()
  assert was is not None
  assert socket.inet_aton("192.0.2.7").hex() in was.groups[0][1]
  after = guest.new()
  guest.restore()
  assert guest.says(after) == was


def test_no_socket_is_looked_at_where_nothing_was_joined(
  guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
  """Most guests are such, and there is nothing to wait for."""
  guest.list_group("224.0.0.1")
  monkeypatch.setattr(sockets, "of", lambda *_: pytest.fail("looked at"))
  assert guest.save() == []
  guest.restore()


def test_a_socket_that_processes_share_is_noted_once(guest: Guest) -> None:
  one = guest.new()
  join(one)
  guest.add_process(SHELL, f"{SHELL} 7")
  guest.has[SHELL] = {NUMBER: one.dup()}
  assert [entry[:2] for entry in guest.save()] == [[1, NUMBER]]


def test_a_process_is_known_by_the_number_that_the_guest_gave_it(
  guest: Guest,
) -> None:
  """The other node gives another, and so does a namespace within."""
  guest.add_process(SHELL, f"{SHELL} 7 1")
  join(guest.new(SHELL))
  assert [entry[:2] for entry in guest.save()] == [[7, NUMBER]]
  guest.add_process(SHELL, f"{SHELL} 8 1")
  guest.add_process(SHELL + 1, f"{SHELL + 1} 7 1")
  after = guest.new(SHELL + 1)
  guest.restore()
  assert guest.says(after)


def test_other_networks_in_the_guest_are_left_out(guest: Guest) -> None:
  """There an interface of the same index is another one."""
  one = guest.new()
  join(one)
  guest.strange = name(one)
  assert guest.save() == []


def test_what_was_closed_meanwhile_stays_as_it_is(
  guest: Guest, caplog: pytest.LogCaptureFixture
) -> None:
  """The guest runs until it is dumped; another may have the number now."""
  with guest.new() as before:
    join(before)
    before.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    guest.save()
  after = guest.new(kind=socket.SOCK_STREAM)
  guest.restore()
  assert after.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == 1
  del guest.has[INIT]
  guest.restore()
  assert not caplog.records
  after.close()


def test_images_of_an_older_driver(guest: Guest) -> None:
  after = guest.new()
  guest.restore()
  assert guest.says(after) is None


def test_what_is_refused_is_logged_and_the_rest_is_done(
  guest: Guest, caplog: pytest.LogCaptureFixture
) -> None:
  with guest.new() as before:
    join(before)
    before.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
    (noted,) = guest.save()
  level, group = noted[2][2][0]
  noted[2][2] = [[level, "ffffff7f" + group[8:]], [level, group]]
  (guest.images / "ganeti-multicast.json").write_text(json.dumps([noted]))
  after = guest.new()
  guest.restore()
  assert "No such device" in caplog.text
  assert after.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == HOPS
  assert guest.says(after)


@pytest.mark.parametrize(("limit", "value"), [("NOTED", 10), ("S", -1.0)])
def test_a_guest_does_not_keep_the_node_busy(
  guest: Guest,
  monkeypatch: pytest.MonkeyPatch,
  caplog: pytest.LogCaptureFixture,
  limit: str,
  value: float,
) -> None:
  monkeypatch.setattr(memberships, f"_MOST_{limit}", value)
  join(guest.new())
  assert guest.save() == []
  assert "too many sockets" in caplog.text
