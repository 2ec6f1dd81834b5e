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

"""The fstab that a guest finds, from one written for a virtual machine."""

import pytest
from ganeti.hypervisor.hv_lxc import fstab

VIRTUAL_MACHINE = """\
# /etc/fstab: static file system information.
UUID=0f3c / ext4 errors=remount-ro 0 1
LABEL=data /srv xfs defaults 0 2
PARTUUID=11-22 /boot/efi vfat umask=0077 0 1
/dev/sr0 /media/cdrom udf,iso9660 user,noauto 0 0
/dev/sda5 none swap sw 0 0
"UUID=77" /quoted ext4 defaults
/swapfile none swap sw 0 0
tmpfs /tmp tmpfs size=64m 0 0
server:/home /home nfs defaults 0 0
  proc  /proc  proc  defaults
broken line
overlay / overlay defaults
"""


def sources(text: str, *, may_mount: bool) -> list[str]:
  kept = fstab.for_container(text, may_mount=may_mount)
  assert kept.endswith("\n")
  return [
    line.split()[0] for line in kept.splitlines() if not line.startswith("#")
  ]


def test_what_a_container_can_mount_is_kept() -> None:
  found = sources(VIRTUAL_MACHINE, may_mount=True)
  assert found == ["tmpfs", "server:/home", "proc"]


def test_a_guest_that_may_not_mount_has_nothing_to_fail_at() -> None:
  assert sources(VIRTUAL_MACHINE, may_mount=False) == []


def test_lines_are_kept_as_they_are() -> None:
  text = fstab.for_container("tmpfs\t/a\\040b tmpfs  ro 0 0", may_mount=True)
  assert text.splitlines()[1] == "tmpfs\t/a\\040b tmpfs  ro 0 0"


@pytest.mark.parametrize(
  "text", ["", "\n\n", "\0\0\0", "x" * 70_000, "a b\n", "\udcff /x ext4"]
)
def test_any_text(text: str) -> None:
  assert sources(text, may_mount=True) in ([], ["\udcff"])
