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

import pathlib

import pytest
from ganeti.hypervisor.hv_lxc.errors import Refused
from ganeti.hypervisor.hv_lxc.host import Host
from ganeti.hypervisor.hv_lxc.migration import criu
from unit.hypervisor.hv_lxc.fakes import FakeLxc, FakeRun

LOGS = pathlib.Path(__file__).parent / "recorded"
IMAGES = pathlib.Path("/m/images")


def order(**changes: object) -> criu.DumpOrder:
  settings: dict[str, object] = {
    "pid": 7,
    "images": IMAGES,
    "log": pathlib.Path("/m/dump.log"),
    "freezer": "/sys/fs/cgroup/freezer/g",
    "roots": ("memory:/g", "/g"),
    **changes,
  }
  return criu.DumpOrder(**settings)  # type: ignore[arg-type]


def values(argv: list[str], option: str) -> list[str]:
  return [argv[i + 1] for i, word in enumerate(argv) if word == option]


def test_dump_of_a_guest_with_everything() -> None:
  argv = criu.dump_argv(
    order(
      mounts=("etc/fstab",),
      tty="tty[8800:75]",
      script=pathlib.Path("/m/criu-action"),
    ).based_on(pathlib.Path("/m/pre/2"))
  )
  assert argv[:2] == ["criu", "dump"]
  assert values(argv, "--cgroup-root") == ["memory:/g", "/g"]
  assert values(argv, "--ext-mount-map") == [
    "auto",
    "/etc/fstab:etc/fstab",
    "/dev/console:console",
  ]
  assert values(argv, "--external") == ["tty[8800:75]"]
  assert values(argv, "--prev-images-dir") == ["../pre/2"]
  assert values(argv, "--action-script") == ["/m/criu-action"]
  assert values(argv, "--network-lock") == ["nftables"]
  assert "--track-mem" in argv
  assert "--leave-running" not in argv


def test_dump_of_a_guest_without_console() -> None:
  argv = criu.dump_argv(order())
  assert not {"--external", "--prev-images-dir", "--track-mem"} & set(argv)
  assert values(argv, "--ext-mount-map") == ["auto"]


def test_pre_dump_tracks_memory_and_has_no_script() -> None:
  argv = criu.pre_dump_argv(order(script=pathlib.Path("/m/criu-action")))
  assert argv[:2] == ["criu", "pre-dump"]
  assert "--track-mem" in argv
  assert "--action-script" not in argv


def test_only_bind_mounts_are_named() -> None:
  config = [
    ("lxc.mount.entry", "tmpfs run tmpfs mode=755,size=20% 0 0"),
    ("lxc.mount.entry", "/a/fstab etc/fstab none bind,ro,optional 0 0"),
    ("lxc.mount.entry", "/a/d mnt/disk1 none rw,rbind 0 0"),
    ("lxc.mount.entry", "/a"),
    ("lxc.mount.auto", "proc"),
  ]
  assert criu.mapped_mounts(config) == ("etc/fstab", "mnt/disk1")


@pytest.mark.parametrize(
  ("log", "process", "message", "remedy"),
  [
    ("ttys", "", "Unable to find a master", "num_ttys"),
    ("uts", "sleep (process 9698)", "nested uts namespace", "namespace"),
    ("deleted", "ghost (process 9614)", "ghost file /var/big", "restart it"),
    ("rlimit", "dbus-daemon (process 11990)", "rlimit 0", "CAP_SYS_RESOURCE"),
    ("ctty", "sh (process 356)", "ctty inheritance", "log out"),
  ],
)
def test_recorded_failures(
  log: str, process: str, message: str, remedy: str
) -> None:
  found = criu.trouble(criu.read_log(LOGS / f"{log}.log"))
  assert found is not None
  assert found.process == process
  assert message in found.message
  assert remedy in found.remedy
  assert str(found).startswith(process)


def test_nothing_is_found_where_nothing_is_told(tmp_path: pathlib.Path) -> None:
  noise = "(00.1) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE"
  assert criu.trouble(noise) is None
  assert criu.trouble(criu.read_log(tmp_path / "none")) is None


def test_time_since_a_message() -> None:
  text = "(00.5) freezing cgroup x\nother\n(00.75) a\n(01.25) b\n"
  assert criu.seconds_since(text, "freezing cgroup") == 0.75
  assert criu.seconds_since(text, "nothing of the kind") == 0.0


@pytest.mark.parametrize(
  ("nft", "iptables", "expected"),
  [(0, 0, "nftables"), (1, 0, "iptables"), (0, 1, "nftables")],
)
def test_network_lock(
  tmp_path: pathlib.Path, nft: int, iptables: int, expected: str
) -> None:
  assert criu.network_lock(node(tmp_path, nft, iptables)) == expected


def test_what_criu_leaves_behind_must_be_removable(
  tmp_path: pathlib.Path,
) -> None:
  """Without nft a killed CRIU, or an old one, cut a guest off for good."""
  without = ("sh", "-c", "command -v nft")
  run = FakeRun({("criu", "check"): 0, "sh": 0, without: 1})
  host = Host(layout=FakeLxc(tmp_path).layout, run=run)
  assert criu.network_lock(host) == "iptables"


def test_no_network_lock_is_refused(tmp_path: pathlib.Path) -> None:
  with pytest.raises(Refused, match="install nftables"):
    criu.network_lock(node(tmp_path, 1, 1))


def node(top: pathlib.Path, nft: int, iptables: int) -> Host:
  found = ("sh", "-c", "command -v iptables-restore")
  run = FakeRun({("criu", "check"): nft, "sh": 0, found: iptables})
  return Host(layout=FakeLxc(top).layout, run=run)
