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

"""What is mounted, as the kernel tells it."""

import pathlib

from ganeti.hypervisor.hv_lxc import mountinfo

MOUNTINFO = (
  "22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
  r"60 28 7:1 /a\040b /srv/with\040blank\011tab\134n ro,nodev"
  " shared:1 master:2 - ext4 /dev/loop1 rw,errors=remount-ro\n"
  "61 28 0:44 / /none rw - tmpfs none rw\n"
  r"62 28 0:45 / /odd rw - fuse.sshfs user@h:/x\040y rw" + "\n"
)


def test_mountinfo() -> None:
  entries = list(mountinfo.parse(MOUNTINFO))
  assert len(entries) == 4
  assert entries[1] == mountinfo.MountEntry(
    number=60,
    devno="7:1",
    root="/a b",
    mount_point="/srv/with blank\ttab\\n",
    options="ro,nodev",
    fs_type="ext4",
    source="/dev/loop1",
    super_options="rw,errors=remount-ro",
  )
  assert entries[2].source == "none"
  assert entries[3].source == "user@h:/x y"


def test_mountinfo_of_now() -> None:
  text = pathlib.Path("/proc/self/mountinfo").read_text()
  entries = list(mountinfo.parse(text))
  assert len(entries) == len(text.splitlines())
  assert "/proc" in {entry.mount_point for entry in entries}


def test_of_one_kind() -> None:
  text = MOUNTINFO + (
    "63 28 0:46 / /a rw - cgroup cgroup rw,cpu\n"
    "64 28 0:47 / /b rw - cgroup2 cgroup2 rw\n"
    "65 28 0:48 / /c rw - fuse - cgroup rw\n"
  )
  entries = list(mountinfo.parse(text, "cgroup"))
  assert [entry.mount_point for entry in entries] == ["/a", "/b"]
