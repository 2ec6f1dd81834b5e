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

"""Names of capabilities, and which ones a guest loses by default."""

import difflib
import re

from .errors import Refused

# capabilities(7); the names are those of caps_opt in LXC's conf.c, which
# LXC 5.0 has up to checkpoint_restore.
KNOWN = frozenset(
  {
    "audit_control",
    "audit_read",
    "audit_write",
    "block_suspend",
    "bpf",
    "checkpoint_restore",
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "ipc_lock",
    "ipc_owner",
    "kill",
    "lease",
    "linux_immutable",
    "mac_admin",
    "mac_override",
    "mknod",
    "net_admin",
    "net_bind_service",
    "net_broadcast",
    "net_raw",
    "perfmon",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_admin",
    "sys_boot",
    "sys_chroot",
    "sys_module",
    "sys_nice",
    "sys_pacct",
    "sys_ptrace",
    "sys_rawio",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "syslog",
    "wake_alarm",
  }
)

# What a guest's root could use against the node, since all of these work
# on the kernel as a whole and on no namespace: loading modules (sys_module),
# raw memory and port access (sys_rawio), the clock (sys_time), the security
# modules (mac_admin, mac_override), the kernel log (syslog), tracing and
# loading of programs into the kernel (perfmon, bpf), and mounting and
# everything else that sys_admin is (it undoes a device allow-list of
# cgroup v1 and any read-only /proc/sys).
# sys_boot is kept: reboot(2) is local to a PID namespace, and a guest
# without it cannot reboot itself.
DEFAULT_DROP = (
  "mac_admin",
  "mac_override",
  "sys_admin",
  "sys_module",
  "sys_rawio",
  "sys_time",
  "syslog",
  "bpf",
  "perfmon",
)

# With any of these the root of a guest is root on the node.
FATAL = frozenset({"sys_module", "sys_rawio"})

_SEPARATORS = re.compile(r"[\s,]+")


def parse(text: str) -> tuple[str, ...]:
  """A list of capabilities, separated by commas or blanks.

  @param text: names with or without "cap_", in any case
  @return: the names in the order given, each once, as LXC wants them
  @raise Refused: there is no such capability

  """
  words = (word for word in _SEPARATORS.split(text) if word)
  return tuple(dict.fromkeys(map(_normal, words)))


def _normal(word: str) -> str:
  name = word.lower().removeprefix("cap_")
  if name in KNOWN:
    return name
  close = difflib.get_close_matches(name, KNOWN, n=3)
  raise Refused(
    f"There is no capability {word!r}",
    remedy=f"perhaps {' or '.join(close)}" if close else "see capabilities(7)",
  )
