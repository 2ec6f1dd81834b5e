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

"""The lists of keys: what is on them, what is not, and why not."""

import re

import pytest
from ganeti.hypervisor.hv_lxc import extrakeys
from ganeti.hypervisor.hv_lxc.errors import Refused

ALLOWED = [
  ("lxc.arch", "i686"),
  ("lxc.cap.drop", "mknod CAP_NET_RAW"),
  ("lxc.cgroup.cpu.shares", "512"),
  ("lxc.cgroup.pids.max", "max"),
  ("lxc.cgroup.blkio.throttle.read_bps_device", "8:0 1048576"),
  ("lxc.cgroup.memory.soft_limit_in_bytes", "104857600"),
  ("lxc.cgroup2.cpu.weight", "50"),
  ("lxc.cgroup2.cpu.weight.nice", "-5"),
  ("lxc.cgroup2.pids.max", "500"),
  ("lxc.cgroup2.memory.high", "100M"),
  ("lxc.cgroup2.io.weight", "default 50"),
  ("lxc.cgroup2.io.max", "8:0 rbps=1000000 wiops=max"),
  ("lxc.environment", "LANG=de_DE.UTF-8"),
  ("lxc.environment", "EMPTY="),
  ("lxc.init.cmd", "/sbin/init 3"),
  ("lxc.no_new_privs", "1"),
  ("lxc.prlimit.nofile", "1024:4096"),
  ("lxc.prlimit.core", "unlimited"),
  ("lxc.sched.core", "1"),
  ("lxc.signal.halt", "SIGRTMIN+3"),
  ("lxc.signal.reboot", "SIGINT"),
  ("lxc.signal.stop", "9"),
  ("lxc.sysctl.net.ipv4.ip_forward", "1"),
  ("lxc.sysctl.net.ipv4.ip_local_port_range", "1024 65535"),
  ("lxc.time.offset.boot", "3 h"),
  ("lxc.time.offset.monotonic", "300ms"),
]
# Everything else that the table in LXC 7's confile.c has, and more.
REFUSED = """
  lxc.apparmor.profile lxc.apparmor.allow_incomplete lxc.apparmor.raw
  lxc.apparmor.allow_nesting lxc.autodev lxc.autodev.tmpfs.size lxc.cap.keep
  lxc.cgroup.dir lxc.cgroup.dir.container lxc.cgroup.dir.container.inner
  lxc.cgroup.dir.monitor lxc.cgroup.dir.monitor.pivot lxc.cgroup.relative
  lxc.cgroup.devices.allow lxc.cgroup.devices.deny
  lxc.cgroup.memory.limit_in_bytes lxc.cgroup.memory.memsw.limit_in_bytes
  lxc.cgroup.cpuset.cpus lxc.cgroup.cpu.cfs_quota_us lxc.cgroup.net_cls.classid
  lxc.cgroup2.memory.max lxc.cgroup2.memory.swap.max lxc.cgroup2.memory.min
  lxc.cgroup2.memory.low lxc.cgroup2.cpu.max lxc.cgroup2.cpuset.cpus
  lxc.cgroup2.devices.allow lxc.cgroup lxc.cgroup2 lxc.cgroup2.
  lxc.console.buffer.size lxc.console.logfile lxc.console.path
  lxc.console.rotate lxc.console.size lxc.environment.hooks
  lxc.environment.runtime lxc.ephemeral lxc.execute.cmd lxc.group
  lxc.hook.autodev lxc.hook.clone lxc.hook.destroy lxc.hook.mount
  lxc.hook.post-stop lxc.hook.pre-mount lxc.hook.pre-start lxc.hook.start
  lxc.hook.start-host lxc.hook.stop lxc.hook.version lxc.hook lxc.idmap
  lxc.include lxc.init.uid lxc.init.gid lxc.init.groups lxc.init.cwd
  lxc.keyring.session lxc.log.file lxc.log.level lxc.log.syslog
  lxc.monitor.unshare lxc.monitor.signal.pdeath lxc.mount.auto
  lxc.mount.entry lxc.mount.fstab lxc.namespace.clone lxc.namespace.keep
  lxc.namespace.share.net lxc.net lxc.net.0.type lxc.net.0.script.up
  lxc.prlimit lxc.prlimit.rtprio lxc.prlimit.nice lxc.prlimit.rttime
  lxc.pty.max lxc.rootfs.managed lxc.rootfs.mount lxc.rootfs.options
  lxc.rootfs.path lxc.seccomp.profile lxc.seccomp.allow_nesting
  lxc.seccomp.notify.cookie lxc.seccomp.notify.proxy lxc.selinux.context
  lxc.selinux.context.keyring lxc.start.auto lxc.start.delay lxc.start.order
  lxc.tty.dir lxc.tty.max lxc.uts.name lxc.sysctl lxc.proc.oom_score_adj
  lxc.sysctl.kernel.core_pattern lxc.sysctl.kernel.modprobe
  lxc.sysctl.vm.swappiness lxc.sysctl.kernel.shmmax lxc.sysctl.fs.mqueue.msg_max
  lxc.sysctl.net lxc.sysctl.net. lxc.sysctl.net..kernel lxc.sysctl.net/core
  lxc.sysctl.kernel/../x lxc.sysctl.kernel.hostname lxc.sysctl.fs.file-max
  lxc.utsname lxc.network.type lxc.haltsignal lxc LXC.ARCH lxc.arch.x xlxc.arch
""".split()  # noqa: SIM905
# What a file of root's must not touch either: the driver depends on it.
NEVER = [
  "lxc.rootfs.path",
  "lxc.rootfs.mount",
  "lxc.rootfs.options",
  "lxc.uts.name",
  "lxc.net.0.type",
  "lxc.net.1.script.up",
  "lxc.hook.pre-start",
  "lxc.hook.version",
  "lxc.include",
  "lxc.log.file",
  "lxc.console.path",
  "lxc.console.logfile",
  "lxc.cgroup.dir",
  "lxc.cgroup.dir.container",
  "lxc.cgroup.dir.monitor.pivot",
  "lxc.cgroup.relative",
  "lxc.cgroup.memory.limit_in_bytes",
  "lxc.cgroup.memory.memsw.limit_in_bytes",
  "lxc.cgroup2.memory.max",
  "lxc.cgroup2.memory.swap.max",
  "lxc.cgroup.cpuset.cpus",
  "lxc.cgroup2.cpu.max",
  "lxc.cgroup.cpu.cfs_quota_us",
  "lxc.cgroup2.cgroup.freeze",
  "lxc.cgroup.freezer.state",
  "lxc.idmap",
  "lxc.namespace.share.net",
  "lxc.namespace.keep",
  "lxc.start.auto",
  "lxc.group",
  "lxc.ephemeral",
  "lxc.tty.max",
  "lxc.pty.max",
  "lxc.autodev",
  "lxc.cap.keep",
  "lxc.monitor.signal.pdeath",
  "lxc.monitor.unshare",
  "lxc.mount.fstab",
  "lxc.environment.hooks",
  "lxc.execute.cmd",
]
FILE_ONLY = [
  ("lxc.apparmor.profile", "unconfined"),
  ("lxc.cgroup.devices.allow", "c 10:200 rwm"),
  ("lxc.cgroup2.devices.allow", "c 10:200 rwm"),
  ("lxc.cgroup2.memory.low", "100M"),
  ("lxc.mount.auto", "cgroup:rw:force"),
  ("lxc.mount.entry", "/srv/data srv/data none bind,ro 0 0"),
  ("lxc.mount.entry", "/dev/fuse dev/fuse none bind,optional"),
  ("lxc.mount.entry", "/srv/a..b srv/a..b none bind"),
  ("lxc.prlimit.rtprio", "10"),
  ("lxc.proc.oom_score_adj", "-500"),
  ("lxc.seccomp.profile", "/etc/ganeti/lxc/x.seccomp"),
  ("lxc.init.uid", "1000"),
  ("lxc.sysctl.kernel.core_pattern", "core"),
  ("lxc.sysctl.kernel.shmmax", "68719476736"),
]


@pytest.mark.parametrize(("key", "value"), ALLOWED)
def test_allowed(key: str, value: str) -> None:
  extrakeys.check(key, value, extrakeys.IN_PARAMETER)
  extrakeys.check(key, value, extrakeys.IN_FILE)


def test_capabilities_are_written_as_lxc_reads_them() -> None:
  value = extrakeys.check(
    "lxc.cap.drop", "CAP_NET_RAW  mknod", extrakeys.IN_PARAMETER
  )
  assert value == "net_raw mknod"


@pytest.mark.parametrize("key", REFUSED)
@pytest.mark.parametrize("value", ["1", "/x", "a=b", ""])
def test_refused_and_named(key: str, value: str) -> None:
  with pytest.raises(Refused, match=re.escape(repr(key))):
    extrakeys.check(key, value, extrakeys.IN_PARAMETER)


@pytest.mark.parametrize(("key", "value"), FILE_ONLY)
def test_only_from_a_file(key: str, value: str) -> None:
  extrakeys.check(key, value, extrakeys.IN_FILE)
  with pytest.raises(Refused, match=re.escape(key)):
    extrakeys.check(key, value, extrakeys.IN_PARAMETER)


@pytest.mark.parametrize("key", NEVER)
@pytest.mark.parametrize("value", ["1", "/x", "none", ""])
def test_not_even_from_a_file(key: str, value: str) -> None:
  with pytest.raises(Refused, match=re.escape(key)):
    extrakeys.check(key, value, extrakeys.IN_FILE)


@pytest.mark.parametrize("rules", [extrakeys.IN_PARAMETER, extrakeys.IN_FILE])
@pytest.mark.parametrize("key", sorted({key for key, _ in ALLOWED}))
def test_an_empty_value_would_clear_what_was_set(
  key: str, rules: tuple[extrakeys.Rule, ...]
) -> None:
  for value in ("", '""', "''", '"'):
    with pytest.raises(Refused, match=re.escape(key)):
      extrakeys.check(key, value, rules)


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("lxc.cap.drop", "none"),
    ("lxc.cap.drop", "sys_foo"),
    ("lxc.cgroup.cpu.shares", "1 2"),
    ("lxc.cgroup2.io.max", "8:0 foo=1"),
    ("lxc.environment", "NAME"),
    ("lxc.environment", "1A=b"),
    ("lxc.init.cmd", "sbin/init"),
    ("lxc.no_new_privs", "2"),
    ("lxc.prlimit.nofile", "many"),
    ("lxc.signal.halt", "TERM; reboot"),
    ("lxc.sysctl.net.core.somaxconn", "$(reboot)"),
    ("lxc.time.offset.boot", "3 weeks"),
    ("lxc.time.offset.boot", "-3h"),
    ("lxc.arch", "z80"),
    ("lxc.signal.halt", "SIGFOO"),
    ("lxc.signal.stop", "0"),
    ("lxc.signal.stop", "65"),
  ],
)
def test_wrong_values(key: str, value: str) -> None:
  with pytest.raises(Refused):
    extrakeys.check(key, value, extrakeys.IN_PARAMETER)


@pytest.mark.parametrize(
  "name",
  [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "PATH",
    "BASH_ENV",
    "ENV",
    "IFS",
    "PYTHONPATH",
    "PERL5OPT",
    "LXC_NAME",
    "LISTEN_FDS",
    "container",
  ],
)
@pytest.mark.parametrize("rules", [extrakeys.IN_PARAMETER, extrakeys.IN_FILE])
def test_variables_that_lxc_would_use_on_the_node(
  name: str, rules: tuple[extrakeys.Rule, ...]
) -> None:
  with pytest.raises(Refused, match=f"lxc.environment cannot set {name}"):
    extrakeys.check("lxc.environment", f"{name}=/rootfs/x", rules)


@pytest.mark.parametrize(
  "value",
  [
    "/srv /srv none bind 0 0",
    "/srv ../srv none bind 0 0",
    "/srv a/../../b none bind 0 0",
    "/srv a/.. none bind 0 0",
    "/srv srv none bind,create=dir 0 0",
    "/srv srv none",
    "/srv",
  ],
)
def test_mounts_that_could_leave_the_guest(value: str) -> None:
  with pytest.raises(Refused):
    extrakeys.check("lxc.mount.entry", value, extrakeys.IN_FILE)


@pytest.mark.parametrize(
  ("key", "said"),
  [
    ("lxc.hook.start", "as root"),
    ("lxc.utsname", "lxc.uts.name"),
    ("lxc.tty.max", "num_ttys"),
    ("lxc.cgroup2.memory.max", "maxmem"),
    ("lxc.mount.entry", "file:NAME"),
    ("lxc.arhc", "perhaps lxc.arch"),
    ("foo", "known: lxc.arch, lxc.cap.drop"),
  ],
)
def test_reasons(key: str, said: str) -> None:
  with pytest.raises(Refused, match=re.escape(said)):
    extrakeys.check(key, "x", extrakeys.IN_PARAMETER)
