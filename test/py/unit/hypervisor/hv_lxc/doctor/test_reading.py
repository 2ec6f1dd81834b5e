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

"""A guest read from a /proc that is a directory."""

import fcntl
import os
import pathlib

import pytest
from ganeti.hypervisor.hv_lxc import hierarchies
from ganeti.hypervisor.hv_lxc.doctor import reading
from ganeti.hypervisor.hv_lxc.doctor.guest import Device, Watch
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import read_optional
from unit.hypervisor.hv_lxc.fake_groups import NAME, FakeGroups, write

MOUNTINFO = """\
75 74 8:1 / / rw,nodev - ext4 /dev/loop0p1 rw
76 75 0:40 / /dev rw - tmpfs none rw
77 75 0:41 / /proc rw - proc proc rw
78 77 0:41 /sys/net /proc/sys/net rw shared:5 master:2 - proc proc rw
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 4711 @/tmp/x
0000000000000000: 00000002 00000000 00000000 0002 01 4712
"""


class FakeProc:
  """One process of a guest."""

  def __init__(self, node: FakeGroups, pid: int = 100) -> None:
    self.home = node.top / "proc" / str(pid)
    (self.home / "fd").mkdir(parents=True)
    (self.home / "ns").mkdir()
    self.status()
    for kind in ("mnt", "net", "pid", "ipc", "uts", "user", "cgroup"):
      (self.home / "ns" / kind).symlink_to(f"{kind}:[4026532{len(kind)}]")
    write(self.home / "mountinfo", MOUNTINFO)
    write(self.home / "net/unix", UNIX)
    write(self.home / "maps", "")

  def status(
    self, state: str = "S (sleeping)", tracer: int = 0, session: int = 1
  ) -> None:
    text = (
      f"Name:\tnginx\nState:\t{state}\nPPid:\t99\nTracerPid:\t{tracer}\n"
      "Uid:\t33\t33\t33\t33\nNSpid:\t100\t1\n"
      "NSsid:\t90\t7\n"
    )
    write(self.home / "status", text)

  def open(
    self,
    fd: int,
    target: str,
    *,
    flags: int = 0,
    mount: int = 75,
    more: str = "",
  ) -> None:
    (self.home / "fd" / str(fd)).symlink_to(target)
    text = f"pos:\t0\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t9\n{more}"
    write(self.home / "fdinfo" / str(fd), text)


@pytest.fixture
def node(tmp_path: pathlib.Path) -> FakeGroups:
  found = FakeGroups.make(tmp_path, "v2")
  found.instance(NAME, [99], [100])
  found.process(99, children="100")
  found.process(100, chain="100 1")
  return found


@pytest.fixture
def proc(node: FakeGroups) -> FakeProc:
  return FakeProc(node)


def test_process(node: FakeGroups, proc: FakeProc) -> None:
  proc.status(tracer=8, session=0)
  proc.open(3, "socket:[4711]")
  proc.open(10, "anon_inode:[io_uring]", flags=os.O_RDWR)
  guest = reading.read_guest(node.host, NAME)
  (process,) = guest.processes
  assert (guest.init, process.pid, process.parent) == (100, 100, 99)
  assert process.session == 7
  assert (process.command, process.tracer) == ("nginx", 8)
  assert process.uids == (33, 33, 33, 33)
  assert process.namespaces["uts"] == "uts:[40265323]"
  assert "time" not in process.namespaces
  assert [(f.fd, f.target, f.writable) for f in process.files] == [
    (3, "socket:[4711]", False),
    (10, "anon_inode:[io_uring]", True),
  ]
  assert process.files[0].inode == 4711
  assert guest.unseen == 0


def test_mounts_and_sockets(node: FakeGroups, proc: FakeProc) -> None:
  guest = reading.read_guest(node.host, NAME)
  mounts = guest.mounts["mnt:[40265323]"]
  assert [m.number for m in mounts] == [75, 76, 77, 78]
  assert (mounts[3].root, mounts[3].fs_type) == ("/sys/net", "proc")
  assert guest.unix == {"net:[40265323]": frozenset({4711, 4712})}
  assert "0:28" in guest.node_devices


def test_watches(node: FakeGroups, proc: FakeProc) -> None:
  group = pathlib.Path(node.trees.all[0].group(NAME))
  number = group.stat().st_dev
  sdev = os.major(number) << 20 | os.minor(number)
  inode = (group / "payload/cgroup.procs").stat().st_ino
  line = f"inotify wd:2 ino:{inode:x} sdev:{sdev:x} mask:fce ignored_mask:0\n"
  proc.open(4, "anon_inode:inotify", more=line)
  guest = reading.read_guest(node.host, NAME)
  device = f"{os.major(number)}:{os.minor(number)}"
  assert guest.processes[0].files[0].watches == (Watch(device, inode),)
  assert inode in guest.groups[device]


def test_device_and_file_without_a_name(
  node: FakeGroups, proc: FakeProc, tmp_path: pathlib.Path
) -> None:
  proc.open(0, "/dev/null")
  guest = reading.read_guest(node.host, NAME)
  assert guest.processes[0].files[0].device == Device("c", 1, 3)


def test_file_on_a_foreign_file_system_is_not_looked_at(
  node: FakeGroups, proc: FakeProc
) -> None:
  """A guest's FUSE server could keep stat(2) waiting for ever."""
  write(proc.home / "mountinfo", "75 74 0:9 / / rw - fuse.evil evil rw\n")
  proc.open(0, "/dev/null")
  guest = reading.read_guest(node.host, NAME)
  assert guest.processes[0].files[0].device is None


@pytest.mark.parametrize("odd", ["\r", "\v", "\x85", "\u2028"])
def test_names_that_seem_to_end_a_line(
  node: FakeGroups, proc: FakeProc, odd: str
) -> None:
  """A guest names directories, sockets and groups as it likes."""
  mount = f"79 75 0:42 / /srv/a{odd}b rw - tmpfs none rw\n"
  write(proc.home / "mountinfo", MOUNTINFO + mount)
  socket = UNIX.splitlines()[2].replace("4712", "4713")
  write(proc.home / "net/unix", f"{UNIX}{socket} @a{odd}b c d e f g h i\n")
  guest = reading.read_guest(node.host, NAME)
  (mounts,) = guest.mounts.values()
  assert mounts[-1].mount_point == f"/srv/a{odd}b"
  assert set(guest.unix.popitem()[1]) == {4711, 4712, 4713}
  node.put(100, f"/ganeti-lxc/{NAME}/payload/a{odd}b")
  assert hierarchies.guest_of(node.host, 100) == NAME


def test_memory_of_devices(node: FakeGroups, proc: FakeProc) -> None:
  head = "7f00-7f01 rw-s 00000000 00:05 "
  paths = ("5   /dev/dri/card0", "6   /dev/zero (deleted)", "7 /dev/shm/x")
  write(proc.home / "maps", "".join(f"{head}{path}\n" for path in paths))
  guest = reading.read_guest(node.host, NAME)
  assert guest.processes[0].device_maps == ("/dev/dri/card0",)


def test_what_a_restore_may_fail_on(node: FakeGroups, proc: FakeProc) -> None:
  proc.status(state="T (stopped)")
  (proc.home / "exe").symlink_to("/memfd:x (deleted)")
  (proc.home / "cwd").symlink_to("/srv (deleted)")
  (node.top / "guest/srv/again").mkdir(parents=True)
  (proc.home / "root").symlink_to(node.top / "guest")
  stat = ("S", 99, 100, 90, 34816, 70)
  write(proc.home / "stat", f"100 (a) b) {' '.join(map(str, stat))}")
  (process,) = reading.read_guest(node.host, NAME).processes
  assert (process.number, process.stopped) == (1, True)
  assert process.program == "/memfd:x (deleted)"
  assert process.taken == ("working directory /srv",)
  assert process.foreground_gone


@pytest.mark.parametrize(
  ("terminal", "foreground"), [(0, -1), (0, 70), (34816, 100), (34816, -1)]
)
def test_foreground_that_is_there(
  node: FakeGroups, proc: FakeProc, terminal: int, foreground: int
) -> None:
  stat = ("S", 99, 100, 90, terminal, foreground)
  write(proc.home / "stat", f"100 (a) {' '.join(map(str, stat))}")
  (process,) = reading.read_guest(node.host, NAME).processes
  assert not process.foreground_gone


@pytest.mark.parametrize(
  ("mode", "thread"), [(0o755, 1000), (0o600, 100), (0o100, 10)]
)
def test_program_and_timer(
  node: FakeGroups, proc: FakeProc, mode: int, thread: int
) -> None:
  write(node.top / "program", "")
  (node.top / "program").chmod(mode)
  (proc.home / "exe").symlink_to(node.top / "program")
  write(
    proc.home / "timers", f"ID: 0\nnotify: signal/tid.{thread}\nClockID: 1\n"
  )
  (process,) = reading.read_guest(node.host, NAME).processes
  assert process.is_program_barred == (mode == 0o600)
  assert process.wakes_main_thread == (thread == 100)


def test_timers_of_others_are_not_for_everybody(
  node: FakeGroups, proc: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
  def read(path: pathlib.Path) -> str | None:
    if path.name == "timers":
      raise PermissionError(str(path))
    return read_optional(path)

  monkeypatch.setattr(reading, "read_optional", read)
  (process,) = reading.read_guest(node.host, NAME).processes
  assert not process.wakes_main_thread


def test_names_of_sockets_may_look_like_lines(
  node: FakeGroups, proc: FakeProc
) -> None:
  write(proc.home / "net/unix", f"{UNIX}a\nb c d e f g h i\n")
  guest = reading.read_guest(node.host, NAME)
  assert guest.unix == {"net:[40265323]": frozenset({4711, 4712})}


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_WRITE])
def test_sealed_memory(node: FakeGroups, proc: FakeProc, seals: int) -> None:
  fd = os.memfd_create("keys", os.MFD_ALLOW_SEALING)
  try:
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    lines = (
      "1000-2000 r--s 00000000 00:01 9                 /memfd:keys (deleted)",
      "3000-4000 r--p 00000000 00:01 9                 /memfd:keys (deleted)",
      "5000-6000 r--s 00000000 00:01 9                 /memfd:gone (deleted)",
    )
    write(proc.home / "maps", "\n".join(lines))
    (proc.home / "map_files").mkdir()
    for where in ("1000-2000", "3000-4000"):
      (proc.home / "map_files" / where).symlink_to(f"/proc/self/fd/{fd}")
    (process,) = reading.read_guest(node.host, NAME).processes
  finally:
    os.close(fd)
  assert process.sealed_maps == (("/memfd:keys (deleted)",) if seals else ())


def test_zombies_and_the_gone_are_left_out(
  node: FakeGroups, proc: FakeProc
) -> None:
  proc.status("Z (zombie)")
  found = reading.read_processes(node.host, NAME, 100, [100, 4999])
  assert found.processes == ()


def test_instance_that_does_not_run(node: FakeGroups) -> None:
  with pytest.raises(Refused, match="does not run on this node"):
    reading.read_guest(node.host, "other.example.com")
