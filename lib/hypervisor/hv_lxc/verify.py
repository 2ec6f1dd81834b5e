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

"""What a node lacks for containers, one line each, with its remedy.

One list of questions, three presentations: L{problems} is what
"gnt-cluster verify" calls an error: no instance, or not every one, could
start.  L{advice} is what someone may want to know.  L{findings} is both,
with what is in order as well: ganeti-lxc-doctor prints it.

They look at files and start next to no program, change nothing, and do not
raise: a question that fails is a line of its own.

"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from . import (
  apparmor,
  cgroupcheck,
  cpus,
  kernelcheck,
  lvmcheck,
  storagecheck,
  udevcheck,
  versions,
)
from .command import SEARCH_PATH
from .doctor import livecheck
from .errors import one_line
from .host import Host
from .model import Problem
from .node import Check, Finding, Node, State, missing_program

_VERSION_TIMEOUT_S = 10.0
# lxc.cgroup.dir.container and its siblings, before the renamed mount API.
_FIRST_LXC = 5

_LXC_TOOLS = (
  "lxc-attach",
  "lxc-checkpoint",
  "lxc-console",
  "lxc-freeze",
  "lxc-info",
  "lxc-start",
  "lxc-stop",
  "lxc-unfreeze",
  "lxc-wait",
)
# (program, the package that has it, what cannot be done without it)
_TOOLS = (
  ("ip", "iproute2", "NICs cannot be set up"),
  ("mount", "mount", "Disks cannot be mounted"),
  ("umount", "mount", "Disks cannot be unmounted"),
)
_APPARMOR_FILE = "etc/apparmor.d/lxc-containers"


def problems(
  host: Host,
  extra_cgroups: Iterable[str] = (),
  *,
  search_path: str = SEARCH_PATH,
  root: Path = Path("/"),
) -> list[Problem]:
  """What keeps instances from starting here; always in the same order.

  To be called as root.

  @param extra_cgroups: the hypervisor parameter
  @param search_path: directories of programs, as in PATH
  @param root: where /boot, /etc, /lib/modules are

  """
  node = Node(host=host, search_path=search_path, root=root)
  return _answers(node, _all_checks(extra_cgroups))


def advice(
  host: Host,
  *,
  search_path: str = SEARCH_PATH,
  root: Path = Path("/"),
  cpu_mask: str = "",
) -> list[str]:
  """What could be better here; each a line that stands alone.

  Starts CRIU, if there is one, a few times: some 0.2 s.

  @param cpu_mask: the hypervisor parameter; any form

  """
  node = Node(host=host, search_path=search_path, root=root)
  return [str(problem) for problem in _answers(node, _wishes(cpu_mask))]


def findings(
  node: Node,
  *,
  extra_cgroups: Iterable[str] = (),
  cpu_mask: str = "",
  privileged: bool = True,
) -> list[Finding]:
  """Every requirement once, the worst that was found of it.

  @param privileged: the caller is root; else what only root can tell is
    unknown

  """
  needed, wished = _all_checks(extra_cgroups), _wishes(cpu_mask)
  return _merged(
    answered(node, needed, State.MISSING, privileged=privileged),
    answered(node, wished, State.DEGRADED, privileged=privileged),
  )


def names_in(extra_cgroups: str | None) -> list[str]:
  """The hypervisor parameter as Ganeti stores it, taken apart."""
  names = (name.strip() for name in (extra_cgroups or "").split(","))
  return [name for name in names if name]


def answered(
  node: Node,
  checks: Iterable[Check],
  worst: State,
  *,
  privileged: bool = True,
) -> list[Finding]:
  """What comes of some questions, one entry for each subject.

  @param worst: what it is called when a requirement is not met

  """
  return _merged(
    _finding(node, check, worst, privileged=privileged) for check in checks
  )


def _merged(*groups: Iterable[Finding]) -> list[Finding]:
  found: dict[str, Finding] = {}
  for group in groups:
    for finding in group:
      known = found.get(finding.subject)
      if known is None or known.state is State.OK:
        found[finding.subject] = finding
  return list(found.values())


def _finding(
  node: Node, check: Check, worst: State, *, privileged: bool
) -> Finding:
  if check.privileged and not privileged:
    return Finding(check.subject, State.UNKNOWN)
  problem = _answer(node, check)
  return Finding(check.subject, worst if problem else State.OK, problem)


def _all_checks(extra_cgroups: Iterable[str]) -> list[Check]:
  return [*_checks(), *cgroupcheck.extra_checks(extra_cgroups)]


def _answers(node: Node, checks: Iterable[Check]) -> list[Problem]:
  found = (_answer(node, check) for check in checks)
  return [problem for problem in found if problem]


def _answer(node: Node, check: Check) -> Problem | None:
  try:
    return check.examine(node)
  except Exception as err:  # noqa: BLE001 - verify goes on with the rest
    said = one_line(f"{type(err).__name__}: {err}")
    return Problem(
      f"The check of {check.subject} failed: {said}",
      "run it as root; if you do, this is a defect of the LXC driver",
    )


def _checks() -> Iterator[Check]:
  yield Check("LXC", _lxc_installed)
  for tool in _LXC_TOOLS:
    yield Check(tool, partial(_lxc_tool, tool))
  yield Check("LXC's version", _lxc_supported)
  yield Check("LXC's configuration", _lxc_default_path)
  for tool, package, purpose in _TOOLS:
    yield Check(tool, partial(missing_program, tool, package, purpose))
  yield from kernelcheck.checks()
  yield from cgroupcheck.checks()
  yield from storagecheck.checks()
  yield from lvmcheck.checks()
  yield Check("apparmor_parser", _apparmor_parser)
  yield Check("AppArmor profiles", _apparmor_file)
  yield Check("AppArmor", _apparmor_loaded, privileged=True)


def _wishes(cpu_mask: str) -> Iterator[Check]:
  yield from kernelcheck.wishes()
  yield from cgroupcheck.wishes()
  yield from storagecheck.wishes()
  yield from lvmcheck.wishes()
  yield from udevcheck.wishes()
  yield Check("AppArmor", _apparmor_off)
  yield from livecheck.wishes()
  yield Check("cpu_mask", partial(_isolated_cpus, cpu_mask))


def _lxc_installed(node: Node) -> Problem | None:
  if any(node.has_program(tool) for tool in _LXC_TOOLS):
    return None
  return Problem("LXC is not installed", "run apt-get install lxc")


def _lxc_tool(tool: str, node: Node) -> Problem | None:
  if _lxc_installed(node):
    return None
  return missing_program(tool, "lxc", "LXC is not complete", node)


def _lxc_supported(node: Node) -> Problem | None:
  if not node.has_program("lxc-start"):
    return None
  argv = ["lxc-start", "--version"]
  result = node.host.run(argv, timeout_s=_VERSION_TIMEOUT_S)
  version = [] if result.failed else versions.parse(result.stdout)
  if not version:
    return Problem(
      f"LXC does not tell its version: {one_line(result.evidence())}",
      "run it by hand to see why, or apt-get install --reinstall lxc",
    )
  if version[0] < _FIRST_LXC:
    return Problem(
      f"LXC {'.'.join(map(str, version))} is too old",
      f"install LXC {_FIRST_LXC}.0 or later, as in Debian 12",
    )
  return cgroupcheck.v1_with_lxc_7(node, version[0])


def _lxc_default_path(node: Node) -> Problem | None:
  """lxc.system.conf(5): where lxc-autostart and lxc-ls look."""
  path = node.root / "etc/lxc/lxc.conf"
  for line in node.read(path).splitlines():
    key, _, value = (part.strip() for part in line.partition("="))
    if key == "lxc.lxcpath" and Path(value) == node.host.layout.lxcpath:
      return Problem(
        f"{path} makes {value} the place of all containers, so lxc.service"
        " would start and stop instances behind Ganeti's back",
        "set lxc.lxcpath to another directory, or take the line out",
      )
  return None


def _apparmor_parser(node: Node) -> Problem | None:
  if not apparmor.enabled(node.host) or node.has_program("apparmor_parser"):
    return None
  return Problem(
    "AppArmor is on, but the command apparmor_parser is not in"
    f" {node.search_path}, so LXC may not change to a guest's profile",
    "run apt-get install apparmor",
  )


def _apparmor_file(node: Node) -> Problem | None:
  path = node.root / _APPARMOR_FILE
  if not apparmor.enabled(node.host) or path.exists():
    return None
  return Problem(
    f"AppArmor is on, but LXC's profiles are not there: {path}",
    "run apt-get install --reinstall -o Dpkg::Options::=--force-confmiss lxc",
  )


def _apparmor_loaded(node: Node) -> Problem | None:
  profiles = node.host.sys / "kernel/security/apparmor/profiles"
  if not apparmor.enabled(node.host) or not profiles.exists():
    return None
  loaded = node.read(profiles).splitlines()
  if any(line.split()[:1] == [apparmor.DEFAULT_PROFILE] for line in loaded):
    return None
  return Problem(
    f"AppArmor is on, but the profile {apparmor.DEFAULT_PROFILE}, which"
    " instances run with, is not loaded",
    f"run apparmor_parser -r /{_APPARMOR_FILE}",
  )


def _apparmor_off(node: Node) -> Problem | None:
  if apparmor.enabled(node.host):
    return None
  return Problem(
    "AppArmor is off, so capabilities and seccomp alone keep a guest's root"
    " from the host",
    "boot a kernel with AppArmor, with apparmor=1 security=apparmor",
  )


def _isolated_cpus(cpu_mask: str, node: Node) -> Problem | None:
  """isolcpus= and a mask that has CPUs of both kinds.

  The scheduler moves no process to or from an isolated CPU, so processes
  stay where they are by chance while others of their CPUs idle.

  """
  text = node.read(node.host.sys / "devices/system/cpu/isolated").strip()
  wanted = cpus.from_mask(cpu_mask)
  if not text or not wanted:
    return None
  isolated, mine = cpus.parse(text), cpus.parse(wanted)
  if not mine & isolated or not mine - isolated:
    return None
  return Problem(
    f"cpu_mask {cpu_mask} has CPUs that isolcpus takes from the scheduler and"
    f" others that it does not: {cpus.format_list(mine - isolated)}",
    "make cpu_mask and isolcpus on the kernel command line the same",
  )
