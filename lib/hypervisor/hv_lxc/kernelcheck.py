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

"""What the running kernel can do: parity with lxc-checkconfig(1).

lxc-checkconfig reads the configuration that the kernel was built with, and
gives up where there is none.  Here the thing itself is looked for first, in
/proc and /sys; a module that is not loaded counts if it can be; and only
what leaves no trace is asked of the configuration.  What cannot be known is
no problem: nobody shall have to live with a red verify for a missing file.

Nothing is started, loaded, mounted or changed.

"""

import os
import re
from collections.abc import Iterator
from functools import partial

from .model import Problem
from .node import Check, Node

# (as in /proc/PID/ns, what it is built by)
_NAMESPACES = (
  ("mnt", "CONFIG_NAMESPACES"),
  ("pid", "CONFIG_PID_NS"),
  ("net", "CONFIG_NET_NS"),
  ("ipc", "CONFIG_IPC_NS"),
  ("uts", "CONFIG_UTS_NS"),
  ("cgroup", "CONFIG_CGROUPS"),
)
# No guest needs them yet, and max_user_namespaces=0 is a usual hardening.
_NAMESPACES_WANTED = (
  ("user", "CONFIG_USER_NS"),
  ("time", "CONFIG_TIME_NS"),
)
# (module, what it is built by, what it is for)
_MODULES = (
  ("veth", "CONFIG_VETH", "NICs of instances"),
  ("bridge", "CONFIG_BRIDGE", "NICs in mode bridged"),
)
_MODULES_WANTED = (
  ("8021q", "CONFIG_VLAN_8021Q", "VLANs"),
  ("macvlan", "CONFIG_MACVLAN", "macvlan interfaces in guests"),
  ("overlay", "CONFIG_OVERLAY_FS", "guests that hold containers"),
  ("fuse", "CONFIG_FUSE_FS", "lxcfs and FUSE in guests"),
  # Of both families since Linux 5.2; ipt_MASQUERADE and ip6t_MASQUERADE are
  # only aliases of it, which are in no modules.dep.
  (
    "xt_MASQUERADE",
    "CONFIG_NETFILTER_XT_TARGET_MASQUERADE",
    "NAT by iptables",
  ),
  ("xt_CHECKSUM", "CONFIG_NETFILTER_XT_TARGET_CHECKSUM", "DHCP by iptables"),
  ("xt_comment", "CONFIG_NETFILTER_XT_MATCH_COMMENT", "iptables comments"),
  ("unix_diag", "CONFIG_UNIX_DIAG", "live migration"),
  ("inet_diag", "CONFIG_INET_DIAG", "live migration"),
  ("tcp_diag", "CONFIG_INET_TCP_DIAG", "live migration"),
  ("udp_diag", "CONFIG_INET_UDP_DIAG", "live migration"),
  ("af_packet_diag", "CONFIG_PACKET_DIAG", "live migration"),
  ("netlink_diag", "CONFIG_NETLINK_DIAG", "live migration"),
)
# What leaves no trace outside the configuration; lxc-checkconfig has it.
_OPTIONS_WANTED = (
  ("CONFIG_NETFILTER_ADVANCED", "firewalls in guests"),
  ("CONFIG_FHANDLE", "systemd in guests, and live migration"),
  ("CONFIG_EVENTFD", "systemd in guests, and live migration"),
  ("CONFIG_EPOLL", "systemd in guests, and live migration"),
)


def checks() -> Iterator[Check]:
  """What an instance cannot do without."""
  for kind, option in _NAMESPACES:
    yield Check(f"{kind} namespaces", partial(_namespace, kind, option))
    yield Check(f"the limit of {kind} namespaces", partial(_limit, kind))
  yield Check("devpts", _devpts)
  yield Check("/dev/ptmx", _ptmx)
  for module, option, purpose in _MODULES:
    yield Check(module, partial(_module, module, option, purpose))
  yield Check("seccomp", _seccomp)


def wishes() -> Iterator[Check]:
  """What some instances cannot do without."""
  for kind, option in _NAMESPACES_WANTED:
    yield Check(f"{kind} namespaces", partial(_namespace, kind, option))
    yield Check(f"the limit of {kind} namespaces", partial(_limit, kind))
  for module, option, purpose in _MODULES_WANTED:
    yield Check(module, partial(_module, module, option, purpose))
  for option, purpose in _OPTIONS_WANTED:
    yield Check(option, partial(_option, option, purpose))
  yield Check("checkpoints", _checkpoints)


def _built_with(*options: str) -> str:
  return f"boot a kernel built with {' and '.join(options)}"


def _namespace(kind: str, option: str, node: Node) -> Problem | None:
  path = node.host.proc / "self/ns" / kind
  if os.path.lexists(path):
    return None
  return Problem(
    f"The kernel has no {kind} namespaces: {path} does not exist",
    _built_with(option),
  )


def _limit(kind: str, node: Node) -> Problem | None:
  sysctl = f"user.max_{kind}_namespaces"
  if node.proc(f"sys/user/max_{kind}_namespaces").strip() != "0":
    return None
  return Problem(
    f"No {kind} namespace can be made: {sysctl} is 0",
    f"run sysctl -w {sysctl}=15000 and take the 0 out of /etc/sysctl.d",
  )


def _devpts(node: Node) -> Problem | None:
  """Each mount is an instance of its own since Linux 4.7 (devpts.txt)."""
  if re.search(r"\tdevpts$", node.proc("filesystems"), re.MULTILINE):
    return None
  return Problem(
    "The kernel has no devpts file system, so no guest has a terminal",
    _built_with("CONFIG_UNIX98_PTYS"),
  )


def _ptmx(node: Node) -> Problem | None:
  if (node.host.dev / "ptmx").exists():
    return None
  return Problem(
    f"{node.host.dev}/ptmx does not exist, so LXC can open no terminal",
    "run ln -s pts/ptmx /dev/ptmx, and see that /dev is a devtmpfs",
  )


def _module(
  module: str, option: str, purpose: str, node: Node
) -> Problem | None:
  if node.has_module(module, option) is not False:
    return None
  if module in node.loadable:
    return Problem(
      f"The kernel module {module} ({purpose}) is not loaded, and"
      " kernel.modules_disabled forbids it",
      f"name it in /etc/modules-load.d/{module}.conf and boot",
    )
  return Problem(
    f"The kernel has no module {module} ({purpose})", _built_with(option)
  )


def _option(option: str, purpose: str, node: Node) -> Problem | None:
  if node.has_option(option) is not False:
    return None
  return Problem(
    f"The kernel was built without {option} ({purpose})", _built_with(option)
  )


def _seccomp(node: Node) -> Problem | None:
  """seccomp(2): the file lists what a filter may answer."""
  if "errno" in node.proc("sys/kernel/seccomp/actions_avail").split():
    return None
  return Problem(
    "The kernel has no seccomp filters, so no instance can start",
    _built_with("CONFIG_SECCOMP_FILTER"),
  )


def _checkpoints(node: Node) -> Problem | None:
  """proc_sys_kernel(5): the file is there if the option is."""
  if (node.host.proc / "sys/kernel/ns_last_pid").exists():
    return None
  return Problem(
    "The kernel cannot checkpoint processes (live migration)",
    _built_with("CONFIG_CHECKPOINT_RESTORE"),
  )
