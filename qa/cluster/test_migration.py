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

"""Live migration: what moves with a guest, and what stays as it was."""

import dataclasses
import functools
import re
import time
from collections.abc import Iterator, Sequence

import pytest
from cluster import groups
from cluster.cluster import (
  Cluster,
  Instance,
  Node,
  wait_for,
  why_nothing_moves,
)
from cluster.stream import Stream
from cluster.test_console import _connected, _leave

HV = ("num_ttys=0",)
ECHO_PORT = 7000
# Of a message, and of all before a move, in bytes.
_LONG = 16 << 10
_MUCH = 64 << 20
# Found before Debian's own.
_HIDING = "/usr/local/sbin/criu"
_DOES_NOT_START = """#!/bin/sh
[ "$1" != --version ] || exec /usr/sbin/criu --version
echo "Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds" >&2
echo "Error (criu/crtools.c:260): Could not initialize kernel features\
 detection." >&2
exit 1
"""
# Kept in the guest's memory alone, or in files that have no name.
_STATE = """
mkdir -p /run/state; mount | grep -q ' /run ' || exit 9
echo on-tmpfs >/run/state/file
cat >/run/state/hold <<'END'
echo $$ >/run/state/pid
exec 3>/deleted
echo deleted-but-open >&3; rm -f /deleted
mkfifo /run/state/pipe
exec 5<>/run/state/pipe
echo in-the-pipe >&5
exec sleep 100000
END
cat >/run/state/count.sh <<'END'
echo $$ >/run/state/counter
i=0
while :; do i=$((i + 1)); echo $i >/run/state/count; sleep 0.1; done
END
for program in hold count.sh; do
  setsid sh /run/state/$program >/dev/null 2>&1 </dev/null &
done
while ! [ -e /run/state/count -a -e /run/state/pipe ]; do sleep 0.1; done
sleep 0.2
"""


def _listening(
  cluster: Cluster, *, hv: Sequence[str] = (), **wanted: object
) -> Instance:
  """A guest that sends back what it is sent."""
  memory = "maxmem=128M,minmem=96M"
  instance = cluster.add(hv=(*HV, *hv), memory=memory, **wanted)
  instance.inside(
    "exec >/dev/null 2>&1 </dev/null;"
    f" setsid nc -ll -p {ECHO_PORT} -e /bin/cat &"
  )
  return instance


def _migrate(instance: Instance, *options: str) -> str:
  before = instance.node
  out = instance.gnt("migrate", "-f", *options)
  assert instance.node != before, out
  assert instance.status == "running"
  return out


def _is_another(instance: Instance, init: int) -> bool:
  """Whether the guest has booted since that was its first process."""
  return instance.init_pid() not in (0, init)


def _limits(instance: Instance) -> dict[str, object]:
  """What the kernel holds the guest to."""
  found: dict[str, object] = dataclasses.asdict(groups.limits(instance))
  probe = "for d in 'b 7 0' 'c 10 200' 'c 1 3'; do rm -f /x; mknod /x $d &&"
  probe += ' (exec 3</x) 2>/dev/null && echo "$d"; done; rm -f /x'
  found["devices"] = instance.try_inside(probe).output
  return found


@pytest.fixture
def moved(cluster: Cluster) -> Iterator[tuple[Instance, Stream]]:
  """A guest with a connection, after one move."""
  instance = _listening(cluster)
  with Stream(cluster.master, instance.address, ECHO_PORT) as stream:
    _migrate(instance)
    yield instance, stream


@pytest.mark.criu
def test_a_connection_survives_and_loses_nothing(
  moved: tuple[Instance, Stream],
) -> None:
  instance, stream = moved
  stream.expect_progress()
  _migrate(instance)
  stream.expect_progress()
  report = stream.end()
  assert report is not None
  assert report.lost == report.repeated == 0
  assert report.received > 100


@pytest.mark.criu
def test_a_fast_connection_loses_nothing_either(cluster: Cluster) -> None:
  """As fast as both ends are, with as much as fits on its way."""
  instance = _listening(cluster)
  with Stream(
    cluster.master, instance.address, ECHO_PORT, message_bytes=_LONG
  ) as stream:
    for _ in range(2):
      _let_pass(stream, _MUCH)
      _migrate(instance)
    stream.expect_progress()
    report = stream.end()
  assert report is not None
  assert report.lost == report.repeated == 0


def _let_pass(stream: Stream, amount: int) -> None:
  """Waits until so many bytes have come back."""
  enough = stream.report().received + amount // _LONG
  wait_for(lambda: stream.report().received > enough, "much to pass")


@pytest.mark.criu
def test_a_new_client_reaches_it_where_it_is_now(
  moved: tuple[Instance, Stream], cluster: Cluster
) -> None:
  instance, _ = moved
  cluster.master.run("ping", "-c1", "-W5", instance.address)
  with Stream(cluster.master, instance.address, ECHO_PORT) as another:
    another.expect_progress()


@pytest.mark.criu
def test_memory_files_pipes_and_numbers_are_the_same(cluster: Cluster) -> None:
  instance = _listening(cluster)
  instance.inside(_STATE)
  pids = instance.inside("cat /run/state/pid /run/state/counter")
  up = float(instance.inside("cut -d' ' -f1 /proc/uptime"))
  count = int(instance.inside("cat /run/state/count"))
  _migrate(instance)
  assert instance.inside("cat /run/state/file") == "on-tmpfs\n"
  assert instance.inside("cat /run/state/pid /run/state/counter") == pids
  pid = pids.split()[0]
  assert "deleted" in instance.inside(f"ls -l /proc/{pid}/fd/3")
  assert (
    instance.inside(f"timeout 5 head -n 1 /proc/{pid}/fd/5").strip()
    == "in-the-pipe"
  )
  assert float(instance.inside("cut -d' ' -f1 /proc/uptime")) >= up
  wait_for(
    lambda: int(instance.inside("cat /run/state/count") or 0) > count,
    "the counter to go on",
  )


@pytest.mark.criu
def test_limits_devices_and_console_after_a_move(cluster: Cluster) -> None:
  instance = _listening(cluster, os_params="getty=console", vcpus=1)
  before = _limits(instance)
  _migrate(instance)
  assert _limits(instance) == before
  console = instance.console()
  _connected(console)
  console.sendline("")
  console.expect("login: ")
  _leave(console)


@pytest.mark.criu
@pytest.mark.timeout(900)
def test_there_and_back_again_and_everything_in_between(
  cluster: Cluster,
) -> None:
  """Twenty moves in a row; all but the memory is limited as at first."""
  instance = _listening(cluster, vcpus=1)
  limits = _limits(instance)
  for round_number in range(20):
    _migrate(instance)
    now = _limits(instance)
    assert {k for k in now if now[k] != limits[k]} <= {"memory"}
    match round_number % 6:
      case 0:
        instance.gnt("modify", "-m", "96M")
        assert instance.listed("oper_ram") == "96M"
      case 1:
        assert instance.listed("oper_ram") == "96M"
        boot = instance.init_pid()
        instance.gnt("reboot", "--type=soft")
        assert instance.init_pid() not in (0, boot)
        assert instance.listed("oper_ram") == "96M"
      case 2:
        boot = instance.init_pid()
        instance.inside("reboot")
        wait_for(functools.partial(_is_another, instance, boot), "a reboot")
        assert instance.status == "running"
      case 3:
        instance.gnt("shutdown")
        assert instance.status == "ADMIN_down"
        instance.gnt("startup")
      case 4:
        instance.gnt("failover", "-f")
    cluster.master.run("ping", "-c1", "-W5", instance.address)


@pytest.mark.criu
def test_the_guest_that_halts_itself_after_a_move_is_down(
  moved: tuple[Instance, Stream],
) -> None:
  instance, _ = moved
  instance.try_inside("poweroff")
  wait_for(
    lambda: instance.status in ("USER_down", "ERROR_down"), "the guest's end"
  )
  instance.gnt("startup")
  assert instance.status == "running"


@pytest.mark.criu
def test_stopped_or_non_live(cluster: Cluster) -> None:
  instance = cluster.add(hv=HV, memory="memory=128M")
  _migrate(instance, "--non-live")
  instance.gnt("shutdown")
  before = instance.node
  instance.gnt("migrate", "-f", "--allow-failover")
  assert instance.node != before
  assert instance.status == "ADMIN_down"


def _nothing_changed(instance: Instance, node: Node, pid: int) -> None:
  assert (instance.node, instance.init_pid()) == (node, pid)
  assert instance.status == "running"


@pytest.mark.criu
def test_refused_beforehand_with_process_and_reason(cluster: Cluster) -> None:
  instance = cluster.add(memory="memory=128M", hv=("num_ttys=2",))
  node, pid = instance.node, instance.init_pid()
  said = instance.refused("migrate", "-f")
  assert "cannot be migrated live" in said
  assert re.search(r"process \d+ \(init\), devpts on /dev/tty1", said)
  assert "num_ttys" in said
  _nothing_changed(instance, node, pid)


@pytest.mark.parametrize("place", ["source", "target"])
def test_refused_beforehand_where_criu_does_not_work(
  cluster: Cluster, place: str
) -> None:
  """As Debian 12's on a newer kernel, which still tells its version."""
  instance = cluster.add(memory="memory=128M", hv=("num_ttys=0",))
  node, pid = instance.node, instance.init_pid()
  lacking = node if place == "source" else cluster.other(node)
  if not why_nothing_moves():
    lacking.write(_HIDING, _DOES_NOT_START, "755")
  try:
    target = cluster.other(node).host_name
    said = instance.refused("migrate", "-f", "-n", target)
  finally:
    lacking.run("rm", "-f", _HIDING)
  assert "CRIU does not work here" in said
  assert "Could not initialize kernel features detection" in said
  assert "gnt-instance failover" in said
  _nothing_changed(instance, node, pid)
  instance.gnt("failover", "-f")
  assert instance.status == "running"


@pytest.mark.criu
def test_port_taken_on_the_target(cluster: Cluster) -> None:
  instance = _listening(cluster)
  node, pid = instance.node, instance.init_pid()
  target = cluster.other(node)
  # A receiver of ours may listen there for somebody who has a question yet.
  target.sh(
    "read -r pid rest </var/lib/ganeti/lxc-migration/.receiver.lock || exit 0;"
    ' [ "$pid" -le 0 ] || kill -9 "$pid" 2>/dev/null || true'
  )
  wait_for(lambda: ":8102" not in target.run("ss", "-ltn"), "the port")
  script = (
    "import socket, sys, time; s = socket.socket();"
    " s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1);"
    " s.bind(('0.0.0.0', 8102)); s.listen(); time.sleep(60)"
  )
  holder = target.sh(
    f'setsid python3 -c "{script}" >/dev/null 2>&1 </dev/null & echo $!'
  ).strip()
  try:
    wait_for(lambda: "8102" in target.run("ss", "-ltn"), "the other program")
    said = instance.refused("migrate", "-f", "-n", target.host_name)
    assert "migration_port" in said
  finally:
    target.run("kill", holder)
  _nothing_changed(instance, node, pid)
  _migrate(instance)


@pytest.mark.criu
def test_many_moves_leave_the_stall_alone(cluster: Cluster) -> None:
  """Nothing accumulates: mounts, rules, records, processes."""
  instance = _listening(cluster)
  with Stream(cluster.master, instance.address, ECHO_PORT) as stream:
    tasks = groups.tasks(instance)
    for _ in range(4):
      _migrate(instance)
      mounts = instance.node.run("cat", "/proc/mounts")
      assert mounts.count(instance.name) == 1
      time.sleep(0.2)
    assert groups.tasks(instance) == tasks
    stream.expect_progress()
    report = stream.end()
  assert report is not None
  assert report.lost == 0
