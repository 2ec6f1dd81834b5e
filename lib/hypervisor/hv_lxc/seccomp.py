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

"""The system calls that no guest needs and the host must not serve.

A deny-list in liblxc's version 2 format (seccomp(7), lxc.container.conf(5)
SECCOMP CONFIGURATION).  It holds all that LXC's own common.seccomp holds
and adds calls whose capability an administrator may give back: the clone
of the rule by capability is the second line of defence, not the first.

"""

_ERRNO_EPERM = 1

# open_by_handle_at is the call of the 2014 "shocker" escape: with
# CAP_DAC_READ_SEARCH it opens any inode of a file system that the guest
# sees a single file of.
_DENIED = (
  "delete_module",
  "finit_module",
  "init_module",
  "ioperm",
  "iopl",
  "kexec_file_load",
  "kexec_load",
  "open_by_handle_at",
  "perf_event_open",
  "swapoff",
  "swapon",
)


def profile(*, may_set_host_name: bool) -> str:
  """The text of the profile.

  @param may_set_host_name: the guest has CAP_SYS_ADMIN; without it
      sethostname(2) is made to succeed and do nothing, since the name is
      set already (lxc.uts.name) and the start scripts of sysvinit and
      OpenRC give up when it fails

  """
  rules = [f"{call} errno {_ERRNO_EPERM}" for call in _DENIED]
  if not may_set_host_name:
    rules.append("sethostname errno 0")
  # umount2(MNT_FORCE) is refused: it would cut off the requests of others
  # on a network file system.
  return "\n".join(
    ["2", "denylist", "reject_force_umount", "[all]", *rules, ""]
  )
