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

"""What a running kernel shows of things that CRIU cannot save.

Each thing is made by a child of this process, in a guest of its own that is
nothing but the two.
"""

import contextlib
import ctypes
import os
import pathlib
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from ganeti.hypervisor.hv_lxc.blockers import Blocker, find_blockers
from ganeti.hypervisor.hv_lxc.doctor import reading
from ganeti.hypervisor.hv_lxc.doctor.guest import Abilities, Guest
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.layout import Layout

HOST = Host(layout=Layout.below("/var/lib/ganeti", "/run", "/l", "/e"))
LIBC = ctypes.CDLL(None, use_errno=True)
# asm/unistd_64.h
IO_URING_SETUP, PERF_EVENT_OPEN, USERFAULTFD, BPF = 425, 298, 323, 321
PTRACE_TRACEME = 0
# linux/sched.h
CLONE_NEWNS = 0x00020000
NAMESPACES = {
  "cgroup": 0x02000000,
  "ipc": 0x08000000,
  "user": 0x10000000,
  "uts": 0x04000000,
}
IPPROTO_MPTCP = 262
# linux/bpf.h
BPF_MAP_CREATE, BPF_PROG_LOAD = 0, 5
BPF_MAP_TYPE_ARRAY, BPF_PROG_TYPE_SOCKET_FILTER = 2, 1
MS_REC_PRIVATE = 0x44000


def syscall(number: int, *arguments: object) -> int:
  result: int = LIBC.syscall(number, *arguments)
  if result < 0:
    raise OSError(ctypes.get_errno(), f"system call {number}")
  return result


def io_uring() -> None:
  syscall(IO_URING_SETUP, 4, ctypes.create_string_buffer(120))


def perf_event() -> None:
  """PERF_TYPE_SOFTWARE, of this process; the size is the first version's."""
  attributes = ctypes.create_string_buffer(64)
  attributes[0:8] = (1).to_bytes(4, "little") + (64).to_bytes(4, "little")
  syscall(PERF_EVENT_OPEN, attributes, 0, -1, -1, 0)


def userfaultfd() -> None:
  syscall(USERFAULTFD, os.O_CLOEXEC)


def bpf_map() -> None:
  """One number, by one number."""
  attributes = ctypes.create_string_buffer(72)
  struct.pack_into("4I", attributes, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1)
  syscall(BPF, BPF_MAP_CREATE, attributes, len(attributes))


def bpf_program() -> None:
  """It returns 0."""
  code = bytes((0xB7, *[0] * 7, 0x95, *[0] * 7))
  texts = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
  attributes = ctypes.create_string_buffer(72)
  where = map(ctypes.addressof, texts)
  struct.pack_into(
    "2I2Q", attributes, 0, BPF_PROG_TYPE_SOCKET_FILTER, 2, *where
  )
  syscall(BPF, BPF_PROG_LOAD, attributes, len(attributes))


def raw() -> None:
  keep(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))


def raw_6() -> None:
  keep(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))


def packet() -> None:
  keep(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))


def keep(sock: socket.socket) -> None:
  sock.detach()


def vsock() -> None:
  keep(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))


def multipath() -> None:
  keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP))


def fuse() -> None:
  os.open("/dev/fuse", os.O_RDWR)


def removed_file() -> None:
  fd = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR)
  os.posix_fallocate(fd, 0, 65 << 20)


def unshare(flag: int) -> None:
  if LIBC.unshare(flag):
    raise OSError(ctypes.get_errno(), f"unshare {flag:x}")


def mount(kind: bytes, options: bytes = b"") -> None:
  """On /mnt, in a mount namespace of its own."""
  unshare(CLONE_NEWNS)
  for done in (
    LIBC.mount(b"none", b"/", None, MS_REC_PRIVATE, None),
    LIBC.mount(b"none", b"/mnt", kind, 0, options),
  ):
    if done:
      raise OSError(ctypes.get_errno(), "mount")


def fuse_file_system() -> None:
  """One that this process would serve, if anybody looked into it."""
  fd = os.open("/dev/fuse", os.O_RDWR)
  mount(b"fuse", b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd)


def ramfs() -> None:
  mount(b"ramfs")


def traced() -> None:
  if LIBC.ptrace(PTRACE_TRACEME, 0, 0, 0):
    raise OSError(ctypes.get_errno(), "ptrace")


def harmless() -> None:
  """All that CRIU saves."""
  os.eventfd(0)
  os.memfd_create("x")
  os.pipe()
  os.pidfd_open(os.getpid())
  os.open("/dev/null", os.O_RDWR)
  LIBC.inotify_init1(0)
  keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
  keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
  keep(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
  keep(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
  for one in socket.socketpair():
    keep(one)


@contextlib.contextmanager
def child_that(make: Callable[[], None]) -> Iterator[Guest]:
  """A child that has done something and waits."""
  ready, tell = os.pipe()
  wait, go_on = os.pipe()
  pid = os.fork()
  if pid == 0:
    try:
      # What was opened outside of the node would be found as well.
      low, high = sorted((tell, wait))
      os.closerange(0, low)
      os.closerange(low + 1, high)
      os.closerange(high + 1, 1 << 16)
      # As all in a guest; the session of the tests is led from outside of
      # the node.
      os.setsid()
      make()
      os.write(tell, b"+")
      os.read(wait, 1)
    except BaseException as err:  # noqa: BLE001 - told to the parent
      os.write(tell, str(err).encode())
    finally:
      os._exit(0)
  os.close(tell)
  os.close(wait)
  try:
    said = os.read(ready, 1000)
    assert said == b"+", said.decode()
    # This process stands for the guest's init, of which only the
    # namespaces matter.
    yield reading.read_processes(HOST, "x", pid, [pid])
  finally:
    os.close(go_on)
    os.close(ready)
    os.waitpid(pid, 0)


def blockers_of(
  make: Callable[[], None], node: Abilities | None = None
) -> tuple[Blocker, ...]:
  with child_that(make) as guest:
    return find_blockers(guest, node)


@pytest.mark.parametrize(
  ("make", "said"),
  [
    (io_uring, "anon_inode:[io_uring]"),
    (perf_event, "anon_inode:[perf_event]"),
    (userfaultfd, "anon_inode:[userfaultfd]"),
    (bpf_map, "anon_inode:bpf-map"),
    (bpf_program, "anon_inode:bpf-prog"),
    (fuse, "/dev/fuse"),
    (removed_file, "(deleted)"),
  ],
)
def test_descriptor_is_named(make: Callable[[], None], said: str) -> None:
  (found,) = blockers_of(make)
  assert said in found.object
  assert found.object.startswith("fd ")


@pytest.mark.parametrize(
  ("make", "said"),
  [(multipath, "MPTCP"), (vsock, "VSOCK")],
)
def test_socket_is_named(make: Callable[[], None], said: str) -> None:
  (found,) = blockers_of(make)
  assert found.object.startswith("fd ")
  assert said in found.reason


@pytest.mark.parametrize(
  ("make", "said"),
  [(raw, "raw_diag"), (raw_6, "raw_diag"), (packet, "af_packet_diag")],
)
def test_raw_socket_where_the_kernel_does_not_tell_of_it(
  make: Callable[[], None], said: str
) -> None:
  node = Abilities(raw_sockets=False, packet_sockets=False)
  (found,) = blockers_of(make, node)
  assert found.object.startswith("fd ")
  assert found.remedy == f"run modprobe {said}"
  assert blockers_of(make) == ()


@pytest.mark.parametrize(
  ("make", "said"),
  [(fuse_file_system, "fuse on /mnt"), (ramfs, "ramfs on /mnt")],
)
def test_mount_is_named(make: Callable[[], None], said: str) -> None:
  (found,) = [b for b in blockers_of(make) if " on " in b.object]
  assert found.object == said
  assert found.remedy == "run umount /mnt in the guest"


def test_traced_process() -> None:
  (found,) = blockers_of(traced)
  assert found.object == f"traced by process {os.getpid()}"


@pytest.mark.parametrize("kind", NAMESPACES)
def test_namespace_of_its_own(kind: str) -> None:
  with child_that(lambda: unshare(NAMESPACES[kind])) as guest:
    child = guest.processes[0]
    both = reading.read_processes(
      HOST, "x", os.getpid(), [os.getpid(), child.pid]
    )
  (found,) = [b for b in find_blockers(both) if b.pid == child.pid]
  assert found.object == child.namespaces[kind]
  assert f"a {kind} namespace of its own" in found.reason


def test_what_can_be_saved_is_not_in_the_way() -> None:
  assert blockers_of(harmless) == ()


def test_vanished_control_group_is_noticed(tmp_path: pathlib.Path) -> None:
  """The file's numbers in fdinfo are those that stat(2) tells."""
  file = tmp_path / "watched"
  file.touch()

  def watch() -> None:
    fd = LIBC.inotify_init1(0)
    assert LIBC.inotify_add_watch(fd, bytes(file), 2) > 0

  with child_that(watch) as guest:
    (found,) = [w for f in guest.processes[0].files for w in f.watches]
  seen = file.stat()
  assert found.inode == seen.st_ino
