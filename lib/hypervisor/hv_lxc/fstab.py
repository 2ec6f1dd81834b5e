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

"""The /etc/fstab that a guest finds.

One written for a virtual machine names a root by UUID, swap, data disks:
nothing of it exists for a container.  sysvinit stops at a rescue shell
over it, OpenRC skips half of the boot, systemd calls itself degraded.  So
a file of ours is bound over it, which keeps what a container can mount;
the guest's own file is never written to.

"""

_HEADER = "# Kept by ganeti-lxc; the file on the disk is below this mount.\n"
_DEVICE_PREFIXES = (
  "/dev/",
  "UUID=",
  "LABEL=",
  "PARTUUID=",
  "PARTLABEL=",
  "ID=",
)
_FIELDS = 3  # source, mount point and type; options and numbers may follow
MAX_BYTES = 64 << 10


def for_container(text: str, *, may_mount: bool) -> str:
  """What is left of an fstab in a container.

  @param text: the guest's own; hostile
  @param may_mount: the guest has CAP_SYS_ADMIN

  """
  if not may_mount:
    return _HEADER
  kept = [line for line in text.splitlines() if _is_mountable(line)]
  return _HEADER + "".join(f"{line}\n" for line in kept)


def _is_mountable(line: str) -> bool:
  fields = line.split()
  if len(fields) < _FIELDS or fields[0].startswith("#"):
    return False
  source, where, kind = fields[:_FIELDS]
  if where == "/" or kind == "swap":
    return False
  return not source.strip("\"'").startswith(_DEVICE_PREFIXES)
