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

"""What stands in the way of a live migration: values in, blockers out."""

from dataclasses import replace

import pytest
from ganeti.hypervisor.hv_lxc.blockers import Blocker, find_blockers, lost
from ganeti.hypervisor.hv_lxc.doctor.guest import (
  Abilities,
  Device,
  Guest,
  OpenFile,
  Process,
  StraySocket,
  Watch,
)
from ganeti.hypervisor.hv_lxc.migration import criu
from ganeti.hypervisor.hv_lxc.mountinfo import MountEntry


def mount_of(
  *, number: int, device: str, root: str, point: str, kind: str
) -> MountEntry:
  return MountEntry(number, device, root, point, "rw", kind, "none", "rw")


SPACES = {
  kind: f"{kind}:[{4026532000 + number}]"
  for number, kind in enumerate(
    ("mnt", "net", "pid", "ipc", "uts", "user", "time", "cgroup")
  )
}
ROOT = mount_of(number=1, device="8:1", root="/", point="/", kind="ext4")
DEV = mount_of(number=2, device="0:5", root="/", point="/dev", kind="tmpfs")
PTS = mount_of(
  number=3, device="0:6", root="/", point="/dev/pts", kind="devpts"
)
INIT = Process(pid=100, command="init", parent=99, namespaces=SPACES)
BARE = Abilities(
  sys_resource=False,
  inet_sockets=False,
  raw_sockets=False,
  packet_sockets=False,
  pidfds=False,
  nested_mounts=False,
)


def guest(*processes: Process, mounts: tuple[MountEntry, ...] = ()) -> Guest:
  return Guest(
    name="web1",
    init=100,
    processes=(INIT, *processes),
    mounts={SPACES["mnt"]: (ROOT, DEV, PTS, *mounts)},
    unix={SPACES["net"]: frozenset({7})},
    node_devices=frozenset({"8:1"}),
    groups={"0:29": frozenset({11})},
  )


def child(**values: object) -> Process:
  return replace(INIT, pid=101, command="app", parent=100, **values)


def file(target: str, **values: object) -> OpenFile:
  return OpenFile(fd=5, target=target, **values)  # type: ignore[arg-type]


def opened(target: str, **values: object) -> Guest:
  return guest(child(files=(file(target, **values),)))


def char(major: int, minor: int) -> dict[str, Device]:
  return {"device": Device("c", major, minor)}


def test_ordinary_guest_has_no_blockers() -> None:
  files = (
    file("/dev/null", mount=2, **char(1, 3)),
    file("/dev/console", mount=2, **char(136, 0)),
    # The console of a guest that was restored.
    file("/dev/pts/0", mount=77, super_block="0:9"),
    file("/dev/ptmx", mount=3, **char(5, 2)),
    file("/dev/net/tun", mount=2, **char(10, 200)),
    file("/var/log/messages", mount=1, writable=True),
    file("pipe:[12]"),
    file("/memfd:x (deleted)", mount=9),
    file("anon_inode:[eventfd]"),
    file("anon_inode:[eventpoll]"),
    file("anon_inode:[pidfd]"),
    file("anon_inode:inotify", watches=(Watch("0:29", 11), Watch("8:1", 5))),
    file("socket:[7]", protocol="UNIX-STREAM"),
    file("socket:[8]", protocol="TCPv6"),
    file("socket:[9]", protocol="UDP-Lite"),
    file("socket:[10]", protocol="NETLINK"),
    file("socket:[11]", protocol="PACKET"),
    file("socket:[12]", protocol="RAWv6"),
    file("socket:[13]"),
    file(SPACES["net"]),
    file("/sys/fs/cgroup/memory.pressure", mount=1, writable=True),
    file("/proc/7/task/7/stat", mount=4),
    file("/proc/7/fdinfo", mount=4),
  )
  mounts = (
    mount_of(number=4, device="0:7", root="/", point="/proc", kind="proc"),
    mount_of(
      number=5, device="0:7", root="/sys", point="/proc/sys", kind="proc"
    ),
    mount_of(
      number=6, device="0:9", root="/0", point="/dev/console", kind="devpts"
    ),
    mount_of(number=7, device="8:1", root="/d", point="/mnt", kind="ext4"),
  )
  found = guest(child(files=files, uids=(33, 33, 33, 33)), mounts=mounts)
  assert find_blockers(found) == ()


def test_left_behind_by_the_root_shell_of_the_console() -> None:
  (blocker,) = find_blockers(guest(child(session=0)))
  assert blocker.object == "session"
  assert "setsid" in blocker.remedy


FILES = [
  ("anon_inode:[io_uring]", {}, "io_uring"),
  ("anon_inode:[perf_event]", {}, "perf_event"),
  ("anon_inode:bpf-prog", {}, "bpf-prog"),
  ("anon_inode:bpf-map", {}, "bpf-map"),
  ("anon_inode:kvm-vm", {}, "kvm-vm"),
  ("anon_inode:inotify", {"watches": (Watch("0:29", 12),)}, "control group"),
  ("socket:[9]", {"protocol": "UNIX"}, "outside of the guest"),
  ("socket:[9]", {"protocol": "MPTCP"}, "MPTCP"),
  ("socket:[9]", {"protocol": "AF_VSOCK"}, "AF_VSOCK"),
  ("/dev/fuse", {"mount": 2, **char(10, 229)}, "FUSE"),
  ("/dev/kvm", {"mount": 2, **char(10, 232)}, "c 10:232"),
  ("/dev/gnt-disk1", {"mount": 2, "device": Device("b", 7, 1)}, "b 7:1"),
  ("/srv/node", {"mount": 1, **char(10, 232)}, "c 10:232"),
  ("/dev/pts/0", {"mount": 77}, "outside of the guest"),
  ("/dev/pts/3", {"mount": 77, "super_block": "0:9"}, "outside of the guest"),
  ("/x (deleted)", {"mount": 1, "unlinked_bytes": 65 << 20}, "65 MiB"),
  ("uts:[4026539999]", {}, "namespace"),
  ("/proc/pressure/cpu", {"writable": True}, "PSI"),
  ("/proc/7/task/8/stat", {"mount": 1}, "a thread"),
  ("/proc/7/fdinfo/3", {"mount": 1}, "a descriptor"),
]


@pytest.mark.parametrize(("target", "values", "said"), FILES)
def test_file_that_cannot_be_saved(
  target: str, values: dict[str, object], said: str
) -> None:
  (found,) = find_blockers(opened(target, **values))
  assert (found.pid, found.command) == (101, "app")
  assert found.object == f"fd 5 {target}"
  assert said in found.reason
  assert found.remedy


@pytest.mark.parametrize("protocol", ["TCP", "UDPv6", "RAW", "PACKET"])
def test_socket_that_this_node_cannot_save(protocol: str) -> None:
  found = opened("socket:[9]", protocol=protocol)
  assert len(find_blockers(found, BARE)) == 1
  assert find_blockers(found, Abilities()) == ()


def test_pidfd_needs_a_newer_criu() -> None:
  (found,) = find_blockers(opened("anon_inode:[pidfd]"), BARE)
  assert "4.1" in found.remedy


def test_bpf_map_can_be_saved_by_a_criu_with_libbpf() -> None:
  node = Abilities(bpf_maps=True)
  assert find_blockers(opened("anon_inode:bpf-map"), node) == ()


@pytest.mark.parametrize("kind", ["uts", "pid", "ipc", "user", "time"])
def test_nested_namespace(kind: str) -> None:
  spaces = {**SPACES, kind: f"{kind}:[1]"}
  (found,) = find_blockers(guest(child(namespaces=spaces)))
  assert found.object == f"{kind}:[1]"


def test_nested_mount_namespace_only_where_mounts_cannot_be_remade() -> None:
  found = guest(child(namespaces={**SPACES, "mnt": "mnt:[1]"}))
  assert find_blockers(found) == ()
  assert [b.object for b in find_blockers(found, BARE)] == ["mnt:[1]"]


def test_unit_of_systemd_with_a_mount_of_memory_pressure() -> None:
  nested = mount_of(
    number=50,
    device="0:29",
    root="/ganeti-lxc/web1/payload/x.service/memory.pressure",
    point="/sys/fs/cgroup/x.service/memory.pressure",
    kind="cgroup2",
  )
  whole = replace(nested, number=51, root="/", mount_point="/sys/fs/cgroup")
  unit = child(namespaces={**SPACES, "mnt": "mnt:[1]"})
  found = guest(unit)
  found = replace(found, mounts={**found.mounts, "mnt:[1]": (nested, whole)})
  (blocker,) = find_blockers(found)
  assert blocker.pid == 101
  assert "move_mount" in blocker.reason


MOUNTS = [
  ("ramfs", "0:80", "/", "/run/credentials/x", "unsupported"),
  ("fuse.sshfs", "0:81", "/", "/mnt", "always fail"),
  ("fuse", "0:81", "/", "/mnt", "always fail"),
  ("ext4", "7:1", "/", "/srv", "unsupported"),
  ("nfs4", "0:82", "/", "/srv", "unsupported"),
  ("devpts", "0:6", "/0", "/dev/tty1", "Unable to find a master"),
  ("tmpfs", "0:83", "/part", "/mnt", "root mount"),
  ("overlay", "0:84", "/", "/mnt", "layers"),
  ("ext4", "8:1", "/etc/x//deleted", "/etc/y", "shows /etc/x, which"),
]


@pytest.mark.parametrize(("kind", "device", "root", "point", "said"), MOUNTS)
def test_mount_that_cannot_be_made_again(
  kind: str, device: str, root: str, point: str, said: str
) -> None:
  mount = mount_of(number=9, device=device, root=root, point=point, kind=kind)
  (found,) = find_blockers(guest(mounts=(mount,)))
  assert found.object == f"{kind} on {point}"
  assert (found.pid, found.command) == (100, "init")
  assert said in found.reason


def test_mounts_that_criu_is_told_about() -> None:
  ramfs = mount_of(number=9, device="0:80", root="/", point="/c", kind="ramfs")
  disk = mount_of(number=9, device="7:1", root="/", point="/srv", kind="ext4")
  told = Abilities(
    file_systems=frozenset({"ramfs"}), external_points=frozenset({"/srv"})
  )
  assert find_blockers(guest(mounts=(ramfs, disk)), told) == ()


def test_process_of_another_user_without_sys_resource() -> None:
  found = guest(child(uids=(33, 33, 33, 33)))
  (blocker,) = find_blockers(found, Abilities(sys_resource=False))
  assert blocker.object == "uid 33"
  assert "CAP_SYS_RESOURCE" in blocker.reason


def test_traced_process() -> None:
  (found,) = find_blockers(guest(child(tracer=55)))
  assert found.object == "traced by process 55"


def test_stopped_process_under_the_old_freezer() -> None:
  found = guest(child(stopped=True))
  assert find_blockers(found) == ()
  (blocker,) = find_blockers(found, Abilities(stopped_tasks=False))
  assert blocker.object == "stopped"


def test_memory_of_a_device() -> None:
  (found,) = find_blockers(guest(child(device_maps=("/dev/dri/card0",))))
  assert "/dev/dri/card0" in found.object


def test_what_a_service_opened_before_it_had_mounts_of_its_own() -> None:
  nested = child(
    namespaces={**SPACES, "mnt": "mnt:[1]"},
    files=(file("/dev/null", mount=2, **char(1, 3)), file("/x", mount=99)),
  )
  found = guest(nested)
  own = mount_of(number=90, device="8:1", root="/", point="/", kind="ext4")
  found = replace(found, mounts={**found.mounts, "mnt:[1]": (own,)})
  assert [b.object for b in find_blockers(found)] == ["fd 5 /x"]


@pytest.mark.parametrize(
  ("values", "thing"),
  [
    ({"program": "/memfd:runc (deleted)"}, "program /memfd:runc (deleted)"),
    ({"sealed_maps": ("/memfd:keys",)}, "mapping of /memfd:keys"),
    ({"taken": ("working directory /srv",)}, "working directory /srv"),
    (
      {"stray_sockets": (StraySocket("fd 3 socket /x", "why"),)},
      "fd 3 socket /x",
    ),
    ({"foreground_gone": True}, "terminal"),
    ({"program": "/x", "is_program_barred": True}, "program /x"),
    ({"wakes_main_thread": True}, "timer"),
  ],
)
def test_what_a_restore_would_fail_on(
  values: dict[str, object], thing: str
) -> None:
  (found,) = find_blockers(guest(child(**values)))
  assert (found.pid, found.object) == (101, thing)


def test_session_that_nobody_can_be_born_into() -> None:
  member = replace(child(), number=2, session=2)
  daemon = replace(member, pid=102, parent=101, number=4, session=3)
  (found,) = find_blockers(guest(member, daemon))
  assert (found.pid, found.object) == (102, "session 3")


def test_what_joined_from_outside_is_lost_and_blocks_nothing() -> None:
  shell = Process(
    pid=300,
    command="sh",
    parent=42,
    namespaces=SPACES,
    files=(file("/dev/pts/3", mount=500),),
  )
  grandchild = replace(shell, pid=301, command="vi", parent=300)
  found = guest(shell, grandchild)
  assert find_blockers(found) == ()
  assert [b.pid for b in lost(found)] == [300, 301]


def test_the_same_thing_is_said_once() -> None:
  both = (file("anon_inode:[io_uring]"), file("anon_inode:[io_uring]"))
  assert len(find_blockers(guest(child(files=both)))) == 1


def test_names_that_a_guest_chose_are_made_printable() -> None:
  found = guest(
    replace(child(files=(file("anon_inode:[a\x1b[2Jb]"),)), command="x\ny")
  )
  (blocker,) = find_blockers(found)
  assert str(blocker).isprintable()
  assert blocker.command == "x y"


def test_text_of_a_blocker() -> None:
  blocker = Blocker(7, "nginx", "fd 9 x", "it cannot", "end it")
  assert str(blocker) == "process 7 (nginx), fd 9 x: it cannot (end it)"


def test_limit_of_removed_files_is_what_criu_is_told() -> None:
  assert f"{Abilities().ghost_limit >> 20}M" == criu._GHOST_LIMIT
