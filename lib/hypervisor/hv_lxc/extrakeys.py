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

"""Which LXC keys an administrator may add, and with which values.

There are two lists.  What stands in a parameter may have been set through
RAPI by somebody who is not root, so only keys are on that list which limit
a guest further or act inside of it.  A file was written by root on the
node and may open things up, but may not touch what the driver itself
depends on.

Both are lists of what is allowed: a key that a later LXC invents is
refused until somebody has thought about it.

"""

import difflib
import re
from dataclasses import dataclass

from . import capabilities
from .errors import Refused


@dataclass(frozen=True, slots=True)
class Rule:
  """Keys that may be set.

  The expressions are compiled when a key is checked (re keeps them): whoever
  reads parameters imports this, and few instances have such a key.

  @ivar key: the whole key matches this expression
  @ivar value: the whole value matches this expression
  @ivar says: what the value has to be, for an error
  @ivar name: the key, or the family of keys, for an error

  """

  name: str
  key: str
  value: str
  says: str


def _rule(name: str, value: str, says: str, key: str = "") -> Rule:
  return Rule(name, key or re.escape(name), value, says)


# lxc_config_parse_arch in confile.c of LXC 5.0.
_ARCHITECTURES = (
  "arm|armel|armhf|armv7l|athlon|i[3-6]86|linux32|mips|mipsel|ppc|powerpc|x86"
  "|aarch64|amd64|arm64|linux64|mips64|mips64el|ppc64|ppc64el|ppc64le"
  "|powerpc64|riscv64|s390x|x86_64"
)
_NUMBER = r"[0-9]{1,19}"
_LIMIT = rf"({_NUMBER}|unlimited)"
# sig_parse in confile_utils.c.
_SIGNAL = (
  r"SIG(HUP|INT|QUIT|KILL|USR1|USR2|ALRM|TERM|CONT|STOP|WINCH|PWR"
  r"|RTM(IN\+|AX-)([12]?[0-9]|30))|[1-9]|[1-5][0-9]|6[0-4]"
)
# LXC takes no negative one, and a blank before short units only.
_OFFSET = rf"{_NUMBER}( ?[hms]|[mun]s)"
_DEVICE = r"[0-9]{1,4}:[0-9]{1,7}"
_SYSCTL = "[A-Za-z0-9_-]+"
_ANY = r".+"

# rtprio, nice and rttime would get past a dropped CAP_SYS_NICE.
_RESOURCES = (
  "as|core|cpu|data|fsize|locks|memlock|msgqueue|nofile|nproc|rss|sigpending"
  "|stack"
)
# No value of another network namespace is writable (net/sysctl_net.c,
# ensure_safe_net_sysctl).  The rest of /proc/sys is read-only to LXC too,
# since the driver has it mounted proc:mixed.
_NETWORK = rf"net(\.{_SYSCTL})+"
# Limits, and shares of what is contended for; none of them takes away a
# limit that Ganeti sets.
_CGROUP1 = (
  r"cpu\.shares|blkio\.(bfq\.)?weight|pids\.max"
  r"|memory\.(soft_limit_in_bytes|swappiness)"
)
_CGROUP2 = r"cpu\.weight(\.nice)?|pids\.max|memory\.high"
_THROTTLE = r"blkio\.throttle\.(read|write)_(bps|iops)_device"

_COMMON = (
  _rule("lxc.arch", _ARCHITECTURES, "an architecture LXC knows, as i686"),
  _rule("lxc.cap.drop", r"[A-Za-z_ ]+", "names of capabilities"),
  _rule(
    "lxc.cgroup.*",
    rf"{_NUMBER}|max",
    "a number",
    rf"lxc\.cgroup\.({_CGROUP1})",
  ),
  _rule(
    "lxc.cgroup.*",
    rf"{_DEVICE} {_NUMBER}",
    "major:minor and a number",
    rf"lxc\.cgroup\.({_THROTTLE})",
  ),
  _rule(
    "lxc.cgroup2.*",
    rf"-?{_NUMBER}[kmgKMG]?|max",
    "a number or max",
    rf"lxc\.cgroup2\.({_CGROUP2})",
  ),
  _rule(
    "lxc.cgroup2.*",
    rf"(default )?{_NUMBER}|{_DEVICE} {_NUMBER}",
    "a weight",
    r"lxc\.cgroup2\.io\.(bfq\.)?weight",
  ),
  _rule(
    "lxc.cgroup2.io.max",
    rf"{_DEVICE}( [rw](bps|iops)=({_NUMBER}|max)){{1,4}}",
    "major:minor and limits as in rbps=1000000",
  ),
  _rule(
    "lxc.environment",
    r"[A-Za-z_][A-Za-z0-9_]*=.*",
    "NAME=VALUE, both written out",
  ),
  _rule("lxc.init.cmd", r"/.+", "an absolute path in the guest"),
  _rule("lxc.no_new_privs", r"[01]", "0 or 1"),
  _rule(
    "lxc.prlimit.*",
    rf"{_LIMIT}( ?: ?{_LIMIT})?",
    "a number or unlimited, or two with a colon between",
    rf"lxc\.prlimit\.({_RESOURCES})",
  ),
  _rule("lxc.sched.core", r"[01]", "0 or 1"),
  _rule(
    "lxc.signal.*",
    _SIGNAL,
    "a signal",
    r"lxc\.signal\.(halt|reboot|stop)",
  ),
  _rule(
    "lxc.sysctl.*",
    r"[A-Za-z0-9._:, /-]+",
    "what sysctl(8) takes",
    rf"lxc\.sysctl\.({_NETWORK})",
  ),
  _rule(
    "lxc.time.offset.*",
    _OFFSET,
    "a number and h, m, s, ms, us or ns",
    r"lxc\.time\.offset\.(boot|monotonic)",
  ),
)

# What the driver sets and later changes or reads back.
_OWN_CGROUP = (
  r"dir\b|relative$|memory\.(limit_in_bytes|memsw\.|max$|swap\.max)"
  r"|cpuset\.|cpu\.(max|cfs_)|freezer\.|cgroup\.|devices\.deny"
)
_FILE_ONLY = (
  _rule("lxc.apparmor.profile", _ANY, "a profile"),
  _rule("lxc.apparmor.raw", _ANY, "a rule"),
  _rule(
    "lxc.apparmor.*",
    r"[01]",
    "0 or 1",
    r"lxc\.apparmor\.allow_(incomplete|nesting)",
  ),
  _rule(
    "lxc.cgroup.*",
    _ANY,
    "a value",
    rf"lxc\.cgroup2?\.(?!{_OWN_CGROUP})[a-z0-9_]+(\.[A-Za-z0-9_]+)+",
  ),
  _rule(
    "lxc.init.*",
    r"[0-9]+(,[0-9]+)*",
    "numbers",
    r"lxc\.init\.(uid|gid|groups)",
  ),
  _rule("lxc.init.cwd", r"/.*", "an absolute path in the guest"),
  _rule("lxc.keyring.session", r"[01]", "0 or 1"),
  _rule("lxc.mount.auto", r"[a-z0-9: -]+", "kinds of mounts"),
  # LXC makes the target of create= without looking out for links, and the
  # guest can have put some there (mount_entry_create_dir_file in conf.c).
  _rule(
    "lxc.mount.entry",
    r"(?!.*\bcreate=)\S+ +(?!/)(?!(\S*/)?\.\.(/| ))\S+ +\S+ +\S+"
    r"( +[0-9]+){0,2}",
    "source, target (relative, without ..), type, options without create=,"
    " 0, 0",
  ),
  _rule("lxc.prlimit.*", _ANY, "a limit", r"lxc\.prlimit\.[a-z]+"),
  _rule("lxc.proc.*", _ANY, "a value", r"lxc\.proc\.(oom_score_adj|oom_adj)"),
  _rule("lxc.seccomp.profile", r"/.+", "an absolute path"),
  _rule("lxc.seccomp.allow_nesting", r"[01]", "0 or 1"),
  _rule("lxc.selinux.context", _ANY, "a context"),
  _rule(
    "lxc.sysctl.*", _ANY, "a value", rf"lxc\.sysctl\.{_SYSCTL}(\.{_SYSCTL})+"
  ),
)

IN_PARAMETER = _COMMON
IN_FILE = _COMMON + _FILE_ONLY

_DRIVER = "the driver sets it"
_BY_FILE = "only a file named as file:NAME in extra_config may set it"
_REASONS = (
  (r"lxc\.hook\.", "a hook is a program that runs on the node as root"),
  (r"lxc\.include", "name a file as file:NAME in extra_config"),
  (r"lxc\.rootfs\.", "the root file system is the instance's first disk"),
  (r"lxc\.net\.", "use the instance's NICs"),
  (r"lxc\.uts\.", "the host name is the instance's"),
  (r"lxc\.idmap", "the driver does not start unprivileged containers"),
  (r"lxc\.cap\.keep", "use the parameter drop_capabilities"),
  (r"lxc\.tty\.max", "use the parameter num_ttys"),
  (r"lxc\.cgroup2?\.devices\.", "use the parameter devices"),
  (r"lxc\.cgroup2?\.memory\.", "use maxmem and minmem of the instance"),
  (r"lxc\.cgroup2?\.cpuset\.", "use the parameter cpu_mask"),
  (r"lxc\.cgroup2?\.cpu\.(max|cfs_)", "use vcpus of the instance"),
  (r"lxc\.apparmor\.profile", "use the parameter security_domain"),
  (r"lxc\.(start\.|group|monitor\.)", "Ganeti starts and stops instances"),
  (r"lxc\.(ephemeral|execute)", "it is for containers that lxc-execute runs"),
  (r"lxc\.environment\.", "only LXC 7 knows it; use lxc.environment"),
  (r"lxc\.mount\.fstab", "only single mounts, from a file, are possible"),
  (
    r"lxc\.sysctl\b",
    f"{_BY_FILE}, with lxc.mount.auto = proc:rw; but for lxc.sysctl.net.*",
  ),
  (
    r"lxc\.(apparmor|keyring|mount|proc|prlimit|seccomp|selinux)\b",
    _BY_FILE,
  ),
  (
    r"lxc\.(autodev|cgroup2?|console|log|namespace|pty|tty)\b",
    _DRIVER,
  ),
)
# Names that LXC had until 2.0 (lxc-update-config(1)).
_RENAMED = {
  "lxc.utsname": "lxc.uts.name",
  "lxc.haltsignal": "lxc.signal.halt",
  "lxc.rebootsignal": "lxc.signal.reboot",
  "lxc.stopsignal": "lxc.signal.stop",
  "lxc.init_cmd": "lxc.init.cmd",
  "lxc.aa_profile": "lxc.apparmor.profile",
  "lxc.mount": "lxc.mount.fstab",
}

# LXC sets the variables in its own process too, before it mounts and runs
# hooks as root of the node (do_start in start.c), so no name that changes
# how a program runs: glibc's list (sysdeps/generic/unsecvars.h), those of
# shells and interpreters, LXC's own.
_UNSAFE_VARIABLE = (
  r"LD_.*|GLIBC_.*|MALLOC_.*|GCONV_PATH|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN"
  r"|LOCPATH|NIS_PATH|NLSPATH|RESOLV_.*|RES_OPTIONS|TMPDIR|TZDIR|PATH|IFS"
  r"|ENV|BASH.*|SHELLOPTS|PS[0-9]|CDPATH|PYTHON.*|PERL.*|RUBY.*|LXC_.*"
  r"|LISTEN_.*|XDG_RUNTIME_DIR|container|container_ttys"
)


def check(key: str, value: str, rules: tuple[Rule, ...]) -> str:
  """Checks one setting.

  @param value: without blanks around it
  @return: the value as LXC takes it
  @raise Refused: names the key; for IN_FILE the caller must not show it

  """
  by_key = [rule for rule in rules if re.fullmatch(rule.key, key)]
  if not by_key:
    raise _unknown(key, rules)
  # To LXC an empty value means: forget all that was set before, and it
  # takes quotes off (parse_line in confile.c).
  if not value:
    raise Refused(
      f"Key {key} has no value", remedy="write KEY=VALUE, or leave it out"
    )
  if value[0] in "\"'":
    raise Refused(
      f"The value of key {key} begins with a quote", remedy="leave it out"
    )
  if not any(re.fullmatch(rule.value, value) for rule in by_key):
    says = " or ".join(dict.fromkeys(rule.says for rule in by_key))
    raise Refused(
      f"The value {value!r} of key {key} cannot be set", remedy=f"write {says}"
    )
  if key == "lxc.cap.drop":
    return " ".join(capabilities.parse(value))
  if key == "lxc.environment":
    _check_variable(value.split("=", 1)[0])
  return value


def _check_variable(name: str) -> None:
  if re.fullmatch(_UNSAFE_VARIABLE, name):
    raise Refused(
      f"Key lxc.environment cannot set {name}",
      evidence="LXC would use it on the node, too",
      remedy="set it in the guest",
    )


def _unknown(key: str, rules: tuple[Rule, ...]) -> Refused:
  if key in _RENAMED:
    return Refused(
      f"Key {key!r} is one of LXC 1", remedy=f"write {_RENAMED[key]}"
    )
  for pattern, reason in _REASONS:
    if re.match(pattern, key):
      return Refused(
        f"Key {key!r} cannot be set here",
        evidence=reason,
        remedy="leave it out; ganeti-lxc(7) tells what can be set",
      )
  names = [rule.name for rule in rules]
  close = list(dict.fromkeys(difflib.get_close_matches(key, names, n=3)))
  allowed = ", ".join(dict.fromkeys(names))
  return Refused(
    f"Key {key!r} is not known",
    remedy=f"perhaps {' or '.join(close)}" if close else f"known: {allowed}",
  )
